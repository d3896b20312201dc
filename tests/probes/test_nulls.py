import itertools
import math

import numpy as np
import pytest

from widthwise.activations.phi import resolve
from widthwise.errors import InputError
from widthwise.probes.nulls import random_cka, random_participation, random_students
from widthwise.probes.representation import cka


def orthonormal(rng, M, N0):
    return np.linalg.qr(rng.standard_normal((N0, M)))[0].T


def brute_q(W, U):
    """By trying every pairing; N1 ≥ M."""
    R = np.abs(W @ U.T) / np.linalg.norm(W, axis=1)[:, None] / np.linalg.norm(U, axis=1)
    return max(np.mean(R[list(i), range(len(U))]) for i in itertools.permutations(range(len(W)), len(U)))


@pytest.mark.parametrize("kind", ["orthonormal", "random"])
def test_q0_by_brute_force(rng, kind):
    """The teacher's own rows and independent draws, against the rotated ones that the null uses."""
    U = orthonormal(rng, 3, 6) if kind == "orthonormal" else rng.standard_normal((3, 6)) + 1.0
    q = np.array([brute_q(rng.standard_normal((4, 6)), U) for _ in range(2000)])
    null = random_students(U, 4, draws=2000, key=1).overlap
    assert abs(null.mean - q.mean()) < 4.0 * q.std() / math.sqrt(1000)
    assert null.deviation == pytest.approx(q.std(), rel=0.1)


def test_the_teachers_angles_matter(rng):
    close = np.ones((3, 6)) + 0.1 * rng.standard_normal((3, 6))
    assert random_students(close, 4).overlap.mean != pytest.approx(
        random_students(np.eye(3, 6), 4).overlap.mean, abs=0.02
    )


@pytest.mark.parametrize(("N0", "M", "N1"), [(20, 3, 6), (10, 4, 2), (30, 2, 2)])
@pytest.mark.parametrize("readout", ["gaussian", "equal"])
def test_random_subspaces_share_M_of_N0(rng, N0, M, N1, readout):
    null = random_students(orthonormal(rng, M, N0), N1, readout=readout, draws=2000).subspace
    assert abs(null.mean - M / N0) < 4.0 * null.deviation / math.sqrt(2000)


@pytest.mark.parametrize(("N0", "N1"), [(20, 6), (30, 30), (8, 40)])
def test_random_participation_at_equal_readouts(N0, N1):
    """N1 N0/(N1 + N0 + 1), the ratio of the two averages: up to what they vary together."""
    null = random_participation(N0, N1, readout="equal", draws=2000)
    assert null.mean == pytest.approx((N1 * N0 + 2) / (N1 + N0 + 1), rel=0.01)
    alike = random_students(np.eye(2, N0), N1, readout="equal", draws=2000).participation
    assert abs(alike.mean - null.mean) < 4.0 * null.deviation / math.sqrt(1000)
    assert random_participation(N0, N1, draws=200).mean < null.mean  # unequal readouts: fewer features


def test_many_readers_read_all_units_alike():
    few, many, equal = (
        random_participation(20, 6, draws=500, **how).mean for how in ({}, {"readers": 4000}, {"readout": "equal"})
    )
    assert few < 0.8 * equal
    assert many == pytest.approx(equal, rel=0.03)


def test_off_overlap_of_one_pair_in_high_dimension():
    """Unmatched cosines of a unit are nearly those of a random direction: E|cos| ≈ √(2/πN0)."""
    null = random_students(np.eye(2, 400), 1, draws=400)
    best_of_two = null.overlap.mean * 2.0
    assert (null.off_overlap.mean + best_of_two) / 2.0 == pytest.approx(math.sqrt(2.0 / math.pi / 400), rel=0.1)
    assert random_students(np.eye(1, 20), 3).off_overlap is None


def test_what_is_kept_depends_on_sizes_alone(rng):
    a = random_students(orthonormal(rng, 3, 20), 6, draws=50, key=4)
    assert random_students(-5.0 * orthonormal(rng, 3, 20), 6, draws=50, key=4) is a
    assert random_students(orthonormal(rng, 3, 20), 6, draws=50, key=5) != a


def test_more_units_than_inputs_and_a_single_input():
    assert random_students(np.random.default_rng(0).standard_normal((5, 3)), 2).subspace.mean == pytest.approx(1.0)
    one = random_students(np.ones((2, 1)), 3)
    assert one.overlap.mean == pytest.approx(1.0)
    assert one.overlap.deviation == pytest.approx(0.0, abs=1e-12)


def test_large_students_are_drawn_fewer_times():
    assert random_students(np.eye(2, 200), 200, draws=1000).draws < 1000
    assert random_students(np.eye(2, 20), 6, draws=1000).draws == 1000


def test_random_likeness_by_other_random_students(rng):
    """Half of the units saturate: of short ones the likeness would be another."""
    U, X, lengths = orthonormal(rng, 3, 5), rng.standard_normal((300, 5)), np.array([[0.1], [8.0], [0.1], [8.0]])
    phi, T, b = resolve("erf"), np.tanh(0.3 * X @ U.T), np.array([0.5, 0.0, -0.5, 0.1])
    null = random_cka(T, X, lengths * orthonormal(rng, 4, 5), phi, b, draws=200)
    values = np.empty(200)
    for i in range(200):
        V = rng.standard_normal((4, 5))
        values[i] = cka(phi(X @ (lengths * V / np.linalg.norm(V, axis=1, keepdims=True)).T + b), T).value
    assert abs(null.mean - values.mean()) < 4.0 * values.std() * math.sqrt(2.0 / 200)
    assert random_cka(np.ones((300, 3)), X, np.ones((4, 5)), phi) is None


def test_bad_input():
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        random_students(np.eye(2), 2, readout="gausian")
    with pytest.raises(InputError, match="draws"):
        random_students(np.eye(2), 2, draws=1)
    with pytest.raises(InputError, match="readers"):
        random_participation(3, 2, readers=0)
    with pytest.raises(InputError, match="width"):
        random_participation(3, 0)
