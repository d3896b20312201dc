"""Real data as a teacher: rows as they are, none twice."""

import numpy as np
import pytest

from widthwise.probes import Teacher


@pytest.fixture
def data(rng):
    return rng.normal(size=(40, 3)), rng.normal(size=40)


def test_rows_come_with_their_labels_and_once(data):
    X, y = data
    teacher = Teacher.of_data(X, y)
    drawn, labels = teacher.sample(40, key=3)
    order = [int(np.flatnonzero((x == X).all(1))[0]) for x in drawn]
    assert sorted(order) == list(range(40))
    assert order != list(range(40))
    assert np.array_equal(labels, y[order])


def test_every_row_is_equally_likely(data):
    X, _ = data
    teacher = Teacher.of_data(X, np.arange(40.0))
    counts = np.zeros(40)
    for key in range(2000):
        counts[teacher.sample(10, key=key)[1].astype(int)] += 1
    assert np.abs(counts / 2000 - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 2000)


def test_train_and_test_share_no_row(data):
    teacher = Teacher.of_data(*data)
    _, y, _, y_test = teacher.split(25, 15, key=1)
    assert sorted([*y, *y_test]) == sorted(data[1])
    *_, clean = teacher.split(25, 15, noise=3.0, shuffled=1.0, key=1)
    assert np.array_equal(clean, y_test)


def test_the_population_is_the_data(data):
    X, y = data
    teacher = Teacher.of_data(X, y)
    assert teacher.power == pytest.approx(np.mean(y**2))
    assert teacher.mean == pytest.approx(y.mean())
    assert np.allclose(teacher.input_covariance, np.cov(X.T, bias=True))


def test_images_and_several_outputs_stay_what_they_are(rng):
    X, y = rng.normal(size=(12, 4, 5, 3)), rng.normal(size=(12, 2))
    teacher = Teacher.of_data(X, y)
    drawn, labels = teacher.sample(7, shuffled=1.0, noise=0.1)
    assert drawn.shape == (7, 4, 5, 3)
    assert labels.shape == (7, 2)
    assert teacher.input_size == 60
    assert teacher.input_covariance.shape == (60, 60)
    X[:] = 0.0  # a copy was taken
    assert np.abs(teacher.inputs(3)).min() > 0
