"""What a search for stationary points returns."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.errors import NumericalError


class Status(enum.StrEnum):
    """How a search ended."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not converged"
    NO_MINIMUM = "no minimum found"
    DEGENERATE = "degenerate minimum"
    OUTSIDE_DOMAIN = "outside the domain"
    ROUNDING = "lost to rounding"


@dataclass(frozen=True)
class StationaryPoint:
    """One point where the gradient vanishes.

    Args:
        x: where (n,).
        value: the function there.
        residual: the largest absolute entry of the gradient there.
        hessian: eigenvalues of the Hessian, ascending (n,); of many variables the lowest and the largest only.
    """

    x: Float[np.ndarray, " n"]
    value: float
    residual: float
    hessian: Float[np.ndarray, " k"]

    @property
    def kind(self) -> str:
        """minimum, maximum, saddle or degenerate."""
        scale = 1e-12 * max(1.0, float(np.abs(self.hessian).max()))
        if float(np.abs(self.hessian).min()) <= scale:
            return "degenerate"
        if float(self.hessian[0]) > 0.0:
            return "minimum"
        return "maximum" if float(self.hessian[-1]) < 0.0 else "saddle"


@dataclass(frozen=True)
class Saddle:
    """The outcome of a search.

    Args:
        best: the stationary point chosen (of several minima the lowest).
        points: every stationary point found, sorted by value.
        starts: how many starting points were tried.
        agreeing: how many of them lead to `best`.
        evaluations: of the function.
        status: how it ended.
    """

    best: StationaryPoint
    points: tuple[StationaryPoint, ...]
    starts: int
    agreeing: int
    evaluations: int
    status: Status

    def check(self, what: str, remedy: str) -> Saddle:
        """Itself when converged.

        Raises:
            NumericalError: it did not converge; the message names `what` and the `remedy`.
        """
        if self.status is not Status.CONVERGED:
            raise NumericalError(f"{what}: {self.status} (gradient {self.best.residual:.2g}); {remedy}")
        return self
