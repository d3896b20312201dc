"""What finite width adds at leading order: one scale of the posterior's variance, beside Student's t process.

At T → 0 the posterior is c (k** − k*ᵀK⁻¹k*) with the mean of infinite width; α = P/N_1, s = yᵀK⁻¹y/P:

    network     c = Q* = [(1 − α) + √((1 − α)² + 4αs)]/2, and ⟨Q⟩ of a generalised inverse Gaussian at finite N_1
    t process   c = (ν + Ps)/(ν + P) of its shape matrix, (ν − 2 + Ps)/(ν − 2 + P) of its covariance;  here ν = N_1
                      [Pacelli et al. 2023, arXiv 2209.04882; Shah, Wilson, Ghahramani 2014, arXiv 1402.4306, Lemma 3]

All are 1 at s = 1 (⟨Q⟩ up to 1/N_1), below 1 for s < 1, and → 1 as α → 0. The t process' (1 + αs)/(1 + α) is one step
of Newton's method for Q² − (1 − α)Q = αs from Q = 1: never below Q*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import zero_temperature_order_parameter
from widthwise.errors import InputError
from widthwise.posterior import checks


@dataclass(frozen=True)
class ScaleFactors:
    """Posterior variance over infinite width's at T → 0, in the common shape of α and s.

    Args:
        alpha: α = P/N_1.
        s: yᵀK⁻¹y/P.
        saddle: Q* of the network.
        integrated: ⟨Q⟩ of the network of that width; Q* where none was given.
        t_shape: (ν + Ps)/(ν + P), posterior over prior *shape* of the t process with ν = N_1; the same at any width.
        t_covariance: (ν − 2 + Ps)/(ν − 2 + P), where K is its prior covariance; NaN for N_1 ≤ 2, `t_shape` without.
    """

    alpha: Float[np.ndarray, "..."]
    s: Float[np.ndarray, "..."]
    saddle: Float[np.ndarray, "..."]
    integrated: Float[np.ndarray, "..."]
    t_shape: Float[np.ndarray, "..."]
    t_covariance: Float[np.ndarray, "..."]


def scale_factors(alpha: Any, s: Any, *, width: float | None = None) -> ScaleFactors:
    """The four factors at loads α and norms s.

    Args:
        alpha: P/N_1, more than zero; any shape.
        s: yᵀK⁻¹y/P, zero or more; any shape that fits.
        width: N_1; P = αN_1 need not be whole. None: N_1 → ∞ at these α.

    Raises:
        InputError: a load or width that is not positive, a negative s, shapes that do not fit.
    """
    try:
        alpha, s = (np.array(a) for a in np.broadcast_arrays(np.asarray(alpha, float), np.asarray(s, float)))
    except (TypeError, ValueError) as fault:
        raise InputError(f"alpha, s: expected numbers, or arrays of shapes that fit, got {fault}.") from None
    if not (np.isfinite(alpha).all() and (alpha > 0).all()):
        raise InputError(f"alpha: expected finite loads P/N_1 above zero, got {np.min(alpha):g}; leave α = 0 out.")
    if not (np.isfinite(s).all() and (s >= 0).all()):
        raise InputError(f"s: expected finite numbers yᵀK⁻¹y/P of zero or more, got {np.min(s):g}.")
    saddle = saddle_factor(alpha, s)
    if width is None:
        t = np.asarray((1.0 + alpha * s) / (1.0 + alpha))
        return ScaleFactors(alpha, s, saddle, saddle, t, t)
    N = checks.positive("width", width)
    integrated = np.vectorize(lambda a, s: integrated_factor(N, a * N, s), otypes=[float])(alpha, s)
    t = np.asarray(t_factor(N, alpha * N, s))
    t_covariance = np.asarray(t_factor(N - 2.0, alpha * N, s)) if N > 2.0 else np.full_like(t, np.nan)
    return ScaleFactors(alpha, s, saddle, integrated, t, t_covariance)


def saddle_factor(alpha: Any, s: Any) -> Any:
    """Q* of the network at T → 0, the positive root of Q² − (1 − α)Q = αs; of numbers or arrays."""
    return np.vectorize(zero_temperature_order_parameter, otypes=[float])(alpha, s)


def integrated_factor(N: float, P: float, s: float) -> float:
    """⟨Q⟩ at T → 0: Q|D is generalised inverse Gaussian with p = (N_1 − P)/2, ψ = N_1, χ = Ps; P above zero."""
    p, psi, chi = 0.5 * (N - P), float(N), P * s
    if chi == 0.0:
        return max(2.0 * p / psi, 0.0)  # a gamma variable, or all of Q at zero
    # in u = log Q the density is log-concave, and the trapezoidal rule exact to rounding; Bessel functions overflow
    root = np.hypot(p, np.sqrt(psi * chi))
    peak = np.log((p + root) / psi) if p >= 0 else np.log(chi / (root - p))
    width = (0.5 * (psi * np.exp(peak) + chi * np.exp(-peak))) ** -0.5
    u = np.linspace(-14.0, 14.0, 801) * max(width, 1e-9)
    logs = p * u - 0.5 * (psi * np.exp(peak) * np.expm1(u) + chi * np.exp(-peak) * np.expm1(-u))
    weights = np.exp(logs - logs.max())
    return float(np.exp(peak) * (weights @ np.exp(u)) / weights.sum())


def t_factor(nu: Any, P: Any, s: Any) -> Any:
    """(ν + Ps)/(ν + P): of a t process' shape; with ν − 2 for ν of its covariance."""
    return (nu + P * s) / (nu + P)
