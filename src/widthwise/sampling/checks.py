"""The caller's arrays, checked; and the optional packages, found or named. (The theory has its own: no shared code.)"""

from __future__ import annotations

import importlib
import math
import numbers
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError, MissingExtra


def _array(name: str, values: Any, shape: str) -> np.ndarray:
    try:
        raw = np.asarray(values)
        array = raw.astype(np.float64) if raw.dtype.kind in "fiub" else None
    except (TypeError, ValueError):
        array = None
    if array is None:
        raise InputError(
            f"{name}: expected real numbers of shape {shape}, got {type(values).__name__}; convert it first."
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(str(i) for i in bad[0])
        raise InputError(
            f"{name}: expected finite numbers, got {len(bad)} that are not (the first at [{where}]); "
            "remove or impute them."
        )
    return array


def matrix(name: str, values: Any, columns: int | None = None) -> Float[np.ndarray, "n N0"]:
    """Inputs: (n, N0) finite numbers, at least one row and one column."""
    array = _array(name, values, "(n, N0)")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name}: expected shape (n, N0) with n, N0 ≥ 1, got {array.shape}; "
            "one row per example, X[:, None] for a single input."
        )
    if columns is not None and array.shape[1] != columns:
        raise InputError(
            f"{name}: expected {columns} columns, as in X, got {array.shape[1]}; give both the same inputs."
        )
    return array


def images(name: str, values: Any, shape: tuple[int, ...] | None = None) -> Float[np.ndarray, "n H W *C"]:
    """Images: (n, H, W) or (n, H, W, C) finite numbers, at least one pixel."""
    array = _array(name, values, "(n, H, W) or (n, H, W, C)")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise InputError(
            f"{name}: expected shape (n, H, W) or (n, H, W, C) with n, H, W, C ≥ 1, got {array.shape}; "
            "one image per example, flat ones as X.reshape(-1, H, W)."
        )
    if shape is not None and array.shape[1:] != shape:
        raise InputError(f"{name}: expected images {shape}, as in X, got {array.shape[1:]}; give both the same.")
    return array


def targets(name: str, values: Any, rows: int, dimensions: int | None = None) -> Float[np.ndarray, "..."]:
    """Targets: (rows,) or (rows, D) finite numbers."""
    array = _array(name, values, f"({rows},) or ({rows}, D)")
    if array.ndim not in (1, 2) or array.shape[0] != rows or 0 in array.shape:
        raise InputError(
            f"{name}: expected shape ({rows},) or ({rows}, D), got {array.shape}; "
            "give one target for each row of the inputs."
        )
    if dimensions is not None and array.ndim != dimensions:
        raise InputError(
            f"{name}: expected as many dimensions as y, {dimensions}, got {array.ndim}; reshape one of them."
        )
    return array


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) and math.isfinite(value) and float(value) > 0):
        raise InputError(f"{name}: expected a finite number above zero, got {value!r}; pass e.g. 0.01.")
    return float(value)


def extra(package: str) -> Any:
    """An optional package, imported."""
    try:
        with warnings.catch_warnings():
            # ArviZ announces its own refactoring on import; nothing that a user of this library could do
            warnings.simplefilter("ignore", FutureWarning)
            return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtra(
            f"sampling needs {package}, which is not installed ({error}); run: pip install 'widthwise[sample]'"
        ) from error
