"""Calibration of a predicted law: linear networks weighed in weight space, laws drawn from, counts, invariances."""

import numpy as np
import pytest
from scipy.stats import kstest, multivariate_normal, norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

import widthwise as ww
from widthwise.errors import InputError
from widthwise.posterior.calibration import calibration, distance_to_uniform, probability_below
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.prediction import Prediction

T, LAM = 0.4, (1.7, 0.6)
LEVELS = (0.3, 0.7, 0.95)


def linear_problem(rng, P=4, D=1):
    X, X_test = rng.normal(size=(P, 3)), rng.normal(size=(3, 3))
    w = rng.normal(size=(3, D))
    y, y_test = X @ w + 0.3 * rng.normal(size=(P, D)), X_test @ w + 0.3 * rng.normal(size=(3, D))
    return X, y, X_test, y_test


def weighed(X, y, X_test, N, D, rng, draws=200_000):
    """f on the test points of networks drawn from the prior (n, m, D), and their likelihoods."""
    W = rng.normal(size=(draws, N, 3)) / np.sqrt(LAM[0])
    v = rng.normal(size=(draws, D, N)) / np.sqrt(LAM[1])
    linear = np.einsum("sdn,sni->sid", v, W) / np.sqrt(3 * N)
    off = ((y - np.einsum("pi,sid->spd", X, linear)) ** 2).sum(axis=(1, 2))
    return np.einsum("mi,sid->smd", X_test, linear), np.exp(-0.5 * off / T) / (2 * np.pi * T) ** (0.5 * y.size)


@pytest.mark.parametrize(("N", "D"), [(1, 1), (4, 1), pytest.param(6, 2, marks=pytest.mark.slow)])
def test_the_law_of_a_linear_network_is_that_of_its_weights(N, D):
    """Coverage of f, integral transform, likelihood of targets and evidence gain: nothing of the theory is used."""
    rng = np.random.default_rng(10 * N + D)
    X, y, X_test, y_test = linear_problem(rng, D=D)
    targets = (y[:, 0], y_test[:, 0]) if D == 1 else (y, y_test)
    quick = ww.MonteCarlo(chains=8, draws=150, nodes=400)
    network = ww.FullyConnected([N], "identity", LAM)
    posterior = ww.infer(network, X, targets[0], temperature=T, monte_carlo=quick)
    prediction, result = posterior.predict(X_test), posterior.calibration(X_test, targets[1], LEVELS)
    f, likelihood = weighed(X, y, X_test, N, D, rng)
    evidence, ess = likelihood.mean(), likelihood.sum() ** 2 / (likelihood**2).sum()
    weights = likelihood / likelihood.sum()
    assert ess > 1300
    ess = ess if D == 1 else 1 / (1 / ess + 1 / 400)  # both are drawn
    for level in LEVELS:
        lower, upper = (end.reshape(3, D) for end in prediction.interval(level))
        inside = np.tensordot(weights, (lower <= f) & (f <= upper), 1)
        assert np.abs(inside - level).max() < 4.5 * np.sqrt(level * (1 - level) / ess)
    below = probability_below(prediction, targets[1], observed=False).reshape(3, D)
    assert np.abs(below - np.tensordot(weights, f < y_test, 1)).max() < 4.5 * 0.5 / np.sqrt(ess)
    density = np.exp(-0.5 * ((y_test - f) ** 2).sum(axis=2) / T) / (2 * np.pi * T) ** (0.5 * D)
    sampled = weights @ density
    error = np.sqrt(weights**2 @ (density / sampled - 1).mean(axis=1) ** 2)
    assert error < 0.04
    assert result.negative_log_likelihood == pytest.approx(-np.log(sampled).mean(), abs=4 * error)
    wide = multivariate_normal(cov=T * np.eye(4) + X @ X.T / (3 * LAM[0] * LAM[1]))
    gain = np.log(evidence) - wide.logpdf(y.T).sum()
    assert posterior.log_evidence_gain == pytest.approx(gain, abs=4.5 * np.sqrt(1 / ess) + 0.05 * (D > 1))


