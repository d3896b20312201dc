"""The population loss: against fresh examples, quadrature, differences; its invariances; what it refuses."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from widthwise.activations.phi import resolve
from widthwise.errors import InputError
from widthwise.probes.population import population_gradient, population_loss, population_of
from widthwise.probes.teachers import Teacher
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer

EVERY = [("erf", "erf"), ("relu", "relu"), ("tanh", "tanh"), ("relu", "erf"), ("erf", "relu"), ("tanh", "erf")]


def task(rng, activation="erf", M=3, N1=4, N0=5, gain=1.7):
    """A teacher whose units are neither orthogonal nor equal in weight, and a student."""
    U = rng.standard_normal((M, N0))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    teacher = OneHiddenLayer(U, rng.uniform(0.3, 1.2, M) * rng.choice([-1, 1], M), activation, gain)
    return teacher, 0.8 * rng.standard_normal((N1, N0)), rng.standard_normal(N1)


@pytest.mark.parametrize(("student", "activation"), EVERY)
def test_loss_and_gradient_against_fresh_examples(rng, student, activation):
    teacher, W, a = task(rng, activation)
    phi = resolve(student)
    X = rng.standard_normal((100_000, 5))
    h = X @ W.T
    residual = phi(h) @ a - teacher(X)
    slopes = {"erf": lambda h: 2 / np.sqrt(np.pi) * np.exp(-h * h), "relu": lambda h: h > 0}
    slope = slopes.get(student, lambda h: 1 / np.cosh(h) ** 2)(h)

    def agree(exact, samples):
        error = samples.std(0) / np.sqrt(len(samples))
        assert (np.abs(samples.mean(0) - exact) < 4.5 * error).all()

    agree(population_loss(W, a, teacher, activation=student), residual**2)
    gW, ga = population_gradient(W, a, teacher, activation=student)
    agree(ga, 2 * residual[:, None] * phi(h))
    for i in range(4):
        agree(gW[i], 2 * a[i] * (residual * slope[:, i])[:, None] * X)


@pytest.mark.parametrize(("student", "activation"), EVERY)
def test_gradient_is_differences(rng, student, activation):
    teacher, W, a = task(rng, activation)
    gW, ga = population_gradient(W, a, teacher, activation=student)
    step = 1e-5

    def difference(dW, da):
        up, down = (population_loss(W + s * dW, a + s * da, teacher, activation=student) for s in (step, -step))
        return (up - down) / (2 * step)

    for _ in range(6):
        dW, da = rng.standard_normal(W.shape), rng.standard_normal(a.shape)
        assert (gW * dW).sum() + ga @ da == pytest.approx(difference(dW, da), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_one_unit_against_quadrature(activation):
    """Student along the teacher's only unit: an integral over one number."""
    x, weight = np.polynomial.legendre.leggauss(400)
    x, weight = np.concatenate([6 * x - 6, 6 * x + 6]), np.tile(6 * weight, 2)
    teacher = OneHiddenLayer(np.array([[0.6, 0.8]]), np.array([1.3]), activation, 1.9)
    phi = resolve(activation)
    residual = -0.4 * phi(0.7 * x) - 1.3 * phi(1.9 * x)
    expected = weight @ (residual**2 * np.exp(-0.5 * x * x)) / np.sqrt(2 * np.pi)
    assert population_loss(0.7 * teacher.units, [-0.4], teacher) == pytest.approx(expected, rel=1e-12)


def test_erf_overlaps_of_saad_and_solla(rng):
    """Their sum of arcsines (1995), for erf(h/√2), readouts 1 and half the square."""
    B, J = rng.standard_normal((2, 5)), rng.standard_normal((3, 5))
    Q, R, T = J @ J.T, J @ B.T, B @ B.T

    def arcsines(C, left, right):
        return np.arcsin(C / np.sqrt(np.outer(1 + left, 1 + right))).sum()

    q, t = np.diag(Q), np.diag(T)
    expected = (arcsines(Q, q, q) + arcsines(T, t, t) - 2 * arcsines(R, q, t)) / np.pi
    teacher = SimpleNamespace(units=B / np.sqrt(2), readout=np.ones(2), activation="erf", gain=1.0)
    assert 0.5 * population_loss(J / np.sqrt(2), np.ones(3), teacher) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("student", "activation"), EVERY)
