import math

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from widthwise.errors import InputError
from widthwise.probes.representation import cka, participation, subspace


def orthonormal(rng, M, N0):
    return np.linalg.qr(rng.standard_normal((N0, M)))[0].T


def centring(n):
    return np.eye(n) - 1.0 / n


def u_centred(K):
    """The Gram matrix of Székely & Rizzo 2014: its product with another, summed, is n(n − 3) HSIC_1."""
    K, n = K - np.diag(np.diag(K)), len(K)
    rows = K.sum(axis=0)
    A = K - rows[:, None] / (n - 2) - rows[None] / (n - 2) + K.sum() / ((n - 1) * (n - 2))
    return A - np.diag(np.diag(A))


@pytest.mark.parametrize("N1", [3, 4, 7])
def test_subspace_by_principal_angles(rng, N1):
    W, a, U = rng.standard_normal((N1, 9)), rng.uniform(0.5, 3.0, N1), rng.standard_normal((3, 9))
    top = np.linalg.svd(a[:, None] * W)[2][:3]
    assert subspace(W, a, U) == pytest.approx(np.mean(np.cos(subspace_angles(top.T, U.T)) ** 2), abs=1e-12)


def test_subspace_of_a_narrower_student(rng):
    U = orthonormal(rng, 4, 9)
    assert subspace(rng.standard_normal((2, 4)) @ U, None, U) == pytest.approx(1.0, abs=1e-12)
    assert subspace(np.eye(9)[:2], [1.0, 2.0], np.eye(9)[1:4]) == pytest.approx(0.5, abs=1e-12)


def test_what_is_barely_read_does_not_count(rng):
    U = orthonormal(rng, 3, 8)
    W, a = np.vstack([U, rng.standard_normal((3, 8))]), np.array([1.0, -2.0, 0.5, 0.0, 0.0, 0.0])
    assert subspace(W, a, U) == pytest.approx(1.0, abs=1e-12)
    assert participation(W, a) == pytest.approx((1.0 + 4.0 + 0.25) ** 2 / (1.0 + 16.0 + 0.0625), abs=1e-12)


def test_a_teacher_with_dependent_units_counts_its_rank(rng):
    U = orthonormal(rng, 2, 6)
    U = np.vstack([U, U[:1] + U[1:]])
    assert subspace(2.0 * U, None, U) == pytest.approx(1.0, abs=1e-12)


def test_directions_that_are_missing_are_missed(rng):
    U = orthonormal(rng, 2, 6)
    assert subspace(np.vstack([U[:1], -U[:1], 3.0 * U[:1]]), None, U) == pytest.approx(0.5, abs=1e-12)
    assert subspace(np.zeros((3, 6)), None, U) == 0.0


def test_participation_counts_directions(rng):
    O = orthonormal(rng, 5, 5)
    assert participation(O[:3] * 7.0) == pytest.approx(3.0)
    assert participation(np.outer(rng.standard_normal(6), rng.standard_normal(5))) == pytest.approx(1.0)
    assert participation(np.zeros((3, 4))) == 0.0
    W, a = rng.standard_normal((6, 4)), rng.standard_normal(6)
    s = np.linalg.svd(a[:, None] * W, compute_uv=False)
    assert participation(W, a) == pytest.approx(np.sum(s**2) ** 2 / np.sum(s**4))
    assert participation(W.T @ np.diag(a)) == pytest.approx(participation(W, a))


def test_permutations_signs_and_rotations(rng):
    W, a, U, O = (
        rng.standard_normal((6, 7)),
        rng.standard_normal(6),
        rng.standard_normal((3, 7)),
        orthonormal(rng, 7, 7),
    )
    order, signs = rng.permutation(6), rng.choice([-1.0, 1.0], 6)
    moved, read = 2.5 * (signs[:, None] * W)[order] @ O, -3.0 * (signs * a)[order]
    assert participation(moved, read) == pytest.approx(participation(W, a), abs=1e-10)
    assert subspace(moved, read, 0.3 * U @ O) == pytest.approx(subspace(W, a, U), abs=1e-10)


@pytest.mark.parametrize("debiased", [True, False])
def test_cka_knows_no_rotation_scale_or_shift(rng, debiased):
    X = rng.standard_normal((300, 5)) * [1.0, 2.0, 0.1, 1.0, 3.0]
    O = orthonormal(rng, 5, 5)
    assert cka(X, 1e-3 * X @ O + 7.0, debiased=debiased).value == pytest.approx(1.0, abs=1e-9)
    Y = X @ rng.standard_normal((5, 4)) + rng.standard_normal((300, 4))
    moved = cka(X @ O - 4.0, 1e6 * Y[:, [2, 0, 3, 1]], debiased=debiased).value
    assert moved == pytest.approx(cka(X, Y, debiased=debiased).value, abs=1e-10)


def test_cka_by_gram_matrices(rng):
    X, Y = rng.standard_normal((40, 6)), rng.standard_normal((40, 3))
    Y[:, 0] += X[:, 1] + 0.5
    H, K, M = centring(40), X @ X.T, Y @ Y.T
    plain = np.sum((H @ K @ H) * M) / math.sqrt(np.sum((H @ K @ H) * K) * np.sum((H @ M @ H) * M))
    assert cka(X, Y, debiased=False).value == pytest.approx(plain, abs=1e-12)
    A, B = u_centred(K), u_centred(M)
    assert cka(X, Y).value == pytest.approx(np.sum(A * B) / math.sqrt(np.sum(A * A) * np.sum(B * B)), abs=1e-12)


def test_unrelated_representations_have_no_likeness_once_the_bias_is_gone(rng):
    pairs = [(rng.standard_normal((60, 20)), rng.standard_normal((60, 20))) for _ in range(200)]
    values = np.array([cka(x, y).value for x, y in pairs])
    assert abs(values.mean()) < 4.0 * values.std() / math.sqrt(200)
    assert np.mean([cka(x, y, debiased=False).value for x, y in pairs]) > 0.2


def test_the_error_of_cka_is_that_of_other_inputs(rng):
    A = rng.standard_normal((3, 4))

    def draw():
        X = rng.standard_normal((2000, 3))
        return cka(X, X @ A + rng.standard_normal((2000, 4)))

    draws = [draw() for _ in range(60)]
    spread = np.std([d.value for d in draws])
    assert np.mean([d.standard_error for d in draws]) == pytest.approx(spread, rel=0.35)


def test_cka_of_what_does_not_vary_is_unknown(rng):
    assert math.isnan(cka(np.full((20, 3), 0.1), rng.standard_normal((20, 2))).value)
    assert math.isnan(cka(rng.standard_normal((20, 2)), rng.standard_normal((20, 2))).standard_error)


def test_bad_input(rng):
    with pytest.raises(InputError, match="same inputs"):
        cka(np.ones((5, 2)), np.ones((6, 2)))
    with pytest.raises(InputError, match="one number for each of 3 units"):
        participation(np.ones((3, 2)), [1.0, 2.0])
    with pytest.raises(InputError, match="expected 2 columns"):
        subspace(np.ones((3, 2)), None, np.ones((3, 4)))
