"""Index teachers: the coefficients that were asked for come back by projection."""

import itertools
import math

import numpy as np
import pytest

from widthwise.probes import Teacher
from widthwise.probes.teachers.index import hermite_polynomials


def gauss(count):
    """Nodes and weights of E over N(0, 1), exact to degree 2·count − 1."""
    z, w = np.polynomial.hermite_e.hermegauss(count)
    return z, w / w.sum()


def test_polynomials_are_numpys_normalised():
    z = np.linspace(-4, 4, 9)[:, None]
    h = hermite_polynomials(z, 6)
    for j in range(7):
        expected = np.polynomial.hermite_e.HermiteE.basis(j)(z) / math.sqrt(math.factorial(j))
        assert np.allclose(h[j], expected, rtol=1e-12, atol=1e-12)


def test_coefficients_of_one_index_by_projection():
    c = [0.3, -1.0, 0.0, 0.4, 0.0, 0.25]
    teacher = Teacher.single_index(6, c, key=2)
    z, w = gauss(20)
    f = teacher(z[:, None] * teacher.units)
    found = [
        w @ (f * np.polynomial.hermite_e.HermiteE.basis(j)(z)) / math.sqrt(math.factorial(j)) for j in range(len(c))
    ]
    assert np.allclose(found, c, atol=1e-12)
    assert teacher.mean == pytest.approx(0.3)
    assert teacher.power == pytest.approx(np.sum(np.square(c)))
    assert np.allclose(teacher.spectrum(5), np.square(c))
    assert np.array_equal(Teacher.single_index(6, dict(enumerate(c)), key=2)(np.eye(6)), teacher(np.eye(6)))


def test_coefficients_of_two_indices_by_projection():
    c = {(1, 1): 0.7, (0, 2): -0.4, (3, 0): 0.2, (0, 0): 0.1}
    teacher = Teacher.multi_index(5, c, key=2)
    z, w = gauss(12)
    pairs = np.array(list(itertools.product(z, z)))
    f, weights = teacher(pairs @ teacher.units), np.multiply.outer(w, w).ravel()
    H = [np.polynomial.hermite_e.HermiteE.basis(j) for j in range(4)]
    for i, j in itertools.product(range(4), range(4)):
        h = H[i](pairs[:, 0]) * H[j](pairs[:, 1]) / math.sqrt(math.factorial(i) * math.factorial(j))
        assert weights @ (f * h) == pytest.approx(c.get((i, j), 0.0), abs=1e-12)
    assert np.allclose(teacher.spectrum(4), [0.01, 0, 0.65, 0.04, 0])
    assert teacher.power == pytest.approx(0.7)


def test_other_directions_do_not_matter(rng):
    teacher = Teacher.multi_index(7, {(1, 2): 1.0}, key=0)
    X = rng.normal(size=(5, 7))
    U = teacher.units
    across = rng.normal(size=(5, 7))
    across -= across @ U.T @ U
    assert np.allclose(teacher(X + across), teacher(X))
    assert np.abs(U @ U.T - np.eye(2)).max() < 1e-13


def test_an_array_of_coefficients():
    array = np.zeros((3, 2))
    array[2, 1], array[0, 1] = 0.5, -2.0
    one = Teacher.multi_index(4, array, key=1)
    other = Teacher.multi_index(4, {(2, 1): 0.5, (0, 1): -2.0}, key=1)
    X = one.inputs(9)
    assert np.allclose(one(X), other(X))


def test_it_is_the_linear_and_the_quadratic_teacher():
    """h_1 is the linear teacher; 1 + √2 h_2 is z²."""
    linear, index = Teacher.linear(5, key=3), Teacher.single_index(5, [0.0, 1.0], key=3)
    X = linear.inputs(8)
    assert np.allclose(index(X), linear(X))
    square = Teacher.single_index(5, [1.0, 0.0, math.sqrt(2)], key=3)
    assert np.allclose(square(X), linear(X) ** 2)
    quadratic = Teacher.one_hidden_layer(5, 1, activation="quadratic", gain=1.0, key=3)
    assert np.allclose(quadratic(X), square(X))
    assert np.allclose(quadratic.spectrum(4), square.spectrum(4), atol=1e-12)
    assert quadratic.power == pytest.approx(square.power)
