"""A callable that somebody handed in, evaluated with suspicion: float64 in, float64 out, or one clear error."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.activations.phi import Activation
from widthwise.errors import InputError


def _double_precision() -> Any:
    """JAX in 64 bits for the length of a `with`, if JAX is loaded at all: φ may be written in jax.numpy."""
    jax = sys.modules.get("jax")
    return contextlib.nullcontext() if jax is None else jax.enable_x64(True)


def evaluate(activation: Activation, h: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """φ(h) in float64, whatever library φ is written in and whatever precision JAX is set to.

    Raises:
        InputError: φ fails on an array, returns another shape, something that is not real numbers, or NaN or ±inf.
    """
    name = activation.name
    try:
        with _double_precision(), np.errstate(all="ignore"):
            value = np.asarray(activation(h.copy()))
    except Exception as error:
        raise InputError(
            f"activation {name}: expected a function of one array, got {type(error).__name__} on an array of shape "
            f"{h.shape} ({error}); write it elementwise, np.where(h > 0, …) rather than `if`, np.tanh not math.tanh."
        ) from error
    if value.shape != h.shape:
        raise InputError(
            f"activation {name}: expected output of the input's shape {h.shape}, got {value.shape}; "
            "it must be elementwise."
        )
    if value.dtype.kind not in "fiub":
        raise InputError(f"activation {name}: expected real numbers, got {value.dtype}; return a float array.")
    value = value.astype(np.float64)
    if not np.isfinite(value).all():
        where = h[~np.isfinite(value)]
        at = where[np.argmin(np.abs(where))]
        raise InputError(
            f"activation {name}: expected finite values, got one that is not at h = {at:.6g}; "
            "write φ so that it does not overflow (np.logaddexp(0, h) for softplus), or scale the inputs down."
        )
    return value


def parities(activation: Activation) -> tuple[bool, bool]:
    """Whether φ has an even and an odd part, decided on a grid; checks on the way that φ is elementwise.

    m(c) vanishes for every c exactly when the even part does (uniqueness of the Laplace transform).

    Raises:
        InputError: as `evaluate`, or φ(h)_i depends on more than h_i.
    """
    grid = np.sort(np.concatenate([np.geomspace(1e-3, 20, 120), np.linspace(0.05, 6, 120)]))
    h = np.concatenate([-grid[::-1], [0.0], grid])
    value = evaluate(activation, h)
    scale = max(np.abs(value).max(), np.finfo(float).tiny)
    if np.abs(evaluate(activation, h[::3]) - value[::3]).max() > 1e-6 * scale:
        raise InputError(
            f"activation {activation.name}: expected an elementwise function, got other values for the same h in "
            "another array; φ(h)[i] may depend on h[i] only, and not on chance."
        )
    even = np.abs(value + value[::-1]).max() > 1e-12 * scale
    odd = np.abs(value - value[::-1]).max() > 1e-12 * scale
    return bool(even), bool(odd)
