"""The readout fitted anew on fresh examples: for this fit the features are quenched, whatever trained the trunk."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.bound import checks, wording
from widthwise.bound.measurement import Measurement
from widthwise.bound.readout import Readout, fitted, readout
from widthwise.bound.wording import Status
from widthwise.errors import InputError

RESAMPLES = 20
_NO_VARIANCE = 4  # at λ = 0 and P ≤ N_eff + 4 a left-out error has no variance


@dataclass(frozen=True)
class ReadoutBound:
    """A readout refitted on fresh examples, beside the bound.

    Args:
        P: fresh examples.
        effective_size: N_eff of the features on them.
        ridge: λ.
        memorisation: m = tr H/P.
        target_power: T_y, of these examples.
        training_error: ε_t of the refit.
        gcv: ε_t/(1 − m)².
        press: error at examples left out of the refit.
        tau: 1 for Gaussian-equivalent features; None where the fit interpolates.
        gap: `press` − ε_t; at λ = 0 and P ≤ N_eff + 4, where that has no variance, the median over 20 random splits,
            fitted on nine tenths and tested on the rest, ± the spread of one of them.
        relative_gap: gap/T_y.
        ratio: gap/ε_g.
        predicted_ratio: 1 − (1 − m)².
        asymptotic_bound: 2 N_eff/P, of `relative_gap`.
        holds: whether `relative_gap` lies below it by two standard errors; None where that is undecided.
        within_twice_m: the same of `ratio` and 2m.
        status: what the bound is worth; `outside_assumption` where ρτ > 1, the features' tails being too heavy.
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
        InputError: as `readout`; targets that are all zero.
    """
    fit = readout(features, targets, ridge=ridge)
    Phi = checks.features(features)
    y = checks.columns(targets, len(Phi))
    T = power(y)
    gap, ratio = fit.gap, fit.ratio
    if ridge == 0.0 and 2 < fit.P <= fit.effective_size + _NO_VARIANCE:
        gap, ratio = _resampled(Phi, y, checks.precision(features), checks.whole("key", key, 0))
    relative, bound = gap / T, 2.0 * fit.effective_size / fit.P
    status, reason = _judge(fit, T, relative)
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
        within_twice_m=ratio.below(2.0 * fit.memorisation),
        status=status,
        reason=reason,
        readout=fit,
    )


def power(y: Float[np.ndarray, "P D"]) -> float:
    """T_y, the mean square of the targets.

    Raises:
        InputError: it is zero.
    """
    T = float(np.mean(np.sum(y**2, axis=1)))
    if T == 0.0:
        raise InputError("targets: expected some that are not zero, got zeros only; there is nothing to predict.")
    return T


def _judge(fit: Readout, T: float, relative: Measurement) -> tuple[Status, str]:
    P, N = fit.P, fit.effective_size
    if P <= 2 * N:
        return Status.VACUOUS, wording.vacuous(P, N)
    rho = fit.training_error / (1.0 - fit.memorisation) / T  # ε_t = ε_R (1 − m) at λ = 0
    if fit.tau is not None and fit.tau.below(1.0 / rho if rho > 0.0 else math.inf) is False:
        return Status.OUTSIDE_ASSUMPTION, wording.heavy(P, N, fit.tau, rho)
    undecided = relative.below(2.0 * N / P) is None
    reason = wording.quenched(P, N, relative) + (wording.unexplained(P, N, rho) if fit.ridge == 0.0 else "")
    return (Status.INCONCLUSIVE if undecided else Status.INFORMATIVE), reason


def _resampled(
    features: Float[np.ndarray, "P N"], y: Float[np.ndarray, "P D"], precision: float, key: int
) -> tuple[Measurement, Measurement]:
    """Gap and gap/ε_g, medians over random splits, with the spread of one split (1.4826 median absolute deviations).

    Not divided by the number of splits: they share their examples.
    """
    rng, P = np.random.default_rng(key), len(y)
    gaps, ratios = [], []
    for _ in range(RESAMPLES):
        order = rng.permutation(P)
        tested, kept = np.split(order, [max(1, P // 10)])
        fit = fitted(features[kept], y[kept], 0.0, True, precision, single=False)
        error = float(np.mean(np.sum((y[tested] - fit.predict(features[tested])) ** 2, axis=1)))
        gaps.append(error - fit.training_error)
        ratios.append(gaps[-1] / error if error > 0.0 else 0.0)
    return _median(gaps), _median(ratios)


def _median(values: list[float]) -> Measurement:
    middle = float(np.median(values))
    return Measurement(middle, 1.4826 * float(np.median(np.abs(np.array(values) - middle))))
