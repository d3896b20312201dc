"""What a tempered run knows beside its draws: how well its ladders carry, and the network's log evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from widthwise.sampling.estimates import BATCHES, standard_error

STEPS = 100
TOLERANCE = 1e-10  # of the gradient: shares of draws
BLOCK = 2**16  # draws at a time


@dataclass(frozen=True, eq=False)
class Tempering:
    """A run of C ladders of L levels.

    Attributes:
        betas: β_0 = 0 … β_K = 1 (" L").
        swap_acceptance: mean chance that neighbours swap, when they are asked (" L−1").
        barrier: Λ = Σ (1 − swap_acceptance), the communication barrier; about 2Λ + 1 levels suit it.
        round_trips: of each ladder, how often a replica has come from β = 0 to 1 and back (" C").
        round_trip_rate: of a ladder, in 1000 transitions.
        optimal_rate: 1000/(2 + 2Λ), what many levels with independent moves reach.
        mean_log_likelihood, mean_log_likelihood_error: ⟨log p(y|W)⟩ at each β, with its standard error (" L").
        log_evidence, log_evidence_error: of the network, log p(y|X) = ∫_0^1 ⟨log p(y|W)⟩_β dβ, by MBAR over all levels;
            the error from the differences between ladders (of one ladder alone, between ten stretches of it).
    """

    betas: Float[np.ndarray, " L"]
    swap_acceptance: Float[np.ndarray, " pairs"]
    barrier: float
    round_trips: Int[np.ndarray, " C"]
    round_trip_rate: float
    optimal_rate: float
    mean_log_likelihood: Float[np.ndarray, " L"]
    mean_log_likelihood_error: Float[np.ndarray, " L"]
    log_evidence: float
    log_evidence_error: float

    @property
    def suited_levels(self) -> int:
        """About 2Λ + 1, at which neighbours swap half of the time.        [Syed et al. 2022, arXiv 1905.02939]"""
        return max(2, math.ceil(2.0 * self.barrier) + 1)


def tempering(
    betas: Float[np.ndarray, " L"], log_likelihood: Float[np.ndarray, "C S L"], replicas: Int[np.ndarray, "C S L"]
) -> Tempering:
    """The report of a run.

    Args:
        betas: of the levels.
        log_likelihood: at each level after each transition.
        replicas: which of them is there.
    """
    C, S, _ = log_likelihood.shape
    ratio = (betas[:-1] - betas[1:]) * np.diff(log_likelihood, axis=2)
    acceptance = np.exp(np.minimum(np.nan_to_num(ratio, nan=-np.inf), 0.0)).mean(axis=(0, 1))
    barrier, trips = float(np.sum(1.0 - acceptance)), round_trips(replicas)
    stretches = log_likelihood if C > 1 else log_likelihood[0, : S - S % BATCHES].reshape(BATCHES, -1, len(betas))
    each = [log_evidence(betas, stretch) for stretch in stretches]
    return Tempering(
        betas=betas,
        swap_acceptance=acceptance,
        barrier=barrier,
        round_trips=trips,
        round_trip_rate=1000.0 * float(trips.sum()) / (C * S),
        optimal_rate=1000.0 / (2.0 + 2.0 * barrier),
        mean_log_likelihood=log_likelihood.mean(axis=(0, 1)),
        mean_log_likelihood_error=standard_error(log_likelihood),
        log_evidence=log_evidence(betas, log_likelihood.reshape(C * S, -1)),
        log_evidence_error=float(np.std(each, ddof=1) / math.sqrt(len(each))),
    )


def round_trips(replicas: Int[np.ndarray, "C S L"]) -> Int[np.ndarray, " C"]:
    """How often, in each ladder, a replica has come from the first level to the last and back.

    Args:
        replicas: which of them is at each level, after each transition.
    """
    C, S, L = replicas.shape
    rising, falling = np.zeros((2, C, L), dtype=bool)
    trips, ladder = np.zeros(C, dtype=int), np.arange(C)
    for s in range(S):
        top, bottom = replicas[:, s, -1], replicas[:, s, 0]
        falling[ladder, top] |= rising[ladder, top]
        rising[ladder, top] = False
        trips += falling[ladder, bottom]
        falling[ladder, bottom] = False
        rising[ladder, bottom] = True
    return trips


def log_evidence(betas: Float[np.ndarray, " L"], log_likelihood: Float[np.ndarray, "S L"]) -> float:
    """log Z(1)/Z(0) of p_β ∝ p(z) e^{βℓ}, from S draws at every β: the multistate Bennett acceptance ratio.

        minimise Σ_n log Σ_k S e^{f_k + β_k ℓ_n} − S Σ_k f_k,   f_k = −log Z(β_k),  f_0 = 0
                                                                          [Shirts and Chodera 2008, arXiv 0801.1426]

    It is convex: Newton's steps, halved until they descend, from the trapezium of ⟨ℓ⟩ over β. Draws need not be
    independent.

    Args:
        betas: from 0 to 1, increasing.
        log_likelihood: ℓ of the draws at each of them.
    """
    S, L = log_likelihood.shape
    energies = log_likelihood.ravel()
    if not np.isfinite(energies).all():
        return math.nan
    means = log_likelihood.mean(axis=0)
    f = np.concatenate([[0.0], -np.cumsum(0.5 * (means[1:] + means[:-1]) * np.diff(betas))])

    def at(f: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The function that is minimised, per draw of one level, its gradient and its Hessian."""
        value, shares, products = -float(f.sum()), np.zeros(L), np.zeros((L, L))
        for start in range(0, energies.size, BLOCK):
            logs = f + betas * energies[start : start + BLOCK, None]
            top = logs.max(axis=1, keepdims=True)
            weights = np.exp(logs - top)
            total = weights.sum(axis=1, keepdims=True)
            weights /= total
            value += float(np.sum(top + np.log(total))) / S
            shares += weights.sum(axis=0)
            products += weights.T @ weights
        return value, shares / S - 1.0, (np.diag(shares) - products) / S

    value, gradient, hessian = at(f)
    for _ in range(STEPS):
        if np.abs(gradient).max() < TOLERANCE:
            break
        newton = np.linalg.lstsq(hessian[1:, 1:], -gradient[1:], rcond=None)[0]
        for halvings in range(40):
            moved = f + np.concatenate([[0.0], newton / 2**halvings])
            found = at(moved)
            if found[0] <= value:
                break
        else:
            break  # as far as rounding lets it come
        f, (value, gradient, hessian) = moved, found
    return float(-f[-1])
