"""What the self-consistent equations return: one point (`State`), or many (`States`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped


class Status(enum.StrEnum):
    """How a point ended."""

    CONVERGED = "converged"
    INTERPOLATION = "interpolation"  # no ridge and P = rank: ε_t = 0, m = 1, ε_g infinite unless the teacher is exact
    NOT_CONVERGED = "not converged"


@dataclass(frozen=True)
class State:
    """The typical fit on P examples.

    Args:
        size: P.
        ridge: λ, not divided by P.
        kappa: κ = λ(1 + V)/P, the ridge that the fit feels; 0 without a ridge above interpolation.
        training_error, generalisation_error: ε_t and ε_g, mean squares.
        memorisation: m = tr(hat matrix)/P.
        residual: largest relative violation of the equations.
        status: how it ended.
    """

    size: float
    ridge: float
    kappa: float
    training_error: float
    generalisation_error: float
    memorisation: float
    residual: float
    status: Status

    @property
    def gap(self) -> float:
        """ε_g − ε_t."""
        return self.generalisation_error - self.training_error

    @property
    def gap_ratio(self) -> float:
        """(ε_g − ε_t)/ε_g = 1 − (1 − m)²."""
        return self.memorisation * (2.0 - self.memorisation)


@dataclass(frozen=True, eq=False)
class States:
    """The same of n points, as arrays; both solvers return it.

    Args:
        size, ridge, kappa, training_error, generalisation_error, memorisation, residual: as in `State` (n,).
        status: `Status` values (n,).
    """

    size: Float[np.ndarray, " n"]
    ridge: Float[np.ndarray, " n"]
    kappa: Float[np.ndarray, " n"]
    training_error: Float[np.ndarray, " n"]
    generalisation_error: Float[np.ndarray, " n"]
    memorisation: Float[np.ndarray, " n"]
    residual: Float[np.ndarray, " n"]
    status: Shaped[np.ndarray, " n"]

    def at(self, i: int) -> State:
        """Point i."""
        return State(
            float(self.size[i]),
            float(self.ridge[i]),
            float(self.kappa[i]),
            float(self.training_error[i]),
            float(self.generalisation_error[i]),
            float(self.memorisation[i]),
            float(self.residual[i]),
            Status(self.status[i]),
        )


def statuses(
    residual: Float[np.ndarray, " n"], interpolating: Shaped[np.ndarray, " n"], tolerance: float = 1e-9
) -> Shaped[np.ndarray, " n"]:
    """The `Status` of each point, from its residual and whether it lies at the interpolation threshold."""
    choices = np.where(residual <= tolerance, str(Status.CONVERGED), str(Status.NOT_CONVERGED))
    return np.where(interpolating, str(Status.INTERPOLATION), choices)
