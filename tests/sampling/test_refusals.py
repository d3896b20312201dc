"""Bad input: one clear line each, before any sampling."""

import sys

import jaxtyping
import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling import sample_grid, step_bias

NETWORK = ww.FullyConnected((3,))
X, Y = np.ones((4, 2)), np.ones(4)


@pytest.fixture(autouse=True)
def _as_a_user_meets_it():
    """Without the run-time type checks of the tests, which would see the wrong types first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def _bad(value):
    array = X.copy()
    array[1, 0] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((_bad(np.nan), Y), r"X: expected finite.*\[1, 0\]"),
        ((_bad(np.inf), Y), r"X: expected finite"),
        ((X[:, 0], Y), r"X: expected shape .*got \(4,\)"),
        ((X[:0], Y[:0]), r"X: expected shape"),
        ((X + 1j, Y), "X: expected real"),
        ((X.astype(str), Y), "X: expected real"),
        (([["a", "b"]], Y), "X: expected real"),
        ((X, Y[:3]), r"y: expected shape \(4,\)"),
        ((X, Y * np.nan), "y: expected finite"),
        ((X, np.ones((4, 2, 2))), "y: expected shape"),
        ((X, Y, np.ones((4, 3)), Y), r"X_test: expected 2 columns, as in X, got 3"),
        ((X, Y, X, Y[:2]), "y_test: expected shape"),
        ((X, Y, X, np.ones((4, 1))), "y_test: expected as many dimensions"),
        ((X, np.ones((4, 2)), X, np.ones((4, 3))), "y_test: expected 2 columns"),
        ((X, Y, None, Y), "X_test: expected inputs"),
    ],
)
def test_arrays(arguments, message):
    with pytest.raises(ww.InputError, match=message):
        ww.sample(NETWORK, *arguments, temperature=0.1)


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "hot", None, True])
def test_temperature(temperature):
    with pytest.raises(ww.InputError, match="temperature: expected a finite number above zero"):
        ww.sample(NETWORK, X, Y, temperature=temperature)


@pytest.mark.parametrize("key", [-1, 1.5, True, "seed", None])
def test_key(key):
    with pytest.raises(ww.InputError, match="key: expected"):
        ww.sample(NETWORK, X, Y, temperature=0.1, key=key)


def test_networks_without_weights():
    with pytest.raises(ww.InputError, match="nothing to sample"):
        ww.sample(ww.PrecomputedKernel((3,)), X, Y, temperature=0.1)
    with pytest.raises(ww.InputError, match="expected FullyConnected or Convolutional, got str"):
        ww.sample("network", X, Y, temperature=0.1)


@pytest.mark.parametrize("phi", [lambda h: np.tanh(h), lambda h: h if h > 0 else 0 * h, lambda h: h.sum()])
def test_activations_that_jax_cannot_follow(phi):
    with pytest.raises(ww.InputError, match=r"write it with jax.numpy"):
        ww.sample(ww.FullyConnected((3,), activation=phi), X, Y, temperature=0.1)


def test_samplers():
    with pytest.raises(ww.InputError, match="sampler: expected CollapsedHMC"):
        ww.sample(NETWORK, X, Y, temperature=0.1, sampler="hmc")


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC, ww.HMC])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chains", 0),
        ("chains", 2.0),
        ("draws", 5),
        ("warmup", True),
        ("target_acceptance", 1.0),
        ("target_acceptance", "high"),
        ("trajectory", 0.0),
        ("trajectory", np.nan),
        ("memory", -1),
        ("weights_memory", 0),
    ],
)
def test_sampler_fields(sampler, field, value):
    with pytest.raises(ww.InputError, match=f"{field}: expected"):
        sampler(**{field: value})


@pytest.mark.parametrize("package", ["blackjax", "arviz"])
def test_a_missing_extra_is_named(monkeypatch, package):
    from widthwise.errors import MissingExtra

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{package}.*pip install 'widthwise\[sample\]'"):
        ww.sample(NETWORK, X, Y, temperature=0.1)


@pytest.mark.parametrize("store", [5, "a\0b"])
def test_what_is_no_store(store):
    with pytest.raises(ww.InputError, match="store: expected a Store or the path of a file, got"):
        ww.sample(NETWORK, X, Y, temperature=0.1, store=store)


@pytest.mark.parametrize("problems", [[], 5, [NETWORK]])
def test_what_is_no_grid(problems):
    with pytest.raises(ww.InputError, match=r"problems: expected Problem\(\.\.\.\)s, got"):
        sample_grid(problems)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"step_sizes": (0.0, 1e-3)}, r"step_size: expected a number in \(0, inf\), got 0\.0"),
        ({"step_sizes": ("small", 1e-3)}, "step_size: expected a number"),
        ({"step_sizes": 1e-3}, "step_sizes: expected at least two different ones, got 0.001"),
        ({"step_sizes": (1e-3, 1e-3)}, "step_sizes: expected at least two"),
        ({"quantity": "accuracy"}, "quantity: expected 'generalisation_error'"),
        ({"y_test": None}, "y_test: expected test targets, got None"),
        ({"sampler": ww.HMC()}, r"sampler: expected Langevin\(\.\.\.\)"),
        ({"key": "seed"}, "key: expected"),
    ],
)
def test_a_step_bias(given, message):
    asked = {"X_test": X, "y_test": Y, "step_sizes": (1e-3, 2e-3)} | given
    with pytest.raises(ww.InputError, match=message):
        step_bias(NETWORK, X, Y, temperature=0.1, **asked)


def test_steps_at_which_chains_run_away_have_no_average():
    short = ww.Langevin(chains=2, draws=20, warmup=20, step_size=1e-3, thinning=1)
    given = {"temperature": 0.1, "step_sizes": (1e-3, 50.0), "sampler": short, "throw": False}
    with pytest.raises(ww.NumericalError, match=r"step_sizes: expected chains that have an average, .* at η = 50;"):
        step_bias(NETWORK, X, Y, X, Y, **given)


def test_too_few_weights_to_predict_from():
    sampler = ww.CollapsedHMC(chains=2, draws=20, warmup=20, weights_memory=1e-9)
    samples = ww.sample(NETWORK, X, Y, temperature=0.1, sampler=sampler, throw=False)
    with pytest.raises(ww.InputError, match="weights_memory: expected the weights of a few draws, got those of"):
        samples.predict(X)
