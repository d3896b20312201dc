"""The saddle's 1/N expansion: what `integrated` adds falls as 1/N for every law, with the coefficient it must have.

exp(−N S/2):  E[g] = g(u*) + (1/N)[ tr(H⁻¹ ∂²g) − Σ ∂g·H⁻¹ · ∂tr(H⁻¹ ∂²S) ] + O(1/N²),   H = ∂²S at u*
"""

import numpy as np
import pytest

import widthwise as ww
from widthwise.actions import ScalarAction
from widthwise.numerics.spectra import Eigensystem

LAM = (1.3, 0.8, 1.4, 0.7)
T = 0.2


@pytest.fixture
def data(rng):
    X = rng.normal(size=(20, 3))
    return X[:12], np.tanh(X[:12, 0]) + 0.5 * X[:12, 1] ** 2, X[12:], np.tanh(X[12:, 0])


def both(net, X, y, **options):
    return [ww.infer(net, X, y, temperature=T, approximation=how, **options) for how in ("saddle", "integrated")]


def gaps(pair, X_test, y_test):
    """Integrated − saddle: ε_t, ε_g, the mean predictor along its largest change, log evidence."""
    saddle, integrated = pair
    mean = integrated.predict(X_test).mean - saddle.predict(X_test).mean
    return np.array(
        [
            integrated.training_error.total - saddle.training_error.total,
            integrated.score(X_test, y_test).total - saddle.score(X_test, y_test).total,
            np.linalg.norm(mean),
            integrated.log_evidence - saddle.log_evidence,
        ]
    )


def slopes(widths, differences):
    """Of log |difference| in log N, one for each column."""
    return np.polyfit(np.log(widths), np.log(np.abs(differences)), 1)[0]


LAWS = {
    "one number, one layer": ((1,), {}),
    "one number, three layers": ((1, 2, 1), {}),
    "nested": ((1, 1), {"closure": "nested"}),
    "linearised": ((1, 2), {"closure": "linearised"}),
    "biases": ((1, 1), {"bias_variance": 0.3}),
}


@pytest.mark.parametrize("law", LAWS)
def test_integrated_less_saddle_falls_as_one_over_the_width(data, law):
    """At fixed data, all widths in proportion; log evidence included, whose Laplace error is O(1/N)."""
    shape, options = LAWS[law]
    X, y, X_test, y_test = data
    N = np.array([256, 512, 1024, 2048]) * (4 if len(shape) == 3 else 1)
    found = []
    for n in N:
        net = ww.FullyConnected([n * k for k in shape], "erf", LAM[: len(shape) + 1], **options)
        found.append(gaps(both(net, X, y, monte_carlo=ww.MonteCarlo(nodes=36)), X_test, y_test))
    assert (np.abs(slopes(N, found) + 1.0) < 0.1).all(), slopes(N, found)


DRAWN = {"outputs": ((32, 64, 128), 800), "patches": ((16, 32, 64), 500)}


@pytest.mark.slow
@pytest.mark.parametrize("law", DRAWN)
def test_matrices_drawn_by_hmc_do_so_too(rng, law):
    """ε_t, and ε_g of the outputs: clear of their Monte-Carlo errors, slopes within 0.1 and two of theirs."""
    N, draws = DRAWN[law]
    many = ww.MonteCarlo(draws=draws, warmup=100, nodes=8 * draws)
    if law == "outputs":
        X = rng.normal(size=(16, 3))
        y = np.stack([np.tanh(X[:, 0]), X[:, 1] * X[:, 2]], 1) + 0.3
    else:
        X = rng.normal(size=(16, 2, 4))
        y = np.tanh(X[:, 0, 0]) + X[:, 1, 2] * X[:, 0, 3]
    train, test = slice(0, 8 if law == "patches" else 12), slice(12, None)
    watched = (train, test) if law == "outputs" else (train,)
    found, errors = [], []
    for n in N:
        if law == "outputs":
            net = ww.FullyConnected([n], "erf", LAM[:2])
        else:
            net = ww.Convolutional(n, (2, 2), activation="erf", weight_precisions=LAM[:2])
        pair = both(net, X[train], y[train], monte_carlo=many)
        found.append(gaps(pair, X[test], y[test])[: len(watched)])
        each = [spread(pair[1].predict(X[part]), y[part]) for part in watched]
        errors.append(np.array(each) / np.sqrt(pair[1].certificate.ess))
    found, errors = np.array(found), np.array(errors)
    assert (np.abs(found) > 3 * errors).all(), found / errors
    relative = np.hypot(errors[0] / found[0], errors[-1] / found[-1]) / np.log(N[-1] / N[0])
    assert (np.abs(slopes(N, found) + 1.0) < 0.1 + 2 * relative).all(), (slopes(N, found), relative)


