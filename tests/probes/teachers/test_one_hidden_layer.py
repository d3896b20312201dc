"""Teachers of one hidden layer: closed forms in the literature's own words, quadrature, invariances."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

import widthwise as ww
from widthwise.activations import resolve
from widthwise.probes import Teacher
from widthwise.probes.teachers import moments
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer


def integral(function):
    """E function(z), z ~ N(0, 1), by adaptive quadrature."""
    return integrate.quad(lambda z: function(z) * stats.norm.pdf(z), -12, 12, points=[0.0], epsabs=1e-13, limit=400)[0]


@pytest.mark.parametrize("gain", [0.5, 2.0, 5.0])
def test_power_of_erf_is_arcsine(gain):
    """T_y = (2/π) Σ_k v_k² arcsin(2g²/(1 + 2g²)), for orthonormal units.     [Saad, Solla 1995]"""
    v = np.array([1.0, -0.5, 2.0])
    teacher = Teacher.one_hidden_layer(20, 3, gain=gain, readout=v, key=1)
    expected = 2 / math.pi * math.asin(2 * gain**2 / (1 + 2 * gain**2)) * (v @ v)
    assert teacher.power == pytest.approx(expected, rel=1e-12)
    assert teacher.mean == 0.0


def test_power_of_relu_units_is_two_moments():
    """Independent units: E f² = Σ v_k² g²/2 + (Σ_k≠l v_k v_l) g²/2π, E f = Σ v_k g/√2π."""
    v, g = np.array([1.0, -2.0, 0.7]), 1.4
    teacher = Teacher.one_hidden_layer(5, 3, activation="relu", gain=g, readout=v, key=1)
    pairs = v.sum() ** 2 - v @ v
    assert teacher.mean == pytest.approx(v.sum() * g / math.sqrt(2 * math.pi), rel=1e-12)
    assert teacher.power == pytest.approx(g**2 * (v @ v) / 2 + g**2 * pairs / (2 * math.pi), rel=1e-12)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh", "gelu", "sin", "leaky_relu(0.2)", np.tanh])
def test_a_unit_against_quadrature(activation):
    """Mean, power and Hermite coefficients of v φ(g z) by another quadrature."""
    v, g = -1.7, 1.5
    teacher = Teacher.one_hidden_layer(4, 1, activation=activation, gain=g, readout=[v], key=0)
    phi = resolve(activation)

    def f(z):
        return v * float(phi(np.array(g * z)))

    assert teacher.mean == pytest.approx(integral(f), abs=1e-9)
    assert teacher.power == pytest.approx(integral(lambda z: f(z) ** 2), rel=1e-9)
    spectrum = teacher.spectrum(5)
    for j in range(6):
        He = np.polynomial.hermite_e.HermiteE.basis(j)
        coefficient = integral(lambda z, He=He: f(z) * He(z)) / math.sqrt(math.factorial(j))
        assert spectrum[j] == pytest.approx(coefficient**2, abs=1e-9)


def test_spectrum_of_overlapping_units_by_projection():
    """Degree 1 is |E x f|², degree 2 half of |E (xxᵀ − 1) f|²_F: by Stein, from samples of f itself."""
    teacher = Teacher.one_hidden_layer(3, 4, activation="gelu", orthonormal=False, readout=[1, 2, -1, 0.5], key=6)
    n = 400_000
    X, y = teacher.sample(n, key=1)
    first = X * y[:, None]
    second = (X[:, :, None] * X[:, None, :] - np.eye(3)) * y[:, None, None]
    one, two = first.mean(0), second.mean(0)
    found = np.array([one @ one, 0.5 * np.sum(two**2)])
    # the error of each by the delta method
    errors = [(2 * first @ one).std() / math.sqrt(n), np.einsum("nij,ij->n", second, two).std() / math.sqrt(n)]
    assert (np.abs(found - teacher.spectrum(2)[1:]) < 4 * np.array(errors)).all()


@pytest.mark.parametrize(("gain", "missed"), [(0.5, 0.02), (1.0, 0.08), (2.0, 0.18)])
def test_what_one_unit_misses(gain, missed):
    """The docstring's numbers, with f*'s own population moments: 1 − (E f* φ)²/(E φ² E f*²), φ of the best gain."""
    teacher = Teacher.one_hidden_layer(6, 3, gain=gain, key=1)
    along = teacher.units.sum(0) / math.sqrt(3)

    def miss(g):
        one = OneHiddenLayer(along[None], np.ones(1), "erf", g)
        rows = np.concatenate([gain * teacher.units, g * along[None]])
        both = moments.power(rows, np.append(teacher.readout, 1.0), one.phi)
        return 1 - ((both - teacher.power - one.power) / 2) ** 2 / (one.power * teacher.power)

    assert min(map(miss, np.geomspace(0.1, 2.0, 60))) == pytest.approx(missed, abs=0.005)


def test_units_are_orthonormal_or_on_the_sphere():
    frame = Teacher.one_hidden_layer(12, 12, key=3).units
    assert np.abs(frame @ frame.T - np.eye(12)).max() < 1e-13
    rows = Teacher.one_hidden_layer(12, 40, orthonormal=False, key=3).units
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0)
    cosines = (rows @ rows.T)[~np.eye(40, dtype=bool)]
    assert np.var(cosines) == pytest.approx(1 / 12, rel=0.25)


def test_frames_have_no_preferred_direction():
    """Haar: E u = 0 and E uuᵀ = 1/N0, for the first and the last unit (a bare QR factor has signs of its own)."""
    frames = np.array([Teacher.one_hidden_layer(3, 3, key=key).units for key in range(2000)])
    assert np.abs(frames.mean(0)).max() < 4 / math.sqrt(3 * 2000)
    for k in (0, 2):
        assert np.abs(frames[:, k].T @ frames[:, k] / 2000 - np.eye(3) / 3).max() < 4 * 0.3 / math.sqrt(2000)


def test_readouts():
    assert np.allclose(Teacher.one_hidden_layer(9, 4).readout, 0.5)
    assert np.array_equal(Teacher.one_hidden_layer(9, 2, readout=3.0).readout, [3.0, 3.0])
    drawn = Teacher.one_hidden_layer(2, 4000, orthonormal=False, readout="random", key=1).readout
    assert drawn @ drawn == pytest.approx(1.0, abs=0.1)


def test_linear():
    """f* = g u·x: power g², all of it of degree one."""
    teacher = Teacher.linear(5, gain=1.7, key=2)
    assert teacher.power == pytest.approx(1.7**2)
    assert np.allclose(teacher.spectrum(3), [0, 1.7**2, 0, 0])
    X = np.eye(5)
    assert np.allclose(teacher(X), 1.7 * teacher.units[0])


def test_rotations_and_permutations_change_nothing(rng):
    """Power and spectrum depend on the units' overlaps alone; f* not on their order."""
    U = rng.normal(size=(4, 6))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    v = rng.normal(size=4)
    teacher = OneHiddenLayer(U, v, "gelu", 1.3)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    turned, other = OneHiddenLayer(U @ rotation, v, "gelu", 1.3), OneHiddenLayer(U[::-1], v[::-1], "gelu", 1.3)
    for same in (turned, other):
        assert same.power == pytest.approx(teacher.power, rel=1e-12)
        assert np.allclose(same.spectrum(6), teacher.spectrum(6), rtol=1e-10, atol=1e-14)
    X = rng.normal(size=(7, 6))
    assert np.allclose(turned(X @ rotation), teacher(X))
    assert np.allclose(other(X), teacher(X))


def test_gain_of_a_homogeneous_teacher_is_a_factor(rng):
    X = rng.normal(size=(6, 5))
    one, three = (Teacher.one_hidden_layer(5, 2, activation="relu", gain=g, key=4) for g in (1.0, 3.0))
    assert np.allclose(three(X), 3 * one(X))
    assert three.power == pytest.approx(9 * one.power)


def test_own_units_are_checked():
    with pytest.raises(ww.InputError, match="rows of length 1, got 2"):
        OneHiddenLayer(2 * np.eye(3), np.ones(3))
    with pytest.raises(ww.InputError, match=r"one number per unit \(3\), got 2"):
        OneHiddenLayer(np.eye(3), np.ones(2))
