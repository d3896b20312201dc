"""Layers: against XLA's own convolution, as matrices, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.training import Average, Conv, Dense, Pool, Residual, mlp


def linear(h):
    return h


@pytest.mark.parametrize(("side", "size", "stride"), [(7, 3, 1), (8, 3, 2), (7, 5, 2), (8, 1, 2), (7, 2, 1)])
def test_a_convolution_is_xlas(rng, side, size, stride):
    layer = Conv(4, size, stride)
    weights, after = layer.init(np.random.default_rng(1), (side, side, 3), 1.0)
    weights = weights | {"b": jnp.arange(4.0)}
    x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        x, weights["W"], (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = layer.apply(weights, x, linear)
    assert found.shape[1:] == after
    np.testing.assert_allclose(found, expected + jnp.arange(4.0), atol=1e-5)


def test_a_residual_block_adds_its_input_back(rng):
    layer, x = Residual(3), rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    weights, after = layer.init(np.random.default_rng(0), (4, 4, 3), 1.0)
    assert after == (4, 4, 3)
    assert "skip" not in weights
    silent = weights | {"outer": jax.tree.map(jnp.zeros_like, weights["outer"])}
    np.testing.assert_array_equal(layer.apply(silent, x, linear), x)
    assert Residual(3, 2).init(np.random.default_rng(0), (4, 4, 3), 1.0)[0]["skip"]["W"].shape == (1, 1, 3, 3)


def test_pools_are_averages(rng):
    x = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    pooled = Pool().apply({}, x, linear)
    assert pooled.shape[1:] == Pool().init(np.random.default_rng(0), (5, 4, 3), 1.0)[1] == (2, 2, 3)
    np.testing.assert_allclose(pooled[1, 1, 0], x[1, 2:4, 0:2].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(Average().apply({}, x, linear), x.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("layer", "shape"), [(Dense(3), (5,)), (Conv(2, 3), (3, 3, 2))], ids=lambda v: str(v))
def test_a_norm_is_that_of_the_matrix(layer, shape):
    """Frobenius, of (x, 1) ↦ (Wx + b, 1), columns found one by one; at the border a filter counts as whole."""
    weights, after = layer.init(np.random.default_rng(3), shape, 1.0)
    weights = weights | {"b": jnp.arange(1.0, 1.0 + after[-1])}
    basis = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    columns = layer.apply(weights, basis, linear) - layer.apply(weights, 0.0 * basis, linear)
    constant = layer.apply(weights, jnp.zeros((1, *shape)), linear)
    exact = float(jnp.sqrt(jnp.sum(columns**2) + jnp.sum(constant**2) + 1.0))
    norm = layer.norm(weights, after)
    if isinstance(layer, Dense):
        assert norm == pytest.approx(exact, rel=1e-5)
    else:
        assert exact < norm < 1.5 * exact


@pytest.mark.parametrize("make", [lambda: Dense(0), lambda: Conv(4, 0), lambda: Residual(True)])
def test_sizes_are_whole_numbers(make):
    with pytest.raises(InputError, match="whole number of at least 1"):
        make()


def test_images_where_images_are_needed():
    with pytest.raises(InputError, match="expected images"):
        Conv(2).init(np.random.default_rng(0), (9,), 1.0)
    with pytest.raises(InputError, match="leave one Pool out"):
        Pool().init(np.random.default_rng(0), (1, 4, 2), 1.0)
    with pytest.raises(InputError, match="at least one layer"):
        mlp()
