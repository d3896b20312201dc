"""The optimum at infinitely many data: realisable and not, against one number's quadrature, polynomials, symmetries."""

import numpy as np
import pytest
import scipy.optimize
from scipy.special import erf

from widthwise.errors import InputError
from widthwise.probes.landscape import infinite_data
from widthwise.probes.population import population_loss
from widthwise.probes.teachers import Teacher
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer


def orthonormal(M, N0, activation, gain, readout=None):
    return Teacher.one_hidden_layer(N0, M, activation=activation, gain=gain, readout=readout, key=7)


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("width", [3, 5])
def test_wide_enough_finds_the_teacher(rng, activation, width):
    teacher = Teacher.one_hidden_layer(4, 3, activation=activation, orthonormal=False, readout=[0.7, -0.4, 1.1])
    found = infinite_data(teacher, width, restarts=6 if activation == "erf" else 2)
    assert found.status == "converged"
    assert found.relative_loss < 1e-12
    assert found.overlap == pytest.approx(1.0, abs=1e-4)
    assert population_loss(found.weights, found.readout, teacher) < 1e-12 * teacher.power


@pytest.mark.parametrize("gain", [0.8, 2.0])
def test_one_erf_unit_for_an_erf_unit_seen_by_relu(gain):
    """A relu student of a single erf unit: E(f_S − f*)² minimised over two numbers by quadrature.

    One relu unit sees half of the line: a relu(w h), a w = ± E[φ(h) h; h > 0]/½.
    """
    x, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    target = erf(gain * x)
    relu = np.maximum(x, 0)
    best = weight @ target**2 - (weight @ (target * relu)) ** 2 / (weight @ relu**2)
    teacher = OneHiddenLayer(np.array([[1.0]]), np.array([1.0]), "erf", gain)
    found = infinite_data(teacher, 1, restarts=4, activation="relu")
    assert found.loss == pytest.approx(best, rel=1e-4)  # the kink at a node's rule


def test_one_erf_unit_of_two_by_quadrature():
    """N1 = 1: the loss over (angle, length) on a grid of quadrature in the plane, and its minimum."""
    x, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    X = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    both = np.outer(weight, weight).ravel()
    teacher = OneHiddenLayer(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([0.5, 0.9]), "erf", 1.2)
    target = teacher(X)

    def loss(parameters):
        angle, length = parameters
        h = erf(length * X @ [np.cos(angle), np.sin(angle)])
        return both @ target**2 - (both @ (h * target)) ** 2 / (both @ h**2)

    expected = min(scipy.optimize.minimize(loss, [angle, 1.0], tol=1e-12).fun for angle in (0.0, 0.6, 1.2))
    assert infinite_data(teacher, 1, restarts=4).loss == pytest.approx(expected, rel=1e-7)


def test_identity_students_are_linear_regression(rng):
    """Any width: f = β·x, and the optimum leaves E f*² − |E f* x|²."""
    teacher = orthonormal(3, 5, "erf", 1.5)
    slope = (teacher.readout * 1.5 * 2 / np.sqrt(np.pi * (1 + 2 * 1.5**2))) @ teacher.units
    for width in (1, 2):
        found = infinite_data(teacher, width, restarts=3, activation="identity")
        assert found.loss == pytest.approx(teacher.power - slope @ slope, rel=1e-9)
        np.testing.assert_allclose(found.readout @ found.weights, slope, atol=1e-6)


def test_the_span_is_enough_for_erf(rng):
    """What a unit has outside of the teacher's span can be given up: E[erf(w·x) | Px] is an erf unit, and no worse."""
    teacher = orthonormal(3, 8, "erf", 2.0)
    P = teacher.units.T @ teacher.units
    for _ in range(20):
        W, a = rng.standard_normal((4, 8)), rng.standard_normal(4)
        inside = W @ P
        outside = ((W - inside) ** 2).sum(1, keepdims=True)
        without = population_loss(inside / np.sqrt(1 + 2 * outside), a, teacher)
        assert without < population_loss(W, a, teacher)


def test_optimum_is_a_minimum_of_all_weights(rng):
    """Also in the inputs that the search left out: no step anywhere lowers the loss."""
    teacher = orthonormal(4, 7, "erf", 2.0)
    found = infinite_data(teacher, 2, restarts=4)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(20):
            dW, da = size * rng.standard_normal((2, 7)), size * rng.standard_normal(2)
            assert population_loss(found.weights + dW, found.readout + da, teacher) > found.loss


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_rotations_and_permutations_of_the_task(rng, activation):
    teacher = orthonormal(3, 4, activation, 1.5)
    loss = infinite_data(teacher, 2, restarts=4).loss
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    rotated = OneHiddenLayer(teacher.units[::-1] @ rotation, teacher.readout, activation, 1.5)
    assert infinite_data(rotated, 2, restarts=4, key=5).loss == pytest.approx(loss, rel=1e-9)


def test_wider_is_no_worse(rng):
    teacher = orthonormal(4, 6, "relu", 1.0)
    losses = [infinite_data(teacher, width, restarts=3).relative_loss for width in (1, 2, 3)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] > 1e-3


def test_same_key_same_search(rng):
    teacher = orthonormal(3, 5, "erf", 2.0)
    one, same, other = (infinite_data(teacher, 2, restarts=3, key=key) for key in (1, 1, 2))
    np.testing.assert_array_equal(one.losses, same.losses)
    np.testing.assert_array_equal(one.weights, same.weights)
    assert not np.array_equal(one.weights, other.weights)


def test_a_saddle_is_left(rng):
    """Two equal relu units in place of two of the teacher's: nothing pulls them apart but the Hessian."""
    teacher = orthonormal(2, 2, "relu", 1.0)
    both = teacher.units.sum(0) * 0.5
    found = infinite_data(teacher, 2, restarts=0, starts=[(np.stack([both, both]), teacher.readout)])
    assert found.relative_loss < 1e-10
    assert found.status == "converged"


def test_given_starts_are_searched_after_the_random_ones(rng):
    teacher = orthonormal(3, 4, "erf", 2.0)
    own = (2.0 * teacher.units[:2] + 0.01, teacher.readout[:2])
    found = infinite_data(teacher, 2, restarts=2, starts=[own])
    assert found.losses.shape == (3,)
    assert found.fraction == pytest.approx(np.mean(found.losses < found.loss + 1e-6 * teacher.power))


class TestRefusals:
    @pytest.mark.parametrize("bad", [{"width": 0}, {"width": -1}, {"restarts": 0}, {"width": True}])
    def test_counts(self, rng, bad):
        teacher = orthonormal(3, 4, "erf", 2.0)
        with pytest.raises(InputError, match="whole number"):
            infinite_data(teacher, **({"width": 2} | bad))

    def test_starts_of_another_shape(self, rng):
        teacher = orthonormal(3, 4, "erf", 2.0)
        with pytest.raises(InputError, match=r"weights \(2, 4\)"):
            infinite_data(teacher, 2, starts=[(np.ones((3, 4)), np.ones(3))])

    def test_a_silent_teacher(self):
        with pytest.raises(InputError, match="zero everywhere"):
            infinite_data(OneHiddenLayer(np.eye(2), np.zeros(2), "erf", 1.0), 2)

    def test_another_teacher(self):
        with pytest.raises(InputError, match="one_hidden_layer"):
            infinite_data(object(), 2)
