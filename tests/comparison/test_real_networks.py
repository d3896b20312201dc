"""Where the verdict is sound the real network does what was predicted, and infinite width does not."""

import os
from pathlib import Path

import numpy as np
import pytest

import widthwise as ww

MNIST = Path(os.environ.get("WIDTHWISE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mnist.npz"
pytestmark = pytest.mark.slow
SAMPLER = ww.CollapsedHMC(chains=8, draws=300, warmup=150)


def both(network, data, T):
    X, y, X_test, y_test = data
    samples = ww.sample(network, X, y, X_test, y_test, temperature=T, sampler=SAMPLER, key=3)
    return (
        ww.infer(network, X, y, temperature=T),
        ww.infer(network, X, y, temperature=T, approximation="infinite"),
        samples,
    )


@pytest.mark.skipif(not MNIST.is_file(), reason="the MNIST file is not here")
@pytest.mark.parametrize("N", [64, 256])
def test_mnist_parity_within_one_per_cent(N):
    data = ww.load_data(MNIST, classes="parity", train_size=64, test_size=500, seed=1)
    finite, infinite, samples = both(ww.FullyConnected([N], "erf"), data, 0.1)
    sampled = samples.generalisation_error
    assert finite.validity.verdict == "sound"
    assert abs(finite.score(data.X_test, data.y_test).total / sampled.value - 1) < 0.01
    assert infinite.score(data.X_test, data.y_test).total < sampled.value * 0.99
    assert abs(finite.training_error.total / samples.training_error.value - 1) < 0.015
    assert infinite.training_error.total > samples.training_error.value * 1.02


def test_digits_parity_beats_infinite_width_and_its_verdict_is_not_sound_where_it_misses():
    data = ww.load_data("digits", classes="parity", train_size=64, test_size=500, seed=1)
    finite, infinite, samples = both(ww.FullyConnected([64], "erf"), data, 0.1)
    truth = np.array([samples.generalisation_error.value, samples.training_error.value])
    predicted, wide = (
        np.array([posterior.score(data.X_test, data.y_test).total, posterior.training_error.total])
        for posterior in (finite, infinite)
    )
    assert (np.abs(predicted / truth - 1) < 0.05).all()
    assert (np.abs(predicted - truth) < 0.5 * np.abs(wide - truth)).all()
    assert finite.validity.verdict == "doubtful"


def test_a_deep_network_moves_as_predicted():
    data = ww.load_data("digits", classes="parity", train_size=64, test_size=500, seed=1)
    finite, infinite, samples = both(ww.FullyConnected([64, 64], "erf"), data, 0.1)
    truth = samples.training_error.value
    assert abs(finite.training_error.total / truth - 1) < 0.02
    assert infinite.training_error.total > 1.2 * truth


def sampled(network, data, draws=300):
    sampler = ww.CollapsedHMC(chains=4, draws=draws, warmup=300)
    return ww.sample(network, *data, temperature=0.1, sampler=sampler, key=3)


def off(posterior, samples, data):
    """Relative deviations of the test and training errors."""
    score = posterior.score(data.X_test, data.y_test)
    return (
        score.total / samples.generalisation_error.value - 1,
        posterior.training_error.total / samples.training_error.value - 1,
    )


@pytest.mark.slow
def test_every_closure_beside_a_sampled_deep_network():
    """`global` has the nearest mean predictor; every closure the training error that infinite width has not."""
    data = ww.load_data("digits", classes="parity", train_size=64, test_size=400, seed=1)
    samples = sampled(ww.FullyConnected([64, 64], "erf"), data)
    mean = samples.predict(data.X_test).mean
    found, distance = {}, {}
    for name in ("global", "nested", "linearised", "infinite"):
        network = ww.FullyConnected([64, 64], "erf", closure="global" if name == "infinite" else name)
        how = "infinite" if name == "infinite" else "saddle"
        posterior = ww.infer(network, data.X, data.y, temperature=0.1, approximation=how)
        found[name] = off(posterior, samples, data)
        distance[name] = np.sqrt(np.mean((posterior.predict(data.X_test).mean - mean) ** 2))
    for name in ("global", "nested", "linearised"):
        assert abs(found[name][0]) < 0.03 < abs(found["infinite"][0])
        assert abs(found[name][1]) < 0.05 < 0.3 < found["infinite"][1]
    assert distance["global"] < distance["linearised"] < distance["nested"] < distance["infinite"]


@pytest.mark.slow
def test_three_outputs_of_a_sampled_network():
    data = ww.load_data("digits", classes=(0, 1, 2), train_size=64, test_size=300, seed=1)
    network = ww.FullyConnected([256], "erf")
    samples = sampled(network, data)
    finite, wide = (
        off(ww.infer(network, data.X, data.y, temperature=0.1, approximation=name), samples, data)
        for name in ("saddle", "infinite")
    )
    for a, b in zip(finite, wide):
        assert abs(a) < 0.013 < 0.016 < b


@pytest.mark.slow
def test_patches_of_a_sampled_network():
    data = ww.load_data("digits", classes="parity", train_size=64, test_size=400, seed=1, flatten=False)
    network = ww.Convolutional(16, 4, activation="erf")
    samples = sampled(network, data)
    finite, wide = (
        off(ww.infer(network, data.X, data.y, temperature=0.1, approximation=name), samples, data)
        for name in ("integrated", "infinite")
    )
    assert abs(finite[1]) < 0.03 < 0.06 < wide[1]
    assert abs(finite[0]) < 0.03
