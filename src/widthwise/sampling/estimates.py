"""Averages over draws with their Monte Carlo errors: ESS, R-hat and MCSE are ArviZ's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from widthwise.sampling.checks import extra

BATCHES = 10


@dataclass(frozen=True)
class Estimate:
    """A posterior average.

    Attributes:
        value: the average.
        standard_error: of the value, from its effective sample size.
        ess: effective number of independent draws (bulk, all chains together).
        ess_tail: the same of the 5 % and 95 % quantiles, whichever is less.
        rhat: rank-normalised split R-hat; 1 when the chains agree, infinite when one never moved or is not finite.
    """

    value: float
    standard_error: float
    ess: float
    ess_tail: float
    rhat: float


@dataclass(frozen=True)
class GibbsError(Estimate):
    """A Gibbs-averaged error ⟨(y − f)²⟩ = bias + variance, averaged over points, summed over outputs.

    Attributes:
        bias: (y − ⟨f⟩)², freed of the upward shift that the noise of ⟨f⟩ gives its plug-in value.
        variance: ⟨f²⟩ − ⟨f⟩².
    """

    bias: Estimate
    variance: Estimate

    @property
    def total(self) -> float:
        """bias + variance: the same number as `value`."""
        return self.value


def estimate(series: Float[np.ndarray, "chains draws"]) -> Estimate:
    """The mean of a scalar that every draw has.

    A single chain is cut in two, so that R-hat can compare something.  [Vehtari et al. 2021, arXiv 1903.08008]
    What R-hat cannot judge counts as the worst: a series that is not finite, a chain that never moved while another
    did, chains at rest in different places. All at rest in one place agree, without error.
    """
    az = extra("arviz")
    if not np.isfinite(series).all():
        return Estimate(math.nan, math.inf, 1.0, 1.0, math.inf)
    if len(series) == 1:
        half = series.shape[1] // 2
        series = np.stack([series[0, :half], series[0, half : 2 * half]])
    value = float(series.mean())
    rounding = 1e-14 * float(np.abs(series).max())
    if np.ptp(series) <= rounding:
        return Estimate(value, 0.0, float(series.size), float(series.size), 1.0)
    at_rest = np.ptp(series, axis=1) <= rounding
    if at_rest.all():
        return Estimate(value, math.inf, 1.0, 1.0, math.inf)
    error, rhat = az.mcse(series, method="mean"), math.inf if at_rest.any() else az.rhat(series, method="rank")
    bulk, tail = (az.ess(series, method=method) for method in ("bulk", "tail"))
    return Estimate(value, _or(error, math.inf), _or(bulk, 1.0), _or(tail, 1.0), _or(rhat, math.inf))


def _or(number: float, worst: float) -> float:
    """The number, or the worst it could be where there is none."""
    return worst if math.isnan(number) else float(number)


def batch_means(series: Float[np.ndarray, "chains draws *rest"]) -> Float[np.ndarray, "chains batches *rest"]:
    """Means over consecutive stretches of each chain."""
    batches = min(BATCHES, series.shape[1] // 2)
    length = series.shape[1] // batches
    kept = series[:, : batches * length]
    return kept.reshape(len(series), batches, length, *series.shape[2:]).mean(axis=2)


def standard_error(series: Float[np.ndarray, "chains draws *rest"]) -> Float[np.ndarray, "*rest"]:
    """Standard error of the mean of each of many series, from batch means."""
    means = batch_means(series)
    count = means.shape[0] * means.shape[1]
    return means.reshape(count, *means.shape[2:]).std(axis=0, ddof=1) / math.sqrt(count)


def _pairs(R: Float[np.ndarray, "units n D"]) -> float:
    """Mean over points of Σ_{u≠u'} R_u·R_u' / (U(U−1)): unbiased for |E R|² when units are independent."""
    U = len(R)
    return float((np.sum(R.sum(axis=0) ** 2) - np.sum(R**2)) / (U * (U - 1) * R.shape[1]))


def squared_mean(rest: Float[np.ndarray, "chains draws n D"]) -> tuple[float, float]:
    """Mean over points of |⟨rest⟩|², from pairs of different chains, and its jackknife error.

    The jackknife leaves out one stretch of one chain at a time; a single chain is taken for ten.
    """
    if len(rest) == 1:
        length = rest.shape[1] // BATCHES
        R = rest[0, : BATCHES * length].reshape(BATCHES, length, *rest.shape[2:]).mean(axis=1)
        left_out = np.array([[_pairs(np.delete(R, i, axis=0)) for i in range(BATCHES)]])
    else:
        R, means = rest.mean(axis=1), batch_means(rest)
        b = means.shape[1]
        without = (b * means.mean(axis=1, keepdims=True) - means) / (b - 1)
        left_out = np.empty((len(R), b))
        for u in range(len(R)):
            for i in range(b):
                left_out[u, i] = _pairs(np.concatenate([R[:u], without[u, i : i + 1], R[u + 1 :]]))
    deviations = left_out - left_out.mean(axis=1, keepdims=True)
    b = left_out.shape[1]
    return _pairs(R), math.sqrt((b - 1) / b * float(np.sum(deviations**2)))


def gibbs_error(
    y: Float[np.ndarray, "n D"],
    mean: Float[np.ndarray, "chains draws n D"],
    spread: Float[np.ndarray, "chains draws"],
) -> GibbsError:
    """The Gibbs error on n points.

        ε = mean_x ⟨ |y − f̄|² + v ⟩,   f̄, v: mean and variance of f given a draw's hidden weights

    To the noise of ⟨f̄⟩ the bias answers linearly (its error is ArviZ's, of the series 2 (y − ⟨f̄⟩)·(y − f̄)) and
    quadratically (the jackknife's); the variance takes the same quadratic term with the other sign.

    Args:
        y: targets.
        mean: f̄ of each draw.
        spread: v of each draw, averaged over points and summed over outputs.
    """
    rest = y - mean
    series = np.mean(np.sum(rest**2, axis=3), axis=2) + spread
    centre = rest.mean(axis=(0, 1))
    linear = 2.0 * np.mean(np.sum(centre * rest, axis=3), axis=2)
    total, slope, other = estimate(series), estimate(linear), estimate(series - linear)
    bias, quadratic = squared_mean(rest)[0], squared_mean(rest - centre)[1]
    shift = math.hypot(slope.standard_error, quadratic), math.hypot(other.standard_error, quadratic)
    return GibbsError(
        *(total.value, total.standard_error, total.ess, total.ess_tail, total.rhat),
        bias=replace(slope, value=bias, standard_error=shift[0]),
        variance=replace(other, value=total.value - bias, standard_error=shift[1]),
    )
