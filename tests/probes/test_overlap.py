import itertools
import math

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.probes.overlap import cosines, overlaps


def orthonormal(rng, M, N0):
    return np.linalg.qr(rng.standard_normal((N0, M)))[0].T


def brute_force(W, U):
    """The best sum of |cosines| over all one-to-one pairings, by trying every one."""
    R = np.array([[abs(w @ u) / np.linalg.norm(w) / np.linalg.norm(u) for u in U] for w in W])
    if len(W) < len(U):
        R = R.T
    return max(
        sum(R[i, k] for k, i in enumerate(chosen)) for chosen in itertools.permutations(range(len(R)), R.shape[1])
    )


@pytest.mark.parametrize("M", [1, 2, 3, 4])
@pytest.mark.parametrize("N1", [1, 2, 4, 6])
def test_the_matching_is_the_best_of_all(rng, M, N1):
    for _ in range(5):
        W, U = 3.0 * rng.standard_normal((N1, 5)), 0.2 * rng.standard_normal((M, 5))
        assert overlaps(W, U).overlap == pytest.approx(brute_force(W, U) / M, abs=1e-12)


def test_a_copied_teacher_overlaps_fully_however_long_its_units(rng):
    U = orthonormal(rng, 3, 8)
    lengths = np.array([[1e-200], [2.5], [1e40]])
    found = overlaps(np.vstack([rng.standard_normal((2, 8)), -lengths * U[[2, 0, 1]]]), U)
    assert found.overlap == pytest.approx(1.0, abs=1e-12)
    assert found.off_overlap == pytest.approx(0.0, abs=1e-12)
    assert found.n90 == 3
    assert found.pairs == ((2, 2), (3, 0), (4, 1))


def test_permutations_signs_and_lengths_of_units_change_nothing(rng):
    W, U = rng.standard_normal((6, 9)), rng.standard_normal((3, 9))
    changed = (rng.choice([-1.0, 1.0], 6) * rng.uniform(0.5, 3.0, 6))[:, None] * W
    a, b = overlaps(W, U), overlaps(changed[rng.permutation(6)], -2.0 * U[[1, 2, 0]])
    assert b.overlap == pytest.approx(a.overlap, abs=1e-10)
    assert b.off_overlap == pytest.approx(a.off_overlap, abs=1e-10)
    assert a.n90 == b.n90


def test_rotations_of_the_inputs_change_nothing(rng):
    W, U, O = rng.standard_normal((5, 7)), rng.standard_normal((3, 7)), orthonormal(rng, 7, 7)
    np.testing.assert_allclose(cosines(W @ O, U @ O), cosines(W, U), atol=1e-12)


def test_off_overlap_is_the_mean_of_what_the_matched_rows_hold_besides():
    U = np.eye(3)
    W = np.array([[1.0, 0.0, 0.0], [0.0, 4.0, 3.0], [1.0, 1.0, 1.0]])  # cosines 1; 0.8, 0.6; 1/√3 each
    found = overlaps(W, U)
    s = 1.0 / math.sqrt(3.0)
    assert found.overlap == pytest.approx((1.0 + 0.8 + s) / 3.0)
    assert found.off_overlap == pytest.approx((0.0 + 0.6 + 2.0 * s) / 6.0)
    assert found.n90 == 1


@pytest.mark.parametrize(("M", "n"), [(3, 1), (3, 2), (5, 3), (6, 6)])
def test_copies_and_one_average(M, n):
    """q = [(n − 1) + 1/√(M − n + 1)]/M."""
    U = np.eye(M, M + 2)
    W = np.vstack([U[: n - 1], U[n - 1 :].sum(axis=0)])
    assert overlaps(W, U).overlap == pytest.approx(((n - 1) + 1.0 / math.sqrt(M - n + 1)) / M, abs=1e-12)


def test_dead_and_duplicated_units(rng):
    U = orthonormal(rng, 3, 6)
    dead = overlaps(np.zeros((4, 6)), U)
    assert (dead.overlap, dead.off_overlap, dead.n90) == (0.0, 0.0, 0)
    twice = overlaps(np.vstack([U[:1], U[:1], np.zeros((1, 6))]), U)
    assert twice.overlap == pytest.approx(1.0 / 3.0)
    assert twice.n90 == 1


def test_a_single_unit_has_no_others(rng):
    found = overlaps(rng.standard_normal((4, 6)), rng.standard_normal((1, 6)))
    assert found.off_overlap is None


@pytest.mark.parametrize(
    ("W", "U", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "expected 3 columns"),
        (np.ones((2, 3)), np.zeros((2, 3)), "row of zeros"),
        (np.ones(3), np.ones((2, 3)), r"expected shape \(N1, N0\)"),
        (np.full((2, 3), np.nan), np.ones((2, 3)), "finite"),
    ],
)
def test_bad_input(W, U, message):
    with pytest.raises(InputError, match=message):
        overlaps(W, U)
