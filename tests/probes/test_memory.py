import math

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.probes.memory import shuffled_r2


def least_squares(X, y):
    v = np.linalg.lstsq(X, y, rcond=None)[0]
    return lambda x: x @ v


def by_rote(X, y):
    return lambda x: y


def test_least_squares_follows_as_many_labels_as_it_has_columns(rng):
    """With a constant column (p − 1)/(P − 1), exactly on average over the permutations."""
    X = np.column_stack([np.ones(60), rng.standard_normal((60, 11))])
    found = shuffled_r2(least_squares, X, X @ rng.standard_normal(12) + 3.0, repeats=300)
    assert abs(found.value - 11 / 59) < 4.0 * found.standard_error
    assert found.standard_error < 0.01


def test_by_rote_one_and_by_the_mean_nothing(rng):
    X, y = rng.standard_normal((30, 4)), rng.normal(5.0, 0.1, 30)
    assert shuffled_r2(by_rote, X, y).value == 1.0
    assert shuffled_r2(lambda X, y: lambda x: np.full(len(x), y.mean()), X, y).value == pytest.approx(0.0, abs=1e-12)
    assert shuffled_r2(least_squares, X[:4], y[:4]).value == pytest.approx(1.0, abs=1e-9)


def test_the_labels_unit_does_not_matter(rng):
    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    assert shuffled_r2(least_squares, X, 1e-6 * y).value == pytest.approx(shuffled_r2(least_squares, X, y).value)


def test_the_labels_are_permuted_and_an_examples_outputs_stay_together(rng):
    seen = []

    def fit(X, y):
        seen.append(y)
        return lambda x: y

    y = np.column_stack([np.arange(50.0), -np.arange(50.0)])
    shuffled_r2(fit, rng.standard_normal((50, 3)), y, repeats=2)
    for labels in seen:
        np.testing.assert_array_equal(np.sort(labels[:, 0]), y[:, 0])
        np.testing.assert_array_equal(labels[:, 0], -labels[:, 1])
        assert not np.array_equal(labels, y)
    assert not np.array_equal(*seen)


def test_more_repeats_keep_the_first_and_keys_differ(rng):
    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    one, two = (shuffled_r2(least_squares, X, y, repeats=n) for n in (1, 2))
    second = shuffled_r2(least_squares, X, y, repeats=1, key=1)
    assert math.isnan(one.standard_error)
    assert two.standard_error == pytest.approx(abs(two.value - one.value))  # of two values, half their distance
    assert second.value != one.value


def test_scikit_learn_and_warm_fits(rng):
    from sklearn.linear_model import LinearRegression

    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)

    def warm(X, y, start=None):
        assert start is None
        return least_squares(X, y)

    constant = np.column_stack([X, np.ones(40)])
    assert shuffled_r2(LinearRegression(), X, y).value == pytest.approx(shuffled_r2(warm, constant, y).value)


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (np.ones(10), {}, "all the same"),
        (np.arange(9.0), {}, "one row per example"),
        (np.arange(10.0), {"repeats": 0}, "repeats"),
        (np.arange(10.0), {"key": -1}, "key"),
    ],
)
def test_bad_input(rng, y, settings, message):
    with pytest.raises(InputError, match=message):
        shuffled_r2(least_squares, rng.standard_normal((10, 2)), y, **settings)
