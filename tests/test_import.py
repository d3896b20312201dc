"""`import widthwise` is light, its public names resolve, and JAX's settings are the caller's own."""

import subprocess
import sys

import pytest

import widthwise as ww

HEAVY = ("jax", "matplotlib", "sklearn", "scipy", "pyarrow", "blackjax", "arviz", "numpy")


def python(code: str) -> str:
    """Runs in a fresh interpreter, where no other test has imported anything."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_it_imports_nothing_heavy():
    loaded = python(f"import sys, widthwise; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded.strip() == "[]"


def test_describing_a_network_needs_no_jax():
    describe = "ww.FullyConnected([5], 'erf'); ww.PrecomputedKernel([5])"
    assert python(f"import sys, widthwise as ww; {describe}; print('jax' in sys.modules)").strip() == "False"


@pytest.mark.parametrize("name", ww.__all__)
def test_every_public_name_resolves(name):
    assert getattr(ww, name) is not None
    assert name in dir(ww)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'infr'"):
        ww.infr


@pytest.mark.parametrize("setting", [False, True])
def test_a_fit_is_float64_and_leaves_jax_as_it_was(setting):
    code = f"""
import jax, numpy as np
jax.config.update("jax_enable_x64", {setting})
import widthwise as ww
rng = np.random.default_rng(0)
X, y = rng.standard_normal((12, 4)).astype(np.float32), rng.standard_normal(12).astype(np.float32)
for activation in ("erf", "tanh", "relu", lambda h: h / (1 + np.exp(-h))):
    posterior = ww.infer(ww.FullyConnected([20], activation), X, y, temperature=0.1)
    prediction = posterior.predict(X)
    assert prediction.mean.dtype == prediction.variance.dtype == np.float64
    assert jax.config.jax_enable_x64 is {setting}
    assert jax.numpy.ones(1).dtype == ("float64" if {setting} else "float32")
assert posterior.order_parameters["Q"].dtype == np.float64
"""
    python(code)
