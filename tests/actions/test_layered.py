"""Depth beyond one number: gradients, reductions, domains, and depth ten at a thousand examples."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import widthwise as ww
from widthwise.actions import ScalarAction
from widthwise.actions.layered import LayeredAction
from widthwise.activations.duals import dual_of
from widthwise.errors import InputError, NumericalError
from widthwise.kernels import training_kernel
from widthwise.kernels.closures import Linearised, Nested
from widthwise.numerics.spectra import Eigensystem
from widthwise.saddle import Status
from widthwise.saddle.trust import hessian_of

CLOSURES = [Nested, Linearised]
PRECISIONS, BIASES = (0.7, 1.9, 0.4, 2.3), (0.3, 0.1, 0.15)
T = 0.05


@pytest.fixture
def data(rng):
    X = rng.standard_normal((40, 6))
    return X, np.sign(X[:, 0] + X[:, 1] * X[:, 2])


def action_of(closure, data, widths, activation="erf", bias=True, temperature=T):
    L = len(widths)
    network = ww.FullyConnected(widths, activation, PRECISIONS[: L + 1], BIASES[:L] if bias else 0.0)
    X, y = data
    return LayeredAction(closure(network, X), y, tuple(widths), temperature)


def scalar_action(data, widths, activation, bias=False):
    L = len(widths)
    network = ww.FullyConnected(widths, activation, PRECISIONS[: L + 1], BIASES[:L] if bias else 0.0)
    X, y = data
    spectrum = Eigensystem.of(training_kernel(network, X).K).with_target(y)
    return ScalarAction(spectrum, widths[-1], T, below=tuple(widths[:-1]))


def dense_nested(u, X, y, widths, activation):
    """S of the nested closure on whole matrices, by jnp alone."""
    kappa, N, Q = dual_of(ww.FullyConnected([1], activation).phi).kappa, jnp.asarray(widths, float), jnp.exp(u)
    K = jnp.asarray(X) @ X.T / (PRECISIONS[0] * X.shape[1])
    for n in range(len(widths)):
        C = K + BIASES[n]
        c = jnp.diag(C)
        K = Q[n] / PRECISIONS[n + 1] * kappa(c[:, None], C, c[None, :])
    A = T * jnp.eye(len(y)) + K
    data = jnp.linalg.slogdet(A)[1] + y @ jnp.linalg.solve(A, y)
    return (N / N[-1] * (Q - u)).sum() + data / N[-1]


def test_value_gradient_and_hessian_are_those_of_autodiff(data):
    activation, widths, u = "erf", (30, 11, 20), np.array([0.3, -0.4, 0.2])
    action = action_of(Nested, data, widths, activation)
    with jax.enable_x64(True):
        S = functools.partial(dense_nested, X=data[0], y=data[1], widths=widths, activation=activation)
        everything = jax.jit(lambda v: (S(v), jax.grad(S)(v), jax.hessian(S)(v)))
        value, gradient, hessian = (np.asarray(a) for a in everything(jnp.asarray(u)))
    ours = action.value_and_gradient(u)
    assert ours[0] == pytest.approx(float(value), rel=1e-12)
    assert action.value(u) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(ours[1], gradient, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(hessian_of(action.value_and_gradient, u), hessian, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "cos"])
def test_gradient_is_the_difference_of_values(closure, activation, data):
    action, u, h = action_of(closure, data, (12, 30, 9), activation), np.array([0.2, -0.3, 0.1]), 1e-5
    differences = [(action.value(u + e) - action.value(u - e)) / (2 * h) for e in h * np.eye(3)]
    np.testing.assert_allclose(action.value_and_gradient(u)[1], differences, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("widths", [(15, 8), (30, 9, 20)])
def test_saddle_is_the_minimum_of_a_blind_search(closure, widths, data):
    action = action_of(closure, data, widths)
    blind = minimize(action.value, np.full(len(widths), 0.3), method="BFGS", options={"gtol": 1e-6})
    found = action.saddle
    assert found.status is Status.CONVERGED
    assert found.agreeing == found.starts
    np.testing.assert_allclose(found.best.x, blind.x, atol=1e-4)
    assert found.best.value <= blind.fun + 1e-10
    assert found.best.residual < 1e-8
    for point in found.points:
        hessian = hessian_of(action.value_and_gradient, point.x, step=1e-3)
        np.testing.assert_allclose(point.hessian, np.linalg.eigvalsh(hessian), rtol=1e-3)


@pytest.mark.parametrize("closure", CLOSURES)
def test_one_layer_is_the_scalar_action(closure, data):
    ours, scalar = action_of(closure, data, (14,)), scalar_action(data, (14,), "erf", bias=True)
    assert ours.layers[0] == pytest.approx(scalar.Q, rel=1e-8)
    assert ours.saddle.best.value == pytest.approx(scalar.saddle.best.value, rel=1e-11)
    assert ours.log_evidence_saddle() == pytest.approx(scalar.log_evidence_saddle(), rel=1e-8)
    assert ours.log_evidence_infinite() == pytest.approx(scalar.log_evidence_infinite(), rel=1e-10)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)", "identity"])
def test_homogeneous_activations_have_one_closure(closure, activation, data):
    """Saddle, every Q_ℓ and the evidence are those of one number on the spectrum."""
    widths = (25, 10, 40)
    ours, scalar = action_of(closure, data, widths, activation, bias=False), scalar_action(data, widths, activation)
    np.testing.assert_allclose(ours.layers, scalar.layers, rtol=1e-7)
    moved = np.array(widths) * (ours.layers - 1)
    assert np.ptp(moved) < 1e-6 * np.abs(moved).max()
    assert ours.log_evidence_saddle() == pytest.approx(scalar.log_evidence_saddle(), rel=1e-7)


@pytest.mark.parametrize("closure", CLOSURES)
def test_infinite_layers_below_leave_one_layer_on_the_deep_kernel(closure, data):
    network = ww.FullyConnected((9, 9, 9), "erf", PRECISIONS, BIASES)
    X, y = data
    deep = ScalarAction(Eigensystem.of(training_kernel(network, X).K).with_target(y), 12, T)
    layers = action_of(closure, data, (10**8, 10**8, 12)).layers
    np.testing.assert_allclose(layers, [1.0, 1.0, deep.Q], rtol=1e-5)


@pytest.mark.parametrize("closure", CLOSURES)
def test_infinite_width_is_the_nngp(closure, data):
    action = action_of(closure, data, (10**8, 10**8))
    np.testing.assert_allclose(action.layers, 1.0, atol=1e-5)
    wide = action_of(closure, data, (10**5, 10**5))
    assert wide.log_evidence_saddle() == pytest.approx(wide.log_evidence_infinite(), abs=1e-2)


def test_closures_part_as_the_square_of_one_over_the_width(data):
    gaps = []
    for N in (400, 1600):
        nested, linearised = (action_of(closure, data, (N, N)).layers for closure in CLOSURES)
        gaps.append(np.abs(nested - linearised).max())
    assert 3.0 < gaps[0] / gaps[1] < 40.0  # Q − 1 ~ 1/N, so at least 1/N² in K; in Q one power of N is given back


def test_laplace_is_the_integral_over_the_layers_at_large_width(rng, data):
    """Against draws of every Q_ℓ from its prior."""
    X, y = data[0][:6], data[1][:6]
    action = action_of(Nested, (X, y), (60, 80), temperature=0.3)
    Q = np.array([rng.chisquare(N, 600) / N for N in action.widths]).T
    logs = np.empty(len(Q))
    for i, q in enumerate(Q):
        A = 0.3 * np.eye(6) + action.closure.training(q)
        logs[i] = -0.5 * (np.linalg.slogdet(A)[1] + y @ np.linalg.solve(A, y) + 6 * math.log(2 * math.pi))
    weights = np.exp(logs - logs.max())
    sampled, error = logs.max() + math.log(weights.mean()), weights.std() / weights.mean() / math.sqrt(len(Q))
    assert abs(action.log_evidence_saddle() - sampled) < 4 * error + 0.01


def test_linearised_outside_its_domain_is_a_status_not_a_number():
    """Digits with small targets push Q_1 to where the linearised kernel is indefinite."""
    X, y, *_ = ww.load_data("digits", classes=(0, 1), train_size=60, test_size=10, seed=0)
    widths, temperature = (2, 300), 1e-3
    network = ww.FullyConnected(widths, "erf")
    outside = LayeredAction(Linearised(network, X), 0.1 * y, widths, temperature).saddle
    assert outside.status is Status.OUTSIDE_DOMAIN
    assert np.linalg.eigvalsh(Linearised(network, X).training(np.exp(outside.best.x)))[0] < -1e-6
    with pytest.raises(NumericalError, match="outside the domain"):
        outside.check("order parameters", "use another closure.")
    nested = LayeredAction(Nested(network, X), 0.1 * y, widths, temperature)
    assert nested.saddle.status is Status.CONVERGED
    assert nested.semi_definite(nested.layers)
    colder = LayeredAction(Linearised(network, X), y, widths, 1e-9)
    assert colder.value(np.array([-4.0, 0.0])) == math.inf
    assert colder.value_and_gradient(np.array([-4.0, 0.0]))[0] == math.inf


def test_refusals(data):
    X, y = data
    closure = Nested(ww.FullyConnected([5, 5], "erf"), X)
    with pytest.raises(InputError, match="expected 2 widths and 40 targets"):
        LayeredAction(closure, y, (5,), T)
    with pytest.raises(InputError, match="got 2 and 39"):
        LayeredAction(closure, y[1:], (5, 5), T)
    doubled = Nested(ww.FullyConnected([5, 5], "erf"), np.vstack([X, X]))
    with pytest.raises(NumericalError, match="raise the temperature"):
        LayeredAction(doubled, np.append(y, -y), (5, 5), 1e-18).saddle


@pytest.mark.slow
@pytest.mark.parametrize("closure", CLOSURES)
def test_depth_ten_at_a_thousand_examples(closure, rng):
    P, widths = 1000, (100,) * 9 + (50,)
    X = rng.normal(size=(P, 300)) * np.arange(1, 301) ** -0.5
    y = np.sign(X[:, 0] + X[:, 1] * X[:, 2])
    network = ww.FullyConnected(widths, "erf", weight_precisions=(0.5, *(0.6,) * 10), bias_variance=0.1)
    action = LayeredAction(closure(network, X), y, widths, 1e-2)
    found = action.saddle
    assert found.status is Status.CONVERGED
    assert found.agreeing == found.starts
    assert found.best.residual < 1e-8 * found.best.hessian[-1]
    assert found.best.hessian[0] > 0
    assert action.rounding < 1e-8


def test_wide_layers_are_spread_as_laplace_says(data):
    """The weighted nodes' covariance of log Q is the Laplace approximation that the integral starts from."""
    action = action_of(Nested, data, (4000, 6000))
    nodes = action.integral
    u = np.log(nodes.Q)
    shift = u - nodes.weights @ u
    covariance = (shift * nodes.weights[:, None]).T @ shift
    np.testing.assert_allclose(action._covariance(action.saddle.best), covariance, rtol=0.02, atol=2e-6)
