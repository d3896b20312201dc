"""The caller's numbers as float64, checked where they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError
from widthwise.numerics import factors


def precision(matrix: Any) -> float:
    """The rounding unit a matrix was born with, float32's where that holds it; integers and diagonals are exact."""
    raw = np.asarray(matrix)
    exact = raw.dtype.kind in "iub" or (raw.ndim == 2 and not (raw != np.diag(np.diag(raw))).any())
    return float(np.finfo(np.float64).eps) if exact or (raw == np.rint(raw)).all() else factors.precision(raw)


def vector(name: str, values: Any, *, positive: bool) -> Float[np.ndarray, " n"]:
    """One number or a vector of them, finite, above 0 or at least 0.

    Raises:
        InputError: others, none, a matrix.
    """
    array = checks.numbers_of(name, values)
    what = f"finite numbers {'above' if positive else 'of at least'} 0, one or a vector"
    if array.ndim > 1 or not array.size:
        raise InputError(f"{name}: expected {what}, got shape {array.shape}; pass one or a vector.")
    fine = np.isfinite(array) & ((array > 0) if positive else (array >= 0))
    if not fine.all():
        bad = np.atleast_1d(array)[~np.atleast_1d(fine)]
        raise InputError(f"{name}: expected {what}, got {bad[0]:g}; pass such numbers.")
    return array.reshape(-1).copy()


def sample(features: Any, targets: Any) -> tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n D"]]:
    """Features (n, N) and targets (n, D).

    Raises:
        InputError: shapes that do not agree, entries that are not finite real numbers.
    """
    X = checks.features(features)
    return X, checks.columns(targets, len(X))
