"""What real neurons do beyond Gaussian ones: against differences, Wishart matrices and networks in weight space."""

import math
from dataclasses import replace

import numpy as np
import pytest

import widthwise as ww
from widthwise.kernels import Propagation, layers
from widthwise.posterior.edgeworth import Frame, edgeworth

T = 0.3


def data(P=4, n=3, N0=3, seed=0):
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(size=(P, N0)), rng.normal(size=(n, N0))
    return X, rng.normal(size=P), Z, rng.normal(size=n)


def kernel(p=7, seed=3):
    root = np.random.default_rng(seed).normal(size=(p, p + 4))
    return root @ root.T / p


def errors(K, y, y_new):
    """Mean of (y − f)² and log N(y; 0, T I + K) by the textbook."""
    P = len(y)
    A = K[:P, :P] + T * np.eye(P)
    a = np.linalg.solve(A, y)
    if y_new is None:
        k, own, target = K[:P, :P], np.diag(K)[:P], y
    else:
        k, own, target = K[P:, :P], np.diag(K)[P:], y_new
    variance = own - np.sum(k * np.linalg.solve(A, k.T).T, axis=1)
    return np.mean((target - k @ a) ** 2), np.mean(variance), -0.5 * (y @ a + np.linalg.slogdet(A)[1])


@pytest.mark.parametrize("training", [False, True])
def test_the_quadratic_form_against_differences(training):
    """F(δ) = ½ ε''(0) + ε'(0) (log Z)'(0) along K + sδ."""
    rng = np.random.default_rng(1)
    y, y_new = rng.normal(size=4), None if training else rng.normal(size=3)
    K = kernel(4 if training else 7)
    delta = kernel(len(K), 5) - kernel(len(K), 6)
    h = 1e-4
    low, mid, high = (errors(K + s * h * delta, y, y_new) for s in (-1, 0, 1))
    slope_Z = (high[2] - low[2]) / (2 * h)
    expected = [0.5 * (high[i] - 2 * mid[i] + low[i]) / h**2 + (high[i] - low[i]) / (2 * h) * slope_Z for i in (0, 1)]
    found = Frame.of(K, y, T, y_new).of_matrix(delta)
    # (δμ)² is counted with the variance: it is that of ⟨f⟩ over the kernels
    mean_square = np.mean([(d**2) for d in _mean_slope(K, delta, y, y_new)])
    assert found.bias == pytest.approx(expected[0] - mean_square, rel=1e-4, abs=1e-6)
    assert found.variance == pytest.approx(expected[1] + mean_square, rel=1e-4, abs=1e-6)


def _mean_slope(K, delta, y, y_new, h=1e-5):
    P = len(y)

    def mean(s):
        M = K + s * delta
        rows = M[:P, :P] if y_new is None else M[P:, :P]
        return rows @ np.linalg.solve(M[:P, :P] + T * np.eye(P), y)

    return (mean(h) - mean(-h)) / (2 * h)


def test_gaussian_features_fluctuate_by_three_times_the_form_at_their_kernel():
    """Of Wishart matrices E F(ψψᵀ) = 3 F(K): what is subtracted, and why a scalar Q does the same as they do."""
    rng = np.random.default_rng(0)
    K, y, y_new = kernel(), rng.normal(size=4), rng.normal(size=3)
    frame = Frame.of(K, y, T, y_new)
    psi = np.linalg.cholesky(K) @ rng.normal(size=(7, 400_000))
    bias, variance = frame.of_neurons(psi[:4], frame.seen(psi))
    expected = frame.of_matrix(K)
    for each, one in zip((bias, variance), expected):
        assert abs(each.mean() - 3.0 * one) < 4.0 * each.std() / math.sqrt(len(each))


