"""The prior over the order parameters of a deep network, seen through their product.

Each hidden layer has Q_ℓ ~ χ²_{N_ℓ}/N_ℓ, independent, and under the `global` closure the output's kernel depends on
them only through q = Π_ℓ Q_ℓ:

    f | q ~ GP(0, q K),   S({Q_ℓ}) = Σ_ℓ (N_ℓ/N_L)(Q_ℓ − log Q_ℓ) + (data term of q)/N_L
                                                                    [Baglioni et al. 2026, arXiv 2605.29684]

So any depth is a problem of one variable u = log q: at the saddle the layers share N_ℓ(Q_ℓ − 1) = c, and the
integrated theory needs only the density of u, a sum of independent log χ² variables. Exact for the identity activation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import gammaln, loggamma, polygamma

from widthwise.saddle.scalar import Jet

_NATS = 40.0  # where an integrand this far below its peak is cut


@dataclass(frozen=True)
class ChainPrior:
    """The prior of Q_1 … Q_L, as a function of u = log Π Q_ℓ.

    Args:
        widths: N_1 … N_L.
    """

    widths: tuple[int, ...]

    @cached_property
    def _N(self) -> Float[np.ndarray, " L"]:
        return np.array(self.widths, dtype=float)

    def layers(self, u: float) -> Float[np.ndarray, " L"]:
        """Q_ℓ at the saddle whose product is e^u: N_ℓ(Q_ℓ − 1) the same in every layer (L,)."""
        N, L = self._N, len(self.widths)
        if L == 1 or len(set(self.widths)) == 1:
            return np.full(L, math.exp(u / L))
        # Q_ℓ = 1 − r + r e^w with w = log Q of the narrowest layer and r = N_min/N_ℓ
        r = N.min() / N
        with np.errstate(divide="ignore"):
            log_r, log_rest = np.log(r), np.log1p(-r)

        def logs(w: float) -> Float[np.ndarray, " L"]:
            return np.asarray(np.logaddexp(log_rest, log_r + w))

        # the narrowest layer moves most: between an equal share of u and all of it
        low, high = sorted((u / L, u))
        pad = 1e-9 * max(1.0, abs(u))
        w = brentq(lambda w: float(logs(w).sum()) - u, low - pad, high + pad, xtol=1e-15, rtol=1e-14)
        return np.exp(logs(w))

    def jet(self, u: float) -> Jet:
        """min Σ (N_ℓ/N_L)(Q_ℓ − log Q_ℓ) over the layers at fixed product, with its derivatives in u."""
        if len(self.widths) == 1:
            only = math.exp(u)
            return Jet(only - u, only - 1.0, only)
        N, Q = self._N, self.layers(u)
        last = float(N[-1])
        c = float(N[0] * (Q[0] - 1.0))
        return Jet(float((N * (Q - np.log(Q))).sum()) / last, c / last, 1.0 / float((last / (N * Q)).sum()))

    def log_hessian(self, u: float, data_curvature: float) -> float:
        """log det of the Hessian of S in (log Q_1 … log Q_L), the data term's second derivative in u given."""
        stiffness = self._N / self._N[-1] * self.layers(u)
        return float(np.log(stiffness).sum() + math.log1p(data_curvature * float((1.0 / stiffness).sum())))

    def laplace_constant(self) -> float:
        """log of the constants in p(log Q_ℓ) = c_ℓ exp(−N_ℓ(Q_ℓ − log Q_ℓ)/2), summed over the layers."""
        half = 0.5 * self._N
        return float((half * np.log(half) - gammaln(half)).sum())

    def log_density(self, u: float) -> float:
        """log p(u), exact."""
        if len(self.widths) == 1:
            return self.laplace_constant() - 0.5 * self.widths[0] * (math.exp(u) - u)
        return self._inverse(u)[0]

    def layer_means(self, u: float) -> Float[np.ndarray, " L"]:
        """E[Q_ℓ | u], exact (L,)."""
        return np.array([math.exp(u)]) if len(self.widths) == 1 else self._inverse(u)[1]

    def products_below(self, u: float) -> Float[np.ndarray, " L"]:
        """E[Q_1 ⋯ Q_{ℓ−1} | u], exact (L,): one for the first layer."""
        return np.ones(1) if len(self.widths) == 1 else self._inverse(u)[2]

    def _inverse(self, u: float) -> tuple[float, Float[np.ndarray, " L"], Float[np.ndarray, " L"]]:
        """log p(u), E[Q_ℓ | u] and E[Q_1 ⋯ Q_{ℓ−1} | u], from M(s) = E[e^{su}] = Π (2/N_ℓ)^s Γ(N_ℓ/2 + s)/Γ(N_ℓ/2).

            p(u) = (1/2π) ∫ M(θ + iω) e^{−(θ + iω)u} dω,   with (2/N_ℓ)(N_ℓ/2 + s) in the integrand for each Q_ℓ

        θ is the tilt at which the tilted law sits on u, so that nothing cancels; the trapezoidal rule converges
        geometrically.
        """
        N, half = self._N, 0.5 * self._N
        c = float(N[0] * (self.layers(u)[0] - 1.0))
        theta = max(0.5 * c, 0.25 - float(half.min()))
        shape = half + theta
        spread = math.sqrt(float(polygamma(1, shape).sum()))
        period = 2.0 * _NATS / float(shape.min()) + 24.0 * spread
        step = 2.0 * math.pi / period
        reach = step
        while float((loggamma(shape + 1j * reach).real - gammaln(shape)).sum()) > -_NATS:
            reach *= 1.5
        omega = step * np.arange(-math.ceil(reach / step), math.ceil(reach / step) + 1)
        s = theta + 1j * omega
        log_M = (loggamma(half[:, None] + s) - gammaln(half)[:, None] - np.log(half)[:, None] * s).sum(axis=0)
        exponent = log_M - s * u
        peak = float(exponent.real.max())
        weights = np.exp(exponent - peak)
        total = float(weights.sum().real)
        each = 1.0 + s / half[:, None]
        below = np.cumprod(np.vstack([np.ones_like(s), each[:-1]]), axis=0)
        means, products = ((factor @ weights).real / total for factor in (each, below))
        return peak + math.log(total * step / (2.0 * math.pi)), means, products