def regression(rng, D=None, P=12):
    X = rng.normal(size=(P, 4))
    y = np.sin(X @ rng.normal(size=(4, D or 1))) + 0.2 * rng.normal(size=(P, D or 1))
    return X, y[:, 0] if D is None else y


MONTE_CARLO = ww.MonteCarlo(chains=4, draws=60, warmup=60, nodes=40)
LAWS = {
    "saddle": (ww.FullyConnected([9], "erf", (0.7, 1.8)), None, "saddle"),
    "integrated": (ww.FullyConnected([9], "erf", (0.7, 1.8)), None, "integrated"),
    "infinite": (ww.FullyConnected([9], "erf", (0.7, 1.8)), None, "infinite"),
    "two-parameter": (ww.FullyConnected([9], "relu", (0.7, 1.8)), None, "two-parameter"),
    "deep": (ww.FullyConnected([9, 30], "erf", (0.7, 1.8, 0.5)), None, "saddle"),
    "nested": (ww.FullyConnected([9, 30], "erf", (0.7, 1.8, 0.5), closure="nested"), None, "saddle"),
    "biased": (ww.FullyConnected([9, 30], "erf", (0.7, 1.8, 0.5), 0.3), None, "saddle"),
    "outputs": (ww.FullyConnected([9], "erf", (0.7, 1.8)), 2, "saddle"),
    "outputs integrated": (ww.FullyConnected([9], "erf", (0.7, 1.8)), 2, "integrated"),
    "patches": (ww.Convolutional(9, (2, 1), activation="erf", weight_precisions=(0.7, 1.8)), None, "integrated"),
    "patches and outputs": (ww.Convolutional(9, (2, 1), activation="erf"), 2, "saddle"),
    "averaged": (ww.Convolutional(9, (2, 1), activation="erf", readout="average"), None, "saddle"),
}


def images(network, X):
    return X.reshape(-1, 2, 2) if isinstance(network, ww.Convolutional) else X


@pytest.mark.parametrize("name", LAWS)
def test_the_gain_is_over_infinite_width_on_the_same_data(name, rng):
    network, D, approximation = LAWS[name]
    X, y = regression(rng, D)
    X = images(network, X)
    finite, wide = (
        ww.infer(network, X, y, temperature=0.3, approximation=how, monte_carlo=MONTE_CARLO)
        for how in (approximation, "infinite")
    )
    expected = finite.log_evidence - wide.log_evidence
    assert finite.log_evidence_gain == pytest.approx(expected, abs=1e-8)
    assert wide.log_evidence_gain == 0.0
    assert (abs(expected) > 1e-3) == (approximation != "infinite")


def test_the_gain_of_prepared_data_and_of_a_kernel(rng):
    X, y = regression(rng)
    network = ww.FullyConnected([9], "erf", (0.7, 1.8))
    own = ww.infer(network, X, y, temperature=0.3).log_evidence_gain
    other = ww.prepare(ww.FullyConnected([50], "erf", (0.7, 0.4)), X)
    prepared = ww.infer(other, y, temperature=0.3, widths=[9], readout_precision=1.8)
    K = ww.infer(network, X, y, temperature=0.3, approximation="infinite").renormalised_kernel(X)
    assert prepared.log_evidence_gain == pytest.approx(own, abs=1e-8)
    assert ww.infer(ww.PrecomputedKernel([9]), K, y, temperature=0.3).log_evidence_gain == pytest.approx(own, abs=1e-7)


def test_the_gain_vanishes_with_width_and_tells_scale(rng):
    X, y = regression(rng)
    gains = [ww.infer(ww.FullyConnected([N], "erf"), X, y, temperature=0.3).log_evidence_gain for N in (10**3, 10**5)]
    assert abs(gains[1]) < 0.02 * abs(gains[0]) < 0.02
    # targets far larger than the prior expects: a narrow network's readout may be large as well
    assert ww.infer(ww.FullyConnected([5], "erf"), X, 10 * y, temperature=0.3).log_evidence_gain > 5


