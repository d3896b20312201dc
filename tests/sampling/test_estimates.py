"""Monte Carlo errors, on series whose exact errors are known."""

import math

import numpy as np
import pytest

from widthwise.sampling.estimates import estimate, gibbs_error, squared_mean, standard_error


def _ar1(rng, rho, shape):
    x = np.empty(shape)
    x[:, 0] = rng.normal(size=(shape[0], *shape[2:]))
    for t in range(1, shape[1]):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=(shape[0], *shape[2:]))
    return x


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_ess_and_error_of_an_autoregressive_series(rng, rho):
    x = _ar1(rng, rho, (8, 4000))
    ess = x.size * (1 - rho) / (1 + rho)
    got = estimate(3.0 + x)
    assert got.ess == pytest.approx(ess, rel=0.15)
    assert got.standard_error == pytest.approx(ess**-0.5, rel=0.1)
    assert abs(got.value - 3.0) < 4 * got.standard_error
    assert got.rhat == pytest.approx(1.0, abs=0.01)


def test_batch_error_of_an_autoregressive_series(rng):
    errors = standard_error(_ar1(rng, 0.8, (8, 2000, 50)))
    assert np.mean(errors) == pytest.approx((8 * 2000 / 9) ** -0.5, rel=0.1)


def test_rhat_sees_chains_that_disagree(rng):
    assert estimate(rng.normal(size=(4, 500)) + np.arange(4)[:, None]).rhat > 1.5


def test_one_chain_is_compared_with_itself(rng):
    x = rng.normal(size=(1, 1000))
    assert estimate(x).rhat == pytest.approx(1.0, abs=0.02)
    assert estimate(x + np.linspace(0, 5, 1000)).rhat > 1.5


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_tail_ess_is_that_of_the_outer_quantiles(rng, rho):
    """Of the indicators that x is below its 5 % or its 95 % quantile, by their variance over many runs."""
    runs = _ar1(rng, rho, (4 * 150, 1000))
    shares = np.array([[np.mean(part < q) for part in np.split(runs, 150)] for q in (-1.6449, 1.6449)])
    exact = 0.05 * 0.95 / shares.var(axis=1).max()
    assert estimate(runs[:200]).ess_tail / 50 == pytest.approx(exact, rel=0.3)
    assert (estimate(runs[:200]).ess_tail > estimate(runs[:200]).ess) == (rho > 0)


def test_a_chain_with_other_tails_has_few_effective_ones(rng):
    x = rng.normal(size=(4, 1000))
    x[0] *= 4
    got = estimate(x)
    assert got.ess > 2000
    assert got.ess_tail < 200


@pytest.mark.parametrize("constant", [0.7, 0.0, -1e9])
def test_a_constant_series_has_no_error(constant):
    got = estimate(np.full((4, 100), constant) * (1 + 5e-17 * np.arange(100)))
    assert (got.standard_error, got.ess, got.ess_tail, got.rhat) == (0.0, 400.0, 400.0, 1.0)


def test_chains_at_rest_in_different_places_are_the_worst():
    got = estimate(np.repeat([[0.1], [0.2], [0.2]], 50, axis=1))
    assert got.value == pytest.approx(0.5 / 3)
    assert (got.standard_error, got.ess, got.ess_tail, got.rhat) == (math.inf, 1.0, 1.0, math.inf)


@pytest.mark.parametrize("place", [0.0, 0.3])
def test_a_chain_that_never_moved_while_others_did_is_the_worst(rng, place):
    x = rng.normal(size=(4, 100))
    x[2] = place
    got = estimate(x)
    assert got.rhat == math.inf
    assert np.isfinite([got.value, got.standard_error, got.ess, got.ess_tail]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_the_worst(rng, bad):
    x = rng.normal(size=(4, 100))
    x[1, 7] = bad
    got = estimate(x)
    assert math.isnan(got.value)
    assert (got.standard_error, got.ess, got.ess_tail, got.rhat) == (math.inf, 1.0, 1.0, math.inf)


def test_parts_of_a_gibbs_error_have_their_own_convergence(rng):
    """The bias moves with f̄, the variance with the spread: only the latter is at rest in different places here."""
    y, spread = np.zeros((3, 1)), np.repeat([[0.1], [0.2]], 100, axis=1)
    got = gibbs_error(y, 1.0 + 1e-3 * rng.normal(size=(2, 100, 3, 1)), spread)
    assert got.bias.rhat < 1.1 < 1.5 < got.variance.rhat
    assert got.bias.ess > 100 > 10 > got.variance.ess
    assert got.bias.ess_tail > 100 > got.variance.ess_tail
    assert got.rhat == pytest.approx(got.variance.rhat, rel=0.1)


@pytest.mark.parametrize("chains", [1, 4])
@pytest.mark.parametrize("truth", [0.0, 0.5])
def test_squared_mean_is_unbiased_and_knows_its_error(rng, chains, truth):
    runs = np.array([squared_mean(truth + rng.normal(size=(chains, 40, 3, 1))) for _ in range(400)])
    values, errors = runs.T
    assert abs(values.mean() - truth**2) < 4 * values.std() / 20
    # at truth = 0 only the term quadratic in the noise is left, which the jackknife overstates
    assert 0.8 < np.sqrt(np.mean(errors**2)) / values.std() < (1.25 if truth else 2.5)


def test_gibbs_error_parts_are_unbiased_and_add_up(rng):
    y, f = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    got = gibbs_error(y, f + 0.5 * rng.normal(size=(4, 2000, 5, 2)), np.full((4, 2000), 0.2))
    bias = np.mean(np.sum((y - f) ** 2, axis=1))
    assert got.total == pytest.approx(got.bias.value + got.variance.value, rel=1e-12)
    assert abs(got.bias.value - bias) < 4 * got.bias.standard_error
    assert abs(got.variance.value - (2 * 0.25 + 0.2)) < 4 * got.variance.standard_error
    assert abs(got.value - (bias + 0.7)) < 4 * got.standard_error
    # exact: |f − ⟨f⟩|² is a sum of ten 0.25 χ²_1 over five points; the bias moves by 2 (y − ⟨f⟩)·noise
    assert got.variance.standard_error == pytest.approx(np.sqrt(10 * 2 * 0.25**2) / 5 / np.sqrt(8000), rel=0.1)
    assert got.bias.standard_error == pytest.approx(2 * 0.5 * np.sqrt(bias / 5 / 8000), rel=0.1)
