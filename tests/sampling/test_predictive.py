"""The sampled predictive law: counted in network draws, against exact posteriors, closed forms, honest errors."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import erf, ndtr
from scipy.stats import norm

import widthwise as ww
from widthwise.errors import InputError
from widthwise.sampling import predictive

LEVELS = (0.3, 0.8, 0.95)
LAM, T = (0.6, 2.3), 0.2


@pytest.fixture(scope="module")
def linear():
    """A linear network of two units, sampled; its exact law by quadrature over Q, without the library."""
    rng = np.random.default_rng(3)
    P, N0, N1 = 5, 6, 2
    X = rng.normal(size=(P + 4, N0))
    y = X @ rng.normal(size=N0) / math.sqrt(N0) + 0.3 * rng.normal(size=P + 4)
    network = ww.FullyConnected((N1,), "identity", LAM)
    sampler = ww.CollapsedHMC(chains=4, draws=600, warmup=150)
    samples = ww.sample(network, X[:P], y[:P], X[P:], y[P:], temperature=T, sampler=sampler, key=1)
    K = X @ X.T / (LAM[0] * LAM[1] * N0)
    weights, means, variances = [], [], []
    for Q in np.exp(np.linspace(-12.0, 4.0, 601)):
        A, k = T * np.eye(P) + Q * K[:P, :P], Q * K[P:, :P]
        a = np.linalg.solve(A, y[:P])
        weights.append(0.5 * N1 * (math.log(Q) - Q) - 0.5 * (y[:P] @ a + np.linalg.slogdet(A)[1]))
        means.append(k @ a)
        variances.append(Q * np.diag(K)[P:] - np.sum(k * np.linalg.solve(A, k.T).T, axis=1))
    p = np.exp(np.array(weights) - max(weights))
    return samples, p / p.sum(), np.array(means), np.array(variances)


def test_an_exact_law_is_covered_as_its_levels_say(linear):
    samples, p, means, variances = linear
    grid = np.linspace(-8.0, 8.0, 1601)
    for level in LEVELS:
        ends = []
        for tail in (0.5 * (1 - level), 0.5 * (1 + level)):
            F = [p @ ndtr((grid - m[:, None]) / np.sqrt(v)[:, None]) for m, v in zip(means.T, variances.T)]
            ends.append(np.array([np.interp(tail, f, grid) for f in F]))
        found = samples.coverage(*ends)
        assert abs(found.value - level) < 4 * found.standard_error + 1e-3
        assert found.standard_error < 0.02
        # a law that is too narrow is seen
        centre, half = 0.5 * (ends[0] + ends[1]), 0.4 * (ends[1] - ends[0])
        narrow = samples.coverage(centre - half, centre + half)
        assert narrow.value < level - 8 * narrow.standard_error
        assert np.abs(np.array(samples.interval(level)) - np.array(ends)).max() < 0.15


def test_the_likelihood_of_an_exact_law(linear):
    samples, p, means, variances = linear
    exact = -np.mean(np.log(p @ norm.pdf(samples.y_test[:, 0], means, np.sqrt(variances + T))))
    found = samples.negative_log_likelihood
    assert abs(found.value - exact) < 4 * found.standard_error
    assert found.standard_error < 0.02
    assert found.rhat < 1.05


@pytest.fixture(scope="module")
def networks():
    """Samples of an erf network of two outputs with biases, and f by forward passes of its weights."""
    rng = np.random.default_rng(4)
    X, y = rng.normal(size=(14, 3)), rng.normal(size=(14, 2))
    network = ww.FullyConnected((4,), "erf", LAM, 0.5)
    sampler = ww.CollapsedHMC(chains=4, draws=300, warmup=80)
    samples = ww.sample(network, X[:8], y[:8], X[8:], y[8:], temperature=T, sampler=sampler, key=2)
    first, readout = samples.network_weights(key=7)
    h = np.einsum("csni,pi->cspn", first.weights, X[8:]) / math.sqrt(3) + first.biases[:, :, None, :]
    return samples, np.einsum("csdn,cspn->cspd", readout.weights, erf(h)) / math.sqrt(4)


def test_shares_are_those_counted_in_networks(networks):
    samples, f = networks
    assert samples.mean.shape == f.shape[2:] == (6, 2)
    for level in LEVELS:
        lower, upper = samples.interval(level)
        counted = np.mean((lower <= f) & (f <= upper), axis=(0, 1))
        assert samples.coverage(lower, upper).value == pytest.approx(level, abs=1e-9)
        assert np.abs(counted - level).max() < 0.05
        low, high = samples.interval(level, observed=True)
        noisy = f + math.sqrt(T) * np.random.default_rng(0).normal(size=f.shape)
        assert np.abs(np.mean((low <= noisy) & (noisy <= high), axis=(0, 1)) - level).max() < 0.05
        shifted = samples.coverage(lower + 0.3, upper + 0.3)
        assert shifted.value == pytest.approx(np.mean((lower + 0.3 <= f) & (f <= upper + 0.3)), abs=0.03)
    assert np.abs(samples.probability_below(samples.y_test) - np.mean(f < samples.y_test, axis=(0, 1))).max() < 0.05


def test_the_likelihood_is_that_of_the_networks(networks):
    samples, f = networks
    densities = np.exp(-0.5 * ((samples.y_test - f) ** 2).sum(axis=3) / T) / (2 * math.pi * T)
    counted = -np.mean(np.log(densities.mean(axis=(0, 1))))
    assert samples.negative_log_likelihood.value == pytest.approx(counted, abs=0.05)
    assert samples.negative_log_likelihood.standard_error < 0.03


def test_intervals_and_probabilities_are_inverse(networks):
    samples, _ = networks
    for observed in (False, True):
        lower, upper = samples.interval(0.7, observed=observed)
        assert samples.probability_below(lower, observed=observed) == pytest.approx(0.15, abs=1e-9)
        assert samples.probability_below(upper, observed=observed) == pytest.approx(0.85, abs=1e-9)


def test_blocks_change_nothing(networks, monkeypatch):
    samples, _ = networks

    def all_of_it():
        lower, upper = samples.interval(0.6)
        likelihood = predictive.negative_log_likelihood(samples.test_mean, samples.test_variance + T, samples.y_test)
        return samples.coverage(lower, upper - 0.1), likelihood, samples.probability_below(upper)

    whole = all_of_it()
    monkeypatch.setattr(predictive, "_ENTRIES", 2 * samples.test_mean.size // 6)
    parts = all_of_it()
    for a, b in zip(whole[:2], parts[:2]):
        assert (a.value, a.standard_error) == pytest.approx((b.value, b.standard_error), rel=1e-12)
    np.testing.assert_array_equal(whole[2], parts[2])


def test_draws_that_all_agree_are_one_gaussian():
    mean, variance = np.full((2, 20, 3, 1), 0.7), np.full((2, 20, 3), 4.0)
    lower, upper = predictive.interval(mean, variance, 0.9)
    assert lower == pytest.approx(norm.ppf(0.05, 0.7, 2.0), abs=1e-12)
    assert upper == pytest.approx(norm.ppf(0.95, 0.7, 2.0), abs=1e-12)
    found = predictive.coverage(mean, variance, lower, upper)
    assert (found.value, found.standard_error) == (pytest.approx(0.9), 0.0)
    y = np.array([[0.0], [1.0], [2.0]])
    likelihood = predictive.negative_log_likelihood(mean, variance, y)
    assert likelihood.value == pytest.approx(-norm.logpdf(y, 0.7, 2.0).mean(), rel=1e-12)
    assert likelihood.standard_error == 0.0


def test_draws_without_spread_are_counted():
    mean = np.random.default_rng(1).normal(size=(4, 250, 2, 3)) * 50
    variance = np.zeros((4, 250, 2))
    lower, upper = predictive.interval(mean, variance, 0.8)
    flat = mean.reshape(1000, 2, 3)
    assert predictive.coverage(mean, variance, lower, upper).value == pytest.approx(0.8, abs=2e-3)
    assert np.abs(lower - np.quantile(flat, 0.1, axis=0, method="inverted_cdf")).max() < 1.0
    certain = np.zeros((4, 250, 2, 3))  # f = 0 in every network: a closed interval holds it
    assert predictive.coverage(certain, variance, np.zeros((2, 3)), np.zeros((2, 3))).value == 1.0
    assert (predictive.below(certain, variance, np.zeros((2, 3))) == 0.5).all()


def test_the_likelihoods_error_is_honest_and_its_shift_is_taken_off():
    """200 runs of independent draws of m ~ N(0, 1): p̄(y) = N(y; 0, 1.3), ⟨p_s²⟩ = N(y; 0, 1.15)/2√(0.3π)."""
    rng, y = np.random.default_rng(2), np.array([[0.3], [2.2]])
    exact = -norm.logpdf(y, 0.0, math.sqrt(1.3)).mean()
    runs, plug_in = [], []
    for _ in range(200):
        mean = np.broadcast_to(rng.normal(size=(4, 30, 1, 1)), (4, 30, 2, 1)).copy()
        runs.append(predictive.negative_log_likelihood(mean, np.full((4, 30, 2), 0.3), y))
        plug_in.append(-np.log(norm.pdf(y, mean, math.sqrt(0.3)).mean(axis=(0, 1))).mean())
    values, errors = np.array([r.value for r in runs]), np.array([r.standard_error for r in runs])
    assert abs(values.mean() - exact) < 3 * values.std() / math.sqrt(200)
    squares = norm.pdf(y, 0.0, math.sqrt(1.15)) / (2.0 * math.sqrt(0.3 * math.pi))
    shift = 0.5 * np.mean(squares / norm.pdf(y, 0.0, math.sqrt(1.3)) ** 2 - 1.0) / 120
    assert np.mean(plug_in - values) == pytest.approx(shift, rel=0.15)
    assert np.mean(errors) == pytest.approx(values.std(), rel=0.15)


def test_refusals(networks, linear):
    samples = networks[0]
    zero = np.zeros((6, 2))
    for level in (0.0, 1.0, math.nan, "0.9", None):
        with pytest.raises(InputError, match=r"level: expected a probability between 0 and 1.*pass e\.g\. 0\.9"):
            samples.interval(level)
    with pytest.raises(InputError, match=r"expected lower ≤ upper, got 12 above; pass \(lower, upper\)"):
        samples.coverage(zero + 1, zero)
    for wrong in (np.zeros((6, 3)), np.zeros(6), np.zeros((5, 2)), zero + math.nan):
        with pytest.raises(InputError, match="upper: expected"):
            samples.coverage(zero, wrong)
        with pytest.raises(InputError, match="values: expected"):
            samples.probability_below(wrong)
    none = {"X_test": np.zeros((0, 6)), "y_test": None}
    none |= {name: getattr(linear[0], name)[:, :, :0] for name in ("test_mean", "test_variance")}
    bare = dataclasses.replace(linear[0], **none)
    for ask in (lambda: bare.interval(0.5), lambda: bare.coverage([], []), lambda: bare.negative_log_likelihood):
        with pytest.raises(InputError, match="no test"):
            ask()
