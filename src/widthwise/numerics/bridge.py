"""The normaliser of a density that has been sampled, by bridge sampling from a Gaussian fitted to half of the draws."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from widthwise.numerics.hamiltonian import Function, monte_carlo

_ROUNDS = 1000
_BLOCK = 64  # points evaluated at a time
_RIDGE = 1e-10


class Normaliser(NamedTuple):
    """log ∫ exp(f(q)) N(q; 0, I) dq and its standard error."""

    log: float
    standard_error: float


def bridge(
    function: Function, positions: Float[np.ndarray, "C S d"], values: Float[np.ndarray, "C S"], *, seed: int
) -> Normaliser:
    """log ∫ exp(f(q)) N(q; 0, I) dq from draws of its integrand.

        Z = E_g[p/(s₁p + s₂Z g)] / E_p[g/(s₁p + s₂Z g)],   g Gaussian    [Meng & Wong 1996, Stat. Sinica 6, 831]

    The first half of every chain fits g, the second serves the formula; its error is that of the two averages, with the
    chains' effective number of draws                            [Frühwirth-Schnatter 2004, Econometrics J. 7, 143].

    Args:
        function: q (n, d) ↦ (f (n,), ∇f (n, d)).
        positions: what the chains visited.
        values: f there.
        seed: of the Gaussian's draws.
    """
    C, S, d = positions.shape
    half = S // 2
    fit = positions[:, :half].reshape(-1, d)
    mean, deviation = fit.mean(axis=0), fit - fit.mean(axis=0)
    covariance = deviation.T @ deviation / len(fit)
    if len(fit) < 4 * d:  # too few for all of it
        covariance = np.diag(np.diag(covariance))
    L = np.linalg.cholesky(covariance + _RIDGE * float(np.trace(covariance)) / d * np.eye(d))

    def log_ratio(q: Float[np.ndarray, "n d"], f: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """log of the integrand over the Gaussian."""
        w = np.linalg.solve(L, (q - mean).T)
        return f - 0.5 * (q * q).sum(axis=1) + 0.5 * (w * w).sum(axis=0) + float(np.log(np.diag(L)).sum())

    n = C * (S - half)
    fresh = mean + np.random.default_rng(seed).normal(size=(n, d)) @ L.T
    f = np.concatenate([function(fresh[i : i + _BLOCK])[0] for i in range(0, n, _BLOCK)])
    proposed = log_ratio(fresh, np.where(np.isfinite(f), f, -np.inf))
    drawn = log_ratio(positions[:, half:].reshape(-1, d), values[:, half:].ravel())
    independent = min(monte_carlo(drawn.reshape(C, -1)).ess, n)
    log_s1, log_s2 = math.log(independent / (independent + n)), math.log(n / (independent + n))
    log_Z = float(np.median(drawn))
    for _ in range(_ROUNDS):
        above = proposed - np.logaddexp(log_s1 + proposed, log_s2 + log_Z)
        below = -np.logaddexp(log_s1 + drawn, log_s2 + log_Z)
        new = float(logsumexp(above) - logsumexp(below))
        moved, log_Z = abs(new - log_Z), new
        if moved < 1e-10:
            break
    above = np.exp(proposed - log_Z - np.logaddexp(log_s1 + proposed - log_Z, log_s2))
    below = np.exp(-np.logaddexp(log_s1 + drawn - log_Z, log_s2))
    upper = float(above.var()) / (n * float(above.mean()) ** 2)
    lower = monte_carlo(below.reshape(C, -1))
    return Normaliser(log_Z, math.sqrt(upper + (lower.standard_error / lower.mean) ** 2))
