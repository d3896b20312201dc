"""The self-consistent equations reduced to one unknown, κ: for every ridge, none included.

    P = λ/κ + df_1(κ),   df_k(κ) = Σ_i (ω_i/(ω_i + κ))^k
    ε_g = [ε_R + κ² θᵀΩ(Ω + κ)⁻²θ] / (1 − df_2/P),   ε_t = (1 − m)² ε_g,   m = df_1/P

Reduction of the fixed point in `fixed_point`; the same κ as in Simon, Dickens, Karkada, DeWeese 2021,
arXiv 2110.03922.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from widthwise.replica.population import Population
from widthwise.replica.state import States, statuses

Vector = Float[np.ndarray, " n"]
_CHUNK = 1 << 17  # entries (points × eigenvalues) at a time: temporaries stay in cache
_STEPS = 200


def scalar_states(population: Population, size: Vector, ridge: Vector) -> States:
    """The fits on P = `size` examples with ridge λ, point by point.

    Args:
        population: of rank r.
        size: P > 0 (n,).
        ridge: λ ≥ 0 (n,).
    """
    omega, n = population.eigenvalues, len(size)
    columns = np.empty((5, n))
    height = max(1, _CHUNK // len(omega))
    for start in range(0, n, height):
        part = slice(start, start + height)
        columns[:, part] = _points(population, size[part], ridge[part])
    kappa, training, generalisation, memorisation, residual = columns
    status = statuses(residual, (ridge == 0.0) & at_threshold(size, len(omega)))
    return States(size, ridge, kappa, training, generalisation, memorisation, residual, status)


def at_threshold(size: Vector, rank: int) -> Bool[np.ndarray, " n"]:
    """Whether P is the rank, within rounding."""
    return np.abs(size - rank) <= 1e-12 * rank


def _points(population: Population, P: Vector, lam: Vector) -> Float[np.ndarray, "5 n"]:
    omega, r = population.eigenvalues, population.rank
    over = np.where(at_threshold(P, r), 0.0, P - r)  # P − r without the rounding of P
    kappa = np.zeros_like(P)
    solved = (lam > 0.0) | (over < 0.0)
    kappa[solved] = _kappa(omega, P[solved], over[solved], lam[solved])
    t = kappa[:, None] / omega
    q = 1 / (1 + t)  # ω/(ω + κ), and p = κ/(ω + κ): so that P − df_1 and P − df_2 lose no digits
    p = t * q
    lost = p.sum(axis=1)
    left = over + lost  # P − df_1 = λ/κ
    squared = over + (p * (2 - p)).sum(axis=1)  # P − df_2
    numerator = population.residual + p**2 @ population.signal
    ill = squared == 0.0  # no ridge, P = r
    error = P * numerator / np.where(ill, 1.0, squared)
    error[ill] = np.inf if population.residual > 0.0 else 0.0
    felt = np.where(kappa > 0.0, lam / np.where(kappa > 0.0, kappa, 1.0), left)
    kept = np.where(over < 0.0, felt, left)  # both are P − df_1; below P = r that is a difference of like numbers
    training = np.where(ill, 0.0, (kept / P) ** 2 * error.clip(max=np.finfo(float).max))
    m = np.where((lam == 0.0) & (over <= 0.0), 1.0, q.sum(axis=1) / P)
    residual = np.abs(left - felt) / P
    return np.stack([kappa, training, error, m, residual])


def _kappa(omega: Float[np.ndarray, " r"], P: Vector, over: Vector, lam: Vector) -> Vector:
    """κ > 0 by Newton in log κ inside a bracket that bisection keeps safe.

    P ≥ r: log[(P − r) + Σ κ/(ω+κ)] + log κ = log λ, whose slope lies between 1 and 2.
    P < r: logit of df_1/r against logit of (P − λ/κ)/r, straight where all ω are equal.
    """
    low = lam / P
    under = over < 0.0
    low[under] = np.maximum(low[under], omega[0] * -over[under] / P[under] * (1 - 1e-12))
    x_high = np.log((lam + omega.sum()) / P) + 1e-12
    x_low = np.log(low) - 1e-12
    x = np.where(under, x_high, 0.5 * (x_low + x_high))
    active = np.arange(len(P))
    for _ in range(_STEPS):
        if not len(active):
            break
        now = x[active]
        value, slope = _residual(omega, now, P[active], over[active], lam[active])
        x_high[active] = np.where(value >= 0.0, now, x_high[active])
        x_low[active] = np.where(value <= 0.0, now, x_low[active])
        small = 4e-16 * np.maximum(np.abs(now), 1.0)
        new = now - value / slope
        settled = np.abs(new - now) <= small
        outside = ~((new > x_low[active]) & (new < x_high[active]))  # NaN, too
        new = np.where(outside & ~settled, 0.5 * (x_low[active] + x_high[active]), new)
        x[active] = new
        active = active[~settled & (np.abs(new - now) > small)]
    return np.exp(x)


def _residual(omega: Float[np.ndarray, " r"], x: Vector, P: Vector, over: Vector, lam: Vector) -> tuple[Vector, Vector]:
    """The function of log κ that vanishes at the solution, and its slope; increasing."""
    kappa = np.exp(x)
    t = kappa[:, None] / omega
    q = 1 / (1 + t)
    p = t * q
    lost, kept, both = p.sum(axis=1), q.sum(axis=1), (p * q).sum(axis=1)
    value, slope = np.empty_like(x), np.empty_like(x)
    i, j = np.flatnonzero(over >= 0.0), np.flatnonzero(over < 0.0)
    left = over[i] + lost[i]
    value[i] = np.log(left) + x[i] - np.log(lam[i])
    slope[i] = 1 + both[i] / left
    felt = lam[j] / kappa[j]
    room, rest = np.maximum(P[j] - felt, 1e-300), felt - over[j]
    value[j] = np.log(lost[j] / rest) - np.log(kept[j] / room)
    slope[j] = both[j] * (1 / lost[j] + 1 / kept[j]) + felt / rest + felt / room
    return value, slope