def spread(prediction, y):
    """Standard deviation over the mixture of the mean of (y − f)²."""
    squares = (prediction.means - y) ** 2 + prediction.variances
    return squares.reshape(len(squares), -1).sum(axis=1).std() / len(y)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_coefficient_at_fixed_load(data, depth):
    """Eigenvalues and targets repeated r times: S does not know r, and N(E[g] − g*) has the limit printed above.

    For ⟨Q⟩, ε_t and the mean predictor; S and g on u = log Q_1 … log Q_L by differences of dense formulas.
    """
    X, y, X_test, _ = data
    P, base, shape = len(y), 6, np.array([1.5, 2.0, 1.0])[-depth:]  # shape: N_ℓ/N_L
    net = ww.FullyConnected([1] * depth, "erf", LAM[: depth + 1])
    kernel = ww.infer(net, X, y, temperature=T, approximation="infinite").renormalised_kernel
    K, k = kernel(X), kernel(X_test[:1], X)[0]

    def S(u):
        A = np.exp(u.sum()) * K + T * np.eye(P)
        return (shape * (np.exp(u) - u)).sum() + (np.linalg.slogdet(A)[1] + y @ np.linalg.solve(A, y)) / base

    def answers(u):
        q = np.exp(u.sum())
        A = q * K + T * np.eye(P)
        a = np.linalg.solve(A, y)
        fit = (T**2 * a @ a + T * q * np.trace(np.linalg.solve(A, K))) / P
        return np.array([q, fit, q * k @ a])

    def action(r):
        spectrum = Eigensystem.of(np.kron(K, np.eye(r))).with_target(np.kron(y, np.ones(r)))
        *below, width = (int(base * r * s) for s in shape)
        return ScalarAction(spectrum, width, T, below=tuple(below))

    def integrated(r):
        nodes = action(r).quadrature
        return nodes.weights @ [answers(np.log([q])) for q in nodes.Q]

    u = np.log(action(1).layers)
    np.testing.assert_allclose(action(16).layers, np.exp(u), rtol=1e-7)
    H_inverse = np.linalg.inv(hessian(S, u))
    curvature = np.einsum("ij,gij->g", H_inverse, np.moveaxis(hessian(answers, u), -1, 0))
    third = gradient(lambda v: np.sum(H_inverse * hessian(S, v)), u, 2e-2)
    coefficient = curvature - gradient(answers, u, 1e-4).T @ H_inverse @ third
    N = np.array([base * r for r in (4, 8, 16)])
    scaled = np.array([n * (integrated(n // base) - answers(u)) for n in N])
    limit = 2 * scaled[-1] - scaled[-2]  # the next order taken off
    np.testing.assert_allclose(limit, coefficient, rtol=1e-3)
    assert (np.abs(scaled[0] - limit) > 3 * np.abs(scaled[-1] - limit)).all()


def gradient(f, u, h):
    return np.array([(np.asarray(f(u + e)) - f(u - e)) / (2 * h) for e in h * np.eye(len(u))])


def hessian(f, u, h=3e-3):
    steps = h * np.eye(len(u))
    return np.array(
        [[(f(u + a + b) - f(u + a - b) - f(u - a + b) + f(u - a - b)) / (4 * h * h) for b in steps] for a in steps]
    )
