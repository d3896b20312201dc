"""What both samplers owe: they agree, they return the prior when nothing is learnt, and every weight moves."""

import dataclasses

import numpy as np
import pytest

import widthwise as ww

NETWORK = ww.FullyConnected((5, 3), activation="erf", weight_precisions=(0.5, 1.5, 2.0), bias_variance=(0.2, 0.4))


def _data(rng, P=8, n=5, N0=3):
    X = rng.normal(size=(P + n, N0))
    y = np.sin(X[:, 0]) + X[:, 1] * 0.5
    return X[:P], y[:P], X[P:], y[P:]


@pytest.fixture(scope="module")
def pair():
    data = _data(np.random.default_rng(8))
    return [
        ww.sample(NETWORK, *data, temperature=0.1, sampler=s(chains=4, draws=3000), key=2)
        for s in (ww.CollapsedHMC, ww.HMC)
    ]


def _z(a, a_error, b, b_error):
    return np.max(np.abs(np.asarray(a) - b) / np.hypot(a_error, b_error))


def test_collapsed_and_plain_agree_on_a_deep_network_with_biases(pair):
    one, two = pair
    for name in ("generalisation_error", "training_error"):
        a, b = getattr(one, name), getattr(two, name)
        for x, y in ((a, b), (a.bias, b.bias), (a.variance, b.variance)):
            assert _z(x.value, x.standard_error, y.value, y.standard_error) < 4
    assert _z(one.mean, one.mean_standard_error, two.mean, two.mean_standard_error) < 4
    assert _z(one.variance, one.variance_standard_error, two.variance, two.variance_standard_error) < 4


def test_the_hidden_weights_have_the_same_law_under_both(pair):
    """Their norm is invariant under the permutations that the posterior does not see."""
    size = pair[0].weights.shape[2]
    norms = [np.sum(s.weights[..., :size] ** 2, axis=2) for s in pair]
    error = [n.std() / np.sqrt(n.size / 4) for n in norms]
    assert _z(norms[0].mean(), error[0], norms[1].mean(), error[1]) < 4


def test_every_weight_is_sampled(pair):
    # 5 units on 3 inputs and a bias, 3 units on 5 and a bias, and the readout's 3
    hidden, readout = 5 * (3 + 1) + 3 * (5 + 1), 3
    assert [s.weights.shape[2] for s in pair] == [hidden, hidden + readout]
    for samples in pair:
        assert np.all(samples.weights.std(axis=(0, 1)) > 0.2)


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC, ww.HMC])
def test_a_flat_likelihood_returns_the_prior(rng, sampler):
    """T = 1e8: weights N(0, 1) and f the prior network's, from weights drawn here with NumPy."""
    X, y, X_test, y_test = _data(rng)
    samples = ww.sample(NETWORK, X, y, X_test, y_test, temperature=1e8, sampler=sampler(chains=4, draws=2000), key=4)
    z = samples.weights.reshape(-1, samples.weights.shape[2])
    assert samples.diagnostics.acceptance > 0.99
    assert np.max(np.abs(z.mean(axis=0))) < 5 / np.sqrt(len(z) / 4)
    assert np.max(np.abs((z**2).mean(axis=0) - 1)) < 5 * np.sqrt(2 / (len(z) / 4))

    from scipy.special import erf

    M = 20_000
    h = X_test @ rng.normal(size=(M, 3, 5)) / np.sqrt(0.5 * 3) + np.sqrt(0.2) * rng.normal(size=(M, 1, 5))
    h = erf(h) @ rng.normal(size=(M, 5, 3)) / np.sqrt(1.5 * 5) + np.sqrt(0.4) * rng.normal(size=(M, 1, 3))
    f = (erf(h) @ rng.normal(size=(M, 3, 1)))[..., 0] / np.sqrt(2.0 * 3)
    error = np.hypot((f**2).std(axis=0) / np.sqrt(M), samples.variance_standard_error)
    assert np.max(np.abs(f.var(axis=0) - samples.variance) / error) < 4


def test_the_same_key_gives_the_same_draws_and_another_key_others(rng):
    data = _data(rng)

    def run(key):
        return ww.sample(
            NETWORK, *data, temperature=0.1, sampler=ww.HMC(chains=4, draws=20, warmup=20), key=key, throw=False
        )

    np.testing.assert_array_equal(run(3).test_mean, run(3).test_mean)
    assert not np.allclose(run(3).test_mean, run(4).test_mean)


def test_rescaling_inputs_and_first_precision_together_changes_nothing(rng):
    X, y, X_test, y_test = _data(rng)
    sampler = ww.CollapsedHMC(chains=4, draws=20, warmup=20)
    c = 4.0
    precisions = NETWORK.weight_precisions
    other = ww.FullyConnected(
        NETWORK.widths, weight_precisions=(c * precisions[0], *precisions[1:]), bias_variance=NETWORK.bias_variance
    )
    one = ww.sample(NETWORK, X, y, X_test, y_test, temperature=0.1, sampler=sampler, throw=False)
    two = ww.sample(other, 2 * X, y, 2 * X_test, y_test, temperature=0.1, sampler=sampler, throw=False)
    np.testing.assert_allclose(one.test_mean, two.test_mean, atol=1e-6)


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC, pytest.param(ww.HMC, marks=pytest.mark.slow)])
def test_outputs_share_the_hidden_weights(rng, sampler):
    """D = 2 with the second target a multiple of the first, y (P, D): the shapes, and the sum over outputs."""
    X, y, X_test, y_test = _data(rng)
    two, two_test = np.stack([y, -2 * y], axis=1), np.stack([y_test, -2 * y_test], axis=1)
    samples = ww.sample(NETWORK, X, two, X_test, two_test, temperature=0.1, sampler=sampler(chains=4, draws=600), key=6)
    assert samples.mean.shape == samples.variance.shape == (5, 2)
    assert samples.predict(X_test[:2]).mean.shape == (2, 2)
    plug_in = np.sum((two_test - samples.mean) ** 2 + samples.variance, axis=1).mean()
    assert samples.generalisation_error.value == pytest.approx(plug_in, rel=0.01)
    assert np.corrcoef(samples.mean.T)[0, 1] < -0.95


def test_a_callable_activation_is_sampled_like_its_name(rng):
    from jax.scipy.special import erf

    data = _data(rng)
    networks = (NETWORK, dataclasses.replace(NETWORK, activation=lambda h: erf(h)))
    sampler = ww.CollapsedHMC(chains=4, draws=20, warmup=20)
    one, two = (ww.sample(n, *data, temperature=0.1, sampler=sampler, throw=False) for n in networks)
    np.testing.assert_allclose(one.test_mean, two.test_mean, atol=1e-8)
