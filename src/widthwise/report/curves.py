"""The width curve that the figure shows: many widths, on one spectrum where there is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from widthwise.errors import InputError, NumericalError
from widthwise.report.figures import Curve


def width_curve(
    network: Any,
    X: np.ndarray,
    y: np.ndarray,
    X_test: np.ndarray,
    y_test: np.ndarray,
    *,
    temperature: float,
    infinite: Any,
    infinite_score: Any,
    approximation: str | None = None,
    points: int = 33,
) -> Curve:
    """Predicted errors at widths from ten units (fewer for a small network) to fifty times the network's own.

    Args:
        network: fully connected, or convolutional with one kernel; of several layers all widths change in proportion.
        X, y, X_test, y_test: the data.
        temperature: T.
        infinite: posterior at infinite width.
        infinite_score: its score on the test set.
        approximation: as in `infer`.
        points: about how many widths; a quarter of them where each needs its own kernel.
    """
    from widthwise.posterior import infer, prepare

    width = network.widths[-1]
    reshaped = not _one_spectrum(network)
    prepared = None if reshaped else prepare(network, X)
    test = X_test if prepared is None else prepared.at(X_test)
    count = points // 4 if reshaped else points
    grid = np.unique(np.round(np.geomspace(max(1, min(10, width // 4)), 50 * max(width, 20), count)).astype(int))
    rows = []
    for N in sorted({*grid.tolist(), width}):
        scaled = [max(1, round(own * N / width)) for own in network.widths]
        how: dict[str, Any] = {"temperature": temperature, "approximation": approximation}
        try:
            if prepared is None:
                posterior = infer(replace(network, widths=scaled), X, y, **how)
            else:
                posterior = infer(prepared, y, widths=scaled, **how)
            score = posterior.score(test, y_test)
        except NumericalError:
            continue  # a width where the theory has no answer leaves a gap, not a guess
        rows.append((N, score.total, posterior.training_error.total))
    if not rows:
        raise InputError("figure: expected a prediction at some width, got none; raise the temperature.")
    widths, test_error, training_error = np.array(rows, dtype=float).T
    return Curve(widths, test_error, training_error, float(infinite_score.total), float(infinite.training_error.total))


def _one_spectrum(network: Any) -> bool:
    """Whether order parameters multiply one kernel, so that its eigenvalues serve every width."""
    from widthwise.posterior.infer import multiplies_one_kernel

    return multiplies_one_kernel(network)
