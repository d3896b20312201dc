"""The caller's arrays, checked once where they come in; each error says what came and what to do."""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import DataWarning, InputError, NumericalError
from widthwise.numerics.lapack import cholesky

_LARGEST = 1e50  # fourth powers of it are still numbers


def real_array(name: str, values: Any, dimensions: tuple[int, ...], shape: str) -> Float[np.ndarray, "..."]:
    """`values` as a finite float64 array, C order.

    Args:
        name: what it is called in the message.
        values: any array or nested sequence of real numbers.
        dimensions: the numbers of dimensions allowed.
        shape: the expected shape in words.
    """
    try:
        raw = np.asarray(values)
    except Exception as fault:  # whatever an array-like of another library raises
        raise InputError(
            f"{name}: expected an array of shape {shape}, got {type(values).__name__} ({fault})."
        ) from None
    if raw.dtype.kind not in "fiub":
        raise InputError(f"{name}: expected real numbers, got dtype {raw.dtype}; convert it to float64 first.")
    array = np.ascontiguousarray(raw, dtype=np.float64)
    if array.ndim not in dimensions or raw.ndim == 0:
        raise InputError(f"{name}: expected shape {shape}, got {raw.shape}; reshape it.")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one example and one feature, got shape {array.shape}.")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0]
        where = ", ".join(str(int(i)) for i in bad)
        value = array[tuple(bad)]
        raise InputError(f"{name}: expected finite numbers, got {value} at [{where}]; remove or impute it.")
    largest = float(np.abs(array).max())
    if largest > _LARGEST:
        raise InputError(f"{name}: expected numbers up to {_LARGEST:g}, got {largest:.3g}; rescale it.")
    return array


def inputs(X: Any, name: str = "X", features: int | None = None) -> Float[np.ndarray, "P N0"]:
    """X as (P, N_0)."""
    array = real_array(name, X, (2,), "(examples, features)")
    if features is not None and array.shape[1] != features:
        raise InputError(
            f"{name}: expected {features} features as in training, got {array.shape[1]}; pass the same features."
        )
    return array


def images(X: Any, name: str = "X", shape: tuple[int, ...] | None = None) -> Float[np.ndarray, "P H W C"]:
    """X as (P, H, W, C); (P, H, W) has one channel.

    Args:
        X: the images.
        name: what they are called in the message.
        shape: (H, W, C) as in training.
    """
    array = real_array(name, X, (3, 4), "(examples, height, width) or (examples, height, width, channels)")
    array = array[..., None] if array.ndim == 3 else array
    if shape is not None and array.shape[1:] != shape:
        expected, got = ("x".join(str(size) for size in sizes) for sizes in (shape, array.shape[1:]))
        raise InputError(f"{name}: expected images of {expected} as in training, got {got}; pass the same size.")
    return array


def targets(y: Any, P: int, name: str = "y", outputs: int | None = None) -> Float[np.ndarray, "P *D"]:
    """y as (P,), or (P, D) of D outputs; (P, 1) is taken for (P,).

    Args:
        y: the targets.
        P: how many there must be.
        name: what they are called in the message.
        outputs: for test targets D, as in training, or None for one output; 0 (training) takes any.
    """
    array = real_array(name, y, (1, 2), "(examples,) or (examples, outputs)")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    D = None if array.ndim == 1 else array.shape[1]
    if outputs != 0 and outputs != D:
        raise InputError(
            f"{name}: expected {outputs or 1} per example, as in training, got {D or 1}; pass the same outputs."
        )
    if len(array) != P:
        raise InputError(f"{name}: expected {P} targets, one per row of the inputs, got {len(array)}.")
    return array


def kernel(K: Any, name: str = "K") -> Float[np.ndarray, "P P"]:
    """A precomputed kernel as (P, P), symmetric."""
    array = real_array(name, K, (2,), "(P, P)")
    if array.shape[0] != array.shape[1]:
        raise InputError(f"{name}: expected a square kernel (P, P), got {array.shape}.")
    asymmetry = float(np.abs(array - array.T).max())
    if asymmetry > 1e-8 * max(float(np.abs(array).max()), 1e-300):
        raise InputError(f"{name}: expected a symmetric kernel, got an asymmetry of {asymmetry:.2g}; pass (K + K.T)/2.")
    if float(array.diagonal().min()) < 0.0:
        raise InputError(
            f"{name}: expected variances of at least zero on the diagonal, got {array.diagonal().min():.3g}."
        )
    array = 0.5 * (array + array.T)
    shifted = array.copy()
    shifted.reshape(-1)[:: len(array) + 1] += 1e-7 * max(float(array.diagonal().max()), 1e-300)
    try:
        cholesky(shifted, "K")
    except NumericalError:
        raise InputError(
            f"{name}: expected a positive semi-definite kernel, got a negative eigenvalue; check it, or add a multiple "
            "of the identity."
        ) from None
    return array


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    if getattr(value, "ndim", None) == 0:
        value = np.asarray(value).item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{name}: expected a finite number above zero, got {value!r}.")
    return float(value)


def temperature(value: Any) -> float:
    """T, a number that double precision can work with."""
    T = positive("temperature", value)
    if not 1.0 / _LARGEST <= T <= _LARGEST:
        raise InputError(f"temperature: expected a number from {1 / _LARGEST:g} to {_LARGEST:g}, got {T:g}; rescale y.")
    return T


def warn_if_degenerate(X: Float[np.ndarray, "P ..."], y: Float[np.ndarray, "P *D"]) -> None:
    """Warns of constant targets, constant inputs, and equal inputs with different targets: legal, rarely meant."""
    if len(y) > 1 and not np.any(y[0] != y):
        what = f"every target is {y[0]:g}" if y.ndim == 1 else "every row of targets is the same"
        warnings.warn(f"y: {what}; there is nothing to learn.", DataWarning, stacklevel=3)
    if len(X) > 1 and not np.any(X[0] != X):
        warnings.warn("X: every input is the same; only the targets' mean can be learned.", DataWarning, stacklevel=3)


def estimate_memory(P: int, copies: int, outputs: int = 1) -> None:
    """Refuses a problem that cannot fit.

    Raises:
        InputError: (P D)² float64 numbers, `copies` times, exceed the machine's memory; D `outputs` at once.
    """
    need = 8.0 * (P * outputs) ** 2 * copies
    have = _memory()
    if have is not None and need > 0.9 * have:
        raise InputError(
            f"X: {P} examples{f' of {outputs} outputs' if outputs > 1 else ''} need about {need / 2**30:.1f} GiB for "
            f"{copies} kernel matrices, "
            f"this machine {have / 2**30:.1f} GiB; pass fewer examples."
        )


def _memory() -> float | None:
    """Physical memory in bytes, where the system tells."""
    import os

    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * float(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None
