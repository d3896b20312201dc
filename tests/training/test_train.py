"""Training: least squares where it is linear, gradients by differences, seeds, starts, frozen trunks."""

import sys

import jax
import numpy as np
import pytest

from widthwise.errors import InputError, MissingExtra
from widthwise.training import Parameters, Training, lenet, loss, mlp, resnet, train, vgg
from widthwise.training import train as _train

SMALL = Training(steps=150, batch_size=16, learning_rate=5e-3)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 5))
    return X, X @ rng.normal(size=5) + 0.7 + 0.5 * rng.normal(size=60)


def least_squares(X, y):
    A = np.column_stack([X, np.ones(len(X))])
    return A @ np.linalg.lstsq(A, y, rcond=None)[0]


@pytest.mark.parametrize("D", [None, 2])
def test_a_linear_network_becomes_least_squares(data, rng, D):
    X, y = data
    y = y if D is None else np.column_stack([y, rng.normal(size=60)])
    settings = Training(steps=3000, batch_size=None, learning_rate=1e-2, tolerance=0.0)
    found = train(mlp(7, activation="identity"), X, y, settings, key=3)
    np.testing.assert_allclose(found.predict(X), least_squares(X, y), atol=2e-4)
    assert found.training_error == pytest.approx(np.sum((y - least_squares(X, y)) ** 2) / 60, rel=1e-5)
    assert found.status == "steps"


def test_a_frozen_trunk_is_not_touched_and_its_readout_is_least_squares(data):
    X, y = data
    architecture = mlp(4, activation="erf")
    settings = Training(
        steps=4000, batch_size=None, learning_rate=3e-2, tolerance=0.0, weight_decay=0.0, frozen_trunk=True
    )
    found, start = train(architecture, X, y, settings, key=2), architecture.init(2, (5,))
    for before, after in zip(jax.tree.leaves(start.trunk), jax.tree.leaves(found.parameters.trunk)):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_allclose(found.predict(X), least_squares(found.features(X), y), atol=1e-3)
    decayed = train(architecture, X, y, Training(steps=50, weight_decay=0.5, frozen_trunk=True), key=2)
    np.testing.assert_array_equal(decayed.features(X), found.features(X))


@pytest.mark.parametrize(
    "architecture", [mlp(4, 3, activation="erf"), resnet(4, activation="erf")], ids=lambda a: a.name
)
def test_the_gradient_is_that_of_the_mean_square(architecture, rng):
    X = rng.normal(size=(6, 4, 4))
    y = rng.normal(size=(6, 2))
    with jax.enable_x64(True):
        start = jax.tree.map(lambda w: np.asarray(w, float), architecture.init(1, (4, 4), 2))
        features = jax.jit(architecture.features)
        direction = jax.tree.map(lambda w: rng.normal(size=w.shape), start)
        slope = jax.jit(jax.grad(loss, argnums=1), static_argnums=0)(architecture, start, X, y)
        found = sum(np.sum(a * b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(direction)))

        def at(t):
            moved = jax.tree.map(lambda w, d: w + t * d, start, direction)
            f = features(moved.trunk, X) @ moved.readout["W"] + moved.readout["b"]
            return float(np.mean(np.sum((y - np.asarray(f)) ** 2, axis=1)))

        assert found == pytest.approx((at(1e-5) - at(-1e-5)) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("D", [None, 3])
def test_predictions_are_the_readout_of_the_features(data, D):
    X, y = data
    found = train(mlp(6), X, y if D is None else np.column_stack([y] * D), SMALL)
    W, b = found.readout
    np.testing.assert_array_equal(found.features(X) @ W + b, found.predict(X))
    assert found.predict(X).dtype == np.float64


def test_the_same_seed_gives_the_same_network(data):
    X, y = data
    once, again, other = (train(mlp(6), X, y, SMALL, key=key).predict(X) for key in (5, 5, 6))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 1e-2


def test_a_start_at_a_minimum_stays_there(data):
    X, y = data
    settings = Training(steps=2000, batch_size=None, learning_rate=1e-2, tolerance=0.0)
    architecture = mlp(7, activation="identity")
    first = train(architecture, X, y, settings)
    second = train(architecture, X, y, Training(steps=500, batch_size=None, tolerance=0.0), start=first.parameters)
    np.testing.assert_allclose(second.predict(X), first.predict(X), atol=2e-3)
    done = train(architecture, X, least_squares(X, y), Training(tolerance=1e-3), start=first.parameters)
    assert (done.status, done.steps) == ("converged", 0)


@pytest.mark.parametrize(
    "architecture",
    [
        mlp(30),
        mlp(30, 20, 10),
        lenet(16, stride=2),
        pytest.param(vgg(16, channels=4, stride=2), marks=pytest.mark.slow),
        resnet(8, stride=2),
    ],
    ids=lambda a: a.name,
)
def test_each_architecture_fits_twenty_random_points(architecture, rng):
    X, y = rng.normal(size=(20, 8, 8)), rng.choice([-1.0, 1.0], 20)
    found = train(architecture, X, y, Training(steps=3000, batch_size=20, tolerance=1e-2))
    assert found.status == "converged"
    assert np.mean((y - found.predict(X)) ** 2) == pytest.approx(found.training_error)
    assert found.training_error < 1e-2


def test_nothing_is_compiled_for_another_P(rng):
    architecture, before = mlp(9, 4), None
    for P in (10, 64, 200):
        train(architecture, rng.normal(size=(P, 5)), rng.normal(size=P), SMALL)
        compiled = sys.modules["widthwise.training.train"]._chunk._cache_size()
        assert before in (None, compiled)
        before = compiled


def test_weight_decay_makes_weights_smaller(data):
    X, y = data
    sizes = []
    for decay in (0.0, 1.0):
        found = train(mlp(8), X, y, Training(steps=400, weight_decay=decay, tolerance=0.0))
        sizes.append(sum(float(np.sum(np.square(w))) for w in jax.tree.leaves(found.parameters)))
    assert sizes[1] < 0.8 * sizes[0]


def test_what_diverges_says_so(data):
    X, y = data
    found = train(mlp(8), X, y, Training(steps=200, learning_rate=1e30))
    assert found.status == "diverged"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"steps": 0}, "steps"), ({"batch_size": 0}, "batch_size"), ({"learning_rate": -1.0}, "learning_rate"),
        ({"weight_decay": -0.1}, "weight_decay"), ({"tolerance": float("nan")}, "tolerance"),
    ],
)  # fmt: skip
def test_settings_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        Training(**settings)


def test_data_are_refused(data):
    X, y = data
    with pytest.raises(InputError, match="one target to each example"):
        train(mlp(3), X, y[:-1])
    with pytest.raises(InputError, match="finite"):
        train(mlp(3), X, np.where(np.arange(60) == 3, np.nan, y))
    with pytest.raises(InputError, match="expected images"):
        train(lenet(), X, y)


def test_without_optax_the_extra_is_named(data, monkeypatch):
    sys.modules["widthwise.training.train"]._adam.cache_clear()
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(MissingExtra, match=r"widthwise\[train\]"):
        _train(mlp(3), *data)


def test_parameters_are_a_tree():
    start = mlp(3).init(0, (2,))
    assert isinstance(jax.tree.map(lambda w: 2 * w, start), Parameters)
    assert start.count == 2 * 3 + 3 + 3 + 1
