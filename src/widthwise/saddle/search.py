"""The stationary points of a function of a few variables that descents from several starts find, and those between."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from widthwise.saddle.result import StationaryPoint
from widthwise.saddle.trust import Descent, Function, hessian_of, minimise_few, polish
from widthwise.saddle.vector import stationary_near

_SAME = 1e-5  # points closer than this are one
_ROUGH = 1e-3  # relative slope at which a descent leaves the rest to Newton's steps
_BASIN = 1.0  # how close to a minimum a descent must come to be called off
_ALIKE = 0.3  # and how well the minimum's Hessian must tell the gradient there
_FORGIVEN = 1e-6  # a slope that rounding keeps from the tolerance still counts, up to here


class Search:
    """Descents from several starts; each new end is polished once and judged by its Hessian.

    Args:
        function: x (n,) ↦ (value, gradient (n,)); an infinite value marks the outside of the domain.

    Attributes:
        points: the stationary points found, each once.
        ends: where each start led.
        evaluations: of the function.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.points: list[StationaryPoint] = []
        self.ends: list[StationaryPoint] = []
        self.evaluations = 0
        self._hessian: Float[np.ndarray, "n n"] | None = None
        self._minima: list[tuple[StationaryPoint, Float[np.ndarray, "n n"]]] = []

    def descend(self, start: Float[np.ndarray, " n"], hessian: Float[np.ndarray, "n n"]) -> None:
        """Downhill from a start, with a first guess of the Hessian: used until a minimum's own is known.

        The descent is rough, Newton steps on the exact Hessian do the rest; or it is called off in the basin of a
        minimum already known.
        """
        guess = hessian if self._hessian is None else self._hessian
        end = minimise_few(self.function, start, guess, tolerance=_ROUGH, arrived=lambda x, g: bool(self._basin(x, g)))
        self.evaluations += end.evaluations
        for point in self._basin(end.x, end.gradient):
            self.ends.append(point)
            return
        point, exact, used = polish(self.function, end)
        if not self._stationary(point):  # the rough end was not close enough for Newton's steps
            self.evaluations += used
            end = minimise_few(self.function, end.x, end.hessian)
            self.evaluations += end.evaluations
            for known in self._basin(end.x, end.gradient):
                self.ends.append(known)
                return
            point, exact, used = polish(self.function, end)
        if point.kind == "minimum":
            self._hessian = exact
            self._minima.append((point, exact))
        self.evaluations += used
        self.ends.append(point)
        self._keep(point)

    def _basin(self, x: np.ndarray, gradient: np.ndarray) -> list[StationaryPoint]:
        """The known minima close to x whose own Hessian says what the gradient at x is, nearly."""
        found = []
        for point, H in self._minima:
            expected = H @ (x - point.x)
            error = float(np.linalg.norm(gradient - expected))
            near = float(np.abs(x - point.x).max()) <= _BASIN
            if near and error <= _ALIKE * float(np.linalg.norm(expected)) + _FORGIVEN:
                found.append(point)
        return found

    def between(self) -> None:
        """From the middle of any two minima to the stationary point that parts them."""
        minima = [point for point in self.points if point.kind == "minimum"]

        def jet(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            self.evaluations += 1 + 2 * len(x)
            value, gradient = self.function(x)
            return value, gradient, hessian_of(self.function, x)

        for left, right in itertools.pairwise(minima):
            middle = 0.5 * (left.x + right.x)
            for point in stationary_near(jet, [middle], tolerance=1e-9).points:
                self._keep(point)

    def agreeing(self, best: StationaryPoint) -> int:
        """How many starts led to this point."""
        return sum(_near(best, end) for end in self.ends)

    def _keep(self, point: StationaryPoint) -> None:
        if self._stationary(point) and not any(_near(other, point) for other in self.points):
            self.points.append(point)

    def _stationary(self, point: StationaryPoint) -> bool:
        return point.residual <= _FORGIVEN * max(1.0, float(np.abs(point.hessian).max()))


def _near(a: StationaryPoint | Descent, b: StationaryPoint | Descent) -> bool:
    return float(np.abs(a.x - b.x).max()) <= _SAME * max(1.0, float(np.abs(a.x).max()))
