"""All stationary points of a smooth function of one variable between two bounds, by safeguarded Newton steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from widthwise.errors import NumericalError
from widthwise.saddle.result import Saddle, StationaryPoint, Status

STEPS = 100
FORGIVEN = 1e-6  # a slope that rounding in the function keeps from the tolerance still counts, up to here


class Jet(NamedTuple):
    """A function's value, slope and curvature at one point."""

    value: float
    slope: float
    curvature: float


Function = Callable[[float], Jet]


def minimise_scalar(
    function: Function, lower: float, upper: float, *, starts: int = 33, tolerance: float = 1e-12
) -> Saddle:
    """The lowest minimum of a function that falls at `lower` and rises at `upper`, and all other stationary points.

    The slope is evaluated at `starts` evenly spaced points; each change of sign brackets a stationary point, which
    Newton steps then find, falling back to bisection whenever a step leaves the bracket.

    Args:
        function: u ↦ (value, slope, curvature); points where it raises `NumericalError` are left out.
        lower, upper: the bounds, lower < upper.
        starts: how many starting points.
        tolerance: on the slope, relative to max(1, |curvature|).
    """
    points_tried = np.linspace(lower, upper, max(starts, 3))
    evaluations = len(points_tried)
    grid, jets = _evaluate(function, points_tried)
    roots = [(u, jet) for u, jet in zip(grid, jets) if jet.slope == 0.0]
    for a, b, left, right in zip(grid, grid[1:], jets, jets[1:]):
        if left.slope * right.slope < 0.0:
            u, jet, used = _root(function, a, b, left, tolerance)
            roots.append((u, jet))
            evaluations += used
    points = sorted((_point(u, jet) for u, jet in roots), key=lambda point: point.value)
    minima = [point for point in points if point.hessian[0] > 0.0]
    if not minima:
        flattest = _point(*min(zip(grid, jets), key=lambda pair: abs(pair[1].slope)))
        degenerate = [point for point in points if point.kind == "degenerate"]
        best = (degenerate or [flattest])[0]
        status = Status.DEGENERATE if degenerate else Status.NO_MINIMUM
        return Saddle(best, tuple(points), len(points_tried), 0, evaluations, status)
    best = minima[0]
    status = _status(best)
    return Saddle(best, tuple(points), len(points_tried), _basin(best, points, points_tried), evaluations, status)


def refine(function: Function, saddle: Saddle, *, tolerance: float = 1e-12, reach: float = 3.0) -> Saddle:
    """The same saddle on a dearer, more exact function: Newton steps from the minimum found on a cheap one.

    Args:
        function: the exact u ↦ (value, slope, curvature).
        saddle: what `minimise_scalar` found on the cheap one; its other stationary points are passed on.
        tolerance: on the slope, relative to max(1, |curvature|).
        reach: how far the minimum may move before that counts as a failure.
    """
    start = u = float(saddle.best.x[0])
    jet, last = function(u), np.inf
    used = 1
    while used <= 12 and jet.curvature > 0.0 and abs(u - start) <= reach:
        residual = abs(jet.slope) / max(1.0, jet.curvature)
        if residual <= tolerance or (residual <= FORGIVEN and residual > 0.5 * last):
            break  # there, or as close as rounding lets it come
        last = residual
        u -= float(np.clip(jet.slope / jet.curvature, -1.0, 1.0))
        jet = function(u)
        used += 1
    best = _point(u, jet)
    status = _status(best) if jet.curvature > 0.0 and abs(u - start) <= reach else Status.NO_MINIMUM
    others = tuple(point for point in saddle.points if point is not saddle.best)
    points = tuple(sorted((best, *others), key=lambda point: point.value))
    return Saddle(best, points, saddle.starts, saddle.agreeing, saddle.evaluations + used, status)


def _root(function: Function, a: float, b: float, jet_a: Jet, tolerance: float) -> tuple[float, Jet, int]:
    """The zero of the slope in [a, b], whose ends have slopes of opposite sign."""
    sign = np.sign(jet_a.slope)
    u, used = 0.5 * (a + b), 0
    jet = function(u)
    for used in range(1, STEPS):  # noqa: B007 - the count is returned
        if abs(jet.slope) <= tolerance * max(1.0, abs(jet.curvature)) or b - a <= 4e-16 * max(1.0, abs(u)):
            break
        if np.sign(jet.slope) == sign:
            a = u
        else:
            b = u
        newton = u - jet.slope / jet.curvature if jet.curvature != 0.0 else a
        u = newton if a < newton < b else 0.5 * (a + b)
        jet = function(u)
    return u, jet, used + 1


def _evaluate(function: Function, points: np.ndarray) -> tuple[list[float], list[Jet]]:
    """The points where the function can be computed, and its jets there.

    Raises:
        NumericalError: the function's own, where it can be computed nowhere.
    """
    grid, jets, fault = [], [], None
    for u in points:
        try:
            jets.append(function(float(u)))
            grid.append(float(u))
        except NumericalError as error:
            fault = error
    if fault is not None and not jets:
        raise fault
    return grid, jets


def _status(minimum: StationaryPoint) -> Status:
    scale = max(1.0, float(minimum.hessian[0]))
    return Status.CONVERGED if minimum.residual <= FORGIVEN * scale else Status.NOT_CONVERGED


def _point(u: float, jet: Jet) -> StationaryPoint:
    return StationaryPoint(np.array([u]), jet.value, abs(jet.slope), np.array([jet.curvature]))


def _basin(best: StationaryPoint, points: list[StationaryPoint], grid: np.ndarray) -> int:
    """How many grid points roll down to `best`: those between the stationary points on either side of it."""
    others = [float(point.x[0]) for point in points if point is not best]
    u = float(best.x[0])
    left = max((x for x in others if x < u), default=-np.inf)
    right = min((x for x in others if x > u), default=np.inf)
    return int(np.count_nonzero((grid >= left) & (grid <= right)))
