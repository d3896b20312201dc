"""The gap of a refitted readout over the number of examples, beside the bound and its sharp form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import median_abs_deviation

from widthwise import checks
from widthwise.bound.readout import fitted
from widthwise.bound.refit import power
from widthwise.errors import InputError
from widthwise.numerics.factors import Factors, of_features, precision
from widthwise.replica.population import Population

SIZES = 8  # of the default grid


@dataclass(frozen=True)
class GapCurve:
    """Gaps over sizes, in units of the target power T_y.

    Args:
        sizes: P, ascending (A,).
        gap: medians of (ε_g − ε_t)/T_y over random subsets (A,).
        standard_error: of the medians, from the subsets' spread (A,); too small where they overlap much.
        bound: 2 N_eff/P (A,).
        sharp: the data-averaged theory of the whole sample's moments (A,); infinite where λ = 0 and P = N_eff, NaN
            where the sample has no such theory.
        effective_size: N_eff of the whole sample.
        ridge: λ.
        repeats: subsets of each size.
        target_power: T_y = ⟨|y − ⟨y⟩|²⟩ of the whole sample.
    """

    sizes: Int[np.ndarray, " A"]
    gap: Float[np.ndarray, " A"]
    standard_error: Float[np.ndarray, " A"]
    bound: Float[np.ndarray, " A"]
    sharp: Float[np.ndarray, " A"] = field(repr=False)
    effective_size: int
    ridge: float
    repeats: int
    target_power: float


def gap_curve(
    features: Any,
    targets: Any,
    *,
    sizes: Any = None,
    ridge: float = 0.0,
    repeats: int = 20,
    key: int = 0,
) -> GapCurve:
    """Refit the readout on random subsets of each size, test it on the rest.

    Beside them the bound, and `sharp_gap` of all the examples.

    Assumes: the features are independent of the targets' noise: fresh examples, or an untrained trunk.

    Args:
        features: (P, N), any array.
        targets: (P,) or (P, D).
        sizes: numbers of examples (A,), between 2 and P − 1; by default 8, evenly spread in log P from N_eff/2 to 4P/5.
        ridge: λ ≥ 0, not divided by the number of examples.
        repeats: subsets of each size.
        key: of the subsets.

    Returns:
        A `GapCurve`.

    Raises:
        InputError: arrays that do not fit, sizes out of range, no repeats.
    """
    Phi = checks.features(features)
    y = checks.targets(targets, len(Phi))
    ridge, repeats, P = checks.ridge(ridge), checks.whole("repeats", repeats, 1), len(Phi)
    if P < 4:
        raise InputError(f"features: expected at least 4 examples to split, got {P}; pass more.")
    T, unit = power(y), precision(features)
    parts = of_features(Phi, True, unit)
    N = parts.U.shape[1] + 1
    if Phi.shape[1] > P:  # turned to their own axes, as many as there are ranks, they give the same fits
        U, s, _ = parts.spectrum
        Phi, unit = U * s, float(np.finfo(float).eps)
    grid = _grid(sizes, N, P)
    rng, medians, errors = np.random.default_rng(checks.whole("key", key, 0)), [], []
    for size in grid:
        gaps = np.empty(repeats)
        for i in range(repeats):
            kept, rest = np.split(rng.permutation(P), [size])
            fit = fitted(of_features(Phi[kept], True, unit), y[kept], ridge, True, single=False)
            error = np.mean(np.sum((y[rest] - fit.predict(Phi[rest])) ** 2, axis=1))
            gaps[i] = (error - fit.training_error) / T
        medians.append(float(np.median(gaps)))
        spread = float(median_abs_deviation(gaps, scale="normal"))
        errors.append(math.sqrt(math.pi / (2 * repeats)) * spread if repeats > 1 else math.nan)
    return GapCurve(
        sizes=grid,
        gap=np.array(medians),
        standard_error=np.array(errors),
        bound=2.0 * N / grid,
        sharp=_sharp(parts, y, grid, ridge) / T,
        effective_size=N,
        ridge=ridge,
        repeats=repeats,
        target_power=T,
    )


def sharp_gap(features: Any, targets: Any, sizes: Any, *, ridge: float = 0.0) -> Float[np.ndarray, " A"]:
    """The bound's sharp form for readouts of P examples: (ε_g − ε_t)/T_y of the data-averaged theory.

        gap = (1 + 1/P) ε_g(P − 1) − (1 − 1/P) ε_t(P − 1)

    with the learning curve of `replica.Population.of_sample`: of centred moments, for P examples of which the constant
    uses up one. The two factors are exact for Gaussian features: a sample's mean is independent of its scatter.

    Assumes: as `gap_curve`, and Gaussian equivalence.

    Args:
        features: (n, N), any array: the sample that stands for the population, n ≫ N.
        targets: (n,) or (n, D).
        sizes: P ≥ 2 (A,), not bound to be below n.
        ridge: λ ≥ 0, not divided by P.

    Returns:
        (A,); infinite where λ = 0 and P = N_eff, NaN where the sample has no such theory.

    Raises:
        InputError: arrays that do not fit, sizes below 2.
    """
    Phi = checks.features(features)
    y = checks.targets(targets, len(Phi))
    grid = np.array([checks.whole("sizes", size, 2) for size in np.atleast_1d(sizes)], dtype=np.int64)
    parts = of_features(Phi, True, precision(features))
    return _sharp(parts, y, grid, checks.ridge(ridge)) / power(y)


def _grid(sizes: Any, N: int, P: int) -> Int[np.ndarray, " A"]:
    if sizes is None:
        last = min(4 * P // 5, P - 1)
        first = min(max(2, N // 2), last)
        return np.unique(np.geomspace(first, last, SIZES).round().astype(np.int64))
    grid = np.unique([checks.whole("sizes", size, 2) for size in np.atleast_1d(sizes)]).astype(np.int64)
    if not len(grid) or grid[-1] >= P:
        got = f"{grid[-1]}" if len(grid) else "none"
        raise InputError(
            f"sizes: expected whole numbers from 2 to {P - 1}, some examples being left to test, got {got}."
        )
    return grid


def _sharp(
    parts: Factors, y: Float[np.ndarray, "P D"], sizes: Int[np.ndarray, " A"], ridge: float
) -> Float[np.ndarray, " A"]:
    """ε_g − ε_t of the data-averaged theory, of the features turned so that none is dead or linear in others."""
    U, s, _ = parts.spectrum
    try:
        population = Population.of_sample(U * s, y)
    except InputError:  # nothing varies, or no more examples than features: no moments to speak of
        return np.full(len(sizes), math.nan)
    if population.rank < len(s):  # units too far apart for second moments: their squares are lost in rounding
        return np.full(len(sizes), math.nan)
    curve = population.learning_curve((sizes - 1) / population.size, ridge)
    return (1.0 + 1.0 / sizes) * curve.generalisation_error - (1.0 - 1.0 / sizes) * curve.training_error
