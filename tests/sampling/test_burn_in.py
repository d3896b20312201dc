"""What is dropped: nothing of stationary chains, a relaxation, half of what drifts."""

import numpy as np
import pytest
from scipy.signal import lfilter

from widthwise.sampling.burn_in import BurnIn, burn_in


def ar1(rng, rho, shape):
    """Stationary autoregressive series of variance one along the last axis."""
    x = np.sqrt(1 - rho**2) * rng.normal(size=shape)
    x[..., 0] = rng.normal(size=shape[:-1])
    return lfilter([1], [1, -rho], x)


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("chains", [4, 8])
def test_stationary_chains_are_almost_never_cut(rng, rho, chains):
    found = [burn_in(ar1(rng, rho, (3, chains, 500))) for _ in range(400)]
    assert sum(got.draws > 0 for got in found) <= 4
    assert all(got.settled for got in found)


@pytest.mark.parametrize(("chains", "draws"), [(1, 500), (1, 20), (2, 100), (4, 20), (8, 21)])
def test_few_chains_and_few_draws_are_seldom_cut(rng, chains, draws):
    found = [burn_in(ar1(rng, 0.5, (3, chains, draws))) for _ in range(400)]
    assert sum(got.draws > 0 for got in found) <= (12 if chains == 1 else 4)


def relative_bias(found, draws, chains, rho, tau):
    """What is left of 5 exp(−t/τ), in units of the average's exact standard error."""
    n = draws - found.draws
    k = np.arange(1, n)
    error = np.sqrt((1 + 2 * np.sum((1 - k / n) * rho**k)) / (n * chains))
    return 5 * np.exp(-np.arange(found.draws, draws) / tau).mean() / error


@pytest.mark.parametrize("tau", [3, 10, 30, 50])
@pytest.mark.parametrize(("rho", "chains"), [(0.0, 4), (0.0, 8), (0.9, 4), (0.9, 8), (0.99, 8)])
def test_of_a_relaxation_less_is_left_than_the_standard_error(rng, rho, chains, tau):
    left = []
    for _ in range(60):
        got = burn_in(5 * np.exp(-np.arange(500) / tau) + ar1(rng, rho, (3, chains, 500)))
        left += [relative_bias(got, 500, chains, rho, tau)] if got.settled else []
    assert len(left) > 50
    assert np.mean(np.array(left) < 1) >= 0.9
    assert np.median(left) < 0.6


@pytest.mark.parametrize(("chains", "draws"), [(1, 500), (2, 100), (4, 500), (8, 20)])
def test_drifting_chains_have_not_settled(rng, chains, draws):
    """One quantity of three goes on through the whole run."""
    for _ in range(20):
        series = ar1(rng, 0.5, (3, chains, draws))
        series[1] += 15 * np.linspace(0, 1, draws)
        got = burn_in(series, ("a", "training_error", "c"))
        assert (got.draws, got.settled) == (draws // 2, False)
        assert got.reason.startswith("training error still drifting after 35% of the draws (")
    assert burn_in(series).reason.startswith("quantity 1 still")


def test_a_relaxation_as_long_as_the_run_has_not_settled(rng):
    series = 5 * np.exp(-np.arange(500) / 300) + ar1(rng, 0.5, (1, 8, 500))
    assert not burn_in(series).settled


def test_a_phase_that_is_left_at_once_is_cut_away(rng):
    """All chains jump at draw 60 of 500: from 15 % on all is well, and twice that is dropped."""
    series = ar1(rng, 0.5, (2, 4, 500))
    series[0, :, :60] += 8
    got = burn_in(series)
    assert (got.draws, got.settled) == (150, True)
    assert got.reason == "agrees with the last half from 15% of the draws on"


def test_constants_do_not_mislead(rng):
    stationary = ar1(rng, 0.3, (1, 4, 100))
    constant = np.full((1, 4, 100), 1e6 / 3) * (1 + 1e-16 * rng.normal(size=(1, 4, 100)))
    stuck = np.repeat(np.arange(4.0)[None, :, None], 100, axis=2)
    for series in (constant, stuck, np.zeros((2, 4, 100)), np.concatenate([stationary, constant, stuck])):
        assert burn_in(series) == BurnIn(0, True, "settled")
    arrived = constant.copy()
    arrived[0, :, :12] += 1.0
    assert burn_in(arrived) == BurnIn(30, True, "agrees with the last half from 15% of the draws on")


def test_what_is_not_finite_has_not_settled(rng):
    series = ar1(rng, 0.3, (2, 4, 100))
    series[1, 2, 3] = np.inf
    assert burn_in(series, ("a", "log_likelihood")) == BurnIn(50, False, "log likelihood is not finite")


@pytest.mark.parametrize("draws", [20, 33, 500])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_units_order_of_chains_and_quantities_do_not_matter(rng, draws, scale):
    series = ar1(rng, 0.3, (3, 4, draws)) + 9 * np.exp(-np.arange(draws) / (0.04 * draws))
    got = burn_in(series)
    again = burn_in(scale * (series[::-1, rng.permutation(4)] - 2.0))
    assert (again.draws, again.settled) == (got.draws, got.settled)
    assert got.draws in {min(-(-k * draws // 20), draws // 2) for k in range(1, 11)}