def test_pushed_neurons_are_the_plain_ones_where_nothing_is_above():
    rng = np.random.default_rng(4)
    frame = Frame.of(kernel(), rng.normal(size=4), T, rng.normal(size=3))
    psi = rng.normal(size=(7, 2000))
    J = Propagation(np.zeros((7, 7)), np.ones((7, 7)))
    plain = frame.of_neurons(psi[:4], frame.seen(psi))
    # all 2³ signs: the trace estimate is then exact
    signs = [np.array(s)[:, None] * np.ones((1, 2000)) for s in np.ndindex(2, 2, 2)]
    pushed = [frame.of_pushed(psi, J, 2.0 * s - 1.0) for s in signs]
    np.testing.assert_allclose(pushed[0][0], plain[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.mean([p[1] for p in pushed], axis=0), plain[1], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("widths", [(8,), (8, 12)])
def test_nothing_for_the_identity(widths):
    X, y, Z, y_new = data()
    network = ww.FullyConnected(widths, "identity", weight_precisions=(0.7, *(1.5,) * len(widths)))
    for at in ((Z, y_new), (None, None)):
        found = edgeworth(network, X, y, *at, T)
        assert abs(found.total) < 4.0 * found.standard_error
        assert found.standard_error < 0.003  # of F(K)/N, what a miscount would leave, 0.01 to 0.03 at new points


def weight_space(network, X, y, Z, y_new, draws, seed=0):
    """The exact posterior error: hidden weights from the prior, weighted; its standard error from batches."""
    rng = np.random.default_rng(seed)
    points, P, lam = np.concatenate([X, Z]), len(X), network.precisions
    logs, values = [], []
    for _ in range(draws // 10_000):
        h = rng.normal(size=(10_000, network.widths[0], X.shape[1])) / math.sqrt(lam[0] * X.shape[1]) @ points.T
        for ell in range(1, network.depth):
            W = rng.normal(size=(10_000, network.widths[ell], network.widths[ell - 1]))
            h = W @ np.asarray(network.phi(h)) / math.sqrt(lam[ell] * network.widths[ell - 1])
        psi = np.asarray(network.phi(h))
        K = psi.transpose(0, 2, 1) @ psi / (lam[-1] * network.widths[-1])
        A = K[:, :P, :P] + T * np.eye(P)
        inverse = np.linalg.inv(A)
        a = inverse @ y
        k = K[:, P:, :P]
        variance = np.einsum("gxx->gx", K[:, P:, P:]) - np.einsum("gxp,gpq,gxq->gx", k, inverse, k)
        values.append(np.mean((y_new - np.einsum("gxp,gp->gx", k, a)) ** 2 + variance, axis=1))
        logs.append(-0.5 * (a @ y + np.linalg.slogdet(A)[1]))
    w, v = np.exp(np.array(logs) - np.max(logs)), np.array(values)
    value = float((w * v).sum() / w.sum())
    batch = ((w * (v - value)).sum(axis=1)) / w.sum()
    return value, float(np.sqrt((batch**2).sum()))


CASES = [
    ("erf", (24,), "global", 200_000),
    ("relu", (24,), "global", 200_000),
    pytest.param("erf", (24, 32), "global", 600_000, marks=pytest.mark.slow),
    pytest.param("erf", (24, 32), "nested", 600_000, marks=pytest.mark.slow),
    pytest.param("relu", (48, 32), "global", 600_000, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("activation", "widths", "closure", "draws"), CASES)
def test_the_networks_departure_at_first_order(activation, widths, closure, draws):
    """Exact error − integrated theory, drawn in weight space: the Edgeworth term explains most of it."""
    X, y, Z, y_new = data()
    lam = (0.5, *(0.8,) * (len(widths) - 1), 0.4)
    network = ww.FullyConnected(widths, activation, weight_precisions=lam, closure=closure)
    exact, error = weight_space(network, X, y, Z, y_new, draws)
    theory = ww.infer(network, X, y, temperature=T, approximation="integrated").score(Z, y_new).total
    saddle = ww.infer(network, X, y, temperature=T, approximation="saddle")
    Q = saddle.order_parameters["Q"]
    dressed = (*lam[:-1], lam[-1] / np.prod(Q)) if closure == "global" else (lam[0], *np.array(lam[1:]) / Q)
    dressed = replace(network, weight_precisions=tuple(float(one) for one in dressed))
    found = edgeworth(dressed, X, y, Z, y_new, T, product=closure == "global", neurons=200_000)
    missing = exact - theory
    assert abs(missing) > 6.0 * error  # else this says nothing
    assert abs(missing - found.total) < 0.35 * abs(missing) + 3.0 * math.hypot(error, found.standard_error)


def test_it_falls_as_one_over_the_width():
    X, y, Z, y_new = data()
    one, ten = (edgeworth(ww.FullyConnected((N,), "erf"), X, y, Z, y_new, T) for N in (20, 200))
    assert one.bias == pytest.approx(10.0 * ten.bias, rel=1e-9)
    assert one.variance == pytest.approx(10.0 * ten.variance, rel=1e-9)


def test_units_and_the_order_of_examples_do_not_matter():
    X, y, Z, y_new = data()
    network = ww.FullyConnected((20,), "erf", weight_precisions=(0.6, 0.9))
    found = edgeworth(network, X, y, Z, y_new, T)
    scaled = replace(network, weight_precisions=(0.6, 0.9 / 9.0))
    larger = edgeworth(scaled, X, 3 * y, Z, 3 * y_new, 9 * T)
    assert larger.bias == pytest.approx(9 * found.bias, rel=1e-8)
    assert larger.variance == pytest.approx(9 * found.variance, rel=1e-8)
    assert len(layers(network, X)) == 1
    order = [2, 0, 3, 1]
    same = edgeworth(network, X[order], y[order], Z, y_new, T)
    assert abs(same.total - found.total) < 4.0 * math.hypot(same.standard_error, found.standard_error)
