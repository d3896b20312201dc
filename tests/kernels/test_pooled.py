"""Pooled and infinitely wide kernels: sums of the patch kernels, draws of the network, the fully connected one."""

import numpy as np
import pytest
from convolution import hidden

import widthwise as ww
from widthwise.kernels import cross_kernel, patches, training_kernel
from widthwise.kernels.patches import PatchSet
from widthwise.kernels.pooled import infinite_cross, infinite_training, pooled_cross, pooled_training

KINDS = {"pooled": (pooled_training, pooled_cross), "infinite": (infinite_training, infinite_cross)}


def network_of(activation="erf", patch=(3, 2), stride=(1, 2), padding="same"):
    return ww.Convolutional(
        3, patch, stride, activation=activation, padding=padding, weight_precisions=(0.7, 1.9), bias_variance=0.3
    )


@pytest.fixture
def X(rng):
    return rng.standard_normal((7, 4, 5, 2))


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
@pytest.mark.parametrize("work", [2**22, 4 * 12**2])
def test_they_are_sums_of_patch_kernels(X, activation, work, monkeypatch):
    monkeypatch.setattr(patches, "WORK", work)
    network = network_of(activation)
    images, everything = PatchSet.of(network, X), slice(0, 7)
    assert images.patches == 12
    kappa = images.block(everything, images, everything)
    expected = {"pooled": kappa.sum(axis=(0, 2)) / 12, "infinite": np.einsum("iris->rs", kappa)}
    for name, (training, cross) in KINDS.items():
        K = training(network, X).K
        np.testing.assert_allclose(K, expected[name], rtol=1e-12)
        np.testing.assert_array_equal(K, K.T)
        new = cross(network, X[2:5], X)
        np.testing.assert_allclose(new.k, K[2:5], rtol=1e-12)
        np.testing.assert_allclose(new.diagonal, K.diagonal()[2:5], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_one_patch_is_fully_connected(X, kind, activation):
    """Reduces to: FullyConnected on the flattened image."""
    network = network_of(activation, patch=(4, 5), stride=None, padding="valid")
    flat = ww.FullyConnected([3], activation, (0.7, 1.9), 0.3)
    training, cross = KINDS[kind]
    found, expected = training(network, X), training_kernel(flat, X.reshape(7, -1))
    np.testing.assert_allclose(found.K, expected.K, rtol=1e-12)
    new, there = cross(network, X[:3] + 1, X), cross_kernel(flat, (X[:3] + 1).reshape(3, -1), X.reshape(7, -1))
    np.testing.assert_allclose(new.k, there.k, rtol=1e-12)
    np.testing.assert_allclose(new.diagonal, there.diagonal, rtol=1e-12)
    if kind == "pooled" and activation == "relu":
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(new.mean, there.mean, rtol=1e-12)
    else:
        assert found.mean is None
        assert new.mean is None


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_the_covariance_of_drawn_networks(X, rng, kind):
    """f of networks with three channels, weights and readout from the prior: E[f f'] = K at every width."""
    network, X, draws, N = network_of("relu"), X[:4], 30_000, 3
    phi = hidden(network, X, rng, draws * N).reshape(12, 4, draws, N)
    v = rng.standard_normal((12 if kind == "infinite" else 1, 1, draws, N)) / np.sqrt(network.precisions[1])
    readout = v if kind == "infinite" else v / np.sqrt(12)
    f = (readout * phi).sum(axis=(0, 3)) / np.sqrt(N * 12)
    sampled = f @ f.T / draws
    error = np.sqrt((f**2 @ (f**2).T / draws - sampled**2) / draws)
    K = KINDS[kind][0](network, X).K
    assert (np.abs(K - sampled) < 4.5 * error).all()
    assert (error < 0.03 * np.sqrt(np.outer(K.diagonal(), K.diagonal()))).all()
    if kind == "pooled":
        mean = phi.mean(axis=(0, 2, 3)) / np.sqrt(network.precisions[1])
        spread = phi.mean(axis=0).reshape(4, -1).std(axis=1) / np.sqrt(network.precisions[1] * draws * N)
        assert (np.abs(pooled_training(network, X).mean - mean) < 4.5 * spread).all()


def test_pooling_does_not_see_where_patches_lie(X):
    network = network_of(patch=2, stride=None, padding="valid")
    X = X[:, :, :4]
    moved = np.roll(X, 2, axis=2)  # the two columns of patches change places
    np.testing.assert_allclose(pooled_training(network, moved).K, pooled_training(network, X).K, rtol=1e-13)
    mixed = pooled_cross(network, moved, X)
    np.testing.assert_allclose(mixed.k, pooled_training(network, X).K, rtol=1e-13)
    assert not np.allclose(infinite_cross(network, moved, X).k, infinite_training(network, X).K, rtol=0.1)
