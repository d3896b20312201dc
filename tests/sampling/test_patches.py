"""The sampler's own patches, against JAX's convolution."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling.patches import rows, seen
from widthwise.sampling.precision import float64


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("shape", "patch", "stride"),
    [((6, 6), 3, None), ((5, 7), (2, 3), 1), ((5, 7, 3), (3, 2), (2, 3)), ((4, 5, 2), (4, 5), None), ((7, 6), 1, 2)],
)
def test_patches_times_a_filter_are_its_convolution(rng, shape, patch, stride, padding):
    network = ww.Convolutional(2, patch, stride, padding=padding)
    X = rng.normal(size=(3, *shape))
    images = X.reshape(*X.shape[:3], -1)
    filters = rng.normal(size=(*network.patch, images.shape[3], 4))
    with float64():
        convolved = jax.lax.conv_general_dilated(
            images, filters, network.stride, padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    got = rows(network, X)
    assert got.shape[1] == seen(network, shape)[1] == filters[..., 0].size
    assert len(got) == 3 * seen(network, shape)[0]
    np.testing.assert_allclose(got @ filters.reshape(-1, 4), np.reshape(convolved, (-1, 4)), atol=1e-12)


def test_a_fully_connected_network_sees_each_input_once(rng):
    network, X = ww.FullyConnected((3,)), rng.normal(size=(5, 4))
    assert seen(network, (4,)) == (1, 4)
    assert rows(network, X) is X
