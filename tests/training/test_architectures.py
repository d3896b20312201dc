"""Architectures: parameters counted by hand, features of the size promised, variances at the start."""

import jax
import numpy as np
import pytest

from widthwise.training import Architecture, Conv, Dense, Residual, features, lenet, mlp, resnet, vgg


@pytest.mark.parametrize(
    ("architecture", "shape", "outputs", "count"),
    [
        (mlp(8), (64,), None, 64 * 8 + 8 + 8 + 1),
        (mlp(8), (8, 8), None, 64 * 8 + 8 + 8 + 1),
        (mlp(20, 6), (10,), 3, 10 * 20 + 20 + 20 * 6 + 6 + 6 * 3 + 3),
        (lenet(12), (8, 8), None, (25 * 6 + 6) + (25 * 6 * 16 + 16) + (4 * 16 * 12 + 12) + 12 + 1),
        (
            vgg(10, channels=4, stride=2),
            (16, 16, 3),
            None,
            (27 * 4 + 4) + (36 * 4 + 4) + (36 * 8 + 8) + (72 * 8 + 8) + (4 * 8 * 10 + 10) + 10 + 1,
        ),
        (
            resnet(8),
            (8, 8),
            None,
            (9 * 4 + 4) + 2 * (36 * 4 + 4) + (36 * 8 + 8) + (72 * 8 + 8) + (4 * 8 + 8) + 8 + 1,
        ),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_parameters_are_counted(architecture, shape, outputs, count):
    parameters = architecture.init(0, shape, outputs)
    assert parameters.count == count
    found = jax.eval_shape(architecture.features, parameters.trunk, np.zeros((3, *shape)))
    assert found.shape == (3, parameters.readout["W"].shape[0])


def test_relu_keeps_the_power_of_its_input(rng):
    """He et al. 2015: ⟨h²⟩ is the same in every layer, 2⟨φ²⟩ = ⟨h²⟩."""
    X = rng.normal(size=(200, 50))
    architecture = mlp(1000, 1000)
    phi = features(architecture, architecture.init(1, (50,)), X)
    assert 2.0 * np.mean(phi**2) == pytest.approx(2.0 * np.mean(X**2), rel=0.1)
    linear = mlp(1000, 1000, activation="identity")
    assert np.mean(features(linear, linear.init(1, (50,)), X) ** 2) == pytest.approx(np.mean(X**2), rel=0.1)


def test_features_do_not_see_how_they_are_cut(rng):
    X = rng.normal(size=(1100, 6))
    architecture = mlp(5, activation="erf")
    parameters = architecture.init(0, (6,))
    whole = features(architecture, parameters, X)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole[700:710], features(architecture, parameters, X)[700:710])
    np.testing.assert_allclose(whole[700:710], features(architecture, parameters, X[700:710]), rtol=1e-5, atol=1e-7)


def test_weight_norms():
    architecture = mlp(4, 3)
    parameters = architecture.init(0, (5,))
    W = [np.asarray(layer["W"]) for layer in parameters.trunk]
    expected = [np.sqrt(np.sum(w**2) + 1.0) for w in W] + [np.linalg.norm(parameters.readout["W"])]
    np.testing.assert_allclose(architecture.weight_norms(parameters, (5,)), expected, rtol=1e-6)
    block = Architecture("one block", (Residual(2),))
    assert block.weight_norms(block.init(0, (4, 4)), (4, 4)) is None


def test_depth_counts_the_layers_of_weights():
    assert [a.depth for a in (mlp(3), mlp(3, 3), lenet(), vgg(), resnet())] == [2, 3, 4, 6, 6]
    assert Architecture("own", (Conv(2), Dense(2))).depth == 3
