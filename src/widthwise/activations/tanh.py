"""The dual kernel of tanh, which has no closed form: a mixture of arcsine kernels, exact at every variance.

tanh is a scale mixture of error functions, because the logistic law is one of normal laws (Andrews, Mallows 1974,
J. R. Stat. Soc. B 36, 99): tanh(h) = E_V[ erf(h/(√2 V)) ] with V Kolmogorov-distributed. Hence

    κ = (2/π) E_{V,V'} arcsin( cxy / √((V² + cxx)(V'² + cyy)) )

with independent V, V'. A Gauss rule in log V makes the expectation a finite sum whose φ is tanh to 2e-11, relative,
at every h: so κ is right to 4e-11 √(κ_xx κ_yy) at every (cxx, cxy, cyy). It runs and differentiates in JAX.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.activations.abstract_dual import Array, Partials, strips
from widthwise.activations.hermite import Hermite, HermiteSide, contract_tile
from widthwise.activations.hermite_partials import series_partials
from widthwise.activations.phi import BUILTIN
from widthwise.numerics import guarded
from widthwise.numerics.quadrature import gauss_of_measure

MIXTURE_SIZE = 16
_HERMITE_BOUND = 1e-10  # up to here the expansion, some ten times faster, does a tile


def kolmogorov_density(v: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Density of the Kolmogorov distribution, P(V ≤ v) = 1 − 2 Σ_{k≥1} (−1)^{k−1} e^{−2k²v²}, and its theta-dual."""
    k = np.arange(1, 9)[:, None]
    a = (2 * k - 1) ** 2 * math.pi**2 / 8
    above = 8 * v * ((-1.0) ** (k - 1) * k**2 * np.exp(-2 * k**2 * v**2)).sum(0)
    below = math.sqrt(2 * math.pi) * (np.exp(-a / v**2) * (2 * a / v**4 - 1 / v**2)).sum(0)
    return np.where(v < 0.9, below, above)


@functools.cache
def mixture(size: int = MIXTURE_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Scales V_j and weights w_j: tanh(h) = Σ_j w_j erf(h/(√2 V_j)) to about 10^{−0.7·size}, relative, for all h."""
    log_v, step = np.linspace(math.log(0.16), math.log(4.6), 801, retstep=True)
    v = np.exp(log_v)
    nodes, weights = gauss_of_measure(log_v, kolmogorov_density(v) * v * step, size)
    return np.exp(nodes), weights


class Tanh(Hermite):
    """κ of tanh: tiles by the Hermite expansion where its bound allows, else by the mixture; m = 0."""

    def __init__(self) -> None:
        super().__init__(BUILTIN["tanh"], even=False, odd=True)

    def prepare(self, c: Any) -> HermiteSide:
        return self.expand(c, limit=math.inf)

    def tile(self, cxy: Float[np.ndarray, "p q"], left: HermiteSide, right: HermiteSide) -> Float[np.ndarray, "p q"]:
        return contract_tile(cxy, left, right, exact=_mixture_numpy, limit=_HERMITE_BOUND)

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        return _mixture_numpy(cxx, cxy, cyy) if xp is np else _mixture_jax(cxx, cxy, cyy)

    def partials_tile(self, cxy: Float[np.ndarray, "p q"], left: HermiteSide, right: HermiteSide) -> Partials:
        if max(left.bound.max(initial=0.0), right.bound.max(initial=0.0)) <= _HERMITE_BOUND:
            return series_partials(cxy, left, right)
        return self.slope_formula(left.c[:, None], cxy, right.c[None, :])

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """Term by term of the mixture: ∂cxy = (2/π) w/√Δ, ∂cxx = −½ cxy ∂cxy/(V²+cxx), Δ = (V²+cxx)(V'²+cyy) − cxy²."""
        cxx, cxy, cyy = np.broadcast_arrays(cxx, cxy, cyy)
        out = np.zeros((3, *cxy.shape))
        spare = np.maximum(cxx * cyy - cxy * cxy, 0.0)
        for (V1, w1), (V2, w2) in itertools.product(zip(*mixture()), repeat=2):
            A, B = V1 * V1, V2 * V2
            xy = (2 / math.pi) * w1 * w2 / np.sqrt(spare + A * B + A * cyy + B * cxx)
            out[0] -= xy / (A + cxx)
            out[1] += xy
            out[2] -= xy / (B + cyy)
        out[0] *= 0.5 * cxy
        out[2] *= 0.5 * cxy
        return out[0], out[1], out[2]


def _term(xp: Any, V1: Array, V2: Array, weight: Array, cxx: Array, cxy: Array, cyy: Array) -> Array:
    """(2/π) weight arcsin( cxy / √((V1² + cxx)(V2² + cyy)) )."""
    cosine = cxy * (1 / xp.sqrt(V1 * V1 + cxx)) * (1 / xp.sqrt(V2 * V2 + cyy))
    return (2 / math.pi) * weight * guarded.arcsin(xp, cosine)


def _mixture_numpy(cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> np.ndarray:
    """The double sum, strip by strip so that each stays in cache: about 3 ns per element and pair of scales."""
    V, w = mixture()
    shape = np.broadcast_shapes(cxx.shape, cxy.shape, cyy.shape)
    rows_of = [np.atleast_2d(c) for c in (cxx, cxy, cyy)]
    total: np.ndarray = np.zeros(np.broadcast_shapes(*(c.shape for c in rows_of)))
    for rows in strips(total.shape[0]):
        strip = [c[rows] if c.shape[0] == total.shape[0] else c for c in rows_of]
        for (V1, w1), (V2, w2) in itertools.product(zip(V, w), repeat=2):
            total[rows] += _term(np, V1, V2, w1 * w2, *strip)
    return total.reshape(shape)


def _mixture_jax(cxx: Array, cxy: Array, cyy: Array) -> Array:
    """The double sum as one compiled loop, holding one term at a time."""
    import jax
    import jax.numpy as jnp

    V, w = (jnp.asarray(a) for a in mixture())

    def add(i: Any, total: Array) -> Array:
        j, k = i // V.size, i % V.size
        return total + _term(jnp, V[j], V[k], w[j] * w[k], cxx, cxy, cyy)

    shape = jnp.broadcast_shapes(cxx.shape, cxy.shape, cyy.shape)
    return jax.lax.fori_loop(0, V.size**2, add, jnp.zeros(shape, cxy.dtype))
