"""Fresh examples that are training examples, and those that only look so."""

import time

import numpy as np
import pytest

from widthwise.bound.seen import seen

DOUBLE, SINGLE = 2.0**-52, 2.0**-23


def features(Z, bias=0.0):
    W = np.random.default_rng(5).normal(size=(Z.shape[1], 40))
    return np.maximum(Z @ W + bias, 0.0) * np.logspace(-3, 3, 40)


@pytest.fixture
def examples(rng):
    Z, y = rng.normal(size=(900, 20)), rng.normal(size=(900, 1))
    X = features(Z)
    return (X[:600], y[:600]), (X[600:], y[600:])


def test_new_ones_are_new(examples):
    assert seen(examples[1], examples[0], SINGLE) == 0


@pytest.mark.parametrize(
    ("change", "precision"),
    [
        (lambda X, rng: X, DOUBLE),
        (lambda X, rng: X[::-1], DOUBLE),
        (lambda X, rng: X.astype(np.float32).astype(float), SINGLE),
        (lambda X, rng: X * (1.0 + 1e-9 * rng.normal(size=X.shape)), DOUBLE),
        (lambda X, rng: X + 1e-9 * np.abs(X).max(axis=0) * rng.normal(size=X.shape), DOUBLE),
        (lambda X, rng: X * (1.0 + SINGLE * rng.normal(size=X.shape)), SINGLE),  # fetched with another batch size
    ],
)
@pytest.mark.parametrize("rows", [slice(None), slice(100, 300)])
def test_the_same_up_to_rounding_are_found(rng, examples, change, precision, rows):
    X, y = examples[0]
    order = slice(None, None, -1) if np.array_equal(change(X, rng), X[::-1]) else slice(None)
    again = change(X, rng)[rows], y[order][rows]
    assert seen(again, (X, y), precision) == len(again[0])


def test_the_same_inputs_with_other_labels_are_other_examples(rng, examples):
    X, y = examples[0]
    assert seen((X, rng.normal(size=y.shape)), (X, y), DOUBLE) == 0


def test_some_of_them_are_counted(examples):
    old, new = examples
    mixed = np.vstack([new[0], old[0][:9]]), np.vstack([new[1], old[1][:9]])
    assert seen(mixed, old, DOUBLE) == 9


@pytest.mark.parametrize("bias", [-15.0, -25.0, -1e3])
def test_dead_rows_coincide_legitimately(rng, bias):
    Z, y = rng.normal(size=(900, 20)), rng.choice([-1.0, 1.0], (900, 1))
    X = features(Z, bias)
    assert seen((X[600:], y[600:]), (X[:600], y[:600]), DOUBLE) == 0
    assert seen((0.0 * X[:600], y[:600]), (0.0 * X[:600], y[:600]), DOUBLE) == 0  # both sorted by class, say


def test_features_of_few_values_raise_no_false_alarm():
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        k = 3 + seed % 10
        old, new = ((rng.integers(0, 3, (400, k)).astype(float), rng.choice([-1.0, 1.0], (400, 1))) for _ in range(2))
        alarms += seen(new, old, DOUBLE) > 0
    assert alarms <= 8


@pytest.mark.parametrize("N", [1, 2])
def test_many_examples_of_few_features_meet_by_chance(rng, N):
    old, new = ((rng.normal(size=(30000, N)), rng.choice([-1.0, 1.0], (30000, 1))) for _ in range(2))
    assert seen(new, old, SINGLE) == 0
    assert seen((old[0][5:], old[1][5:]), old, SINGLE) > 0


def test_many_rows_that_nearly_coincide_take_no_time(rng):
    X, y = 1e-9 * rng.normal(size=(20000, 5)), rng.choice([-1.0, 1.0], (20000, 1))
    X[:10] = rng.normal(size=(10, 5))
    start = time.process_time()
    assert seen((X[15000:] * 0.5, y[15000:]), (X[:15000], y[:15000]), DOUBLE) == 0
    assert time.process_time() - start < 3.0
