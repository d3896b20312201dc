"""One hidden layer whose activation has a mean: the effective action of (Q, Q̂).

    K_R = Q (K − M) + M/(1 + Q̂),   M = m mᵀ,
    S = −Q Q̂ + log(1 + Q̂) + (1/N_1) [ log det(T I + K_R) + yᵀ (T I + K_R)⁻¹ y ],   stationary in both
                                                                 [Pacelli et al. 2023, appendix, arXiv 2209.04882]

Domain Q > 0, Q̂ > −1. Written with c = 1/(1 + Q̂) > 0, the factor of M; infinite width is Q = c = 1. At leading order
Q = c, which is the one-parameter theory. The point is a saddle of S, not a minimum: it is found on the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.actions.scalar import ScalarAction
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.saddle import Saddle, stationary_near


@dataclass(frozen=True)
class TwoParameterAction:
    """S(Q, Q̂) on an eigendecomposition of K.

    Args:
        spectrum: of K, with the target.
        mean: m/√λ_1 of the training points, in the eigenvectors' coordinates (P,).
        width: N_1.
        temperature: T.
        scale: K and M are `scale` times those of the spectrum.
    """

    spectrum: EigenSpectrum
    mean: Float[np.ndarray, " P"]
    width: int
    temperature: float
    scale: float = 1.0

    def derivatives(
        self, x: Float[np.ndarray, " n"]
    ) -> tuple[float, Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
        """S, its gradient and its Hessian at x = (log Q, log c).

        With B = T I + Q K, d = c − Q, s = mᵀB⁻¹m, r = mᵀB⁻¹y, the data term is
        F(Q, d) = log det B + log(1 + d s) + yᵀB⁻¹y − d r²/(1 + d s); derivatives by the chain rule.
        """
        Q, c = math.exp(x[0]), math.exp(x[1])
        k = self.scale * self.spectrum.system.k
        m = math.sqrt(self.scale) * self.mean
        y = self.spectrum.target
        B = self.temperature + Q * k
        d = c - Q
        # s, r, w = yᵀB⁻¹y and their first two derivatives in Q
        s, s1, s2 = _powers(m * m, B, k)
        r, r1, r2 = _powers(m * y, B, k)
        w, w1, w2 = _powers(y * y, B, k)
        L, L1, L2 = float(np.log(B).sum()), float((k / B).sum()), -float(((k / B) ** 2).sum())
        g = 1.0 + d * s  # det of the rank-one update
        if g <= 0.0:
            return math.inf, np.full(2, np.inf), np.eye(2)
        # partial derivatives of F(Q, d) at fixed d, then of F(Q, c − Q)
        h = r * r / g
        F = L + math.log(g) + w - d * h
        h_d = -s * h / g
        F_d = s / g - h - d * h_d
        F_dd = -((s / g) ** 2) - 2.0 * h_d - d * (2.0 * s * s * h / g**2)
        g1, g2 = d * s1, d * s2
        h1 = 2.0 * r * r1 / g - r * r * g1 / g**2
        h2 = 2.0 * (r1 * r1 + r * r2) / g - 4.0 * r * r1 * g1 / g**2 - r * r * g2 / g**2 + 2.0 * r * r * g1 * g1 / g**3
        F_q = L1 + g1 / g + w1 - d * h1
        F_qq = L2 + g2 / g - (g1 / g) ** 2 + w2 - d * h2
        h_dq = -s1 * h / g - s * h1 / g + s * h * g1 / g**2
        F_dq = s1 / g - s * g1 / g**2 - h1 - d * h_dq
        N = self.width
        FQ, Fc = (F_q - F_d) / N, F_d / N
        FQQ, FQc, Fcc = (F_qq - 2.0 * F_dq + F_dd) / N, (F_dq - F_dd) / N, F_dd / N
        # S = −Q (1/c − 1) − log c + F/N
        S = -Q * (1.0 / c - 1.0) - x[1] + F / N
        SQ, Sc = -(1.0 / c - 1.0) + FQ, Q / c**2 - 1.0 / c + Fc
        SQQ, SQc, Scc = FQQ, 1.0 / c**2 + FQc, -2.0 * Q / c**3 + 1.0 / c**2 + Fcc
        gradient = np.array([Q * SQ, c * Sc])
        hessian = np.array([[Q * Q * SQQ + Q * SQ, Q * c * SQc], [Q * c * SQc, c * c * Scc + c * Sc]])
        return float(S), gradient, hessian

    @cached_property
    def saddle(self) -> Saddle:
        """The stationary point, started from the one-parameter theory, from infinite width and from between."""
        u = math.log(ScalarAction(self.spectrum, self.width, self.temperature, self.scale).Q)
        starts = [np.array(start) for start in ((u, u), (0.0, 0.0), (0.5 * u, 0.5 * u), (u, 0.0))]
        return stationary_near(self.derivatives, starts)

    @property
    def Q(self) -> float:
        """The factor of the centred kernel."""
        return math.exp(float(self.saddle.best.x[0]))

    @property
    def c(self) -> float:
        """1/(1 + Q̂), the factor of M."""
        return math.exp(float(self.saddle.best.x[1]))


def _powers(
    weights: Float[np.ndarray, " P"], B: Float[np.ndarray, " P"], k: Float[np.ndarray, " P"]
) -> tuple[float, float, float]:
    """Σ weights/B and its first two derivatives in Q, B = T + Q k."""
    first = weights / B
    shrink = k / B
    return float(first.sum()), -float(first @ shrink), 2.0 * float(first @ (shrink * shrink))
