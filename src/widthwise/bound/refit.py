"""The readout fitted anew on fresh examples: for this fit the features are quenched, whatever trained the trunk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import median_abs_deviation

from widthwise import checks
from widthwise.bound import wording
from widthwise.bound.measurement import Measurement, students
from widthwise.bound.readout import Readout, fitted
from widthwise.bound.wording import Status
from widthwise.errors import InputError
from widthwise.numerics.factors import Factors, least_norm, of_features, precision

RESAMPLES = 20
_FREEDOM = 0.37 * RESAMPLES  # of a median absolute deviation, 37 % as efficient as a standard deviation
_EXACT = 1e-26  # of the targets' mean square: errors of rounding
_NO_VARIANCE = 4  # at λ = 0 and P ≤ N_eff + 4 a left-out error has no variance


@dataclass(frozen=True)
class ReadoutBound:
    """A readout refitted on fresh examples, beside the bound.

    Args:
        P: fresh examples.
        effective_size: N_eff of the features on them.
        ridge: λ.
        memorisation: m = tr H/P.
        target_power: T_y = ⟨|y − ⟨y⟩|²⟩ of these examples.
        training_error: ε_t of the refit.
        gcv: ε_t/(1 − m)².
        press: error at examples left out of the refit.
        tau: 1 for Gaussian-equivalent features; None where every leverage is 1.
        gap: `press` − ε_t; at λ = 0 and P ≤ N_eff + 4, where that has no variance, the median over 20 random splits,
            fitted on nine tenths and tested on the rest, ± the spread of one of them.
        relative_gap: gap/T_y.
        ratio: gap/ε_g.
        predicted_ratio: 1 − (1 − m)².
        asymptotic_bound: 2 N_eff/P, of `relative_gap`.
        holds: whether `relative_gap` lies below it by two standard errors, of few examples more; None
            where that is undecided.
        within_twice_m: the same of `ratio` and 2m.
        status: what the bound is worth; `outside_assumption` where ρτ > 1, the features' tails being too heavy, unless
            a ridge holds the gap below it all the same.
        reason: why, in words.
        readout: the fit.
    """

    P: int
    effective_size: int
    ridge: float
    memorisation: float
    target_power: float
    training_error: float
    gcv: float
    press: Measurement
    tau: Measurement | None
    gap: Measurement
    relative_gap: Measurement
    ratio: Measurement
    predicted_ratio: float
    asymptotic_bound: float
    holds: bool | None
    within_twice_m: bool | None
    status: Status
    reason: str
    readout: Readout = field(repr=False)


def refit(features: Any, targets: Any, *, ridge: float = 0.0, key: int = 0) -> ReadoutBound:
    """The quenched bound beside the gap of a readout fitted on examples that the features never saw.

        gap/T_y ≤ 2 N_eff/P        [Ariosto, Pacelli, Ginelli, Gherardi, Rotondo 2022, arXiv 2201.11022]
        gap/ε_g = 1 − (1 − m)² ≤ 2m,   m = tr H/P
        gap → 2 ρτ N_eff/P T_y as P → ∞,   ρ = ε_R/T_y

    Assumes: the features are independent of these examples.

    Args:
        features: (P, N), of fresh examples.
        targets: (P,) or (P, D).
        ridge: λ ≥ 0, not divided by P.
        key: of the random splits, where P ≤ N_eff + 4.

    Returns:
        A `ReadoutBound`.

    Raises:
        InputError: as `readout`; targets that do not vary.
    """
    Phi, ridge, key = checks.features(features), checks.ridge(ridge), checks.whole("key", key, 0)
    if len(Phi) < 2:
        raise InputError("features: expected at least 2 examples, got 1; nothing is left when one is left out.")
    y = checks.targets(targets, len(Phi))
    parts = of_features(Phi, True, precision(features))
    return of_parts(parts, y, ridge, key, single=np.ndim(targets) == 1)


def of_parts(parts: Factors, y: Float[np.ndarray, "P D"], ridge: float, key: int, *, single: bool) -> ReadoutBound:
    """`refit` of features that are factorised already, with a constant.

    Args:
        parts: of the features.
        y, ridge, key: as there, checked.
        single: whether residuals are (P,).
    """
    T, fit = power(y), fitted(parts, y, ridge, True, single=single)
    gap, ratio = fit.gap, fit.ratio
    if ridge == 0.0 and 2 < fit.P <= fit.effective_size + _NO_VARIANCE:
        gap, ratio = _resampled(parts, y, key)
    relative, bound = gap / T, 2.0 * fit.effective_size / fit.P
    exact = fit.press.value <= _EXACT * float(np.mean(np.sum(y**2, axis=1)))  # no ratio but of roundings
    status, reason = judge(fit, T, relative)
    return ReadoutBound(
        P=fit.P,
        effective_size=fit.effective_size,
        ridge=fit.ridge,
        memorisation=fit.memorisation,
        target_power=T,
        training_error=fit.training_error,
        gcv=fit.gcv,
        press=fit.press,
        tau=fit.tau,
        gap=gap,
        relative_gap=relative,
        ratio=ratio,
        predicted_ratio=fit.predicted_ratio,
        asymptotic_bound=bound,
        holds=relative.below(bound),
        within_twice_m=True if exact else ratio.below(2.0 * fit.memorisation),
        status=status,
        reason=reason,
        readout=fit,
    )


def power(y: Float[np.ndarray, "P D"]) -> float:
    """T_y, the mean square of the targets about their mean.

    The constant of a readout is not penalised, so that errors and gaps do not know where the targets' zero is: nor may
    their unit. The error of the best ridge is below this T_y, and so the gap below T_y 2 N_eff/P.

    Raises:
        InputError: they do not vary.
    """
    centred = y - y.mean(axis=0)
    if float(np.abs(centred).max()) <= 1e-14 * float(np.abs(y).max()):
        raise InputError("targets: expected some that vary, got a constant; there is nothing to learn.")
    return float(np.mean(np.sum(centred**2, axis=1)))


def judge(fit: Readout, T: float, relative: Measurement | None) -> tuple[Status, str]:
    """Status and reason of the bound for quenched features.

    Args:
        fit: the readout on the bound's examples.
        T: their target power.
        relative: the measured gap/T; None where it is not.
    """
    P, N = fit.P, fit.effective_size
    if P <= 2 * N:
        return Status.VACUOUS, wording.vacuous(P, N)
    rho = fit.training_error / (1.0 - fit.memorisation) / T  # ε_t = ε_R (1 − m) at λ = 0
    held = (fit.gap / T).below(2.0 * N / P) is True  # as a ridge may hold heavy tails, too
    if not held and fit.tau is not None and fit.tau.below(1.0 / rho if rho > 0.0 else math.inf) is False:
        return Status.OUTSIDE_ASSUMPTION, wording.heavy(P, N, fit.tau, rho)
    undecided = relative is not None and relative.below(2.0 * N / P) is None
    reason = wording.quenched(P, N, relative) + (wording.unexplained(P, N, rho) if fit.ridge == 0.0 else "")
    return (Status.INCONCLUSIVE if undecided else Status.INFORMATIVE), reason


def _resampled(parts: Factors, y: Float[np.ndarray, "P D"], key: int) -> tuple[Measurement, Measurement]:
    """Gap and gap/ε_g, medians over random splits, with the spread of one split (by its median absolute deviation).

    Not divided by the number of splits: they share their examples. Features turned to their own axes, as many as there
    are ranks, give the same fits.
    """
    U, s, _ = parts.spectrum
    rng, P = np.random.default_rng(key), len(y)
    gaps, ratios = [], []
    for _ in range(RESAMPLES):
        order = rng.permutation(P)
        tested, kept = np.split(order, [max(1, P // 10)])
        f = least_norm(U, s, y, kept)
        squares = np.sum((y - f) ** 2, axis=1)
        error = float(squares[tested].mean())
        gaps.append(error - float(squares[kept].mean()))
        ratios.append(gaps[-1] / error if error > 0.0 else 0.0)
    return _median(gaps), _median(ratios)


def _median(values: list[float]) -> Measurement:
    return Measurement(
        float(np.median(values)), float(median_abs_deviation(values, scale="normal")), students(_FREEDOM)
    )
