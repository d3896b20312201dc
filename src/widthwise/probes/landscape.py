"""The best a student of given width can do with infinitely many data, found by descents from many starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.probes.overlap import overlaps
from widthwise.probes.population import Population, population_of
from widthwise.saddle.descend import Function, descend, hessian

_ALIKE = 1e-6  # of the teacher's power: losses this close are one
_FLAT = 1e-7  # largest slope of a converged optimum, per unit of power
_ZERO = 1e-13  # relative loss at which a student is the teacher, whatever the slope
_FALLING = 1e-6  # curvature below minus this is a saddle's
_ASIDE = 0.1  # how far along its falling direction a saddle is left
_ESCAPES = 5
_NEWTON = 20


@dataclass(frozen=True)
class Landscape:
    """The best student of all starts, and what the others came to.

    Args:
        loss: the population loss of the best, E(f_S − f*)².
        relative_loss: loss / E f*².
        overlap: q of the best, `overlap.overlaps`.
        weights: (N1, N0), of the best.
        readout: (N1,), of the best.
        losses: of every start (restarts first), in the order they were begun.
        fraction: of the starts that came to the best, within 1e-6 of the teacher's power.
        gradient: largest entry of the gradient at the best.
        curvature: lowest eigenvalue of the Hessian there, in the space searched: 0, to rounding, where rotations or
            rescalings change nothing, or the student is wider than needed.
        status: "converged", or "stalled" where neither the slope nor the loss vanished, or the loss still falls.
    """

    loss: float
    relative_loss: float
    overlap: float
    weights: Float[np.ndarray, "N1 N0"]
    readout: Float[np.ndarray, "N1"]
    losses: Float[np.ndarray, "starts"]
    fraction: float
    gradient: float
    curvature: float
    status: str

    def __str__(self) -> str:
        return (
            f"width {len(self.readout)}   loss / power {self.relative_loss:.4g}   overlap {self.overlap:.4f}   "
            f"{self.fraction:.0%} of {len(self.losses)} starts   {self.status}"
        )


def infinite_data(
    teacher: Any,
    width: int,
    *,
    restarts: int = 20,
    key: int = 0,
    activation: Any = None,
    starts: Sequence[tuple[Any, Any]] = (),
) -> Landscape:
    """The optimum at P = ∞: the lowest `population_loss` of a student of this width that the descents find.

    Each start draws W ~ N(0, g²/D) and the best readout for it; L-BFGS rolls down, Newton's steps finish the best.

    The search is in the teacher's span for erf and identity students, where nothing is lost: E[erf(w·x) | Px] is again
    an erf unit, of weights Pw/√(1 + 2|w − Pw|²), and by Jensen's inequality no worse. For others it has `width` more
    dimensions (as far as there are inputs): that is every configuration, up to rotations.

    Assumes: as `population_loss`. A search: the best found is an upper bound of the optimum; `fraction` tells how
        often it was found.

    Args:
        teacher: `Teacher.one_hidden_layer`, or anything with `units`, `readout`, `activation`, `gain`.
        width: N1, at least 1.
        restarts: random starts.
        key: seed of the starts.
        activation: the student's; None for the teacher's.
        starts: further ones, (W (N1, N0), a (N1,)); what lies outside the space searched is dropped.

    Raises:
        InputError: a width below 1, no start at all, a teacher that is zero everywhere, or as `population_loss`.
    """
    for name, number, least in (("width", width, 1), ("restarts", restarts, 0 if starts else 1)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise InputError(f"{name}: expected a whole number of at least {least}, got {number!r}; pass e.g. 10.")
    population, phi = population_of(teacher, activation)
    if not population.power > 0:
        raise InputError("teacher: expected one that is not zero everywhere, got E f*² = 0; give it a readout.")
    basis = _basis(population.targets, 0 if phi.name in ("erf", "identity") and phi.builtin else width)
    reduced = replace(population, targets=population.targets @ basis.T)
    rng = np.random.default_rng(key)
    begun = [_random(reduced, width, rng) for _ in range(restarts)] + [_given(start, width, basis) for start in starts]

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope, readout = reduced.value_and_gradient(*_split(x, width))
        return value / population.power, np.concatenate([slope.ravel(), readout]) / population.power

    ends = [descend(function, start, tolerance=1e-8, steps=3000) for start in begun]
    losses = np.array([end[1] for end in ends])
    best = int(np.argmin(losses))
    x, value, slope, curvature = _settle(function, ends[best][0])
    losses[best] = value
    W, a = _split(x, width)
    size = float(np.abs(slope).max())
    return Landscape(
        loss=max(value, 0.0) * population.power,
        relative_loss=max(value, 0.0),
        overlap=overlaps(W @ basis, population.targets).overlap,
        weights=W @ basis,
        readout=a,
        losses=np.maximum(losses, 0.0) * population.power,
        fraction=float(np.mean(losses <= value + _ALIKE)),
        gradient=size * population.power,
        curvature=curvature * population.power,
        status="converged" if value <= _ZERO or (size <= _FLAT and curvature >= -_FALLING) else "stalled",
    )


def _split(x: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    return x[:-width].reshape(width, -1), x[-width:]


def _basis(targets: np.ndarray, further: int) -> np.ndarray:
    """Orthonormal rows: the teacher's span first, then as many further directions as there are, at most `further`."""
    _, s, rows = np.linalg.svd(targets)
    rank = int(np.count_nonzero(s > 1e-12 * s[0]))
    return rows[: max(rank + further, 1)]


