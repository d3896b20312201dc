"""Hamiltonian Monte Carlo with a Gaussian reference, all chains in lock-step, in NumPy.

Not BlackJAX: the gradients here are LAPACK's (eigenvalues and factors of matrices that JAX on a CPU is slower at), and
the chains share one matrix product. The reference N(0, I) is followed exactly: between two half kicks of the rest,
position and momentum rotate into each other. Where the rest is flat every proposal is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Positions = Float[np.ndarray, "C d"]
Function = Callable[[Positions], tuple[Float[np.ndarray, " C"], Positions]]

LENGTH = 0.5 * math.pi  # of a trajectory: a quarter turn of the reference
JITTER = 0.3  # of that length, either way, so that none is a multiple of a period
LIMIT = 64  # steps of one trajectory at most
_DECAY, _FIRST, _PULL = 0.75, 10.0, 0.05  # dual averaging's κ, t₀ and γ  [Hoffman & Gelman 2014, Algorithm 5]

_STUCK = 1e-3  # added to acceptances in their harmonic mean, which one chain that is stuck brings down


@dataclass(frozen=True)
class Chains:
    """What the chains visited.

    Args:
        positions: (C, S, d).
        log_density: relative to N(0, I) (C, S).
        acceptance: mean probability of acceptance after the warm-up.
        step_size: what the warm-up settled on.
    """

    positions: Float[np.ndarray, "C S d"]
    log_density: Float[np.ndarray, "C S"]
    acceptance: float
    step_size: float


class Estimate(NamedTuple):
    """A mean over chains: its standard error, the effective number of independent draws, and the split R-hat."""

    mean: float
    standard_error: float
    ess: float
    rhat: float


def hamiltonian(
    function: Function, start: Positions, *, draws: int, warmup: int, seed: int, target: float = 0.8
) -> Chains:
    """Draws from exp(f(q)) N(q; 0, I).

        half a kick of ∇f, (q, p) → (q cos ε + p sin ε, p cos ε − q sin ε), half a kick
                                                  [Shahbaba et al. 2014, arXiv 1106.5941, section 3]

    Args:
        function: q (C, d) ↦ (f (C,), ∇f (C, d)); f not finite marks the outside of the domain.
        start: the chains' first positions (C, d), inside the domain.
        draws: S, kept from every chain.
        warmup: transitions before, which adapt the step size.
        seed: of everything random.
        target: acceptance, in the harmonic mean over the chains, that the step size is adapted to.

    Raises:
        ValueError: a chain starts outside the domain.
    """
    rng = np.random.default_rng(seed)
    q = np.array(start, float)
    f, g = _evaluate(function, q)
    if not np.isfinite(f).all():
        raise ValueError(f"hamiltonian: expected chains inside the domain, got {np.sum(~np.isfinite(f))} outside it.")
    adapting = _StepSize(0.3, target)
    positions, values = np.empty((draws, *q.shape)), np.empty((draws, len(q)))
    accepted = 0.0
    for i in range(-warmup, draws):
        size = adapting.trial if i < 0 else adapting.settled
        length = LENGTH * rng.uniform(1.0 - JITTER, 1.0 + JITTER)
        steps = min(LIMIT, math.ceil(length / size))
        p = rng.normal(size=q.shape)
        q_new, p_new, f_new, g_new = _trajectory(function, q, p, g, min(size, length / steps), steps)
        with np.errstate(invalid="ignore"):  # what left the domain is −∞ or not a number: refused
            energy = 0.5 * ((q * q + p * p) - (q_new * q_new + p_new * p_new)).sum(axis=1) + f_new - f
        energy = np.where(np.isfinite(energy), energy, -np.inf)
        chance = np.exp(np.minimum(0.0, energy))
        taken = rng.uniform(size=len(q)) < chance
        q, g = np.where(taken[:, None], q_new, q), np.where(taken[:, None], g_new, g)
        f = np.where(taken, f_new, f)
        if i < 0:
            adapting.update(len(q) / float((1.0 / (chance + _STUCK)).sum()))
        else:
            accepted += float(chance.mean()) / draws
            positions[i], values[i] = q, f
    return Chains(positions.transpose(1, 0, 2), values.T, accepted, adapting.settled)


def monte_carlo(values: Float[np.ndarray, "C S"]) -> Estimate:
    """The mean of a scalar over chains, with what is known of its error.

        ESS = C S / τ,   τ = 1 + 2 Σ_t ρ_t  over Geyer's initial monotone sequence;   R̂² = (W (n−1)/n + B)/W
                                [Vehtari et al. 2021, arXiv 1903.08008, section 3; every chain split in two]

    Args:
        values: at least four of each chain (C, S).
    """
    half = values.shape[1] // 2
    split = np.concatenate([values[:, :half], values[:, -half:]])
    mean = float(values.mean())
    within = float(split.var(axis=1, ddof=1).mean())
    spread = math.sqrt(float(values.var()))
    if spread <= 1e-14 * abs(mean) or spread == 0.0:
        return Estimate(mean, 0.0, float(values.size), 1.0)
    if within == 0.0:
        return Estimate(mean, math.inf, 1.0, math.inf)  # chains that never moved, in different places
    total = within * (half - 1) / half + float(split.mean(axis=1).var(ddof=1))
    correlation = 1.0 - (within - _autocovariance(split).mean(axis=0) * half / (half - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: 2 * (half // 2)].reshape(-1, 2).sum(axis=1)
    negative = np.flatnonzero(pairs <= 0.0)
    pairs = np.minimum.accumulate(pairs[: negative[0] if negative.size else None])
    tau = max(2.0 * float(pairs.sum()) - 1.0, 1.0 / math.log10(values.size))
    ess = split.size / tau
    return Estimate(mean, math.sqrt(total / ess), ess, math.sqrt(total / within))


def _autocovariance(chains: Float[np.ndarray, "C S"]) -> Float[np.ndarray, "C S"]:
    """Biased autocovariances of each chain at every lag, by the Fourier transform."""
    S = chains.shape[1]
    transform = np.fft.rfft(chains - chains.mean(axis=1, keepdims=True), 2 * S, axis=1)
    return np.fft.irfft(transform * transform.conj(), 2 * S, axis=1)[:, :S] / S


def _evaluate(function: Function, q: Positions) -> tuple[Float[np.ndarray, " C"], Positions]:
    f, g = function(q)
    inside = np.isfinite(f) & np.isfinite(g).all(axis=1)
    return np.where(inside, f, -np.inf), np.where(inside[:, None], g, 0.0)


def _trajectory(
    function: Function, q: Positions, p: Positions, g: Positions, size: float, steps: int
) -> tuple[Positions, Positions, Float[np.ndarray, " C"], Positions]:
    cos, sin = math.cos(size), math.sin(size)
    f = np.full(len(q), -np.inf)
    for _ in range(steps):
        p = p + 0.5 * size * g
        q, p = q * cos + p * sin, p * cos - q * sin
        f, g = _evaluate(function, q)
        p = p + 0.5 * size * g
    return q, p, f, g


class _StepSize:
    """Nesterov's dual averaging of log ε.  [Hoffman & Gelman 2014, arXiv 1111.4246, Algorithm 5]"""

    def __init__(self, first: float, target: float) -> None:
        self._target, self._centre = target, math.log(10.0 * first)
        self._log, self._mean, self._gap, self._t = math.log(first), math.log(first), 0.0, 0

    def update(self, acceptance: float) -> None:
        self._t += 1
        t = self._t
        share = 1.0 / (t + _FIRST)
        self._gap = (1.0 - share) * self._gap + share * (self._target - acceptance)
        self._log = self._centre - math.sqrt(t) / _PULL * self._gap
        weight = t**-_DECAY
        self._mean = weight * self._log + (1.0 - weight) * self._mean

    @property
    def trial(self) -> float:
        return min(math.exp(self._log), LENGTH)

    @property
    def settled(self) -> float:
        return min(math.exp(self._mean), LENGTH)
