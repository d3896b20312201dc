"""Adam and L-BFGS: the function and its gradient, least squares, padding, seeds, statuses, refusals."""

import sys

import jax
import numpy as np
import pytest

from widthwise.activations.phi import resolve
from widthwise.errors import InputError, MissingExtra
from widthwise.training import gradients as module
from widthwise.training.gradients import LBFGS, Adam, descend

IDENTITY, TANH = resolve("identity"), resolve("tanh")


def start(rng, biased=True):
    """Of 3 inputs, 4 and 2 units."""
    layers = ((rng.normal(size=(4, 3)), rng.normal(size=4) if biased else None), (rng.normal(size=(2, 4)), None))
    return layers, rng.normal(size=2)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(30, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=30)


def test_the_function_and_its_slope(rng, data):
    X, y = data
    weights = (((W, b), (V, _)), a) = start(rng)
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            module.outputs(TANH.function, weights, X), np.tanh(np.tanh(X @ W.T + b) @ V.T) @ a, atol=1e-14
        )
        data, h = (X, y, np.full(30, 1 / 30)), 1e-6
        slope = jax.grad(lambda w: module._error(TANH.function, w, data))(weights)
        direction = jax.tree.map(lambda w: rng.normal(size=w.shape), weights)
        up, down = (
            float(module._error(TANH.function, jax.tree.map(lambda w, d, t=t: w + t * d, weights, direction), data))
            for t in (h, -h)
        )
        along = sum(np.sum(np.asarray(s) * d) for s, d in zip(jax.tree.leaves(slope), jax.tree.leaves(direction)))
    assert (up - down) / (2 * h) == pytest.approx(along, rel=1e-7)


@pytest.mark.parametrize("settings", [Adam(), pytest.param(LBFGS(), marks=pytest.mark.slow)], ids=["adam", "lbfgs"])
def test_a_linear_network_becomes_least_squares(rng, data, settings):
    X, y = data
    found = descend(IDENTITY, X, y, start(rng, biased=False), settings)
    ((W, _), (V, _)), a = found.weights
    exact, (residual,), *_ = np.linalg.lstsq(X, y, rcond=None)
    np.testing.assert_allclose(a @ V @ W, exact, atol=1e-6)
    assert found.error == pytest.approx(residual / 30, rel=1e-9)
    assert found.status == ("converged" if isinstance(settings, LBFGS) else "steps")


def test_batches_are_seeded_and_padding_is_not_seen(rng, data, monkeypatch):
    X, y = data
    begin, settings = start(rng), Adam(steps=100, batch_size=8)
    one, same, other = (descend(TANH, X, y, begin, settings, key=key) for key in (1, 1, 2))
    assert one.error == same.error != other.error
    monkeypatch.setattr(module, "padded", lambda P: 47)
    assert descend(TANH, X, y, begin, settings, key=1).error == pytest.approx(one.error, rel=1e-8)


def test_statuses(rng, data):
    X, y = data
    exact = ((np.eye(3), None),), np.array([1.0, -2.0, 0.5])
    for settings in (Adam(), LBFGS()):
        found = descend(IDENTITY, X, X @ exact[1], exact, settings)
        assert (found.status, found.steps) == ("converged", 0)
        nothing = descend(IDENTITY, X, 0.0 * y, (exact[0], np.zeros(3)), settings)
        assert (nothing.status, nothing.error) == ("converged", 0.0)
    wild = descend(IDENTITY, X, y, exact, Adam(learning_rate=1e200, steps=100))
    assert wild.status == "diverged"


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Adam, {"steps": 0}),
        (Adam, {"batch_size": 0}),
        (Adam, {"learning_rate": -1.0}),
        (LBFGS, {"memory": 0}),
        (LBFGS, {"gradient": 2.0}),
    ],
)
def test_bad_settings_are_refused(kind, bad):
    with pytest.raises(InputError, match=rf"{next(iter(bad))}: expected .*, got .*; pass"):
        kind(**bad)


def test_without_optax(rng, data, monkeypatch):
    module._optimiser.cache_clear()
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(MissingExtra, match=r"widthwise\[train\]"):
        descend(TANH, *data, start(rng), LBFGS())
