"""Langevin dynamics where its discretised law is known in closed form: exactly, for each layer's own step."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling import step_bias
from widthwise.sampling.step_bias import fit

# one feature for all inputs, φ = 1: the readout's posterior is Gaussian, the hidden weights keep their prior
LAM, N, P, T = (0.5, 1.6, 2.5), (3, 2), 4, 0.2
FLAT = ww.FullyConnected(N, lambda h: jnp.ones_like(h), weight_precisions=LAM, bias_variance=(0.3, 0.7))
SIZES = (3 * (2 + 1), 2 * (3 + 1), 2)
Y = np.array([1.4, 0.6, 0.9, 1.5])
LONG = ww.Langevin(chains=8, draws=1200, warmup=100, step_size=0.1, thinning=20)


def run(eta, key=0, sampler=LONG, **options):
    rng = np.random.default_rng(1)
    X, X_test = rng.normal(size=(P, 2)), rng.normal(size=(1, 2))
    options = {"temperature": T, "sampler": replace(sampler, step_size=eta), "key": key} | options
    return ww.sample(FLAT, X, Y, X_test, np.array([0.3]), **options)


def stationary(eta, T=T):
    """Of z = √λ_2 v: a = 1 + P/(Tλ_2) along the mean, 1 across, h = η T λ_2, variance 1/(a (1 − h a/2)), mean exact.

    f = e·z/√λ_2 with e the unit vector (1, 1)/√2.
    """
    a, h = 1.0 + P / (T * LAM[2]), eta * T * LAM[2]
    mean = np.sqrt(LAM[2]) * Y.sum() / (T * LAM[2] + P)
    return mean, 1.0 / (a * (1.0 - h * a / 2.0)), 1.0 / (1.0 - h / 2.0)


def error_at(eta):
    """ε_t = mean (y − ⟨f⟩)² + var f."""
    mean, along, _ = stationary(eta)
    return np.mean((Y - mean / np.sqrt(LAM[2])) ** 2) + along / LAM[2]


@pytest.fixture(scope="module")
def runs():
    return {eta: run(eta) for eta in (0.05, 0.15, 0.3)}


def _z(series, exact):
    """Deviation of the mean of a series ("chains draws") over its error, from stretches of 100 draws."""
    means = series[:, : series.shape[1] // 100 * 100].reshape(len(series), -1, 100).mean(axis=2).ravel()
    return (means.mean() - exact) / (means.std(ddof=1) / np.sqrt(means.size))


@pytest.mark.parametrize("eta", [0.05, 0.15, 0.3])
def test_every_layer_has_the_variance_of_its_own_step(runs, eta):
    """h_ℓ = η T λ_ℓ: the steps are those of the weights in their own units."""
    z = runs[eta].weights
    for layer, lam in zip(np.split(z, np.cumsum(SIZES)[:-1], axis=2)[:2], LAM):
        h = eta * T * lam
        assert abs(_z((layer**2).mean(axis=2), 1.0 / (1.0 - h / 2.0))) < 4
        # from one kept draw to the next: (1 − h)^thinning
        r = np.mean(layer[:, 1:] * layer[:, :-1]) / np.mean(layer**2)
        assert r == pytest.approx((1.0 - h) ** LONG.thinning, abs=0.05)
    mean, along, across = stationary(eta)
    one, other = (z[..., -2] + z[..., -1]) / np.sqrt(2), (z[..., -2] - z[..., -1]) / np.sqrt(2)
    for series, exact in ((one, mean), ((one - mean) ** 2, along), (other, 0.0), (other**2, across)):
        assert abs(_z(series, exact)) < 4


@pytest.mark.parametrize("eta", [0.05, 0.15, 0.3])
def test_its_errors_are_off_by_what_the_step_makes_them(runs, eta):
    samples = runs[eta]
    got, mean, along = samples.training_error, *stationary(eta)[:2]
    assert samples.diagnostics.status == "mixed"
    assert abs(got.value - error_at(eta)) < 4 * got.standard_error
    bias, law = samples.generalisation_error.bias, samples.prediction
    assert abs(bias.value - (0.3 - mean / np.sqrt(LAM[2])) ** 2) < 4 * bias.standard_error
    assert abs(law.variance[0] - along / LAM[2]) < 4 * law.variance_standard_error[0]
    if eta == 0.3:  # a bias that is there to be seen
        assert got.value - error_at(0.0) > 10 * got.standard_error


def _slope():
    """∂ε_t/∂η at η = 0, of along/λ_2: h a/2 = η (Tλ_2 + P)/2."""
    return stationary(0.0)[1] / LAM[2] * (T * LAM[2] + P) / 2.0


def _line(step_sizes, key):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(P, 2))
    X_test = rng.normal(size=(1, 2))
    return step_bias(
        FLAT, X, Y, X_test, np.array([0.3]), temperature=T, step_sizes=step_sizes, key=key,
        quantity="training_error", sampler=replace(LONG, step_size=0.04, thinning=12),
    )  # fmt: skip


def test_the_bias_vanishes_linearly():
    found = _line((0.02, 0.04, 0.08), key=5)
    exact = np.array([error_at(eta) for eta in found.step_sizes])
    assert np.all(np.abs(found.values - exact) < 4 * found.standard_errors)
    # the line through the exact values, that is with what is left of the quadratic term
    line = fit("exact", found.step_sizes, exact, found.standard_errors)
    assert abs(found.limit - line.limit) < 4 * found.limit_error
    assert abs(found.slope - line.slope) < 4 * found.slope_error
    assert line.limit == pytest.approx(error_at(0.0), rel=0.005)
    assert line.slope == pytest.approx(_slope(), rel=0.3)
    assert found.slope > 4 * found.slope_error
    assert found.limit_error < 0.01 * found.limit
    assert found.probability > 1e-3
    np.testing.assert_allclose([s.sampler.step_size * s.sampler.thinning for s in found.samples], 0.48)


def test_a_bias_that_is_not_linear_is_told():
    found = _line((0.04, 0.2, 0.4), key=5)
    assert found.probability < 1e-6
    assert abs(found.limit - error_at(0.0)) > 4 * found.limit_error


def test_acceptance_is_that_of_a_metropolis_test_and_tends_to_one(runs):
    acceptance = [samples.diagnostics.acceptance for samples in runs.values()]
    assert 1.0 > acceptance[0] > acceptance[1] > acceptance[2] > 0.5
    assert acceptance[0] > 0.97


def test_an_unstable_step_is_divergent_and_not_mixed():
    """h a = 2.6 > 2: the readout runs away, until it is not finite."""
    eta = 2.6 / (T * LAM[2] + P)
    with pytest.raises(ww.NumericalError, match=r"divergent.*step_size=0\.14, thinning=80") as raised:
        run(eta)
    samples = raised.value.samples
    verdict = samples.diagnostics
    assert verdict.status == "not mixed"
    assert verdict.divergences > 0.9 * samples.divergent.size
    assert verdict.rhat == np.inf
    assert samples.diagnostics.acceptance < 0.1
    again = run(eta, throw=False)
    assert again.diagnostics.status == "not mixed"
    for name in ("training_error", "generalisation_error"):
        assert not np.isfinite(getattr(again, name).value)


def test_chains_on_their_way_to_infinity_are_not_mixed_either():
    """Errors of 1e200: still finite, their squares are not."""
    short = replace(LONG, warmup=20, draws=20, thinning=12)
    assert run(2.6 / (T * LAM[2] + P), sampler=short, throw=False).diagnostics.status == "not mixed"
