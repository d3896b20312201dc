"""Minima of a smooth function of a few variables whose gradient is exact and whose values are dear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.saddle.result import StationaryPoint

Vector = Float[np.ndarray, " n"]
Square = Float[np.ndarray, "n n"]
Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
_FLAT = 1e-11  # relative changes of the value below this are rounding: the gradient then decides


@dataclass(frozen=True)
class Descent:
    """Where a descent ended.

    Args:
        x: the last point (n,).
        value: the function there.
        gradient: (n,).
        hessian: the quasi-Newton approximation (n, n), to go on from.
        evaluations: of the function.
    """

    x: Vector
    value: float
    gradient: Vector
    hessian: Square
    evaluations: int

    @property
    def residual(self) -> float:
        """The largest absolute entry of the gradient; infinite outside the domain."""
        return float(np.abs(self.gradient).max()) if np.isfinite(self.value) else np.inf


def minimise_few(
    function: Function,
    start: Vector,
    hessian: Square,
    *,
    tolerance: float = 1e-9,
    steps: int = 200,
    radius: float = 1.0,
    arrived: Callable[[Vector, Vector], bool] = lambda x, gradient: False,
) -> Descent:
    """Downhill by quasi-Newton steps within a trust region.

    The approximation of the Hessian stays positive definite by damped BFGS updates [Nocedal, Wright 2006, Procedure
    18.2]; steps that do not lower the function enough are taken back and halved.

    Args:
        function: x (n,) ↦ (value, gradient (n,)); an infinite value marks the outside of the domain.
        start: (n,).
        hessian: a first guess of the Hessian, positive definite (n, n).
        tolerance: on the largest entry of the gradient, relative to max(1, the Hessian's largest).
        steps: evaluations at most.
        radius: of the largest first step.
        arrived: of (x, gradient): whether the descent can be called off, its end being known.
    """
    x, B = np.array(start, dtype=float), np.array(hessian, dtype=float)
    value, gradient = function(x)
    used = 1
    while np.isfinite(value) and used < steps:
        if float(np.abs(gradient).max()) <= tolerance * max(1.0, float(np.abs(B).max())) or arrived(x, gradient):
            break
        try:
            step = -np.linalg.solve(B, gradient)
        except np.linalg.LinAlgError:  # an update lost to rounding: the search ends where it is, unconverged
            break
        length = float(np.abs(step).max())
        step *= min(1.0, radius / length)
        length = min(length, radius)
        predicted = -float(gradient @ step + 0.5 * step @ B @ step)
        new_value, new_gradient = function(x + step)
        used += 1
        if not np.isfinite(new_value):
            radius = 0.5 * length
            continue
        gain = (value - new_value) / predicted if predicted > 0.0 else -1.0
        flat = abs(new_value - value) <= _FLAT * max(1.0, abs(value))
        better = float(np.linalg.norm(new_gradient)) < float(np.linalg.norm(gradient))
        B = _damped_update(B, step, new_gradient - gradient)
        if gain > 1e-4 or (flat and better):
            if gain > 0.5:
                radius = max(radius, 2.0 * length)
            elif gain < 0.1 and not flat:
                radius = 0.5 * length
            x, value, gradient = x + step, new_value, new_gradient
        elif length <= 1e-12 * max(1.0, float(np.abs(x).max())):
            break  # as close as rounding lets it come
        else:
            radius = 0.5 * length
    return Descent(x, value, gradient, B, used)


def _damped_update(B: Square, step: Vector, change: Vector) -> Square:
    """The BFGS update of B, with the change of the gradient bent towards B·step where the curvature is not positive."""
    along = B @ step
    curvature, own = float(step @ change), float(step @ along)
    if own <= 0.0:
        return B
    theta = 1.0 if curvature >= 0.2 * own else 0.8 * own / (own - curvature)
    bent = theta * change + (1.0 - theta) * along
    return B - np.outer(along, along) / own + np.outer(bent, bent) / float(step @ bent)


def hessian_of(function: Function, x: Vector, *, step: float = 1e-4) -> Square:
    """The Hessian (n, n) by central differences of the exact gradient, error O(step²); NaN outside the domain."""
    n = len(x)
    H = np.empty((n, n))
    for i in range(n):
        e = np.zeros(n)
        e[i] = step
        (up, above), (down, below) = function(x + e), function(x - e)
        H[i] = (above - below) / (2.0 * step) if np.isfinite(up) and np.isfinite(down) else np.nan
    return 0.5 * (H + H.T)


def polish(function: Function, descent: Descent, *, tolerance: float = 1e-11) -> tuple[StationaryPoint, Square, int]:
    """Newton steps on the gradient from the end of a descent, with one Hessian by differences kept throughout.

    Args:
        function: as in `minimise_few`.
        descent: near a stationary point, of whatever kind.
        tolerance: on the largest entry of the gradient, relative to max(1, the Hessian's largest).

    Returns:
        The point with its Hessian's eigenvalues, the Hessian (n, n), and the evaluations used.
    """
    x, value, gradient = descent.x, descent.value, descent.gradient
    H = hessian_of(function, x)
    used = 2 * len(x)
    if not np.isfinite(H).all():
        return StationaryPoint(x, value, np.inf, np.full(len(x), np.nan)), H, used
    scale = max(1.0, float(np.abs(H).max()))
    for _ in range(8):
        residual = float(np.abs(gradient).max())
        if residual <= tolerance * scale:
            break
        candidate = x - np.linalg.lstsq(H, gradient, rcond=None)[0]
        new_value, new_gradient = function(candidate)
        used += 1
        if not np.isfinite(new_value) or float(np.abs(new_gradient).max()) >= 0.9 * residual:
            break
        x, value, gradient = candidate, new_value, new_gradient
    return StationaryPoint(x, value, float(np.abs(gradient).max()), np.linalg.eigvalsh(H)), H, used
