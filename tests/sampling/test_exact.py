"""Sampled networks against exact posteriors that are computed here, by quadrature and without the library."""

import math

import numpy as np
import pytest
from scipy.special import erf

import widthwise as ww

SAMPLERS = {"collapsed": ww.CollapsedHMC, "plain": ww.HMC}


def _close(got, error, exact, sigmas=4.0):
    z = (np.asarray(got) - exact) / np.asarray(error)
    assert np.max(np.abs(z)) < sigmas, z


def _agrees(samples, exact):
    """Mean, variance on test points and both errors with their parts, each within 4 standard errors."""
    assert samples.diagnostics.status == "mixed"
    _close(samples.mean, samples.mean_standard_error, exact["mean"])
    _close(samples.variance, samples.variance_standard_error, exact["variance"])
    for got, (bias, variance) in (
        (samples.generalisation_error, exact["generalisation"]),
        (samples.training_error, exact["training"]),
    ):
        _close(got.value, got.standard_error, bias + variance)
        _close(got.bias.value, got.bias.standard_error, bias)
        _close(got.variance.value, got.variance.standard_error, variance)
        assert got.standard_error < 0.05 * got.value


def _summary(mean, variance, y, P):
    """The errors' parts from mean and variance on training (first P) and test points."""
    bias = (y - mean) ** 2
    return {
        "mean": mean[P:],
        "variance": variance[P:],
        "generalisation": (bias[P:].mean(), variance[P:].mean()),
        "training": (bias[:P].mean(), variance[:P].mean()),
    }


def linear_posterior(X, y, T, N1, lam0, lam1, P):
    """φ = identity: f | Q ~ GP(0, Q K), K = XXᵀ/(λ_0 λ_1 N_0), Q ~ χ²_{N1}/N1, integrated over log Q on a grid."""
    K = X @ X.T / (lam0 * lam1 * X.shape[1])
    log_Q = np.linspace(-12.0, 4.0, 1001)
    weights, means, squares = [], [], []
    for Q in np.exp(log_Q):
        A = T * np.eye(P) + Q * K[:P, :P]
        k = Q * K[:, :P]
        a = np.linalg.solve(A, y[:P])
        mean = k @ a
        variance = Q * np.diag(K) - np.sum(k * np.linalg.solve(A, k.T).T, axis=1)
        # density of log Q under χ²_{N1}/N1, times N(y; 0, A)
        weights.append(0.5 * N1 * (math.log(Q) - Q) - 0.5 * (y[:P] @ a + np.linalg.slogdet(A)[1]))
        means.append(mean)
        squares.append(variance + mean**2)
    p = np.exp(np.array(weights) - max(weights))
    p /= p.sum()
    mean = p @ np.array(means)
    return mean, p @ np.array(squares) - mean**2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_linear_network_with_non_unit_precisions(rng, sampler):
    P, N0, N1, T, lam = 5, 8, 4, 0.2, (0.6, 2.3)
    X = rng.normal(size=(P + 6, N0))
    y = X @ rng.normal(size=N0) / math.sqrt(N0) + 0.3 * rng.normal(size=P + 6)
    samples = ww.sample(
        ww.FullyConnected((N1,), activation="identity", weight_precisions=lam),
        X[:P],
        y[:P],
        X[P:],
        y[P:],
        temperature=T,
        sampler=SAMPLERS[sampler](draws=2000),
        key=1,
    )
    mean, variance = linear_posterior(X, y, T, N1, *lam, P)
    _agrees(samples, _summary(mean, variance, y, P))
    # the same points again, from the kept weights: what lies outside the training inputs' span is drawn anew
    again = samples.predict(X[P:], key=5)
    _close(again.mean, again.mean_standard_error, mean[P:])
    _close(again.variance, again.variance_standard_error, variance[P:])


def toy_posterior(x, y, T, phi, lam, bias, P):
    """One input, one unit: f = v φ(wx + b), on a grid over (w, b, v), every term written out."""
    z = np.linspace(-6.0, 6.0, 141)
    b = math.sqrt(bias) * np.linspace(-5.0, 5.0, 41) if bias else np.zeros(1)
    w, b, v = np.meshgrid(z / math.sqrt(lam[0]), b, z / math.sqrt(lam[1]), indexing="ij")
    log_p = -0.5 * (lam[0] * w**2 + lam[1] * v**2 + (b**2 / bias if bias else 0.0))
    f = [v * phi(w * xi + b) for xi in x]
    log_p = log_p - sum((yi - fi) ** 2 for yi, fi in zip(y[:P], f[:P])) / (2 * T)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = np.array([np.sum(p * fi) for fi in f])
    return mean, np.array([np.sum(p * fi**2) for fi in f]) - mean**2


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("activation", "phi", "bias"),
    [
        ("erf", erf, 0.7),
        pytest.param("relu", lambda h: np.maximum(h, 0.0), 0.0, marks=pytest.mark.slow),
    ],
)
def test_two_parameter_toys(sampler, activation, phi, bias):
    x = np.array([-1.0, 0.4, 1.5, -0.5, 2.0])
    y = np.array([-0.5, 0.1, 0.9, -0.1, 0.6])
    P, T, lam = 3, 0.3, (0.5, 1.7)
    samples = ww.sample(
        ww.FullyConnected((1,), activation=activation, weight_precisions=lam, bias_variance=bias),
        x[:P, None],
        y[:P],
        x[P:, None],
        y[P:],
        temperature=T,
        sampler=SAMPLERS[sampler](draws=2000, target_acceptance=0.95),
        key=3,
    )
    _agrees(samples, _summary(*toy_posterior(x, y, T, phi, lam, bias, P), y, P))