def test_invariances(rng, student, activation):
    """Rotations, permutations, and the symmetry of φ: what changes no function, or no law of the inputs."""
    teacher, W, a = task(rng, activation)
    loss = population_loss(W, a, teacher, activation=student)
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    rotated = OneHiddenLayer(teacher.units @ rotation, teacher.readout, activation, teacher.gain)
    order = rng.permutation(4)
    flipped = (-W, -a) if student != "relu" else (2.5 * W, a / 2.5)
    for value in (
        population_loss(W @ rotation, a, rotated, activation=student),
        population_loss(W[order], a[order], teacher, activation=student),
        population_loss(*flipped, teacher, activation=student),
    ):
        assert value == pytest.approx(loss, rel=1e-11)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
def test_the_teacher_itself_and_a_split_of_it(rng, activation):
    """No loss and no slope, also where a unit is there twice: coincident relu units."""
    teacher, *_ = task(rng, activation)
    W, a = teacher.gain * teacher.units, teacher.readout
    split = np.vstack([W, W[:1]]), np.append(a, 0.3 * a[0]) - np.append([0.3 * a[0]], np.zeros(3))
    for student in ((W, a), split):
        assert population_loss(*student, teacher) < 1e-14
        gW, ga = population_gradient(*student, teacher)
        assert max(np.abs(gW).max(), np.abs(ga).max()) < 1e-7


def test_relu_gradient_at_opposite_and_vanishing_units(rng):
    teacher, W, a = task(rng, "relu")
    W[1], W[2] = -2.0 * W[0], 0.0
    gW, ga = population_gradient(W, a, teacher)
    assert np.isfinite(gW).all()
    assert np.isfinite(ga).all()
    step = 1e-6 * np.eye(1, 5, 2)[0]
    up, down = W.copy(), W.copy()
    up[0] += step
    down[0] -= step
    difference = (population_loss(up, a, teacher) - population_loss(down, a, teacher)) / 2e-6
    assert gW[0, 2] == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("activation", ["erf", "relu", "gelu"])
def test_a_silent_student_leaves_the_power(rng, activation):
    teacher, W, _ = task(rng, activation)
    assert population_loss(W, np.zeros(4), teacher) == pytest.approx(teacher.power, rel=1e-12)


def test_best_readout_has_no_slope(rng):
    teacher, W, _ = task(rng)
    population, _ = population_of(teacher)
    assert np.abs(population.value_and_gradient(W, population.best_readout(W))[2]).max() < 1e-12


class TestRefusals:
    def test_shapes(self, rng):
        teacher, W, a = task(rng)
        for bad in ((W[:, :4], a), (W, a[:3]), (W[0], a)):
            with pytest.raises(InputError, match=r"expected weights \(N1, 5\)"):
                population_loss(*bad, teacher)

    def test_not_finite(self, rng):
        teacher, W, a = task(rng)
        for bad in ((W * np.nan, a), (W, a * np.inf)):
            with pytest.raises(InputError, match="diverge"):
                population_gradient(*bad, teacher)

    @pytest.mark.parametrize(
        "teacher",
        [
            Teacher.deep(5, [3, 2], key=1),
            Teacher.hidden_manifold(5, 3, 2, key=1),
            Teacher.single_index(5, [0.0, 0.0, 1.0], key=1),
        ],
        ids=lambda teacher: type(teacher).__name__,
    )
    def test_teachers_with_units_that_are_something_else(self, teacher):
        with pytest.raises(InputError, match="expected one hidden layer"):
            population_loss(np.ones((2, 5)), np.ones(2), teacher)

    def test_another_teacher(self, rng):
        with pytest.raises(InputError, match="one_hidden_layer"):
            population_loss(np.eye(2), np.ones(2), object())
        teacher, W, a = task(rng)
        with pytest.raises(InputError, match="readout"):
            population_loss(W, a, SimpleNamespace(units=teacher.units, readout=np.ones(2), activation="erf", gain=1.0))

    def test_an_unknown_activation(self, rng):
        teacher, W, a = task(rng)
        with pytest.raises(InputError, match="unknown activation"):
            population_loss(W, a, teacher, activation="erv")


def test_every_pair_of_builtin_activations_has_a_loss(rng):
    for student, activation in itertools.product(["erf", "relu", "tanh", "gelu", "identity", "sin"], repeat=2):
        teacher, W, a = task(rng, activation)
        assert population_loss(W, a, teacher, activation=student) > 0
