"""The width curve that the figure shows: one spectrum, many widths."""

from __future__ import annotations

from typing import Any

import numpy as np

from widthwise.errors import NumericalError
from widthwise.report.figures import Curve


def width_curve(
    prepared: Any,
    y: np.ndarray,
    X_test: np.ndarray,
    y_test: np.ndarray,
    *,
    temperature: float,
    width: int,
    infinite: Any,
    infinite_score: Any,
    approximation: str | None = None,
    points: int = 33,
) -> Curve:
    """Predicted errors at widths from ten units (fewer for a small network) to fifty times the network's own.

    Args:
        prepared: what `prepare` returned.
        y: training targets (P,).
        X_test: test inputs.
        y_test: test targets.
        temperature: T.
        width: the network's own.
        infinite: posterior at infinite width.
        infinite_score: its score on the test set.
        approximation: as in `infer`.
        points: about how many widths.
    """
    from widthwise.posterior import infer

    grid = np.unique(np.round(np.geomspace(max(1, min(10, width // 4)), 50 * max(width, 20), points)).astype(int))
    rows, test = [], prepared.at(X_test)
    for N in sorted({*grid.tolist(), width}):
        try:
            scaled = [max(1, round(own * N / width)) for own in prepared.network.widths]  # all in proportion
            posterior = infer(prepared, y, temperature=temperature, widths=scaled, approximation=approximation)
            score = posterior.score(test, y_test)
        except NumericalError:
            continue  # a width where the theory has no answer leaves a gap, not a guess
        rows.append((N, score.total, posterior.training_error.total))
    widths, test_error, training_error = np.array(rows, dtype=float).reshape(-1, 3).T
    return Curve(widths, test_error, training_error, float(infinite_score.total), float(infinite.training_error.total))
