"""Stationary points of a smooth function of a few variables, minima or not, by damped Newton steps on the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from widthwise.saddle.result import Saddle, StationaryPoint, Status

Vector = Float[np.ndarray, " n"]
Function = Callable[[Vector], tuple[float, Vector, Float[np.ndarray, "n n"]]]
STEPS = 200


def stationary_near(function: Function, starts: Sequence[Vector], *, tolerance: float = 1e-11) -> Saddle:
    """The stationary point that most starts lead to, whatever its kind, and every other one found.

    Newton steps on the gradient; a step that does not shrink the gradient's norm is halved.

    Args:
        function: x (n,) ↦ (value, gradient (n,), Hessian (n, n)); one not finite marks the outside of the domain.
        starts: starting points (n,), the first the most trusted.
        tolerance: on the largest entry of the gradient, relative to max(1, the Hessian's largest).
    """
    ends: list[StationaryPoint] = []
    hits: list[int] = []
    evaluations = 0
    closest: StationaryPoint | None = None
    for start in starts:
        point, used = _descend(function, np.asarray(start, float), tolerance)
        evaluations += used
        if closest is None or point.residual < closest.residual:
            closest = point
        if point.residual > tolerance * _scale(point.hessian):
            continue
        for i, known in enumerate(ends):
            if np.abs(known.x - point.x).max() <= 1e-6 * max(1.0, float(np.abs(point.x).max())):
                hits[i] += 1
                break
        else:
            ends.append(point)
            hits.append(1)
    if closest is None:
        raise ValueError("stationary_near: expected at least one start, got none.")
    if not ends:
        status = Status.NOT_CONVERGED if np.isfinite(closest.residual) else Status.OUTSIDE_DOMAIN
        return Saddle(closest, (), len(starts), 0, evaluations, status)
    proper = [i for i, point in enumerate(ends) if point.kind != "degenerate"]
    if not proper:
        return Saddle(ends[0], tuple(ends), len(starts), hits[0], evaluations, Status.DEGENERATE)
    chosen = max(proper, key=lambda i: hits[i])
    points = tuple(sorted(ends, key=lambda point: point.value))
    return Saddle(ends[chosen], points, len(starts), hits[chosen], evaluations, Status.CONVERGED)


def _scale(hessian: Float[np.ndarray, "..."]) -> float:
    return max(1.0, float(np.abs(hessian).max()))


def _descend(function: Function, x: Vector, tolerance: float) -> tuple[StationaryPoint, int]:
    value, gradient, hessian = function(x)
    used = 1
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
        return StationaryPoint(x, float(value), np.inf, np.full_like(x, np.nan)), used
    for _ in range(STEPS):
        if float(np.abs(gradient).max()) <= 1e-3 * tolerance * _scale(hessian):
            break
        step = np.linalg.lstsq(hessian, -gradient, rcond=None)[0]
        norm = float(np.linalg.norm(gradient))
        length = min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        for _ in range(40):
            candidate = x + length * step
            new = function(candidate)
            used += 1
            if np.isfinite(new[2]).all() and float(np.linalg.norm(new[1])) < norm:
                break
            length *= 0.5
        else:
            break  # no shorter step helps: rounding, or a point that is not stationary
        x, (value, gradient, hessian) = candidate, new
    eigenvalues = np.linalg.eigvalsh(hessian)
    return StationaryPoint(x, float(value), float(np.abs(gradient).max()), eigenvalues), used
