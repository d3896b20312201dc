"""Kernels of several convolutional layers of infinitely many channels: reductions, random networks, tiles."""

import dataclasses

import numpy as np
import pytest
from stacked import last_layer, network

import widthwise as ww
from widthwise.kernels import (
    descent,
    infinite_cross,
    infinite_training,
    pooled_cross,
    pooled_training,
    stack_cross,
    stack_training,
    training_kernel,
)


@pytest.fixture
def X(rng):
    return rng.normal(size=(5, 4, 5, 2))


@pytest.mark.parametrize("readout", ["dense", "average"])
def test_one_layer_is_the_kernel_of_one_layer(X, readout):
    net = network((4,), (3, 2), (1, 2), "relu", padding="same", readout=readout, bias_variance=0.3)
    training, cross = (pooled_training, pooled_cross) if readout == "average" else (infinite_training, infinite_cross)
    one, other = stack_training(net, X), training(net, X)
    np.testing.assert_allclose(one.K, other.K, rtol=1e-12)
    if readout == "average":
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12)
    else:
        assert one.mean is other.mean is None
    one, other = stack_cross(net, X[:2], X[2:]), cross(net, X[:2], X[2:])
    np.testing.assert_allclose(one.k, other.k, rtol=1e-12)
    np.testing.assert_allclose(one.diagonal, other.diagonal, rtol=1e-12)


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
def test_the_whole_image_and_then_one_by_one_is_fully_connected(X, activation):
    options = {"weight_precisions": (0.7, 0.6, 0.8, 0.9), "bias_variance": (0.1, 0.2, 0.3)}
    net = ww.Convolutional((3, 4, 5), ((4, 5), 1, 1), activation=activation, **options)
    plain = ww.FullyConnected((3, 4, 5), activation, **options)
    np.testing.assert_allclose(stack_training(net, X).K, training_kernel(plain, X.reshape(5, -1)).K, rtol=1e-12)


@pytest.mark.parametrize("readout", ["dense", "average"])
@pytest.mark.parametrize(
    ("activation", "channels"),
    [("identity", (3, 2, 2)), pytest.param("relu", (500, 500), marks=pytest.mark.slow), ("erf", (500, 500))],
)
def test_it_is_the_mean_over_random_networks(X, readout, activation, channels):
    """Exact at any number of channels for the identity; of wide layers otherwise, the last at any width."""
    L = len(channels)
    net = network(
        channels, ((2, 2), (3, 2), (2, 2))[:L], 1, activation, padding="same", readout=readout, bias_variance=0.3
    )
    rng, draws = np.random.default_rng(3), 4000 if activation == "identity" else 40
    features = last_layer(net, X, rng, draws)
    n, N = features.shape[2:]
    if readout == "average":
        features = features.sum(axis=2) / np.sqrt(n)
    flat = features.reshape(draws, 5, -1)
    each = flat @ flat.swapaxes(1, 2) / (net.precisions[-1] * N * n)
    K, error = stack_training(net, X).K, each.std(axis=0) / np.sqrt(draws)
    assert np.abs((each.mean(axis=0) - K) / (error + 1e-3 * np.abs(K).max())).max() < 4.5
    assert (error < 0.12 * np.abs(K).max()).all()


@pytest.mark.parametrize("readout", ["dense", "average"])
def test_tiles_and_blocks_change_nothing(monkeypatch, X, readout):
    net = network((4, 4), (2, 2), (1, 1), "erf", readout=readout, bias_variance=0.2)
    whole, cross = stack_training(net, X), stack_cross(net, X[:2], X[2:])
    monkeypatch.setattr(descent, "WORK", 12 * 4 if readout == "dense" else 12 * 12 * 4)  # tiles of two images
    np.testing.assert_allclose(stack_training(net, X).K, whole.K, rtol=1e-13)
    np.testing.assert_allclose(whole.K[:2, 2:], cross.k, rtol=1e-12)
    np.testing.assert_allclose(whole.K.diagonal()[:2], cross.diagonal, rtol=1e-12)
    np.testing.assert_allclose(stack_cross(net, X[:2], X[2:]).k, cross.k, rtol=1e-13)
    scaled = dataclasses.replace(net, weight_precisions=(*net.precisions[:-1], 2 * net.precisions[-1]))
    np.testing.assert_allclose(stack_training(scaled, X).K, whole.K / 2, rtol=1e-12)
