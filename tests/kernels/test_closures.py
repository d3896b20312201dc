"""The closures of depth: against entry-by-entry formulas, the NNGP, each other, and differences of themselves."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.activations.duals import dual_of
from widthwise.kernels import cross_kernel, training_kernel
from widthwise.kernels.closures import Linearised, Nested
from widthwise.kernels.tangent import COLUMNS, ROWS, mirror, pull_symmetric, push_symmetric, symmetric_dot

CLOSURES = [Nested, Linearised]
PRECISIONS, BIASES, Q = (0.7, 1.9, 0.4, 2.3), (0.3, 0.0, 0.15), np.array([0.7, 1.4, 0.9])


def network_of(activation, depth, bias=True):
    return ww.FullyConnected([9] * depth, activation, PRECISIONS[: depth + 1], BIASES[:depth] if bias else 0.0)


@pytest.fixture
def X(rng):
    return rng.standard_normal((13, 5)) * rng.uniform(0.3, 2.0, (13, 1))


def dense_kernel(network, X, closure, Q):
    """K_R by jnp on whole matrices; J of the linearised closure by forward-mode autodiff of κ."""
    kappa, biases = dual_of(network.phi).kappa, (*network.bias_variances[1:], 0.0)

    def layer(K, bias, precision):
        C = K + bias
        c = jnp.diag(C)
        return kappa(c[:, None], C, c[None, :]) / precision

    lam = network.precisions
    K = jnp.asarray(X) @ X.T / (lam[0] * X.shape[1])
    below = (network.bias_variances[0], *biases)
    K_wide = changed = layer(K, below[0], lam[1])
    changed = Q[0] * K_wide
    for n in range(1, network.depth):
        if closure is Nested:
            changed = Q[n] * layer(changed, below[n], lam[n + 1])
        else:
            value, tangent = jax.jvp(lambda M: layer(M, below[n], lam[n + 1]), (K_wide,), (changed - K_wide,))  # noqa: B023
            changed, K_wide = Q[n] * (value + tangent), value
    return changed


@pytest.mark.parametrize(("activation", "depth"), [("erf", 1), ("erf", 2), ("erf", 3), ("gelu", 3)])
@pytest.mark.parametrize("closure", CLOSURES)
def test_kernel_and_pull_back_are_those_of_autodiff(closure, activation, depth, X, rng):
    network, q = network_of(activation, depth), Q[:depth]
    ours = closure(network, X)
    W = rng.normal(size=(13, 13))
    W = W + W.T
    with jax.enable_x64(True):
        dense = functools.partial(dense_kernel, network, X, closure)
        both = jax.jit(lambda v: (dense(v), jax.jacfwd(lambda w: (W * dense(w)).sum())(v)))
        K, slopes = (np.asarray(a) for a in both(jnp.asarray(q)))
    np.testing.assert_allclose(ours.training(q), K, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours.pull_back(q, np.triu(W)), slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "gelu", "sin", "quadratic"])
def test_pull_back_is_the_difference_of_kernels(closure, activation, X, rng):
    ours = closure(network_of(activation, 3), X)
    W = rng.normal(size=(13, 13))
    W = W + W.T
    h = 1e-5
    slopes = [((ours.training(Q + e) - ours.training(Q - e)) * W).sum() / (2 * h) for e in h * np.eye(3)]
    np.testing.assert_allclose(ours.pull_back(Q, W), slopes, rtol=1e-6, atol=1e-7 * np.abs(slopes).max())


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "gelu"])
def test_nested_is_the_nngp_with_renormalised_precisions(activation, X):
    network = network_of(activation, 3)
    lam = (PRECISIONS[0], *(np.array(PRECISIONS[1:]) / Q))
    renormalised = replace(network, weight_precisions=lam)
    closure = Nested(network, X[:9])
    np.testing.assert_allclose(closure.training(Q), training_kernel(renormalised, X[:9]).K, rtol=1e-12)
    new, expected = closure.cross(Q, X[9:]), cross_kernel(renormalised, X[9:], X[:9])
    np.testing.assert_allclose(new.k, expected.k, rtol=1e-13)
    np.testing.assert_allclose(new.diagonal, expected.diagonal, rtol=1e-13)


@pytest.mark.parametrize("closure", CLOSURES)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", ["erf", "gelu", "tanh"])
def test_new_points_are_the_training_points_of_a_larger_set(closure, depth, activation, X):
    network, q = network_of(activation, depth), Q[:depth]
    whole = closure(network, X).training(q)
    new = closure(network, X[4:]).cross(q, X[:4])
    np.testing.assert_allclose(new.k, whole[:4, 4:], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(new.diagonal, whole.diagonal()[:4], rtol=1e-10)
    np.testing.assert_array_equal(whole, whole.T)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)", "identity"])
def test_closures_coincide_for_homogeneous_activations(activation, X):
    network = network_of(activation, 3, bias=False)
    K = training_kernel(network, X).K
    for closure in CLOSURES:
        np.testing.assert_allclose(closure(network, X).training(Q), Q.prod() * K, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["erf", "gelu", "cos"])
def test_closures_agree_to_first_order_around_infinite_width(activation, X):
    network, direction = network_of(activation, 3), np.array([0.5, -1.0, 0.3])
    nested, linearised = Nested(network, X), Linearised(network, X)
    gaps = []
    for step in (1e-2, 1e-3):
        q = 1 + step * direction
        gaps.append(np.abs(nested.training(q) - linearised.training(q)).max())
    np.testing.assert_allclose(gaps[0] / gaps[1], 100, rtol=0.1)
    W = np.eye(13) + 0.1
    np.testing.assert_allclose(nested.pull_back(np.ones(3), W), linearised.pull_back(np.ones(3), W), rtol=1e-8)
    np.testing.assert_allclose(nested.training(np.ones(3)), training_kernel(network, X).K, rtol=1e-12)


def test_two_layers_linearised_is_the_printed_formula(X):
    """K_R = Q_2 { κ[K_1]/λ_2 + (Q_1 − 1) D/λ_2 }, D the derivative of κ along K_1."""
    network, q = network_of("erf", 2, bias=False), np.array([0.6, 1.2])
    K_1 = training_kernel(ww.FullyConnected([9], "erf", PRECISIONS[:2]), X).K
    dual, c = dual_of(network.phi), K_1.diagonal()
    h = 1e-5
    up, down = (dual.kappa(t * c[:, None], t * K_1, t * c) for t in (1 + h, 1 - h))
    D = (up - down) / (2 * h)
    expected = q[1] * (dual.kappa(c[:, None], K_1, c) + (q[0] - 1) * D) / PRECISIONS[2]
    np.testing.assert_allclose(Linearised(network, X).training(q), expected, rtol=1e-8)


def test_tangent_and_adjoint_across_tiles(rng):
    """Whole against tiled, and Σ W J[Δ] = Σ Jᵀ[W] Δ, on more rows and columns than one tile has."""
    P = ROWS + COLUMNS + 7
    X = rng.normal(size=(P, 30))
    C, dual = X @ X.T / 30, dual_of(ww.FullyConnected([1], "erf").phi)
    D, W = rng.normal(size=(P, P)), rng.normal(size=(P, P))
    D, W = D + D.T, W + W.T
    c = C.diagonal()
    xx, xy, yy = dual.partials(c[:, None], C, c[None, :])
    J = (xx * D.diagonal()[:, None] + xy * D + yy * D.diagonal()) / 1.7
    pushed, pulled = D.copy(), W.copy()
    push_symmetric(dual, C, [pushed], 1.7)
    np.testing.assert_allclose(np.triu(pushed), np.triu(J), rtol=1e-10, atol=1e-12)
    mirror(pushed)
    np.testing.assert_array_equal(pushed, pushed.T)
    pull_symmetric(dual, C, pulled, 1.7)
    assert symmetric_dot(pulled, D) == pytest.approx((W * J).sum(), rel=1e-10)
    assert symmetric_dot(W, pushed) == pytest.approx((W * J).sum(), rel=1e-10)


def test_linearised_states_its_memory(X):
    closure = Linearised(network_of("erf", 3), X)
    assert closure.memory >= sum(B.nbytes for B in closure.basis)
    assert len(closure.basis) == 3
