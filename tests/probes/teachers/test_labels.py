"""Label noise and label shuffling."""

import numpy as np
import pytest
from scipy import stats

from widthwise.probes import Teacher
from widthwise.probes.teachers.labels import noisy, shuffle


@pytest.mark.parametrize("sigma", [0.05, 1.3])
def test_noise_has_its_power_and_is_independent(sigma):
    teacher = Teacher.one_hidden_layer(6, 2, key=1)
    n = 50_000
    X, y = teacher.sample(n, noise=sigma, key=3)
    xi = (y - teacher(X)) / sigma
    assert abs(np.mean(xi**2) - 1) < 4 * np.sqrt(2 / n)
    assert stats.kstest(xi, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(xi, teacher(X))[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.mean(y**2) - teacher.power - sigma**2) < 4 * (y**2).std() / np.sqrt(n)


def test_noise_of_one_key_grows_with_its_size():
    teacher = Teacher.linear(3)
    clean, small, large = (teacher.sample(20, noise=s, key=3)[1] for s in (0.0, 0.1, 0.3))
    assert np.allclose(large - clean, 3 * (small - clean))


def test_shuffled_labels_keep_the_marginal_and_lose_the_inputs():
    teacher = Teacher.linear(3, key=1)
    n = 20_000
    X, y = teacher.sample(n, key=3)
    _, shuffled = teacher.sample(n, shuffled=1.0, key=3)
    assert np.array_equal(np.sort(shuffled), np.sort(y))
    assert abs(np.corrcoef(shuffled, teacher(X))[0, 1]) < 4 / np.sqrt(n)
    assert np.array_equal(teacher.sample(n, shuffled=True, key=3)[1], shuffled)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5])
def test_a_fraction_is_shuffled_and_the_rest_is_left(fraction):
    """The correlation that is left is 1 − fraction."""
    teacher = Teacher.linear(3, key=1)
    n = 20_000
    X, y = teacher.sample(n, shuffled=fraction, key=3)
    f = teacher(X)
    moved = np.count_nonzero(y != f)
    assert moved <= round(fraction * n)
    assert moved >= round(fraction * n) - 8  # fixed points of a random permutation: one, on average
    where = np.flatnonzero(y != f)
    assert fraction == 0 or abs(where.mean() / n - 0.5) < 4 * np.sqrt(1 / 12 / len(where))  # anywhere
    assert np.array_equal(np.sort(y), np.sort(f))
    assert abs(np.corrcoef(y, f)[0, 1] - (1 - fraction)) < 4 / np.sqrt(n)


def test_all_permutations_are_equally_likely():
    y = np.arange(3.0)
    seen = [tuple(shuffle(y, 1.0, key)) for key in range(3000)]
    counts = np.array([seen.count(p) for p in set(seen)])
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_outputs_of_an_example_stay_together(rng):
    y = rng.normal(size=(30, 3))
    shuffled = shuffle(y, 1.0, 0)
    assert {tuple(row) for row in shuffled} == {tuple(row) for row in y}
    assert noisy(y, 0.5, 0).shape == (30, 3)
    assert np.array_equal(noisy(y, 0.0, 0), y)
