"""Monte Carlo errors, on series whose exact errors are known."""

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


def test_a_constant_series_has_no_error():
    got = estimate(np.full((4, 100), 0.7))
    assert (got.standard_error, got.ess, got.rhat) == (0.0, 400.0, 1.0)


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