@pytest.mark.parametrize("D", [None, 2])
@pytest.mark.parametrize("approximation", ["infinite", "integrated"])
def test_targets_drawn_from_the_law_fall_into_its_intervals(rng, D, approximation):
    X, y = regression(rng, D)
    network = ww.FullyConnected([6], "erf", (0.7, 1.8))
    posterior = ww.infer(network, X, y, temperature=0.3, approximation=approximation, monte_carlo=MONTE_CARLO)
    X_test = np.repeat(rng.normal(size=(40, 4)), 25, axis=0)
    prediction = posterior.predict(X_test)
    G, n = len(prediction.weights), len(X_test)
    g, i = rng.choice(G, size=n, p=prediction.weights), np.arange(n)
    means, variances = prediction.means, prediction.variances
    f = means[g, i] + np.sqrt(variances[g, i]) * rng.normal(size=prediction.mean.shape)
    y_test = f + np.sqrt(0.3) * rng.normal(size=f.shape)
    result = posterior.calibration(X_test, y_test, LEVELS)
    for level, share, loose in zip(LEVELS, result.coverage, result.coverage_of_f):
        assert share == pytest.approx(level, abs=4.5 * np.sqrt(level * (1 - level) / n))
        assert loose < level
    assert result.pit_distance < 1.95 / np.sqrt(n)
    shifted = posterior.calibration(X_test, y_test + 1.0, LEVELS)
    assert shifted.pit_distance > 0.2
    assert shifted.negative_log_likelihood > result.negative_log_likelihood + 0.1


@pytest.mark.parametrize("D", [None, 3])
def test_shares_and_widths_are_those_of_the_intervals(rng, D):
    X, y = regression(rng, D, P=60)
    network = ww.FullyConnected([6], "erf")
    posterior = ww.infer(network, X[:20], y[:20], temperature=0.3, approximation="integrated", monte_carlo=MONTE_CARLO)
    X_test, y_test = X[20:], y[20:]
    result, prediction = posterior.calibration(X_test, y_test, LEVELS), posterior.predict(X_test)
    for i, level in enumerate(LEVELS):
        found = ((True, result.coverage, result.width), (False, result.coverage_of_f, result.width_of_f))
        for observed, share, width in found:
            lower, upper = prediction.interval(level, observed=observed)
            assert share[i] == np.mean((lower <= y_test) & (y_test <= upper))
            assert width[i] == pytest.approx(np.mean(upper - lower), rel=1e-12)
    score = posterior.score(X_test, y_test)
    assert result.negative_log_likelihood == pytest.approx(score.negative_log_likelihood, rel=1e-12)
    assert result.brier_score is result.calibration_error is None


def test_labels_have_a_brier_score_and_a_calibration_error(rng):
    X = rng.normal(size=(200, 4))
    y = np.where(X[:, 0] + 0.5 * rng.normal(size=200) > 0, 1.0, -1.0)
    posterior = ww.infer(ww.FullyConnected([6], "erf"), X[:60], y[:60], temperature=0.3)
    result = posterior.calibration(X[60:], y[60:])
    p, truth = posterior.predict(X[60:]).probability_positive(), y[60:] > 0
    assert result.brier_score == pytest.approx(brier_score_loss(truth, p), rel=1e-12)
    shares, means = calibration_curve(truth, p, n_bins=10)
    counts = np.histogram(p, np.linspace(0, 1, 11))[0]
    error = np.sum(counts[counts > 0] * np.abs(shares - means)) / len(p)
    assert result.calibration_error == pytest.approx(error, rel=1e-10)


def test_the_distance_is_kolmogorovs(rng):
    for u in (rng.uniform(size=50), rng.beta(2, 1, size=9), np.array([1.0]), np.zeros(3)):
        assert distance_to_uniform(u) == pytest.approx(kstest(u, "uniform").statistic, abs=1e-15)


def test_one_gaussian_by_hand():
    mean, variance = np.array([0.0, 1.0]), np.array([4.0, 0.0])
    law = Prediction.of_mixture(np.ones(1), mean[None], variance[None], 0.25)
    result = calibration([(law, np.array([1.0, 1.0]))], [0.2, 0.9])
    assert result.coverage == (0.5, 1.0)  # (1 − 0)/√4.25: u = 0.686, and u = ½
    assert result.coverage_of_f == (0.5, 1.0)
    z = norm.ppf(0.95)
    assert result.width[1] == pytest.approx(z * (np.sqrt(4.25) + 0.5))
    assert result.width_of_f[1] == pytest.approx(z * 2.0)


