"""The negative control: a convolutional network fitted to shuffled labels is above the bound, its refit is not."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from widthwise import bound, training

P = 400


@pytest.fixture(scope="module")
def report():
    found, rng = load_digits(), np.random.default_rng(7)
    rows = rng.permutation(len(found.target))[: 2 * P]
    X = (found.images[rows] - found.images.mean()) / found.images.std()
    y = rng.permutation(2.0 * (found.target[rows] % 2) - 1.0)
    settings = training.Training(steps=1500, learning_rate=5e-3, tolerance=1e-2)
    network = training.train(training.lenet(8), X[:P], y[:P], settings)
    return bound.last_layer(
        network.features(X[:P]),
        y[:P],
        network.predict(X[:P]),
        fresh=(network.features(X[P:]), y[P:], network.predict(X[P:])),
    )


def test_the_network_is_outside_the_assumption_and_above_the_bound(report):
    assert report.status == "outside_assumption"
    assert report.training_error.value < 0.3
    assert report.holds is False
    assert report.relative_gap.value > 10 * report.asymptotic_bound


def test_the_readout_refitted_on_fresh_examples_is_at_least_fourfold_lower(report):
    refit = report.readout_bound
    assert refit.status in ("informative", "inconclusive")
    assert 4 * (refit.gap.value + 2 * refit.gap.standard_error) < report.gap.value - 2 * report.gap.standard_error
    # labels that are noise are out of reach, ρ = 1: gap/T_y = a(2 − a)/(1 − a), a little above 2a
    a = refit.asymptotic_bound / 2
    assert refit.relative_gap.value == pytest.approx(a * (2 - a) / (1 - a), rel=0.25)
