"""Linear networks: `integrated` against the actual weights of the actual network, drawn from the prior and weighed.

Plain importance sampling of (W, v): nothing of the theory is used, not even that the readout is Gaussian.
"""

import numpy as np
import pytest

import widthwise as ww

T, LAM0, LAM1 = 0.4, 1.7, 0.6
DRAWS = 400_000


def problem(rng):
    X, X_test = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    w = rng.normal(size=3)
    return X, X @ w + 0.3 * rng.normal(size=4), X_test, X_test @ w


def weigh(X, y, X_test, y_test, draw, rng):
    """Posterior averages by weighing prior draws of the linear map (w, c) of the network, with standard errors."""
    sums = []
    for _ in range(20):  # batches, for the errors
        n = DRAWS // 20
        w, c = draw(rng, n)
        f, f_test = w @ X.T + c[:, None], w @ X_test.T + c[:, None]
        likelihood = np.exp(-0.5 * ((y - f) ** 2).sum(1) / T) / (2 * np.pi * T) ** 2
        weighed = np.column_stack([np.ones(n), f_test, f_test**2, ((y - f) ** 2).mean(1)]) * likelihood[:, None]
        sums.append(weighed.mean(0))
    sums = np.array(sums)

    def answers(s):
        mean = s[1:4] / s[0]
        variance = s[4:7] / s[0] - mean**2
        total = np.mean((y_test - mean) ** 2) + variance.mean()
        return np.concatenate([mean, variance, [s[7] / s[0], total, np.log(s[0])]])

    value = answers(sums.mean(0))
    jackknife = np.array([answers(np.delete(sums, i, 0).mean(0)) for i in range(20)])
    return value, np.sqrt(19 * ((jackknife - jackknife.mean(0)) ** 2).mean(0))


def weight_space(X, y, X_test, y_test, N, bias_variance, rng):
    """One hidden layer with biases."""

    def draw(rng, n):
        W = rng.normal(size=(n, N, 3)) / np.sqrt(LAM0)
        b = rng.normal(size=(n, N)) * np.sqrt(bias_variance)
        v = rng.normal(size=(n, N)) / np.sqrt(LAM1)
        return np.einsum("sn,sni->si", v, W) / np.sqrt(3 * N), np.einsum("sn,sn->s", v, b) / np.sqrt(N)

    return weigh(X, y, X_test, y_test, draw, rng)


@pytest.mark.parametrize("N", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("bias_variance", [0.0, 0.8])
def test_integrated_is_weight_space_monte_carlo(N, bias_variance):
    rng = np.random.default_rng(7 * N)
    X, y, X_test, y_test = problem(rng)
    network = ww.FullyConnected([N], "identity", (LAM0, LAM1), bias_variance)
    posterior = ww.infer(network, X, y, temperature=T)
    assert posterior.approximation == "integrated"
    prediction, score = posterior.predict(X_test), posterior.score(X_test, y_test)
    theory = np.concatenate(
        [
            prediction.mean,
            prediction.variance,
            [posterior.training_error.total, score.total, posterior.log_evidence],
        ]
    )
    sampled, error = weight_space(X, y, X_test, y_test, N, bias_variance, rng)
    z = (theory - sampled) / error
    assert np.abs(z).max() < 4.5, z
    assert (error < 0.1 * np.maximum(np.abs(sampled), 0.1)).all()  # the comparison says something
    assert posterior.validity.verdict == "sound"


@pytest.mark.parametrize("widths", [(2, 3), (4, 1, 2), (3, 2, 5, 2)])
def test_integrated_is_weight_space_monte_carlo_at_every_depth(widths):
    """Unequal widths, non-unit precisions, two to four hidden layers: every weight drawn and weighed."""
    rng = np.random.default_rng(sum(widths))
    X, y, X_test, y_test = problem(rng)
    lam = (1.7, 0.6, 1.4, 0.8, 1.2)[: len(widths) + 1]
    posterior = ww.infer(ww.FullyConnected(widths, "identity", lam), X, y, temperature=T)
    prediction, score = posterior.predict(X_test), posterior.score(X_test, y_test)
    theory = np.concatenate(
        [prediction.mean, prediction.variance, [posterior.training_error.total, score.total, posterior.log_evidence]]
    )

    def outputs(rng, n):
        layer = rng.normal(size=(n, widths[0], 3)) / np.sqrt(lam[0] * 3)
        for below, N, precision in zip(widths, widths[1:], lam[1:]):
            layer = rng.normal(size=(n, N, below)) @ layer / np.sqrt(precision * below)
        v = rng.normal(size=(n, 1, widths[-1])) / np.sqrt(lam[-1] * widths[-1])
        return (v @ layer)[:, 0]

    sampled, error = weigh(X, y, X_test, y_test, lambda rng, n: (outputs(rng, n), np.zeros(n)), rng)
    z = (theory - sampled) / error
    assert np.abs(z).max() < 4.5, z
    assert (error < 0.12 * np.maximum(np.abs(sampled), 0.1)).all()


def test_the_saddle_is_not_exact_at_small_width_and_becomes_so():
    """|saddle − integrated| falls as 1/N at fixed load."""
    widths, gaps = [10, 20, 40, 80, 160], []
    for N in widths:
        gap = []
        for seed in range(8):
            rng = np.random.default_rng(100 * N + seed)
            X = rng.normal(size=(N, 3 * N))
            y = X @ rng.normal(size=3 * N) / np.sqrt(3 * N) + 0.5 * rng.normal(size=N)
            network = ww.FullyConnected([N], "identity", (1.3, 0.8))
            errors = [
                ww.infer(network, X, y, temperature=0.05, approximation=name).training_error.total
                for name in ("saddle", "integrated")
            ]
            gap.append(abs(errors[0] / errors[1] - 1))
        gaps.append(np.mean(gap))
    slope = np.polyfit(np.log(widths), np.log(gaps), 1)[0]
    assert -1.5 < slope < -0.7, (slope, gaps)
