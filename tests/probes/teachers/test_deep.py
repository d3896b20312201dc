"""Deep random teachers: their law, and what is known of them."""

import numpy as np
import pytest

from widthwise.probes import Teacher
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer


def test_layers_have_the_variance_they_say():
    teacher = Teacher.deep(50, [400, 300], gain=1.5, key=0)
    for W, below in zip(teacher.weights, (50, 400)):
        assert W.var() == pytest.approx(1.5**2 / below, rel=0.03)
    assert teacher.readout.var() == pytest.approx(1 / 300, rel=0.4)


def test_it_is_the_composition(rng):
    teacher = Teacher.deep(4, [3, 5, 2], activation="tanh", readout=[1.0, -2.0], key=1)
    X = rng.normal(size=(6, 4))
    W1, W2, W3 = teacher.weights
    h = np.tanh(np.tanh(np.tanh(X @ W1.T) @ W2.T) @ W3.T)
    assert np.allclose(teacher.hidden(X), h)
    assert np.allclose(teacher(X), h[:, 0] - 2 * h[:, 1])


def test_one_layer_is_one_hidden_layer_of_unequal_gains():
    """With rows scaled to one length, the same numbers as `OneHiddenLayer`."""
    deep = Teacher.deep(6, [4], activation="relu", readout=[1.0, -2.0, 0.5, 3.0], key=1)
    lengths = np.linalg.norm(deep.weights[0], axis=1)
    shallow = OneHiddenLayer(deep.units, deep.readout * lengths, "relu", 1.0)  # relu carries the lengths through
    X = deep.inputs(5)
    assert np.allclose(deep(X), shallow(X))
    assert deep.power == pytest.approx(shallow.power, rel=1e-12)
    assert deep.mean == pytest.approx(shallow.mean, rel=1e-12)
    assert np.allclose(deep.spectrum(6), shallow.spectrum(6))


def test_identities_are_one_linear_teacher():
    teacher = Teacher.deep(6, [4, 9], activation="identity", gain=1.2, key=2)
    w = teacher(np.eye(6))
    assert teacher.power == pytest.approx(w @ w)
    assert np.allclose(teacher.spectrum(2), [0, w @ w, 0], atol=1e-14)


def test_what_is_not_known_is_none():
    """Of an odd φ the mean is 0 at any depth; else deep teachers have no closed forms."""
    assert Teacher.deep(5, [4, 3]).mean == 0.0
    relu = Teacher.deep(5, [4, 3], activation="relu")
    assert relu.mean is relu.power is relu.spectrum() is None
    assert Teacher.deep(5, [4, 3]).power is None


def test_first_layers_do_not_depend_on_the_next():
    short, long = Teacher.deep(5, [4], key=9), Teacher.deep(5, [4, 3], key=9)
    assert np.array_equal(short.weights[0], long.weights[0])