def test_order_rotation_scale_and_blocks(rng, monkeypatch):
    X, y = regression(rng, P=40)
    network = ww.FullyConnected([6], "erf", (0.7, 1.8))

    def of(X, y, T=0.3, network=network):
        posterior = ww.infer(network, X[:15], y[:15], temperature=T)
        return posterior, posterior.calibration(X[15:], y[15:], LEVELS)

    posterior, plain = of(X, y)
    order = 15 + rng.permutation(25)
    turned = X @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    tripled = of(X, 3 * y, 9 * 0.3, ww.FullyConnected([6], "erf", (0.7, 1.8 / 9)))[1]
    for other in (posterior.calibration(X[order], y[order], LEVELS), of(turned, y)[1], tripled):
        assert other.coverage == plain.coverage
        assert other.coverage_of_f == plain.coverage_of_f
        assert other.pit_distance == pytest.approx(plain.pit_distance, abs=1e-9)
    assert np.allclose(tripled.width, 3 * np.array(plain.width), rtol=1e-9)
    assert tripled.negative_log_likelihood == pytest.approx(plain.negative_log_likelihood + np.log(3), abs=1e-9)
    monkeypatch.setattr(AbstractLaw, "points_at_a_time", 7)
    blocks = posterior.calibration(X[15:], y[15:], LEVELS)
    assert blocks.coverage == plain.coverage
    assert blocks.width == pytest.approx(plain.width, rel=1e-12)
    assert blocks.negative_log_likelihood == pytest.approx(plain.negative_log_likelihood, rel=1e-12)


def test_a_precomputed_kernel_needs_the_diagonal(rng):
    X, y = regression(rng, P=30)
    network = ww.FullyConnected([6], "erf", (0.7, 1.8))
    posterior = ww.infer(network, X[:15], y[:15], temperature=0.3)
    K = ww.infer(network, X, y, temperature=0.3, approximation="infinite").renormalised_kernel(X)
    other = ww.infer(ww.PrecomputedKernel([6]), K[:15, :15], y[:15], temperature=0.3)
    given = other.calibration(K[15:, :15], y[15:], LEVELS, diagonal=np.diag(K)[15:])
    assert given.width == pytest.approx(posterior.calibration(X[15:], y[15:], LEVELS).width, rel=1e-7)


@pytest.mark.parametrize("levels", [(), (0.5, 1.0), (0.0,), (np.nan,), 0.9, "90", (True,), ("0.9",), None])
def test_bad_levels_are_refused(rng, levels):
    X, y = regression(rng)
    posterior = ww.infer(ww.FullyConnected([6], "erf"), X, y, temperature=0.3)
    with pytest.raises(InputError, match=r"levels: expected probabilities between 0 and 1.*pass e\.g\."):
        posterior.calibration(X, y, levels)


def test_targets_that_do_not_belong_are_refused(rng):
    X, y = regression(rng)
    posterior = ww.infer(ww.FullyConnected([6], "erf"), X, y, temperature=0.3)
    with pytest.raises(InputError, match="expected 12 targets"):
        posterior.calibration(X, y[:5])


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_quantiles_of_a_mixture_solve_their_equation_even_where_components_are_certain(rng, level):
    means, variances = rng.normal(size=(40, 30)), rng.gamma(1.0, size=(40, 30))
    variances[::4] = 0.0
    weights = rng.dirichlet(np.ones(40))
    prediction = Prediction.of_mixture(weights, means, variances, 0.1)
    deviations = np.maximum(np.sqrt(variances), 1e-12)  # a certain component is a step
    for end, p in zip(prediction.interval(level), (0.5 - level / 2, 0.5 + level / 2)):
        below, above = (weights @ norm.cdf(end + shift, means, deviations) for shift in (-1e-8, 1e-8))
        assert np.all(below <= p + 1e-7)
        assert np.all(above >= p - 1e-7)
    assert np.all(np.abs(prediction.probability_positive() - 0.5) <= 0.5)
