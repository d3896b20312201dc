"""Template teachers: the mixture, its labels, and the best prediction of them."""

import numpy as np
import pytest
from scipy import stats

from widthwise.probes import Teacher
from widthwise.probes.teachers.templates import Templates


def test_each_template_has_its_share_and_spread():
    teacher = Teacher.templates(5, 3, separation=20.0, spread=0.5, labels="onehot", key=1)
    X, y = teacher.sample(30_000, key=2)
    assert np.abs(y.mean(0) - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 30_000)
    same = (y[1:] * y[:-1]).sum(1)  # neighbours are independent
    assert abs(same.mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 30_000)
    assert np.allclose(np.linalg.norm(teacher.centres, axis=1), 20.0)
    for k in range(3):
        own = X[y[:, k] == 1]
        assert np.abs(own.mean(0) - teacher.centres[k]).max() < 5 * 0.5 / np.sqrt(len(own))
        assert own.std(0) == pytest.approx(0.5, rel=0.05)


def test_its_function_is_bayes():
    """f* = Σ_k y_k N(x; μ_k, s²)/Σ_k N(x; μ_k, s²)."""
    teacher = Teacher.templates(3, 4, orthonormal=False, separation=1.2, spread=0.7, key=1)
    X, y = teacher.sample(40_000, key=2)
    density = np.array([stats.multivariate_normal.pdf(X, m, 0.49) for m in teacher.centres])
    assert np.allclose(teacher(X), teacher.labels @ density / density.sum(0))
    assert set(np.unique(y)) == {-1.0, 1.0}
    assert np.array_equal(teacher.labels, [1, -1, 1, -1])
    # the residual of E[y|x] is orthogonal to whatever is a function of x
    for g in (np.ones(len(X)), X[:, 0], np.sin(X[:, 1]) * X[:, 2], teacher(X)):
        product = (y - teacher(X)) * g
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(len(X))


def test_templates_of_unequal_length(rng):
    """Own templates, anywhere, with own labels."""
    centres, labels = np.array([[0.2, 0.1], [2.0, -1.0], [0.0, 1.5]]), np.array([1.0, -1.0, 2.0])
    teacher = Templates(centres, labels, 0.6)
    X = rng.normal(size=(50, 2))
    density = np.array([stats.multivariate_normal.pdf(X, m, 0.36) for m in centres])
    assert np.allclose(teacher(X), labels @ density / density.sum(0))
    assert teacher.mean == pytest.approx(2 / 3)
    assert teacher.power == pytest.approx(2.0)


def test_far_templates_settle_the_label():
    teacher = Teacher.templates(6, 2, separation=500.0, key=1)
    X, y = teacher.sample(100, key=2)
    assert np.allclose(teacher(X), y)
    assert np.allclose(teacher.hidden(X).sum(1), 1.0)


def test_orthonormal_templates():
    centres = Teacher.templates(6, 4, separation=2.0, key=1).centres
    assert np.allclose(centres @ centres.T, 4.0 * np.eye(4))
