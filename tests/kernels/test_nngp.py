"""The kernel recursion against a double loop, random weights, its invariances, and itself across tiles."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.activations.duals import dual_of
from widthwise.kernels import cross_kernel, training_kernel
from widthwise.kernels.layer import TILE

ACTIVATIONS = ["erf", "identity", "relu", "leaky_relu(0.2)", "quadratic", "sin", "cos", "tanh", "gelu"]
PRECISIONS = {1: (0.7, 1.9), 2: (0.7, 1.9, 0.4), 3: (0.7, 1.9, 0.4, 2.3)}
BIASES = {1: 0.3, 2: (0.3, 0.0), 3: (0.3, 0.0, 0.15)}


def network_of(activation, depth=1, bias=True):
    return ww.FullyConnected([9] * depth, activation, PRECISIONS[depth], BIASES[depth] if bias else 0.0)


@pytest.fixture
def X(rng):
    return rng.standard_normal((13, 5)) * rng.uniform(0.3, 2.0, (13, 1))


def naive(network, A, B):
    """K_0 = A Bᵀ/(λ_0 N_0), K_ℓ = κ[K_{ℓ-1} + σ_b²]/λ_ℓ, one entry after another; and the last layer's mean on A."""
    dual = dual_of(network.phi)
    lam, biases = network.weight_precisions, np.broadcast_to(network.bias_variance, network.depth)

    def entry(x, z):
        xx, xz, zz = (u @ v / (lam[0] * len(x)) for u, v in ((x, x), (x, z), (z, z)))
        for layer in range(network.depth):
            c = tuple(k + biases[layer] for k in (xx, xz, zz))
            xx, xz, zz = (float(dual.kappa(*k)) / lam[layer + 1] for k in ((c[0],) * 3, c, (c[2],) * 3))
        return xz, float(dual.mean(np.array([c[0]]))[0]) / np.sqrt(lam[-1])

    K = np.array([[entry(x, z)[0] for z in B] for x in A])
    return K, np.array([entry(x, x)[1] for x in A])


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_recursion_is_a_double_loop(activation, depth, X):
    network = network_of(activation, depth)
    X, X_new = X[:4], X[:2] + 0.3
    found = training_kernel(network, X)
    K, mean = naive(network, X, X)
    np.testing.assert_allclose(found.K, K, rtol=1e-8, atol=1e-9 * K.max())
    if dual_of(network.phi).has_mean:
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    else:
        assert found.mean is None
    new = cross_kernel(network, X_new, X)
    K, mean = naive(network, X_new, X)
    np.testing.assert_allclose(new.k, K, rtol=1e-8, atol=1e-9 * abs(K).max())
    np.testing.assert_allclose(new.diagonal, naive(network, X_new, X_new)[0].diagonal(), rtol=1e-8)
    if new.mean is not None:
        np.testing.assert_allclose(new.mean, mean, rtol=1e-12)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "cos"])
def test_the_kernel_is_the_covariance_of_random_features(activation, depth, X, rng):
    """Units of a layer are independent draws h ~ N(0, K + σ_b²): their averages, within four standard errors."""
    X, units, lam = X[:4], 60_000, PRECISIONS[depth]
    network = network_of(activation, depth)
    biases = np.broadcast_to(network.bias_variance, depth)
    W = rng.standard_normal((units, X.shape[1])) / np.sqrt(lam[0])
    h = W @ X.T / np.sqrt(X.shape[1]) + np.sqrt(biases[0]) * rng.standard_normal((units, 1))
    if depth == 2:  # infinitely many first-layer units: Gaussian pre-activations with the one-layer kernel
        first = training_kernel(ww.FullyConnected([9], activation, lam[:2], float(biases[0])), X).K + biases[1]
        h = rng.standard_normal((units, len(X))) @ np.linalg.cholesky(first).T
    phi = np.asarray(network.phi(h), float) / np.sqrt(lam[-1])
    products = phi[:, :, None] * phi[:, None, :]
    found = training_kernel(network, X)
    assert (abs(products.mean(0) - found.K) < 4 * products.std(0) / np.sqrt(units) + 1e-12).all()
    if found.mean is not None:
        assert (abs(phi.mean(0) - found.mean) < 4 * phi.std(0) / np.sqrt(units)).all()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
