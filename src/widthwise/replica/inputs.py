"""The caller's numbers as float64, checked where they come in."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.numerics import factors

_COARSE = ("float16", "bfloat16")


def real(name: str, values: Any) -> Float[np.ndarray, "..."]:
    """`values` as float64, of any shape, finite or not.

    Raises:
        InputError: strings, complex numbers, ragged lists, masked entries.
    """
    if np.ma.is_masked(values):  # np.asarray would bring back what is under the mask
        raise InputError(f"{name}: expected numbers, got a masked array with masked entries; remove or impute them.")
    try:
        raw = np.asarray(values)
    except Exception as fault:  # whatever an array-like of another library raises
        raise InputError(
            f"{name}: expected real numbers, got {type(values).__name__} ({fault}); pass an array."
        ) from None
    if raw.dtype.kind not in "fiub" and raw.dtype.name not in _COARSE:
        got = repr(values) if isinstance(values, str | complex) else f"dtype {raw.dtype}"
        raise InputError(f"{name}: expected real numbers, got {got}; pass such numbers, or convert them to float64.")
    return raw.astype(np.float64)


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
    array = real(name, values)
    what = f"finite numbers {'above' if positive else 'of at least'} 0, one or a vector"
    if array.ndim > 1 or not array.size:
        raise InputError(f"{name}: expected {what}, got shape {array.shape}; pass one or a vector.")
    fine = np.isfinite(array) & ((array > 0) if positive else (array >= 0))
    if not fine.all():
        bad = np.atleast_1d(array)[~np.atleast_1d(fine)]
        raise InputError(f"{name}: expected {what}, got {bad[0]:g}; pass such numbers.")
    return array.reshape(-1).copy()


def number(name: str, value: Any) -> float:
    """One finite number of at least 0.

    Raises:
        InputError: another, or several.
    """
    array = real(name, value)
    if array.ndim or not np.isfinite(array) or array < 0:
        raise InputError(f"{name}: expected a finite number of at least 0, got {value!r}; pass such a number.")
    return float(array)


def ridge(value: Any) -> float:
    """λ ≥ 0."""
    return number("ridge", value)


def sample(features: Any, targets: Any) -> tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n D"]]:
    """Features (n, N) and targets (n, D).

    Raises:
        InputError: shapes that do not agree, entries that are not finite real numbers.
    """
    X, Y = real("features", features), real("targets", targets)
    if X.ndim != 2 or Y.ndim not in (1, 2) or len(X) != len(Y) or 0 in X.shape or 0 in Y.shape:
        raise InputError(
            f"features and targets: expected (n, N) and (n,) or (n, D), got {X.shape} and {Y.shape}; "
            "pass one row per example."
        )
    if not (np.isfinite(X).all() and np.isfinite(Y).all()):
        raise InputError("features and targets: expected finite numbers, got some that are not; drop those rows.")
    return X, Y.reshape(len(Y), -1)
