"""√ and arcsin that stay finite, and keep finite derivatives, where rounding or a degenerate input would break them.

Every function takes the namespace (`numpy` or `jax.numpy`) first, so that one formula serves both.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

import numpy as np

Array = Any

# R(z) = (arcsin(√z) − √z) / z^(3/2) on 0 ≤ z ≤ 1/4: the rational approximation of fdlibm's e_asin.c (Sun, 1993).
_NUMERATOR = (
    3.47933107596021167570e-05,
    7.91534994289814532176e-04,
    -4.00555345006794114027e-02,
    2.01212532134862925881e-01,
    -3.25565818622400915405e-01,
    1.66666666666666657415e-01,
)
_DENOMINATOR = (
    7.70381505559019352791e-02,
    -6.88283971605453293030e-01,
    2.02094576023350569471e00,
    -2.40339491173441421878e00,
    1.0,
)


def namespace(*arrays: Array) -> Any:
    """`jax.numpy` when one of the arrays is JAX's (a tracer included), else `numpy`; JAX is never imported for it."""
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(array, jax.Array) for array in arrays):
        return sys.modules["jax.numpy"]
    return np


def sqrt(xp: Any, x: Array) -> Array:
    """√max(x, 0), with derivative 0 (instead of ∞) wherever x ≤ 0."""
    positive = x > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, x, 1.0)), 0.0)


def divide(xp: Any, a: Array, b: Array, otherwise: Array = 0.0) -> Array:
    """a / b where b > 0, and `otherwise` elsewhere: value and derivative."""
    positive = b > 0
    return xp.where(positive, a / xp.where(positive, b, 1.0), otherwise)


def arcsin(xp: Any, x: Array) -> Array:
    """arcsin of x clipped to [−1, 1]; the derivative 1/√(1−x²) is kept finite (≤ 1e8) and survives the clipping."""
    if xp is np:
        return np.arcsin(np.clip(x, -1.0, 1.0))
    return _jax_arcsin()(x)


def _polynomial(coefficients: tuple[float, ...], z: Array) -> Array:
    total = coefficients[0] * z + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * z + coefficient
    return total


@functools.cache
def _jax_arcsin() -> Any:
    """arcsin without branches, which XLA vectorises; its own arcsin (through atan2) is several times slower."""
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def function(x: Array) -> Array:
        magnitude = jnp.minimum(jnp.abs(x), 1.0)
        outer = magnitude > 0.5  # there arcsin x = π/2 − 2 arcsin √((1−x)/2)
        z = jnp.where(outer, 0.5 * (1.0 - magnitude), magnitude * magnitude)
        root = jnp.where(outer, jnp.sqrt(z), magnitude)
        inner = root + root * z * _polynomial(_NUMERATOR, z) / _polynomial(_DENOMINATOR, z)
        return jnp.copysign(jnp.where(outer, 0.5 * math.pi - 2.0 * inner, inner), x)

    @function.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (x,), (dx,) = primals, tangents
        return function(x), dx / jnp.sqrt(jnp.maximum((1.0 - x) * (1.0 + x), 1e-16))

    return function
