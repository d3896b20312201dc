"""The best ridge at each load, and the worst load at a ridge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar

from widthwise import checks
from widthwise.replica.curve import checked_loads, solve
from widthwise.replica.population import Population


@dataclass(frozen=True, eq=False)
class OptimalRidge:
    """The ridge of least generalisation error, load by load.

    Args:
        loads: P/N (A,).
        ridge: λ*; 0 where any ridge does harm, infinite where nothing can be learnt.
        generalisation_error, training_error, memorisation: there.
    """

    loads: Float[np.ndarray, " A"]
    ridge: Float[np.ndarray, " A"]
    generalisation_error: Float[np.ndarray, " A"]
    training_error: Float[np.ndarray, " A"]
    memorisation: Float[np.ndarray, " A"]

    @property
    def gap(self) -> Float[np.ndarray, " A"]:
        """ε_g − ε_t; at most T_y 2 rank/P."""
        return self.generalisation_error - self.training_error


@dataclass(frozen=True)
class Peak:
    """Where the generalisation error of a ridge is worst.

    Args:
        load: P/N.
        height: ε_g there; infinite without a ridge.
    """

    load: float
    height: float


@dataclass(frozen=True, eq=False)
class _ErrorOfKappa:
    """ε_g as a function of κ, which needs no equation solved: λ = κ(P − df_1) and P = λ/κ + df_1 follow from it."""

    population: Population

    def sums(self, kappa: Any) -> tuple[Any, Any, Any, Any]:
        """ε_R + S, r − df_1, df_1 − df_2 and df_1 of one κ or many, with S = κ² Σ s/(ω+κ)², s_i = ω_i θ_i²."""
        t = np.asarray(kappa)[..., None] / self.population.eigenvalues
        q = 1 / (1 + t)
        p = t * q
        numerator = self.population.residual + p**2 @ self.population.signal
        return numerator, p.sum(axis=-1), (p * q).sum(axis=-1), q.sum(axis=-1)

    def error(self, kappa: Any, P: float) -> Any:
        """ε_g = (ε_R + S) / (1 − df_2/P)."""
        numerator, lost, between, _ = self.sums(kappa)
        return P * numerator / (P - self.population.rank + lost + between)

    def slope(self, kappa: float, P: float) -> float:
        """Half of P (1 − df_2/P)² ∂ε_g/∂κ at fixed P: κ(P − df_2) Σ sω/(ω+κ)³ − (ε_R + S) Σ ω²/(ω+κ)³."""
        numerator, lost, between, _ = self.sums(kappa)
        omega = self.population.eigenvalues
        cubes = 1 / ((1 + kappa / omega) ** 3 * omega)
        bias = kappa * (P - self.population.rank + lost + between) * float(self.population.signal @ (cubes / omega))
        return float(bias - numerator * cubes.sum())


def optimal_ridge(population: Population, loads: Any) -> OptimalRidge:
    """The ridge that makes ε_g least, both ends included: none, and one so large that nothing is fitted.

    Searched over κ > κ(λ=0), where λ = κ(P − df_1(κ)) grows with κ. With all ω equal λ* = N ε_R/|θ|².

    Args:
        population: moments of features and targets.
        loads: P/N > 0 (A,).

    Raises:
        InputError: loads that are not positive numbers.
    """
    a = checked_loads(loads)
    rows = np.array([_best(population, float(P)) for P in a * population.size])
    return OptimalRidge(a, *rows.T.copy())


def _best(population: Population, P: float) -> tuple[float, float, float, float]:
    """λ*, ε_g, ε_t and m for one P."""
    shape, omega = _ErrorOfKappa(population), population.eigenvalues
    bare = solve(population, P)
    least = bare.kappa
    grid = np.geomspace(max(least, 1e-12 * omega[0]) * (1 + 1e-9), 1e6 * max(omega[-1], least), 400)
    errors = shape.error(grid, P)
    i = int(np.argmin(errors))
    if bare.generalisation_error <= errors[i]:
        return 0.0, bare.generalisation_error, bare.training_error, bare.memorisation
    if population.target_power <= errors[i]:
        return np.inf, population.target_power, population.target_power, 0.0
    lower, upper = grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)]
    kappa = float(grid[i])
    if shape.slope(lower, P) < 0.0 < shape.slope(upper, P):
        kappa = float(brentq(shape.slope, lower, upper, args=(P,), xtol=1e-300, rtol=1e-14))
    _, lost, _, df1 = shape.sums(kappa)
    error, left = shape.error(kappa, P), P - population.rank + lost  # P − df_1
    return float(kappa * left), float(error), float((left / P) ** 2 * error), float(df1 / P)


def interpolation_peak(population: Population, ridge: Any = 0.0) -> Peak | None:
    """The load at which ε_g has its highest maximum, and how high it is; None where more data always help.

    Without a ridge it is at P = rank and infinite, unless the teacher is exact (ε_R = 0). What is not yet learnt acts
    as noise: with a spectrum in groups there may be a maximum at each group's size, of an exact teacher too. P ≥ 1.

    Args:
        population: moments of features and targets.
        ridge: λ ≥ 0.

    Raises:
        InputError: the ridge is not a number of at least 0.
    """
    lam = checks.ridge(ridge)
    N, omega, shape = population.size, population.eigenvalues, _ErrorOfKappa(population)
    if lam == 0.0 and population.residual > 0.0:
        return Peak(population.rank / N, np.inf)

    def at(log_kappa: Any) -> tuple[Any, Any]:
        """P and ε_g."""
        kappa = np.exp(log_kappa)
        numerator, _, between, df1 = shape.sums(kappa)
        P = lam / kappa + df1
        return P, numerator * P / (lam / kappa + between)

    # around P = rank, κ is near √(λ/Σω⁻¹)
    lowest = 1e-4 * min(float(np.sqrt(lam / np.sum(1 / omega))) or omega[0], omega[0])
    x = np.linspace(np.log(lowest), np.log(1e3 * (omega[-1] + lam)), 2000)
    sizes, heights = at(x)
    inner = 1 + np.flatnonzero((heights[1:-1] > heights[:-2]) & (heights[1:-1] >= heights[2:]) & (sizes[1:-1] >= 1.0))
    if not len(inner):
        return None
    i = int(inner[np.argmax(heights[inner])])
    found = minimize_scalar(
        lambda log_kappa: -at(log_kappa)[1], bounds=(x[i - 1], x[i + 1]), method="bounded", options={"xatol": 1e-9}
    )
    return Peak(float(at(found.x)[0]) / N, -float(found.fun))
