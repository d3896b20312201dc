"""The sampled hidden layers' Gram matrices: forward passes written out here, the prior, a known posterior, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from sampling.test_weights import CASES, QUICK, data, features, flat, made_up
from scipy.special import erf

import widthwise as ww
from widthwise.errors import InputError
from widthwise.sampling.weights import network_weights


@pytest.fixture(params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES])
def case(request):
    return CASES[request.param]


def test_forward_passes_written_out(case):
    """Every architecture and layer, biases included; and the error of the mean of that many draws."""
    X, _, X_test = data(case)
    Z, network = np.concatenate([X, X_test]), case.network
    samples = made_up(case, ww.HMC(), (2, 40))
    layers = flat(network_weights(samples, key=3))
    for layer in range(1, network.depth + 1):
        cut = replace(case, layout=case.layout[:layer])
        f = features(cut, [*layers[:layer], layers[-1]], Z)  # (draws, n, N) or (draws, n, positions, N)
        N = network.widths[layer - 1]
        if case.layout and network.readout == "average" and layer == network.depth:
            f = f.mean(axis=2)
        elif case.layout:
            f = f.reshape(*f.shape[:2], -1) / np.sqrt(f.shape[2])
        grams = f @ np.swapaxes(f, 1, 2) / (network.precisions[layer] * N)
        found = samples.feature_kernel(Z, layer=layer, key=3)
        np.testing.assert_allclose(found.value, grams.mean(axis=0), rtol=1e-9, atol=1e-12)
        error = grams.std(axis=0, ddof=1) / np.sqrt(len(grams))
        assert 0.5 < np.mean(found.standard_error / error) < 1.5
        part = samples.feature_kernel(X, X_test, layer=layer, key=3)
        np.testing.assert_allclose(part.value, found.value[: len(X), len(X) :], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(samples.feature_kernel(Z, key=3).value, found.value)
    few = samples.feature_kernel(Z, key=3, draws=4)
    assert few.value.shape == found.value.shape
    assert not np.array_equal(few.value, found.value)


def test_a_few_draws_at_a_time_are_the_same_draws(monkeypatch):
    """On training points, where nothing is drawn anew."""
    case = CASES["relu, more inputs than data"]
    samples = made_up(case, ww.HMC(), (2, 23))
    X, _, _ = data(case)
    once = samples.feature_kernel(X)
    monkeypatch.setattr("widthwise.sampling.features._HELD", 1000)
    by_parts = samples.feature_kernel(X)
    np.testing.assert_allclose(by_parts.value, once.value, rtol=1e-12)
    np.testing.assert_allclose(by_parts.standard_error, once.standard_error, rtol=1e-9)


def test_weights_of_the_prior_give_the_expected_gram_matrix():
    """Standard normal weights: the mean over neurons, drawn here, of φφᵀ/λ."""
    network, rng = ww.FullyConnected(30, "erf", (0.5, 2.0), 0.3), np.random.default_rng(0)
    case = replace(CASES["relu, more inputs than data"], network=network, parameters=(30 * 10, 30))
    X, _, X_test = data(case)
    Z = np.concatenate([X, X_test])
    found = made_up(case, ww.HMC(), (4, 250)).feature_kernel(Z)
    w, b = rng.normal(size=(9, 100_000)) / np.sqrt(0.5), np.sqrt(0.3) * rng.normal(size=100_000)
    phi = erf(Z @ w / 3 + b)
    z = (found.value - phi @ phi.T / (2.0 * 100_000)) / found.standard_error
    assert np.abs(z).max() < 5
    assert (found.standard_error < 0.02).all()


@pytest.mark.slow
def test_a_hot_network_keeps_its_prior_and_a_cold_linear_one_has_the_exact_posterior():
    """T → ∞: X Xᵀ/(λ_0 λ_1 N_0). Else prior draws of W, weighed by the likelihood with the readout integrated out."""
    rng = np.random.default_rng(1)
    X, lam, N, T = rng.normal(size=(6, 3)), (1.7, 0.6), 4, 0.4
    y = X[:4] @ rng.normal(size=3)
    network, how = ww.FullyConnected(N, "identity", lam), {"sampler": ww.CollapsedHMC(chains=4, draws=1000), "key": 2}
    h = rng.normal(size=(200_000, N, 3)) @ X.T / np.sqrt(lam[0] * 3)
    grams = np.swapaxes(h, 1, 2) @ h / (lam[1] * N)
    A = grams[:, :4, :4] + T * np.eye(4)
    fit = np.linalg.solve(A, np.broadcast_to(y[:, None], (len(A), 4, 1)))[..., 0]
    w = np.exp(-0.5 * fit @ y - 0.5 * np.linalg.slogdet(A)[1])
    for temperature, truth in ((1e9, X @ X.T / (lam[0] * lam[1] * 3)), (T, np.tensordot(w / w.sum(), grams, 1))):
        found = ww.sample(network, X[:4], y, temperature=temperature, **how).feature_kernel(X)
        assert np.abs((found.value - truth) / np.hypot(found.standard_error, 0.003 * np.abs(truth).max())).max() < 4.5
        assert np.linalg.norm(found.standard_error) < 0.05 * np.linalg.norm(truth)


def test_refusals():
    case = CASES["relu, more inputs than data"]
    X, _, _ = data(case)
    samples = made_up(case, ww.HMC(), (1, 20))
    for layer in (0, 2, True):
        with pytest.raises(InputError, match="layer: expected a hidden layer from 1 to 1"):
            samples.feature_kernel(X, layer=layer)
    with pytest.raises(InputError, match="X2: expected 9 columns"):
        samples.feature_kernel(X, X[:, :3])
    with pytest.raises(InputError, match="draws: expected the weights of two draws or more, got those of 1;"):
        samples.feature_kernel(X, draws=1)