class TestInvariances:
    def test_cross_with_itself_is_the_training_kernel(self, activation, depth, X):
        network = network_of(activation, depth)
        training, cross = training_kernel(network, X), cross_kernel(network, X, X)
        np.testing.assert_allclose(cross.k, training.K, rtol=1e-9, atol=1e-9 * training.K.max())
        np.testing.assert_allclose(cross.diagonal, training.K.diagonal(), rtol=1e-12)
        np.testing.assert_array_equal(training.K, training.K.T)
        if training.mean is not None:
            np.testing.assert_allclose(cross.mean, training.mean, rtol=1e-12)

    def test_permutation_of_the_data_and_rotation_of_the_inputs(self, activation, depth, X, rng):
        network = network_of(activation, depth)
        K = training_kernel(network, X).K
        order, rotation = rng.permutation(len(X)), np.linalg.qr(rng.standard_normal((5, 5)))[0]
        moved = training_kernel(network, X[order] @ rotation).K
        np.testing.assert_allclose(moved, K[np.ix_(order, order)], rtol=1e-9, atol=1e-9 * K.max())

    def test_scaled_inputs_with_a_scaled_first_precision(self, activation, depth, X):
        network, c = network_of(activation, depth), 3.7
        lam = network.weight_precisions
        other = ww.FullyConnected(network.widths, activation, (c * lam[0], *lam[1:]), network.bias_variance)
        K = training_kernel(network, X).K
        np.testing.assert_allclose(training_kernel(other, np.sqrt(c) * X).K, K, rtol=1e-9, atol=1e-9 * K.max())

    def test_duplicated_opposite_and_zero_rows(self, activation, depth, X):
        rows = np.vstack([X, X[:3], -X[:2], 0 * X[:2]])
        network = network_of(activation, depth, bias=False)
        K = training_kernel(network, rows).K
        assert np.isfinite(K).all()
        np.testing.assert_allclose(K[13:16], K[:3], rtol=1e-7, atol=1e-9 * K.max())
        np.testing.assert_allclose(K[18], K[19], rtol=1e-12)
        assert np.linalg.eigvalsh(K)[0] > -1e-8 * K.max() * len(K)
        assert np.isfinite(cross_kernel(network, rows[-3:], rows).k).all()


@pytest.mark.parametrize("P", [1, 2, TILE - 1, TILE, TILE + 1, 2 * TILE + 3])
@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
def test_tiles_leave_no_seam(P, activation, rng):
    X = rng.standard_normal((P, 4))
    network = network_of(activation)
    K = training_kernel(network, X).K
    C = X @ X.T / (4 * 0.7) + 0.3
    c = C.diagonal().copy()
    expected = dual_of(network.phi).kappa(c[:, None], C, c) / 1.9
    np.testing.assert_allclose(K, expected, rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(K, K.T)
    k = cross_kernel(network, X[: max(1, P - 3)], X).k
    np.testing.assert_allclose(k, expected[: len(k)], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 1e-150, 1e-8, 1e4])
@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "sin", "cos", "gelu"])
def test_very_small_and_very_large_inputs(scale, activation, X):
    K = training_kernel(network_of(activation, bias=False), np.vstack([scale * X, scale * X[:2]])).K
    assert np.isfinite(K).all()
    deviation = np.sqrt(K.diagonal())
    assert (abs(K) <= np.outer(deviation, deviation) * (1 + 1e-7)).all()


def test_any_callable_is_the_activation_it_computes(X):
    named = training_kernel(network_of("tanh", 2), X).K
    ours = training_kernel(network_of(lambda h: np.tanh(h), 2), X).K
    np.testing.assert_allclose(ours, named, rtol=1e-6)


def test_inputs_are_left_alone(X):
    before = X.copy()
    training_kernel(network_of("relu"), X)
    cross_kernel(network_of("relu"), X, X)
    np.testing.assert_array_equal(X, before)
