"""Dual kernels in closed form, and `dual_of`: from an activation to its dual."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.activations.abstract_dual import AbstractDual, Array, Partials, checked_variances, strips
from widthwise.activations.phi import BUILTIN, Activation
from widthwise.numerics import guarded

__all__ = ["AbstractDual", "dual_of"]


@dataclass(frozen=True)
class Erf(AbstractDual):
    """κ = (2/π) arcsin( 2cxy / √((1+2cxx)(1+2cyy)) ),  m = 0.     [Williams 1997, NeurIPS 9, Eq. (11)]"""

    has_mean = False

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        return (2 / math.pi) * guarded.arcsin(xp, 2 * cxy / (xp.sqrt(1 + 2 * cxx) * xp.sqrt(1 + 2 * cyy)))

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """∂cxy = (4/π)/√Δ, ∂cxx = −(4/π) cxy/((1+2cxx) √Δ),  Δ = (1+2cxx)(1+2cyy) − 4cxy² ≥ 1 + 2cxx + 2cyy."""
        A, B = 1 + 2 * cxx, 1 + 2 * cyy
        Delta = 4 * np.maximum(cxx * cyy - cxy * cxy, 0.0) + (A + 2 * cyy)  # rounding at u = ±1
        xy = (4 / math.pi) / np.sqrt(Delta)
        along = -xy * cxy
        return along / A, xy, along / B

    def prepare(self, c: Any) -> Float[np.ndarray, "P"]:
        return np.sqrt(2 / (1 + 2 * checked_variances(c)))

    def tile(
        self, cxy: Float[np.ndarray, "p q"], left: Float[np.ndarray, "p"], right: Float[np.ndarray, "q"]
    ) -> Float[np.ndarray, "p q"]:
        cxy *= left[:, None]
        cxy *= right
        if min(left.min(initial=1.0), right.min(initial=1.0)) < 1e-6:  # c > 1e12: only there can rounding pass 1
            np.clip(cxy, -1.0, 1.0, out=cxy)
        np.arcsin(cxy, out=cxy)
        cxy *= 2 / math.pi
        return cxy


@dataclass(frozen=True)
class Identity(AbstractDual):
    """κ = cxy,  m = 0."""

    has_mean = False

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        return cxy + 0.0 * (cxx + cyy)

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        shape = np.broadcast_shapes(cxx.shape, cxy.shape, cyy.shape)
        return np.zeros(shape), np.ones(shape), np.zeros(shape)

    def tile(self, cxy: Float[np.ndarray, "p q"], left: Any, right: Any) -> Float[np.ndarray, "p q"]:
        return cxy


@dataclass(frozen=True)
class Quadratic(AbstractDual):
    """φ = h²:  κ = cxx cyy + 2 cxy²,  m = c.     [Isserlis 1918]"""

    has_mean = True

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        return cxx * cyy + 2 * cxy * cxy

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        zero = np.zeros(np.broadcast_shapes(cxx.shape, cxy.shape, cyy.shape))
        return cyy + zero, 4 * cxy + zero, cxx + zero

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        return checked_variances(c).copy()


@dataclass(frozen=True)
class Sine(AbstractDual):
    """κ = e^{−(cxx+cyy)/2} sinh cxy,  m = 0.     [Gaussian characteristic function]"""

    has_mean = False

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        v = 0.5 * (cxx + cyy)
        small = xp.exp(-v) * xp.sinh(xp.clip(cxy, -1.0, 1.0))  # keeps the digits of a small cxy
        large = 0.5 * (xp.exp(cxy - v) - xp.exp(-cxy - v))  # never overflows, as |cxy| ≤ v
        return xp.where(xp.abs(cxy) < 1.0, small, large)

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        half = -0.5 * self.formula(np, cxx, cxy, cyy)
        return half, Cosine().formula(np, cxx, cxy, cyy), half


@dataclass(frozen=True)
class Cosine(AbstractDual):
    """κ = e^{−(cxx+cyy)/2} cosh cxy,  m = e^{−c/2}.     [Gaussian characteristic function]"""

    has_mean = True

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        v = 0.5 * (cxx + cyy)
        return 0.5 * (xp.exp(cxy - v) + xp.exp(-cxy - v))

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        half = -0.5 * self.formula(np, cxx, cxy, cyy)
        return half, Sine().formula(np, cxx, cxy, cyy), half

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        return np.exp(-0.5 * checked_variances(c))


@dataclass(frozen=True)
class Gelu(AbstractDual):
    """φ = hΦ(h), Φ the normal distribution function. With r = cxy/√((1+cxx)(1+cyy)), Δ = (1+cxx)(1+cyy) − cxy²:

        κ = cxy (1/4 + arcsin(r)/2π) + (cxx cyy Δ + cxy²) / (2π (1+cxx)(1+cyy) √Δ),   m = c / √(2π(1+c))

    By Stein's lemma, twice.     [the kernel of Tsuchida et al. 2021, AAAI, arXiv 2002.08517, in another form]
    """

    has_mean = True

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        AB = (1 + cxx) * (1 + cyy)
        Delta = 1 + cxx + cyy + (cxx * cyy - cxy * cxy)
        Delta = xp.where(Delta >= 1, Delta, 1 + cxx + cyy)  # rounding at variances above 1e15
        angle = guarded.arcsin(xp, cxy / xp.sqrt(AB))
        return cxy * (0.25 + angle / (2 * math.pi)) + (cxx * cyy * Delta + cxy * cxy) / (
            2 * math.pi * AB * xp.sqrt(Delta)
        )

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """By the chain rule, with G = (cxx cyy √Δ + cxy²/√Δ)/(2π (1+cxx)(1+cyy)) the second term of κ."""
        a, b = 1 + cxx, 1 + cyy
        AB, square = a * b, cxy * cxy
        Delta = np.maximum(cxx * cyy - square, 0.0) + (a + cyy)
        root = np.sqrt(Delta)
        norm = 2 * math.pi * AB
        G = (cxx * cyy * root + square / root) / norm
        angle = np.arcsin(np.clip(cxy / np.sqrt(AB), -1.0, 1.0))
        xy = 0.25 + angle / (2 * math.pi) + cxy / (2 * math.pi * root)
        xy = xy + cxy * (2 - cxx * cyy + square / Delta) / (root * norm)
        shared = (cxx * cyy - square / Delta) / (2 * root)
        bend = square / (4 * math.pi * root)
        return (cyy * root + b * shared) / norm - (G + bend) / a, xy, (cxx * root + a * shared) / norm - (G + bend) / b

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        c = checked_variances(c)
        return c / np.sqrt(2 * math.pi * (1 + c))


@dataclass(frozen=True)
class Rectified(AbstractDual):
    """φ = p h + q |h|, p = (1+slope)/2, q = (1−slope)/2: leaky relu, and with slope 0 relu, −1 the absolute value.

        κ = p² cxy + q² (2/π) √(cxx cyy) [ √(1−u²) + u arcsin u ],   u = cxy/√(cxx cyy),   m = q √(2c/π)
                                                                       [Cho, Saul 2009, NeurIPS 22, Eq. (6), n = 1]
    At cxx = 0 ≠ cyy the one-sided ∂κ/∂cxx is infinite; 0 is returned for it.
    """

    slope: float

    @property
    def has_mean(self) -> bool:
        return self.slope != 1.0

    @property
    def _p(self) -> float:
        return 0.5 * (1 + self.slope)

    @property
    def _q(self) -> float:
        return 0.5 * (1 - self.slope)

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        absolute = _absolute_moment if xp is np else _jax_absolute_moment()
        return self._p**2 * cxy + self._q**2 * absolute(cxx, cxy, cyy)

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """∂cxy = p² + q² (2/π) arcsin u,   ∂cxx = (q²/π) √(cyy/cxx) √(1−u²)."""
        sx, sy, u = _cosine(np, cxx, cxy, cyy)
        tilt = (self._q**2 / math.pi) * np.sqrt((1 - u) * (1 + u))
        xy = self._p**2 + (2 / math.pi) * self._q**2 * np.arcsin(u)
        return guarded.divide(np, sy, sx) * tilt, xy, guarded.divide(np, sx, sy) * tilt

    def diagonal_slope(self, c: Any) -> Float[np.ndarray, "P"]:
        return np.full_like(checked_variances(c), self._p**2 + self._q**2)

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        return self._q * np.sqrt(2 / math.pi * checked_variances(c))

    def prepare(self, c: Any) -> Float[np.ndarray, "P"]:
        return np.sqrt(checked_variances(c))

    def tile(
        self, cxy: Float[np.ndarray, "p q"], left: Float[np.ndarray, "p"], right: Float[np.ndarray, "q"]
    ) -> Float[np.ndarray, "p q"]:
        p2, q2 = self._p**2, self._q**2 * 2 / math.pi
        left_inverse, right_inverse = guarded.divide(np, 1.0, left), guarded.divide(np, 1.0, right)
        for rows in strips(cxy.shape[0]):
            u = cxy[rows]
            u *= left_inverse[rows, None]
            u *= right_inverse
            np.clip(u, -1.0, 1.0, out=u)
            root = 1.0 - u
            root *= 1.0 + u  # not 1 − u²: its rounding would show at u ≈ 1
            np.sqrt(root, out=root)
            root *= q2
            angle = np.arcsin(u)
            angle *= q2
            angle += p2
            u *= angle
            u += root
            u *= left[rows, None]
            u *= right
        return cxy


def _cosine(xp: Any, cxx: Array, cxy: Array, cyy: Array) -> tuple[Array, Array, Array]:
    """√cxx, √cyy and u = cxy/√(cxx cyy) in [−1, 1]: 1 between two zero rows (duplicates), 0 beside one."""
    sx, sy = guarded.sqrt(xp, cxx), guarded.sqrt(xp, cyy)
    both_zero = (sx + sy) == 0
    u = guarded.divide(xp, guarded.divide(xp, cxy, sx), sy, xp.where(both_zero, 1.0, 0.0))
    return sx, sy, xp.clip(u, -1.0, 1.0)


def _absolute_moment(cxx: Array, cxy: Array, cyy: Array, xp: Any = np) -> Array:
    """E|h h'| = (2/π) √(cxx cyy) [ √(1−u²) + u arcsin u ]."""
    sx, sy, u = _cosine(xp, cxx, cxy, cyy)
    return (2 / math.pi) * sx * sy * (guarded.sqrt(xp, (1 - u) * (1 + u)) + u * guarded.arcsin(xp, u))


