"""The O(η) bias of Langevin dynamics: measured at several step sizes, extrapolated to none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from widthwise.errors import InputError, NumericalError
from widthwise.sampling.precision import float64, random_key
from widthwise.sampling.progress import Progress
from widthwise.sampling.run import sample
from widthwise.sampling.samplers import Langevin
from widthwise.sampling.samples import Samples


@dataclass(frozen=True, eq=False)
class StepBias:
    """An average against the step size, ⟨A⟩_η = A_0 + A_1 η, fitted by weighted least squares.

    Attributes:
        quantity: what was averaged.
        step_sizes: η (" E").
        values, standard_errors: of the averages (" E").
        limit, limit_error: A_0, the average without bias.
        slope, slope_error: A_1.
        probability: of residuals as large as these if the bias is linear; small ones ask for smaller steps.
        samples: of each step size.
    """

    quantity: str
    step_sizes: Float[np.ndarray, " E"]
    values: Float[np.ndarray, " E"]
    standard_errors: Float[np.ndarray, " E"]
    limit: float
    limit_error: float
    slope: float
    slope_error: float
    probability: float
    samples: tuple[Samples, ...] = ()

    def step_for(self, bias: float) -> float:
        """The step size whose relative bias |A_1 η / A_0| is this.

        Args:
            bias: relative, e.g. 0.01.
        """
        return abs(bias * self.limit / self.slope)


def fit(
    quantity: str,
    step_sizes: Float[np.ndarray, " E"],
    values: Float[np.ndarray, " E"],
    errors: Float[np.ndarray, " E"],
    samples: tuple[Samples, ...] = (),
) -> StepBias:
    """The straight line through averages at several step sizes.

    Args:
        quantity: what was averaged.
        step_sizes: at least two different ones; zero for an exact sampler's average.
        values, errors: of the averages.
        samples: kept with it.
    """
    (slope, limit), covariance = np.polyfit(step_sizes, values, 1, w=1.0 / errors, cov="unscaled")
    slope_error, limit_error = map(float, np.sqrt(np.diag(covariance)))
    rest = float(np.sum(((values - limit - slope * step_sizes) / errors) ** 2))
    freedom = len(values) - 2
    probability = float(chi2.sf(rest, freedom)) if freedom else 1.0
    limit, slope = float(limit), float(slope)
    return StepBias(quantity, step_sizes, values, errors, limit, limit_error, slope, slope_error, probability, samples)


def step_bias(
    network: Any,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    temperature: float,
    step_sizes: Iterable[float],
    sampler: Langevin | None = None,
    quantity: str = "generalisation_error",
    key: Any = 0,
    progress: bool | Callable[[Progress], object] = False,
    throw: bool = True,
    store: Any = None,
) -> StepBias:
    """Sample by Langevin dynamics at several step sizes, and extrapolate to none.

    From one kept draw to the next there is the same time, η × steps, at every step size, so that all runs are equally
    long and equally correlated.  [Pacelli et al. 2023, arXiv 2209.04882 used one small η]

    Args:
        network, X, y, X_test, y_test, temperature, key, progress, throw, store: as for `ww.sample`.
        step_sizes: at least two different η.
        sampler: its `thinning` is that of its own `step_size`.
        quantity: "generalisation_error" (with test data) or "training_error".

    Raises:
        InputError: fewer than two step sizes, or as `ww.sample`.
        NumericalError: a run has not mixed; with throw=False it counts as it is, unless its chains have run away.
    """
    sampler = Langevin() if sampler is None else sampler
    if not isinstance(sampler, Langevin):
        raise InputError(f"sampler: expected Langevin(...), got {sampler!r}; the others have no step bias.")
    if quantity not in ("generalisation_error", "training_error"):
        raise InputError(
            f"quantity: expected 'generalisation_error' or 'training_error', got {quantity!r}; pass one of them."
        )
    if quantity == "generalisation_error" and y_test is None:
        raise InputError(
            "y_test: expected test targets, got None; pass X_test and y_test, or quantity='training_error'."
        )
    samplers = _at_each(sampler, step_sizes)
    found = [
        sample(
            network, X, y, X_test, y_test, temperature=temperature, key=seed, progress=progress, sampler=one,
            throw=throw, store=store,
        )
        for one, seed in zip(samplers, _keys(key, len(samplers)))
    ]  # fmt: skip
    estimates = [getattr(samples, quantity) for samples in found]
    values = np.array([estimate.value for estimate in estimates])
    errors = np.array([estimate.standard_error for estimate in estimates])
    away = [one.step_size for one, value, error in zip(samplers, values, errors) if not math.isfinite(value + error)]
    if away:
        raise NumericalError(
            f"step_sizes: expected chains that have an average, got chains that ran away or never moved at η = "
            f"{', '.join(f'{eta:g}' for eta in away)}; take smaller steps."
        )
    return fit(quantity, np.array([one.step_size for one in samplers]), values, errors, tuple(found))


def _at_each(sampler: Langevin, step_sizes: Any) -> list[Langevin]:
    """The sampler at each step size, with the same time from draw to draw."""
    try:
        steps = list(step_sizes)
        different = len(set(steps))
    except TypeError:
        different = 0
    if different < 2:
        raise InputError(f"step_sizes: expected at least two different ones, got {step_sizes!r}; pass e.g. 1e-3, 2e-3.")
    samplers = [replace(sampler, step_size=eta) for eta in steps]  # refuses what is none
    between = sampler.thinning * sampler.step_size
    return [replace(one, thinning=max(1, math.ceil(between / one.step_size))) for one in samplers]


def _keys(key: Any, count: int) -> list[Any]:
    """One for each step size."""
    if isinstance(key, int | np.integer):
        return [key + index for index in range(count)]
    import jax

    with float64():
        return [jax.random.fold_in(random_key(key), index) for index in range(count)]
