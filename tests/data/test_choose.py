"""The choice of examples: seeded, stratified, without overlap."""

import numpy as np
import pytest

from widthwise.data.choose import choose, sizes
from widthwise.errors import InputError


def counts(codes, rows):
    return np.bincount(codes[rows], minlength=codes.max() + 1)


@pytest.mark.parametrize(("P", "n"), [(1, 1), (2, 3), (7, 10), (50, 40), (80, 20), (99, 1), (10, 90)])
def test_sizes_are_kept_and_nothing_overlaps(P, n, rng):
    codes = rng.permutation(np.repeat([0, 1, 2], [60, 39, 1]))
    train, test = choose(codes, None, P, n, 3)
    assert (len(train), len(test)) == (P, n)
    assert len(set(train) | set(test)) == P + n


def test_the_classes_keep_their_proportions(rng):
    codes = rng.permutation(np.repeat([0, 1], [300, 100]))
    train, test = choose(codes, None, 40, 20, 0)
    assert counts(codes, train).tolist() == [30, 10]
    assert counts(codes, test).tolist() == [15, 5]


def test_a_rare_class_is_in_the_training_set(rng):
    codes = rng.permutation(np.repeat([0, 1], [999, 1]))
    for seed in range(5):
        train, _ = choose(codes, None, 10, 900, seed)
        assert counts(codes, train)[1] == 1


def test_the_seed_decides(rng):
    codes = rng.integers(0, 2, 200)
    first, again, other = (choose(codes, None, 50, 50, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert set(first[0]) != set(other[0])


def test_the_test_set_does_not_depend_on_the_training_size(rng):
    codes = rng.integers(0, 3, 300)
    tests = [set(choose(codes, None, P, 60, 1)[1]) for P in (10, 100, 240)]
    assert tests[0] == tests[1] == tests[2]


def test_own_test_set_is_chosen_from_itself(rng):
    codes, own = np.repeat([0, 1], 20), np.repeat([0, 1], [6, 2])
    train, test = choose(codes, own, 10, 4, 0)
    assert counts(codes, train).tolist() == [5, 5]
    assert counts(own, test).tolist() == [3, 1]


def test_a_choice_is_uniform_within_a_class():
    codes = np.zeros(20, dtype=int)
    hits = np.zeros(20)
    for seed in range(2000):
        hits[choose(codes, None, 5, 5, seed)[0]] += 1
    # binomial(2000, 1/4): deviation 19.4; five of them
    assert np.abs(hits - 500).max() < 97


def test_sizes_by_default():
    assert sizes(None, None, 100, None) == (80, 20)
    assert sizes(30, None, 100, None) == (30, 70)
    assert sizes(None, 30, 100, None) == (70, 30)
    assert sizes(None, None, 100, 50) == (100, 50)
    assert sizes(None, None, 2, None) == (1, 1)


@pytest.mark.parametrize(
    ("train", "test", "pool", "own"),
    [
        (101, None, 100, None),
        (100, None, 100, None),
        (60, 41, 100, None),
        (None, 100, 100, None),
        (None, 1000, 100, None),
        (11, None, 10, 5),
        (None, 6, 10, 5),
        (0, None, 10, None),
        (-1, None, 10, None),
        (True, None, 10, None),
        (2.5, None, 10, None),
        (None, "3", 10, None),
        (None, None, 1, None),
    ],
)
def test_more_examples_than_there_are(train, test, pool, own):
    with pytest.raises(InputError, match="expected"):
        sizes(train, test, pool, own)
