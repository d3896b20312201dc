"""E exp(−tQ/2) of a product of χ² variables, or of an inverse one, by its Mellin transform."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import digamma, gammaln, loggamma, polygamma

_NATS = 40.0  # where an integrand this far below its peak is cut


def laplace(t: float, degrees: tuple[float, ...], sign: int = 1) -> float:
    """E exp(−tQ/2) for Q = Π_ℓ χ²_{ν_ℓ}/ν_ℓ, or (`sign` −1) the inverse of that product.

        (1/2πi) ∫ Γ(z) (t/2)^{−z} E[Q^{−z}] dz,   E[Q^{−z}] = Π Γ(ν_ℓ/2 ∓ z)/Γ(ν_ℓ/2) (ν_ℓ/2)^{±z}    [DLMF 2.5(i), 5.9]

    between the poles at 0 and (for sign 1) min ν_ℓ/2. On the line through the saddle nothing cancels, and the
    trapezoidal rule converges geometrically. Relative error about 1e-14, and 1e-16 ν for many degrees of freedom.

    Args:
        t: zero or more.
        degrees: ν_ℓ, more than zero.
        sign: 1 or −1.
    """
    if t < 1e-30:
        return 1.0
    a, log_half = 0.5 * np.array(degrees, dtype=float), math.log(0.5 * t)
    logs = np.log(a)
    pole = float(a.min()) if sign > 0 else math.inf

    def slope(c: float) -> float:
        return float(digamma(c) - log_half - sign * (digamma(a - sign * c) - logs).sum())

    def exponent(omega: Float[np.ndarray, " n"]) -> np.ndarray:
        z = c + 1j * omega
        moments = loggamma(a[:, None] - sign * z) - gammaln(a)[:, None] + sign * z * logs[:, None]
        return loggamma(z) - z * log_half + moments.sum(axis=0)

    high = pole * (1.0 - 1e-12) if sign > 0 else 1.0
    while sign < 0 and slope(high) < 0.0:
        high *= 2.0
    c = float(brentq(slope, 1e-12, high, xtol=1e-15, rtol=1e-13)) if slope(high) > 0.0 else high
    curvature = float(polygamma(1, c) + polygamma(1, a - sign * c).sum())
    margin = min(0.75 * c, 0.75 * (pole - c), 6.0 / math.sqrt(curvature))
    step = 2.0 * math.pi * margin / (_NATS + 20.0)
    peak, reach = float(exponent(np.zeros(1)).real[0]), 8.0 * step
    while float(exponent(np.array([reach])).real[0]) > peak - _NATS:
        reach *= 1.5
    omega = step * np.arange(1, math.ceil(reach / step) + 1)
    rest = float(np.exp(exponent(omega) - peak).real.sum())
    return math.exp(peak) * (1.0 + 2.0 * rest) * step / (2.0 * math.pi)