@functools.cache
def _jax_absolute_moment() -> Any:
    """The same with its derivatives by hand: through u, autodiff would divide 0 by 0 on zero and collinear rows.

    ∂cxy = (2/π) arcsin u,   ∂cxx = (1/π) √(cyy/cxx) √(1−u²),   ∂cyy likewise
    """
    import jax
    import jax.numpy as jnp

    function = jax.custom_jvp(functools.partial(_absolute_moment, xp=jnp))

    @function.defjvp
    def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
        cxx, cxy, cyy = primals
        dxx, dxy, dyy = tangents
        sx, sy, u = _cosine(jnp, cxx, cxy, cyy)
        along = guarded.divide(jnp, sy, sx) * dxx + guarded.divide(jnp, sx, sy) * dyy
        tangent = 2 * guarded.arcsin(jnp, u) * dxy + guarded.sqrt(jnp, (1 - u) * (1 + u)) * along
        return function(cxx, cxy, cyy), tangent / math.pi

    return function


_CLOSED: dict[str, AbstractDual] = {
    "erf": Erf(),
    "identity": Identity(),
    "relu": Rectified(0.0),
    "quadratic": Quadratic(),
    "sin": Sine(),
    "cos": Cosine(),
    "gelu": Gelu(),
}


def dual_of(activation: Activation) -> AbstractDual:
    """The dual kernel of an activation: in closed form where there is one, else by its Hermite expansion.

    Args:
        activation: from `resolve`.

    Raises:
        InputError: a callable that fails on arrays, or returns another shape, or non-finite numbers.
    """
    if activation.builtin and activation.slope is not None:
        return Rectified(activation.slope)
    # compared with the table's own entry, so that a name alone never stands in for another function
    if activation == BUILTIN.get(activation.name):
        if activation.name in _CLOSED:
            return _CLOSED[activation.name]
        if activation.name == "tanh":
            from widthwise.activations.tanh import Tanh

            return Tanh()
    from widthwise.activations.hermite import hermite_dual

    return hermite_dual(activation)
