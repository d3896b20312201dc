"""Copy-average students: their closed form, that they are critical, and whether they are the best there is."""

import numpy as np
import pytest

from widthwise.activations.phi import resolve
from widthwise.errors import InputError
from widthwise.probes.copy_average import copy_average
from widthwise.probes.landscape import infinite_data
from widthwise.probes.population import population_gradient, population_loss, population_of
from widthwise.probes.teachers import Teacher
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer

ALL = [(M, n) for M in (3, 4, 5, 6) for n in range(1, M + 1)]


def orthonormal(M, N0, activation, gain, readout=None):
    return Teacher.one_hidden_layer(N0, M, activation=activation, gain=gain, readout=readout, key=7)


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize(("M", "n"), ALL)
def test_closed_form_and_critical_for_erf(rng, M, n, gain):
    teacher = orthonormal(M, 8, "erf", gain)
    found = copy_average(teacher, n)
    m, gamma = M - n + 1, 2 * gain**2 / (1 + 2 * gain**2)
    closed = 2 / np.pi / M * m * (np.arcsin(gamma) - m * np.arcsin(gamma / m))
    assert found.loss == pytest.approx(closed, abs=1e-14)
    assert found.loss == pytest.approx(population_loss(found.weights, found.readout, teacher), rel=1e-12)
    assert found.overlap == pytest.approx((n - 1 + m**-0.5) / M, rel=1e-12)
    assert found.critical
    gW, ga = population_gradient(found.weights, found.readout, teacher)
    assert max(np.abs(gW).max(), np.abs(ga).max()) < 1e-10


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
def test_loss_against_fresh_examples(rng, activation):
    teacher = orthonormal(4, 6, activation, 2.0)
    found = copy_average(teacher, 2)
    X = rng.standard_normal((200_000, 6))
    squares = (resolve(activation)(X @ found.weights.T) @ found.readout - teacher(X)) ** 2
    assert abs(squares.mean() - found.loss) < min(4 * squares.std() / np.sqrt(len(X)), 4e-3)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
def test_no_other_length_or_readout_is_better(rng, activation):
    """Of the averaging unit: a grid around its own."""
    teacher = orthonormal(4, 5, activation, 1.3)
    found = copy_average(teacher, 2)
    for longer in (0.5, 0.99, 1.0, 1.01, 2.0):
        for more in (0.5, 0.99, 1.01, 2.0):
            W, a = found.weights.copy(), found.readout.copy()
            W[-1] *= longer
            a[-1] *= more
            if activation != "relu" or abs(longer * more - 1) > 1e-6:  # one number, a·w
                assert population_loss(W, a, teacher) > found.loss


@pytest.mark.parametrize("gain", [1.0, 2.0])
@pytest.mark.parametrize(("M", "n"), [(3, 1), (3, 2), (4, 2), (5, 4)])
def test_best_of_all_erf_students(rng, M, n, gain):
    teacher = orthonormal(M, M, "erf", gain)
    found, best = copy_average(teacher, n), infinite_data(teacher, n, restarts=4)
    assert best.relative_loss == pytest.approx(found.relative_loss, rel=1e-9)
    assert best.overlap == pytest.approx(found.overlap, abs=1e-6)
    assert best.fraction > 0.2


def test_not_the_best_for_one_unit_too_few_of_six(rng):
    """A minimum, but a student whose five units each lean on a unit of their own, unequally, is a little better."""
    teacher = orthonormal(6, 6, "erf", 1.0)
    found = copy_average(teacher, 5)
    here = infinite_data(teacher, 5, restarts=0, starts=[(found.weights, found.readout)])
    best = infinite_data(teacher, 5, restarts=8)
    assert here.loss == pytest.approx(found.loss, rel=1e-9)
    assert here.curvature > 1e-4
    assert best.relative_loss == pytest.approx(0.02205, abs=1e-5)
    assert found.relative_loss == pytest.approx(0.02286, abs=1e-5)
    assert best.overlap > found.overlap + 0.03


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_other_activations_are_critical_where_symmetry_makes_them(rng, activation):
    """One unit averaging all, or every unit copied; in between the copies are pulled by what is left."""
    teacher = orthonormal(3, 4, activation, 1.5)
    assert [copy_average(teacher, n).critical for n in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize(("M", "n"), [(3, 2), (4, 2)])
def test_relu_improves_on_it(rng, M, n):
    """The optimum relaxes the copies: lower in loss, nearly the same in overlap."""
    teacher = orthonormal(M, M, "relu", 1.0)
    found, best = copy_average(teacher, n), infinite_data(teacher, n, restarts=4)
    assert 0.75 * found.loss < best.loss < 0.9 * found.loss
    assert best.overlap == pytest.approx(found.overlap, abs=0.015)


def test_signs_of_an_odd_teacher():
    """They change the averaging unit's direction, and no loss; of another φ all must be the same, and may be −."""
    plain, signs = copy_average(orthonormal(4, 5, "erf", 2.0), 2), np.array([-0.5, 0.5, -0.5, 0.5])
    found = copy_average(orthonormal(4, 5, "erf", 2.0, signs), 2)
    assert found.critical
    assert found.loss == pytest.approx(plain.loss, rel=1e-12)
    with pytest.raises(InputError, match="of one size"):
        copy_average(orthonormal(4, 5, "relu", 2.0, signs), 2)
    positive, negative = (copy_average(orthonormal(4, 5, "relu", 2.0, v), 2) for v in (0.5, -0.5))
    assert negative.loss == pytest.approx(positive.loss, rel=1e-12)


def test_a_unit_that_wants_to_be_infinitely_long_stays_finite():
    teacher = orthonormal(4, 5, "gelu", 1.3)
    found = copy_average(teacher, 1)
    assert np.linalg.norm(found.weights) < 1000
    population, _ = population_of(teacher, "relu")  # what a long gelu unit becomes
    assert found.loss == pytest.approx(population.loss(found.weights, population.best_readout(found.weights)), rel=1e-4)


@pytest.mark.parametrize("activation", ["sin", "cos"])
def test_a_long_unit_that_is_silenced_is_no_optimum(activation):
    """E φ(c z)ψ falls as e^−c²/2, to 0 in floating point; the optimum stays where it is heard."""
    teacher = orthonormal(3, 5, activation, 2.0)
    found = copy_average(teacher, 2)
    assert 0 < found.relative_loss < 1
    for longer in (0.99, 1.01):
        W = found.weights.copy()
        W[-1] *= longer
        assert population_loss(W, found.readout, teacher) > found.loss


class TestRefusals:
    @pytest.mark.parametrize("width", [0, 4, -1, True])
    def test_widths(self, rng, width):
        with pytest.raises(InputError, match="1 to the teacher's 3 units"):
            copy_average(orthonormal(3, 5, "erf", 2.0), width)

    def test_units_that_are_not_orthonormal(self):
        U = np.array([[1.0, 0, 0], [0.6, 0.8, 0]])
        with pytest.raises(InputError, match="orthonormal"):
            copy_average(OneHiddenLayer(U, np.ones(2), "erf", 1.0), 1)

    def test_unequal_readouts(self, rng):
        teacher = orthonormal(3, 5, "erf", 2.0, np.array([1.0, 1.0, 1.1]))
        with pytest.raises(InputError, match="of one size"):
            copy_average(teacher, 2)
