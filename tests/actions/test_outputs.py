"""Several outputs' data term against the dense (PD)² formula, its derivatives by JAX, and one output's spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from widthwise.actions.outputs import OutputsTerm
from widthwise.errors import NumericalError
from widthwise.numerics.spectra import Eigensystem

T, SCALE = 0.3, 1.7


def problem(rng, P=7, D=3):
    X = rng.normal(size=(P, P - 2))  # two eigenvalues of K are zero
    K = X @ X.T / P
    return K, rng.normal(size=(P, D)), Eigensystem.of(K)


def dense(Q, K, Y):
    A = T * jnp.eye(Y.size) + SCALE * jnp.kron(Q, K)
    y = Y.T.ravel()
    return jnp.linalg.slogdet(A)[1] + y @ jnp.linalg.solve(A, y)


@pytest.fixture
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("rank", [3, 2, 0])
def test_value_and_gradient_are_those_of_the_dense_formula(rng, rank):
    K, Y, e = problem(rng)
    term = OutputsTerm(e.k, e.U.T @ Y, T, SCALE)
    B = rng.normal(size=(3, rank))
    Q = B @ B.T
    f = term.terms(Q)
    assert f.value == pytest.approx(float(dense(Q, K, Y)), rel=1e-12)
    exact = np.asarray(jax.grad(dense)(Q, K, Y))
    np.testing.assert_allclose(f.gradient, 0.5 * (exact + exact.T), atol=1e-10)
    assert np.linalg.eigvalsh(f.trace).min() > 0
    assert np.linalg.eigvalsh(f.dual).min() > -1e-10
    A = T * np.eye(Y.size) + SCALE * np.kron(Q, K)
    assert f.log_det == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-12)
    assert (term.side, term.count) == (3, 21)


def test_gradient_by_differences_and_many_at_once(rng):
    _, Y, e = problem(rng)
    term = OutputsTerm(e.k, e.U.T @ Y, T, SCALE)
    B = rng.normal(size=(4, 3, 5))
    Q = B @ np.swapaxes(B, 1, 2)
    E = rng.normal(size=(3, 3))
    E = E + E.T
    for one, f in zip(Q, term.terms_of_all(Q)):
        alone = term.terms(one)
        assert f.value == pytest.approx(alone.value, rel=1e-13)
        np.testing.assert_allclose(f.gradient, alone.gradient, atol=1e-11)
        h = 1e-5
        slope = (term.terms(one + h * E).value - term.terms(one - h * E).value) / (2 * h)
        assert slope == pytest.approx(float((f.gradient * E).sum()), rel=1e-6)


def test_one_output_is_the_spectrum_and_rotations_commute(rng):
    _, Y, e = problem(rng)
    one = OutputsTerm(e.k, e.U.T @ Y[:, :1], T, SCALE).terms(np.array([[0.6]]))
    f = e.with_target(Y[:, 0]).terms(SCALE * 0.6, T)
    assert (one.log_det, one.quadratic) == pytest.approx((f.log_det, f.quadratic))
    assert one.trace[0, 0] == pytest.approx(SCALE * f.trace)
    assert one.dual[0, 0] == pytest.approx(SCALE * f.dual_energy)
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    Q = np.diag([0.2, 1.0, 3.0])
    rotated = OutputsTerm(e.k, e.U.T @ Y @ R, T, SCALE).terms(R.T @ Q @ R)
    straight = OutputsTerm(e.k, e.U.T @ Y, T, SCALE).terms(Q)
    assert rotated.value == pytest.approx(straight.value)
    np.testing.assert_allclose(R @ rotated.gradient @ R.T, straight.gradient, atol=1e-10)


def test_an_indefinite_matrix_is_refused(rng):
    _, Y, e = problem(rng)
    with pytest.raises(NumericalError, match="expected a positive definite matrix, got an eigenvalue -"):
        OutputsTerm(e.k, e.U.T @ Y, T, SCALE).terms(-5.0 * np.eye(3))
