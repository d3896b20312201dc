"""The guarded functions: against NumPy, and at the points where the unguarded ones break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.numerics import guarded


def test_arcsin_is_numpys_to_rounding():
    x = np.concatenate([np.linspace(-1, 1, 200_001), np.geomspace(1e-300, 1, 500), 1 - np.geomspace(1e-16, 0.5, 500)])
    with jax.enable_x64(True):
        ours = np.asarray(jax.jit(lambda x: guarded.arcsin(jnp, x))(x))
    np.testing.assert_allclose(ours, np.arcsin(x), rtol=5e-16, atol=0)
    assert guarded.arcsin(np, np.array([1 + 1e-12]))[0] == np.pi / 2


def test_arcsin_past_one_and_its_derivative():
    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(lambda x: guarded.arcsin(jnp, x)))
        x = jnp.array([-0.9, 0.0, 0.3, 0.5, 0.99])
        np.testing.assert_allclose(slope(x), 1 / np.sqrt(1 - np.asarray(x) ** 2), rtol=1e-14)
        edge = jnp.array([1.0, -1.0, 1 + 2.3e-16])
        np.testing.assert_array_equal(guarded.arcsin(jnp, edge), [np.pi / 2, -np.pi / 2, np.pi / 2])
        assert np.isfinite(slope(edge)).all()


@pytest.mark.parametrize("xp", [np, jnp])
def test_sqrt_and_divide_where_they_are_degenerate(xp):
    np.testing.assert_allclose(guarded.sqrt(xp, xp.asarray([-1e-17, 0.0, 4.0])), [0, 0, 2])
    np.testing.assert_allclose(guarded.divide(xp, xp.asarray([1.0, 1.0]), xp.asarray([0.0, 2.0]), 7.0), [7, 0.5])
    assert jax.grad(lambda x: guarded.sqrt(jnp, x))(0.0) == 0
    assert jax.grad(lambda x: guarded.divide(jnp, 1.0, x))(0.0) == 0


def test_namespace():
    assert guarded.namespace(1.0, np.ones(2)) is np
    assert guarded.namespace(1.0, jnp.ones(2)) is jnp