def _random(population: Population, width: int, rng: np.random.Generator) -> np.ndarray:
    M, D = population.targets.shape
    gain = np.sqrt((population.targets**2).sum() / M)
    W = rng.standard_normal((width, D)) * gain / np.sqrt(D)
    return np.concatenate([W.ravel(), population.best_readout(W)])


def _given(start: tuple[Any, Any], width: int, basis: np.ndarray) -> np.ndarray:
    W, a = (np.asarray(part, float) for part in start)
    if W.shape != (width, basis.shape[1]) or a.shape != (width,):
        raise InputError(
            f"starts: expected weights ({width}, {basis.shape[1]}) and readout ({width},), got {W.shape} and "
            f"{a.shape}; pass pairs (W, a) of the width asked for."
        )
    return np.concatenate([(W @ basis.T).ravel(), a])


def _settle(function: Function, x: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, float]:
    """From the end of a descent to a minimum: polished, and begun anew on either side of a saddle."""
    x, value, slope, curvature, falling = _polish(function, x)
    for _ in range(_ESCAPES):
        if curvature >= -_FALLING:
            break
        sides = [descend(function, x + side * falling, tolerance=1e-8, steps=3000) for side in (_ASIDE, -_ASIDE)]
        x, value, slope, curvature, falling = _polish(function, min(sides, key=lambda end: end[1])[0])
    return x, value, slope, curvature


def _polish(function: Function, x: np.ndarray) -> tuple[np.ndarray, float, np.ndarray, float, np.ndarray]:
    """Newton's steps, damped where the Hessian is flat or falls: point, value, slope, lowest curvature, its direction.

    A step is taken when it lowers the slope and does not raise the value beyond rounding, so that a minimum is never
    left for a saddle.
    """
    value, slope = function(x)
    eigenvalues, vectors = np.linalg.eigh(hessian(function, x))
    damping = 1e-8
    for _ in range(_NEWTON):
        if float(np.abs(slope).max()) <= 1e-14 or damping > 1e3:
            break
        step = -vectors @ ((vectors.T @ slope) / (np.abs(eigenvalues) + damping))
        new_value, new_slope = function(x + step)
        if new_value > value + 1e-14 or np.linalg.norm(new_slope) >= np.linalg.norm(slope):
            damping *= 100.0
            continue
        x, value, slope, damping = x + step, new_value, new_slope, max(damping / 100.0, 1e-10)
        eigenvalues, vectors = np.linalg.eigh(hessian(function, x))
    return x, value, slope, float(eigenvalues[0]), vectors[:, 0]
