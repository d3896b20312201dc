"""Minima of a smooth function of up to some thousand variables, from its value and exact gradient.

L-BFGS rolls down; Newton steps on the gradient finish. The Hessian is the central difference of the exact gradient:
all of it for few variables, its products with vectors for many.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from jaxtyping import Float
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

from widthwise.saddle.result import Saddle, StationaryPoint, Status
from widthwise.saddle.scalar import FORGIVEN

Vector = Float[np.ndarray, " n"]
Function = Callable[[Vector], tuple[float, Vector]]
STEPS = 60
_DIFFERENCE = float(np.cbrt(np.finfo(float).eps))
_LOWEST = 4  # eigenvalues of a large Hessian that are looked for
_BASIN, _ALIKE = 0.5, 0.2  # how close to a minimum, and how like its quadratic, a descent is called off
_ASIDE = 0.1  # how far along a falling direction a descent starts anew


class _OutsideError(Exception):
    """The function ends here."""


class _ArrivedError(Exception):
    """The descent need go no further."""


def minimise(function: Function, starts: Sequence[Vector], *, tolerance: float = 1e-9, dense: int = 200) -> Saddle:
    """The lowest minimum that the starts lead to, and every other stationary point met.

    A start that ends on a point which is no minimum (a symmetric start of a symmetric function) is begun anew on either
    side of it, along the direction that falls most.

    Args:
        function: x (n,) ↦ (value, gradient (n,)); a value not finite marks the outside of the domain.
        starts: starting points (n,).
        tolerance: on the largest entry of the gradient, relative to max(1, the Hessian's largest eigenvalue).
        dense: up to how many variables the whole Hessian is formed. Beyond, `StationaryPoint.hessian` holds the lowest
            eigenvalues and the largest.

    Raises:
        ValueError: no starts.
    """
    if not len(starts):
        raise ValueError("minimise: expected at least one start, got none.")
    counted = _Counted(function)
    queue = [np.asarray(start, float) for start in starts]
    ends: list[_End] = []
    hits: list[int] = []
    closest: StationaryPoint | None = None
    tried = 0
    while queue:
        tried += 1
        known = lambda x, g: _basin(ends, x, g) is not None  # noqa: E731
        x, value, gradient = descend(counted, queue.pop(0), arrived=known)
        there = _basin(ends, x, gradient)
        if there is not None:
            hits[there] += 1
            continue
        if not np.isfinite(value):
            closest = closest or StationaryPoint(x, value, np.inf, np.full_like(x, np.nan))
            continue
        near = next((end for end in ends if _same(end.point.x, x, 1e-3)), None)
        end = _polish(counted, x, gradient, tolerance, dense, near.curvature if near else None)
        if closest is None or end.point.residual < closest.residual:
            closest = end.point
        if not end.converged:
            continue
        same = next((i for i, other in enumerate(ends) if _same(other.point.x, end.point.x, 1e-6)), None)
        if same is not None:
            hits[same] += 1
            continue
        ends.append(end)
        hits.append(1)
        if end.point.kind in ("saddle", "maximum"):
            aside = _ASIDE * end.curvature.lowest_vector
            queue += [end.point.x + aside, end.point.x - aside]
    if closest is None:
        raise AssertionError("every start ends somewhere")
    points = [end.point for end in ends]
    ordered = tuple(sorted(points, key=lambda point: point.value))
    minima = [i for i, point in enumerate(points) if point.kind == "minimum"]
    if minima:
        best = min(minima, key=lambda i: points[i].value)
        return Saddle(points[best], ordered, tried, hits[best], counted.evaluations, Status.CONVERGED)
    if ordered:
        degenerate = [point for point in ordered if point.kind == "degenerate"]
        status = Status.DEGENERATE if degenerate else Status.NO_MINIMUM
        return Saddle((degenerate or list(ordered))[0], ordered, tried, 0, counted.evaluations, status)
    status = Status.NOT_CONVERGED if np.isfinite(closest.residual) else Status.OUTSIDE_DOMAIN
    return Saddle(closest, (), tried, 0, counted.evaluations, status)


def descend(
    function: Function,
    start: Vector,
    *,
    tolerance: float = 1e-6,
    steps: int = 1000,
    arrived: Callable[[Vector, Vector], bool] = lambda x, gradient: False,
) -> tuple[Vector, float, Vector]:
    """Downhill to where the gradient is small: the point, the value and the gradient there, without a certificate.

    L-BFGS; a trust region takes over where it steps out of the domain.

    Args:
        function: as in `minimise`.
        start: (n,).
        tolerance: on the largest entry of the gradient, relative to max(1, the gradient's at the start).
        steps: at most.
        arrived: of (x, gradient): whether the descent can be called off, its end being known.
    """
    start = np.array(start, float)
    value, gradient = function(start)
    if not _finite(value, gradient):
        return start, np.inf, np.full_like(start, np.inf)
    best: list = [start, float(value), gradient]
    gtol = tolerance * max(1.0, float(np.abs(gradient).max()))

    def guarded(x: Vector) -> tuple[float, Vector]:
        value, gradient = function(x)
        if not _finite(value, gradient):
            raise _OutsideError
        if value < best[1]:
            best[:] = [x.copy(), float(value), gradient]
            if arrived(x, gradient):
                raise _ArrivedError
        return value, gradient

    def walled(x: Vector) -> tuple[float, Vector]:
        try:
            return guarded(x)
        except _OutsideError:
            return np.inf, np.zeros_like(x)

    try:
        options = {"maxcor": 20, "maxiter": steps, "maxfun": 4 * steps, "gtol": gtol, "ftol": 1e-15}
        scipy.optimize.minimize(guarded, start, jac=True, method="L-BFGS-B", options=options)
    except _ArrivedError:
        pass
    except _OutsideError:
        options = {"gtol": gtol, "maxiter": steps, "initial_trust_radius": 0.1}
        product = lambda x, v: _product(walled, x, v)  # noqa: E731
        with contextlib.suppress(_ArrivedError):
            scipy.optimize.minimize(walled, best[0], jac=True, hessp=product, method="trust-ncg", options=options)
    return best[0], best[1], best[2]


def hessian(function: Function, x: Vector) -> Float[np.ndarray, "n n"]:
    """The Hessian at x by central differences of the gradient: two evaluations a variable."""
    H = np.empty((len(x), len(x)))
    for i, xi in enumerate(x):
        step = _DIFFERENCE * max(1.0, abs(float(xi)))
        aside = np.zeros_like(x)
        aside[i] = step
        H[i] = (function(x + aside)[1] - function(x - aside)[1]) / (2.0 * step)
    return 0.5 * (H + H.T)


def _product(function: Function, x: Vector, v: Vector) -> Vector:
    """Hessian times v, by a central difference of the gradient."""
    size = float(np.abs(v).max())
    if size == 0.0:
        return np.zeros_like(v)
    step = _DIFFERENCE * max(1.0, float(np.abs(x).max())) / size
    return (function(x + step * v)[1] - function(x - step * v)[1]) / (2.0 * step)


def _finite(value: float, gradient: Vector) -> bool:
    return bool(np.isfinite(value) and np.isfinite(gradient).all())


def _same(x: Vector, y: Vector, tolerance: float) -> bool:
    return float(np.abs(x - y).max()) <= tolerance * max(1.0, float(np.abs(x).max()))


class _Counted:
    """The function, and how often it was called."""

    def __init__(self, function: Function) -> None:
        self.function, self.evaluations = function, 0

    def __call__(self, x: Vector) -> tuple[float, Vector]:
        self.evaluations += 1
        return self.function(x)


class _Dense:
    """The whole Hessian at a point."""

    def __init__(self, function: Function, x: Vector) -> None:
        self.x = x
        self.H = hessian(function, x)
        self.finite = bool(np.isfinite(self.H).all())
        if self.finite:
            self.eigenvalues, vectors = np.linalg.eigh(self.H)
            self.lowest_vector = vectors[:, 0]
        else:
            self.eigenvalues = np.full_like(x, np.nan)
        self.scale = max(1.0, float(np.abs(self.eigenvalues).max()))

    def newton(self, gradient: Vector) -> Vector:
        return np.linalg.lstsq(self.H, -gradient, rcond=None)[0]


class _Products:
    """The Hessian at a point through its products with vectors."""

    def __init__(self, function: Function, x: Vector) -> None:
        self.function, self.x = function, x
        n = len(x)
        operator = LinearOperator((n, n), matvec=lambda v: _product(function, x, v.ravel()), dtype=float)
        first = np.random.default_rng(0).normal(size=n)
        try:
            largest = eigsh(operator, 1, which="LA", v0=first, tol=1e-2, return_eigenvectors=False)
            low, vectors = eigsh(operator, _LOWEST, which="SA", v0=first, tol=1e-4, maxiter=20 * n)
        except (ArpackNoConvergence, ArpackError):  # not known, and said so: such a point is no minimum
            largest, low, vectors = np.array([np.nan]), np.full(_LOWEST, np.nan), np.zeros((n, 1))
        self.finite = bool(np.isfinite(low).all())
        order = np.argsort(low)
        self.eigenvalues = np.append(low[order], largest)
        self.lowest_vector = vectors[:, order[0]] if self.finite else vectors[:, 0]
        self.scale = max(1.0, float(np.abs(self.eigenvalues).max())) if self.finite else 1.0

    def newton(self, gradient: Vector) -> Vector:
        """Conjugate gradients on H p = −g, stopped at a direction that does not rise."""
        p, r = np.zeros_like(gradient), -gradient
        d, rr = r.copy(), float(r @ r)
        goal = 1e-6 * rr
        for _ in range(200):
            Hd = _product(self.function, self.x, d)
            rise = float(d @ Hd)
            if rise <= 0.0:
                break
            p, r = p + rr / rise * d, r - rr / rise * Hd
            last, rr = rr, float(r @ r)
            if rr <= goal:
                break
            d = r + rr / last * d
        return p


@dataclass(frozen=True)
class _End:
    """Where one start ended, and the Hessian near it."""

    point: StationaryPoint
    curvature: _Dense | _Products
    converged: bool


def _basin(ends: Sequence[_End], x: Vector, gradient: Vector) -> int | None:
    """Which known minimum is close, and has a Hessian that says what the gradient at x is, nearly."""
    for i, end in enumerate(ends):
        aside = x - end.point.x
        if end.point.kind != "minimum" or not isinstance(end.curvature, _Dense) or np.abs(aside).max() > _BASIN:
            continue
        expected = end.curvature.H @ aside
        if np.linalg.norm(gradient - expected) <= _ALIKE * float(np.linalg.norm(expected)):
            return i
    return None


def _polish(
    function: _Counted,
    x: Vector,
    gradient: Vector,
    tolerance: float,
    dense: int,
    curvature: _Dense | _Products | None,
) -> _End:
    """Newton steps on the gradient; a Hessian serves until it no longer brings the gradient down tenfold."""
    kind = _Dense if len(x) <= dense else _Products
    curvature = curvature or kind(function, x)
    size = float(np.abs(gradient).max())
    for _ in range(STEPS):
        if size <= 0.01 * tolerance * curvature.scale or not curvature.finite:
            break
        step = curvature.newton(gradient)
        length = min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-300))
        before = size
        for _ in range(8):
            value, new = function(x + length * step)
            if _finite(value, new) and float(np.abs(new).max()) < size:
                x, gradient, size = x + length * step, new, float(np.abs(new).max())
                break
            length *= 0.25
        if size > 0.1 * before:
            if np.array_equal(curvature.x, x):
                break  # rounding, or no stationary point here
            if size <= tolerance * curvature.scale:
                break
            curvature = kind(function, x)
    if not _same(curvature.x, x, 1e-7):
        curvature = kind(function, x)
    point = StationaryPoint(x, float(function(x)[0]), size, curvature.eigenvalues)
    return _End(point, curvature, curvature.finite and size <= max(tolerance, FORGIVEN) * curvature.scale)
