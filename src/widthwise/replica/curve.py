"""Learning curves over load and ridge, from either form of the equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from widthwise.errors import InputError, unknown_name
from widthwise.replica.fixed_point import fixed_point_states
from widthwise.replica.inputs import vector
from widthwise.replica.population import Population
from widthwise.replica.scalar import scalar_states
from widthwise.replica.state import State

METHODS = {"scalar": scalar_states, "fixed-point": fixed_point_states}
Table = Float[np.ndarray, "*R A"]


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """Errors of the typical fit over loads, one row per ridge where several were asked for.

    Args:
        population: the moments.
        loads: P/N (A,).
        ridge: λ (), or (R,).
        training_error, generalisation_error: ε_t and ε_g (A,) or (R, A).
        memorisation: m = tr(hat matrix)/P.
        kappa: κ, the ridge that the fit feels.
        residual: of the equations.
        status: `Status` values; "interpolation" where λ = 0 and P is the rank.
    """

    population: Population
    loads: Float[np.ndarray, " A"]
    ridge: Float[np.ndarray, "*R"]
    training_error: Table
    generalisation_error: Table
    memorisation: Table
    kappa: Table
    residual: Table
    status: Shaped[np.ndarray, "*R A"]

    @property
    def size(self) -> Float[np.ndarray, " A"]:
        """P = load · N (A,)."""
        return self.loads * self.population.size

    @property
    def gap(self) -> Table:
        """ε_g − ε_t."""
        return self.generalisation_error - self.training_error

    @property
    def gap_ratio(self) -> Table:
        """(ε_g − ε_t)/ε_g = 1 − (1 − m)²."""
        return self.memorisation * (2 - self.memorisation)

    @property
    def asymptotic_bound(self) -> Float[np.ndarray, " A"]:
        """2 rank/P (A,): of gap/ε_g always, of gap/T_y where P is large or the ridge is the best one."""
        return 2 * self.population.rank / self.size


def solve(population: Population, size: Any, ridge: Any = 0.0, *, method: str = "scalar") -> State:
    """The typical readout v = argmin Σ_μ (y_μ − v·φ_μ)² + λ|v|² on P examples.

    Assumes: P and N large at fixed load; Gaussian-equivalent features (τ = 1, `gaussian_equivalence`), independent of
        the sample that the readout is fitted on.
    Args:
        population: moments of features and targets.
        size: P > 0; need not be an integer.
        ridge: λ ≥ 0, not divided by P.
        method: "scalar" (one unknown, any ridge) or "fixed-point" (V, q and m; λ > 0).

    Raises:
        InputError: size or ridge out of range, an unknown method.
    """
    P, lam = vector("size", size, positive=True), vector("ridge", ridge, positive=False)
    if P.size != 1 or lam.size != 1:
        raise InputError(
            f"solve: expected one size and one ridge, got {P.size} and {lam.size}; use learning_curve for several."
        )
    return _states(method)(population, P, lam).at(0)


def learning_curve(
    feature_covariance: Any,
    feature_target_covariance: Any,
    target_power: Any,
    loads: Any,
    ridge: Any = 0.0,
    *,
    method: str = "scalar",
) -> LearningCurve:
    """Training and generalisation error over loads and ridges, averaged over data.

        (ε_g − ε_t)/ε_g = 1 − (1 − m)² ≤ 2m ≤ 2N/P,   m = tr(hat matrix)/P

    Assumes: as `solve`.
    Args:
        feature_covariance: Ω = E[φφᵀ] (N, N).
        feature_target_covariance: b = E[φy] (N,) or (N, D).
        target_power: T_y = E[y²].
        loads: P/N > 0, (A,).
        ridge: λ ≥ 0, not divided by P: a number, or (R,).
        method: as `solve`.

    Raises:
        InputError: moments of no law; loads or ridges out of range; an unknown method.
    """
    return curve_of(Population(feature_covariance, feature_target_covariance, target_power), loads, ridge, method)


def curve_of(population: Population, loads: Any, ridge: Any, method: str) -> LearningCurve:
    """`learning_curve` of a population."""
    a, lam = checked_loads(loads), vector("ridge", ridge, positive=False)
    rows, columns = np.meshgrid(lam, a * population.size, indexing="ij")
    states = _states(method)(population, columns.ravel(), rows.ravel())
    shape = (*np.shape(ridge), len(a))
    return LearningCurve(
        population,
        a,
        lam.reshape(np.shape(ridge)),
        states.training_error.reshape(shape),
        states.generalisation_error.reshape(shape),
        states.memorisation.reshape(shape),
        states.kappa.reshape(shape),
        states.residual.reshape(shape),
        states.status.reshape(shape),
    )


def checked_loads(loads: Any) -> Float[np.ndarray, " A"]:
    """Loads as a vector of positive numbers."""
    return vector("loads", loads, positive=True)


def _states(method: str) -> Any:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    return METHODS[method]
