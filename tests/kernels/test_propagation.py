"""How a change of one layer's kernel reaches the output, against differences of the kernel itself."""

import numpy as np
import pytest

from widthwise.activations import resolve
from widthwise.activations.duals import dual_of
from widthwise.kernels import Propagation, layers, training_kernel
from widthwise.networks import FullyConnected

PRECISIONS = (0.7, 1.6, 0.8, 1.3)


def points(p=6, N0=4):
    return np.random.default_rng(0).normal(size=(p, N0))


def above(network, K, layer):
    """K_L from K_ℓ, by κ's elementwise form."""
    dual, biases = dual_of(network.phi), (*network.bias_variances[1:], 0.0)
    for ell in range(layer, network.depth):
        C = K + biases[ell - 1]
        c = C.diagonal()
        K = dual.kappa(c[:, None], C, c[None, :]) / network.precisions[ell + 1]
    return K


@pytest.mark.parametrize("activation", ["erf", "relu", "identity", "tanh"])
def test_the_layers_kernels_are_the_networks(activation):
    network = FullyConnected((8, 9, 10), activation, weight_precisions=PRECISIONS, bias_variance=(0.3, 0.1, 0.2))
    X = points()
    found = layers(network, X)
    assert len(found) == 3
    np.testing.assert_allclose(found[-1].kernel, training_kernel(network, X).K, rtol=1e-10)
    for number, layer in enumerate(found, start=1):
        np.testing.assert_allclose(above(network, layer.kernel, number), found[-1].kernel, rtol=1e-9)
        assert layer.precision == PRECISIONS[number]


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_change_is_carried_as_by_differences(activation, number):
    network = FullyConnected((8, 9, 10), activation, weight_precisions=PRECISIONS, bias_variance=(0.3, 0.1, 0.2))
    layer = layers(network, points())[number - 1]
    rng = np.random.default_rng(1)
    delta = rng.normal(size=(6, 6))
    delta = delta + delta.T
    step = 1e-6
    changed = [above(network, layer.kernel + s * step * delta, number) for s in (1, -1)]
    slope = (changed[0] - changed[1]) / (2 * step)
    np.testing.assert_allclose(layer.propagation(delta), slope, rtol=2e-6, atol=1e-8)


def test_the_last_layer_has_nothing_above_it():
    assert layers(FullyConnected((5,), "erf"), points())[0].propagation is None


def test_two_propagations_compose():
    rng = np.random.default_rng(2)

    def one():
        own, pair = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
        np.fill_diagonal(own, 0.0)
        return Propagation(own, pair + pair.T)

    first, second = one(), one()
    delta = rng.normal(size=(4, 4))
    delta = delta + delta.T
    np.testing.assert_allclose(second.after(first)(delta), second(first(delta)), rtol=1e-12)


def test_for_the_identity_a_change_is_only_scaled():
    network = FullyConnected((5, 5), resolve("identity"), weight_precisions=(1.0, 2.0, 4.0))
    J = layers(network, points())[0].propagation
    delta = np.ones((6, 6))
    np.testing.assert_allclose(J(delta), delta / 4.0, rtol=1e-12)
