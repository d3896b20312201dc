"""The caller's features and targets, checked where they come in; each error says what came and what to do."""

from __future__ import annotations

import math
import numbers
import sys
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import DataWarning, InputError

_LARGEST = 1e50  # fourth powers of it are still numbers
_COARSE = ("float16", "bfloat16")
_INSIDE = ("widthwise", "beartype", "jaxtyping")  # the latter two check the types in tests


def numbers_of(name: str, values: Any, what: str = "real numbers") -> Float[np.ndarray, "..."]:
    """`values` as float64, of any shape, finite or not: no strings, no complex numbers, nothing masked.

    Args:
        name: what it is called in the message.
        values: any array or nested sequence of real numbers.
        what: is expected, in words.
    """
    if np.ma.is_masked(values):  # np.asarray would bring back what is under the mask
        raise InputError(f"{name}: expected numbers, got a masked array with masked entries; remove or impute them.")
    try:
        raw = np.asarray(values)
        array = raw.astype(np.float64) if raw.dtype.kind in "fiub" or raw.dtype.name in _COARSE else None
    except Exception as fault:  # whatever an array-like of another library raises
        raise InputError(
            f"{name}: expected an array of {what}, got {type(values).__name__} ({fault}); "
            "convert it to a NumPy array first."
        ) from None
    if array is None:
        got = repr(values) if isinstance(values, str | complex) else f"dtype {raw.dtype}"
        raise InputError(f"{name}: expected real numbers, got {got}; convert it to float64 first.")
    return array


def real(name: str, values: Any, dimensions: tuple[int, ...], shape: str) -> Float[np.ndarray, "..."]:
    """`values` as a finite float64 array.

    Args:
        name: what it is called in the message.
        values: any array or nested sequence of real numbers.
        dimensions: the numbers of dimensions allowed.
        shape: the expected shape in words.
    """
    array = numbers_of(name, values, f"shape {shape}")
    if array.ndim not in dimensions:
        raise InputError(f"{name}: expected shape {shape}, got {array.shape}; reshape it.")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one example and one column, got shape {array.shape}.")
    if not np.isfinite(array).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name}: expected finite numbers, got {array[bad]} at {list(bad)}; remove or impute it.")
    if float(np.abs(array).max()) > _LARGEST:
        raise InputError(f"{name}: expected numbers up to {_LARGEST:g}, got {np.abs(array).max():.3g}; rescale it.")
    return array


def features(values: Any, name: str = "features", *, columns: int | None = None) -> Float[np.ndarray, "P N"]:
    """Features as (P, N) float64.

    Args:
        values: any array.
        name: what it is called in the message.
        columns: N as in training.
    """
    array = real(name, values, (2,), "(examples, features)")
    if columns is not None and array.shape[1] != columns:
        raise InputError(f"{name}: expected {columns} features as in training, got {array.shape[1]}; same layer?")
    return array


def kernel(values: Any) -> Float[np.ndarray, "P P"]:
    """A kernel on the training inputs as a square float64 matrix."""
    array = real("K", values, (2,), "(P, P), a kernel")
    if array.shape[0] != array.shape[1]:
        raise InputError(f"K: expected a square matrix (P, P), got {array.shape}; pass the training inputs' kernel.")
    return array


def columns(values: Any, P: int, name: str = "targets", *, outputs: int | None = None) -> Float[np.ndarray, "P D"]:
    """Targets or predictions as (P, D) float64; (P,) is one output.

    Args:
        values: any array.
        P: how many examples there are.
        name: what it is called in the message.
        outputs: D where it is known already.
    """
    array = real(name, values, (1, 2), "(examples,) or (examples, outputs)")
    array = array.reshape(len(array), -1)
    if len(array) != P:
        raise InputError(f"{name}: expected one row per example ({P}), got {len(array)}; pass the same examples.")
    if outputs is not None and array.shape[1] != outputs:
        raise InputError(f"{name}: expected {outputs} outputs as the targets have, got {array.shape[1]}.")
    return array


def targets(values: Any, P: int, name: str = "targets", *, outputs: int | None = None) -> Float[np.ndarray, "P D"]:
    """`columns` of targets, with a warning where they look like class numbers."""
    y = columns(values, P, name, outputs=outputs)
    classes = np.unique(y) if y.shape[1] == 1 else np.empty(0)
    count = len(classes)
    if 3 <= count <= P // 2 and classes[0] in (0.0, 1.0) and np.array_equal(classes, classes[0] + np.arange(count)):
        warn(
            f"{name}: look like the numbers of {count} classes, and squared errors between them mean little; "
            "pass one-hot columns (P, classes), or ±1 for two classes."
        )
    return y


def warn(message: str) -> None:
    """A `DataWarning` that points at the first line outside this package."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, DataWarning, stacklevel=depth)


def ridge(value: Any) -> float:
    """λ ≥ 0, finite."""
    return number("ridge", value, 0.0)


def number(name: str, value: Any, least: float) -> float:
    """A finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= float(value) < math.inf:
        raise InputError(f"{name}: expected a finite number of at least {least:g}, got {value!r}.")
    return float(value)


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
    return int(value)
