"""Examples that neither trunk nor readout has seen: checked to be so, and what the network predicts for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound.seen import seen
from widthwise.checks import warn
from widthwise.errors import InputError
from widthwise.numerics.factors import Factors, precision

_SINGLE = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Fresh:
    """Fresh examples.

    Args:
        features: (n, N).
        precision: the rounding unit that they were born with.
        targets: (n, D).
        predictions: the network's (n, D); None where they were not handed in.
    """

    features: Float[np.ndarray, "n N"]
    precision: float
    targets: Float[np.ndarray, "n D"]
    predictions: Float[np.ndarray, "n D"] | None


def examine(fresh: Any, features: Float[np.ndarray, "P N"], targets: Float[np.ndarray, "P D"], unit: float) -> Fresh:
    """Fresh examples, checked against those of training.

    Args:
        fresh: (features, targets) or (features, targets, predictions).
        features, targets: of training.
        unit: the rounding unit of those features.

    Raises:
        InputError: arrays that do not fit, or the training examples themselves.
    """
    if not isinstance(fresh, tuple | list) or len(fresh) not in (2, 3):
        raise InputError(
            f"fresh: expected (features, targets) or (features, targets, predictions), got {type(fresh).__name__}"
            f"{f' of {len(fresh)}' if isinstance(fresh, tuple | list) else ''}."
        )
    X = checks.features(fresh[0], "fresh features", columns=features.shape[1])
    D = targets.shape[1]
    y = checks.columns(fresh[1], len(X), "fresh targets", outputs=D)
    f = None
    if len(fresh) == 3 and fresh[2] is not None:
        f = checks.columns(fresh[2], len(X), "fresh predictions", outputs=D)
    if len(X) < 2:
        raise InputError("fresh features: expected at least 2 examples, got 1; pass more, or fresh=None.")
    born = precision(fresh[0])
    _compare((X, y), (features, targets), max(born, unit))
    return Fresh(X, born, y, f)


def _compare(
    fresh: tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n D"]],
    training: tuple[Float[np.ndarray, "P N"], Float[np.ndarray, "P D"]],
    precision: float,
) -> None:
    n, shared = len(fresh[0]), seen(fresh, training, precision)
    if shared == n:
        raise InputError(
            "fresh: expected examples that the network was not trained on, got training examples only; "
            "hold some out, or pass fresh=None."
        )
    if shared:
        warn(f"fresh: {shared} of {n} examples are training examples too and make the gap look small; leave them out.")


def through_readout(
    parts: Factors, predictions: Float[np.ndarray, "P D"], fresh: Fresh, precision: float
) -> tuple[Float[np.ndarray, "n D"] | None, str]:
    """The network's predictions for fresh examples, by the readout that its training predictions reveal.

    Predictions that are linear in the last layer's features give the weights by least squares; what fresh features
    have outside the span of the training features is not determined, and must be little.

    Args:
        parts: the training features' factors, with a constant.
        predictions: of training.
        fresh: the examples.
        precision: the rounding unit of the training features.

    Returns:
        The predictions, or None and why not.
    """
    P, rank = parts.U.shape
    if rank + 1 >= P:
        return None, f"P = {P} examples do not determine the network's own readout of {rank} features"
    tolerance = 1e-3 if max(precision, fresh.precision) >= _SINGLE else 1e-6
    offset = predictions.mean(axis=0)
    centred = predictions - offset
    missed = centred - parts.U @ (parts.U.T @ centred)
    share = float(np.linalg.norm(missed)) / max(float(np.linalg.norm(predictions)), np.finfo(float).tiny)
    if share > tolerance:
        return None, f"the predictions are not linear in these features (relative residual {share:.1g})"
    X = fresh.features - parts.mean
    if parts.C_inverse is None:
        _, _, Vt = parts.spectrum
        outside = float(np.linalg.norm(X - (X @ Vt.T) @ Vt)) / max(float(np.linalg.norm(X)), np.finfo(float).tiny)
        if outside > tolerance:
            return None, f"fresh features leave the span of the training features (relative distance {outside:.1g})"
    return offset + X @ parts.weights(centred, 0.0), ""
