"""The checked LAPACK calls against NumPy, and in place."""

import numpy as np
import pytest

from widthwise.errors import NumericalError
from widthwise.numerics import lapack


@pytest.fixture(params=[1, 2, 60])
def matrix(request, rng):
    X = rng.standard_normal((request.param, request.param + 3))
    return X @ X.T + 0.1 * np.eye(request.param)


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 7), (40, 9), (9, 40)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gram_fills_the_upper_triangle(shape, order, rng):
    X = np.asarray(rng.standard_normal(shape), order=order)
    K = lapack.gram(X, 0.3)
    assert K.flags.c_contiguous
    np.testing.assert_allclose(K, np.triu(0.3 * X @ X.T), rtol=1e-13, atol=1e-14)


def test_cholesky_in_place_reads_the_upper_triangle(matrix):
    A = np.triu(matrix) + np.tril(np.full_like(matrix, np.nan), -1)
    R = lapack.cholesky(A, "A")
    assert np.shares_memory(R, A)
    np.testing.assert_allclose(np.triu(R), np.linalg.cholesky(matrix).T, rtol=1e-10, atol=1e-12)


def test_solve_and_traces(matrix, rng):
    R = lapack.cholesky(matrix.copy(), "A")
    B = rng.standard_normal((len(matrix), 3))
    np.testing.assert_allclose(matrix @ lapack.cholesky_solve(R, B), B, atol=1e-11)
    inverse = np.linalg.inv(matrix)
    trace, square = lapack.inverse_traces(R)
    assert trace == pytest.approx(np.trace(inverse), rel=1e-11)
    assert square == pytest.approx(np.trace(inverse @ inverse), rel=1e-11)


def test_what_is_not_positive_definite_is_named():
    with pytest.raises(NumericalError, match=r"^the kernel is not positive definite .*minor 2 of 3.*; raise the temp"):
        lapack.cholesky(np.diag([1.0, -1.0, 1.0]), "the kernel")


def test_a_root_of_matrices_that_have_no_cholesky_factor(rng):
    thin = rng.normal(size=(3, 5, 2))
    K = thin @ np.swapaxes(thin, 1, 2)
    R = lapack.symmetric_root(K)
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), K, atol=1e-13)
    np.testing.assert_allclose(lapack.symmetric_root(K[1]), R[1], atol=1e-13)
    assert np.all(np.isfinite(lapack.symmetric_root(K[0] - 1e-14 * np.eye(5))))
