"""The laws of f at one point, in units of its standard deviation: how far the tails reach, and the kurtosis.

mixture    √Q z, Q ~ χ²_N/N (variance-gamma)     kurtosis 6/N
student-t  t_ν, ν = N                            kurtosis 6/(ν − 4)
network    ⟨erfc⟩ over the hidden weights        kurtosis 3 (E[φ⁴]/E[φ²]² − 1)/N
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats
from scipy.integrate import quad

from widthwise.activations.callables import evaluate
from widthwise.activations.phi import resolve
from widthwise.errors import InputError, unknown_name
from widthwise.posterior import checks
from widthwise.prior.unit import normal_rule

ONE_POINT = ("mixture", "student-t", "gaussian")


def tail(N: float, thresholds: Any, law: str = "mixture") -> Float[np.ndarray, " n"]:
    """P(|f| > tσ) at one point, σ² the law's own variance.

    Args:
        N: N_1, or ν; above 2 for "student-t".
        thresholds: t, one or several, zero or more.
        law: "mixture", "student-t" or "gaussian".

    Raises:
        InputError: an unknown law, a t law without variance, or a number out of range.
    """
    N, t = checks.positive("N", N), checks.real_array("thresholds", np.atleast_1d(thresholds), (1,), "(n,)")
    if (t < 0.0).any():
        raise InputError(f"thresholds: expected numbers of zero or more, got {t.min():g}; tails are two-sided.")
    if law == "gaussian":
        return special.erfc(t / math.sqrt(2.0))
    if law == "student-t":
        if not N > 2:
            raise InputError(f"tail: expected more than 2 degrees of freedom, got {N:g}; the t law has no variance.")
        return 2.0 * stats.t.sf(t * math.sqrt(N / (N - 2.0)), N)
    if law != "mixture":
        raise unknown_name("law", law, ONE_POINT)
    chi2 = stats.chi2(N)
    low, high = chi2.ppf(1e-14), chi2.isf(1e-14)
    middle = [chi2.ppf(0.5), chi2.isf(1e-4)]

    def one(t: float) -> float:
        def integrand(v: float) -> float:
            return chi2.pdf(v) * special.erfc(t / np.sqrt(2.0 * v / N))

        return quad(integrand, low, high, points=middle, limit=200)[0]

    return np.array([one(float(each)) for each in t])


def kurtosis(activation: Any, N: float, scale: float = 1.0) -> float:
    """Excess kurtosis of f at one input of the network with one hidden layer, 3 (E[φ⁴]/E[φ²]² − 1)/N_1.

    6/N_1, the mixture's, for the identity.

    Args:
        activation: a name or a callable.
        N: width.
        scale: variance of a pre-activation.

    Raises:
        InputError: an unknown activation, or a number that is not above zero.
    """
    N, scale = checks.positive("N", N), checks.positive("scale", scale)
    z, w = normal_rule(128)
    phi = evaluate(resolve(activation), math.sqrt(scale) * z)
    return 3.0 * (float(w @ phi**4) / float(w @ phi**2) ** 2 - 1.0) / N


def conditional_variances(
    activation: Any, N: int, draws: int, rng: np.random.Generator, scale: float = 1.0
) -> Float[np.ndarray, " draws"]:
    """Var(f | W)·λ_1 = Σ_i φ(h_i)²/N_1 at one input, for draws of the hidden weights.

    Args:
        activation: a name or a callable.
        N: width.
        draws: how many.
        rng: of the draws.
        scale: variance of a pre-activation.
    """
    phi, q = resolve(activation), np.empty(draws)
    rows = max(1, 2_000_000 // N)
    for start in range(0, draws, rows):
        block = q[start : start + rows]
        h = rng.standard_normal((len(block), N)) * np.sqrt(scale)
        block[:] = np.mean(evaluate(phi, h.ravel()).reshape(h.shape) ** 2, axis=1)
    return q
