"""Layers that reshape the kernel, integrated over: exact for the identity, brute force for erf, by any other route."""

import numpy as np
import pytest
from deep_kernels import KERNELS, LAM, biased
from scipy.special import gammaln
from weighing import Problem, assert_agree

import widthwise as ww
from widthwise.posterior.layers import infer_layers
from widthwise.posterior.sources import Inputs

BIASES = (0.5, 0.3, 0.4)
T = 0.4


def network(widths, activation="identity", **options):
    return ww.FullyConnected(widths, activation, LAM[: len(widths) + 1], **options)


def linear(net):
    """The actual linear network: every weight and bias drawn from its prior."""

    def draw(X, rng, n):
        inputs, widths = X.shape[1], net.widths
        bias = [rng.normal(size=(n, N, 1)) * np.sqrt(b) for N, b in zip(widths, net.bias_variances)]
        h = rng.normal(size=(n, widths[0], inputs)) @ X.T / np.sqrt(LAM[0] * inputs) + bias[0]
        for below, N, lam, b in zip(widths, widths[1:], LAM[1:], bias[1:]):
            h = rng.normal(size=(n, N, below)) @ h / np.sqrt(lam * below) + b
        v = rng.normal(size=(n, 1, widths[-1])) / np.sqrt(LAM[len(widths)] * widths[-1])
        return (v @ h).transpose(0, 2, 1)

    return draw


CASES = [((2, 3), "global"), ((5, 10), "linearised"), ((2, 50), "nested"), ((3, 5, 4), "global")]


@pytest.mark.parametrize(("widths", "closure"), CASES)
def test_linear_networks_with_biases_are_weight_space_monte_carlo(widths, closure):
    """Mean, covariance, ε_t, ε_g and evidence. By default, for it is exact."""
    rng = np.random.default_rng(sum(widths))
    problem = Problem.of(rng, 4, (3,), 1, T)
    net = network(widths, bias_variance=BIASES[: len(widths)], closure=closure)
    posterior = ww.infer(net, problem.X, problem.y, temperature=T)
    assert (posterior.approximation, posterior.exact, posterior.validity.verdict) == ("integrated", True, "sound")
    assert posterior.certificate.quadrature_error < 0.02
    assert posterior.certificate.ess is None  # a grid's, no draws'
    assert_agree(posterior, problem, linear(net), rng, 40_000)


@pytest.mark.parametrize("widths", [(2, 2), (5, 10), (18, 16, 15)])
def test_without_biases_a_linear_network_is_one_number(widths):
    """The same integral by the density of the product of all Q_ℓ, in one dimension."""
    rng = np.random.default_rng(sum(widths))
    X, y, X_test = rng.normal(size=(12, 5)), rng.normal(size=12), rng.normal(size=(5, 5))
    net = network(widths, closure="nested")
    one = ww.infer(net, X, y, temperature=T, approximation="integrated")
    few = ww.MonteCarlo(nodes=196 if min(widths) == 2 else 125)
    many, found = infer_layers(Inputs(net, X), y, T, "integrated", few, throw=True)
    close = {2: 3e-4, 5: 1e-5, 15: 4e-4}[min(widths)]
    assert found.quadrature_error < 10 * close
    assert many.log_evidence("integrated") == pytest.approx(one.log_evidence, abs=close)
    assert many.training_error().total == pytest.approx(one.training_error.total, rel=close)
    np.testing.assert_allclose(many.order_parameters["Q"], one.order_parameters["Q"], rtol=2 * close)
    ours, theirs = many.predict(X_test, None, covariance=True), one.predict(X_test, covariance=True)
    np.testing.assert_allclose(ours.mean, theirs.mean, atol=2 * close)
    np.testing.assert_allclose(ours.covariance, theirs.covariance, atol=2 * close)
    np.testing.assert_allclose(many.renormalised_kernel(X_test, X), one.renormalised_kernel(X_test, X), atol=5 * close)


ERF = {
    "nested": ({"closure": "nested"}, KERNELS["nested"]),
    "linearised": ({"closure": "linearised"}, KERNELS["linearised"]),
    "biases": ({"bias_variance": (0.3, 0.2)}, biased),
}


@pytest.mark.parametrize(
    ("case", "widths"), [*((case, (12, 9)) for case in ERF), ("nested", (3, 5)), ("linearised", (3, 5))]
)
def test_erf_is_brute_force_over_a_grid_of_both_layers(case, widths):
    """Every node of a fine grid in (log Q_1, log Q_2), dense algebra, the test's own kernels and χ² densities."""
    options, kernel = ERF[case]
    rng = np.random.default_rng(3)
    P, X = 5, rng.normal(size=(8, 3))
    y = np.tanh(X[:P, 0]) + 0.5
    net = network(widths, "erf", **options)
    posterior = ww.infer(net, X[:P], y, temperature=T, approximation="integrated")
    assert not posterior.exact
    axes = [np.linspace(-3.5, 1.8, 27) if min(widths) > 5 else np.linspace(-6.0, 2.4, 27)] * 2
    logs, answers = [], []
    for u in np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2):
        Q = np.exp(u)
        K = kernel(Q, X)
        values = np.linalg.eigvalsh(K[:P, :P])
        if values[0] < -1e-9 * values[-1]:
            continue  # the linearised closure's domain
        A = K[:P, :P] + T * np.eye(P)
        a = np.linalg.solve(A, y)
        prior = sum(N / 2 * np.log(N / 2) - gammaln(N / 2) - N / 2 * (q - v) for N, q, v in zip(widths, Q, u))
        logs.append(prior - 0.5 * (np.linalg.slogdet(2 * np.pi * A)[1] + y @ a))
        mean = K[P:, :P] @ a
        variance = np.diag(K[P:, P:] - K[P:, :P] @ np.linalg.solve(A, K[:P, P:]))
        fit = (T**2 * a @ a + T * np.trace(np.linalg.solve(A, K[:P, :P]))) / P
        answers.append(np.concatenate([Q, mean, variance + mean**2, [fit], K[P:, 0], a]))
    weights = np.exp(np.array(logs) - max(logs))
    total = weights.sum()
    expected = weights @ np.array(answers) / total
    log_evidence = max(logs) + np.log(total * np.prod([x[1] - x[0] for x in axes]))
    found = posterior.predict(X[P:])
    ours = np.concatenate(
        [
            posterior.order_parameters["Q"],
            found.mean,
            found.variance + found.mean**2,
            [posterior.training_error.total],
            posterior.renormalised_kernel(X[P:], X[:1])[:, 0],
            posterior.dual_vector,
        ]
    )
    close = {"nested": 1e-4, "linearised": 1e-2}[case] if min(widths) < 9 else 5e-5
    np.testing.assert_allclose(ours, expected, atol=close)
    assert posterior.log_evidence == pytest.approx(log_evidence, abs=close)
