"""φ itself and its names."""

import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.activations.phi import BUILTIN, leaky_relu, resolve
from widthwise.errors import InputError


@pytest.mark.parametrize("name", [*BUILTIN, "leaky_relu(0.3)"])
def test_numpy_and_jax_agree(name):
    h = np.linspace(-3, 3, 25)
    np.testing.assert_allclose(resolve(name)(jnp.asarray(h)), resolve(name)(h), rtol=3e-6, atol=1e-6)
    assert isinstance(resolve(name)(h), np.ndarray)


@pytest.mark.parametrize("name", BUILTIN)
def test_a_plain_number_stays_float64(name):
    assert np.asarray(resolve(name)(0.5)).dtype == np.float64


def test_values():
    h = np.array([-2.0, 0.0, 1.5])
    np.testing.assert_allclose(resolve("relu")(h), [0, 0, 1.5])
    np.testing.assert_allclose(leaky_relu(0.1)(h), [-0.2, 0, 1.5])
    np.testing.assert_allclose(resolve("linear")(h), h)
    np.testing.assert_allclose(resolve("GELU")(h), [-0.045500263896, 0.0, 1.399789198096], rtol=1e-10)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("rleu", "did you mean 'relu'"),
        ("leaky_relu(x)", "unknown activation"),
        ("leaky_relu(nan)", "finite slope"),
        (3, "expected a name or an elementwise callable"),
    ],
)
def test_bad_names(bad, message):
    with pytest.raises(InputError, match=message):
        resolve(bad)
