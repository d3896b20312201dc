"""Inputs on one scale: mean and deviation of the training set, taken globally or for each feature."""

from __future__ import annotations

import warnings

import numpy as np

from widthwise.errors import DataWarning, InputError

MODES = ("global", "feature", "none")


def standardise(X: np.ndarray, X_test: np.ndarray, mode: str) -> tuple[np.ndarray, np.ndarray]:
    """(X − mean) / deviation, both of the training inputs, for training and test inputs alike.

    Args:
        X: training inputs (P, …).
        X_test: test inputs (n, …).
        mode: "global" (one mean and one deviation), "feature" (one each), "none".

    Raises:
        InputError: numbers so large that their deviation overflows.

    Warns:
        DataWarning: constant inputs or features, which are centred and not divided.
    """
    X, X_test = np.asarray(X, dtype=np.float64), np.asarray(X_test, dtype=np.float64)
    if mode == "none":
        return X, X_test
    with np.errstate(over="ignore", invalid="ignore"):
        axis = None if mode == "global" else 0
        mean, deviation = X.mean(axis=axis), X.std(axis=axis)
        # rounding leaves a deviation of order eps·|mean| on values that are all equal
        constant = np.ptp(X, axis=axis) == 0
        scale = np.where(constant, 1.0, deviation)
        X, X_test = (X - mean) / scale, (X_test - mean) / scale
    if not (np.isfinite(X).all() and np.isfinite(X_test).all()):
        raise InputError(
            "X: expected numbers whose mean and deviation fit double precision, got larger ones; rescale the inputs."
        )
    if np.any(constant):
        what = "all inputs are equal" if mode == "global" else f"{int(constant.sum())} of {constant.size} features are"
        rest = "" if mode == "global" else " constant over the training set"
        warnings.warn(
            f"standardise={mode!r}: {what}{rest}; they are centred and not divided.", DataWarning, stacklevel=3
        )
        X = np.where(constant, 0.0, X)
    return X, X_test
