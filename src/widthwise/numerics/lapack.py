"""LAPACK and BLAS through SciPy, in place and checked: the fastest dense engine on a CPU, with its faults named."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import blas, lapack

from widthwise.errors import NumericalError

Matrix = Float[np.ndarray, "P P"]


def gram(X: Float[np.ndarray, "P N"], scale: float) -> Matrix:
    """scale · X Xᵀ by a rank-k update: the upper triangle (C order) is filled, the other is zero.

    Args:
        X: (P, N), C order.
        scale: the factor in front.
    """
    return np.asarray(blas.dsyrk(scale, X.T, trans=1, lower=1)).T


def cholesky(A: Matrix, what: str) -> Matrix:
    """The Cholesky factor of A, in A's own memory.

    Args:
        A: (P, P) symmetric, C order, its upper triangle read; overwritten.
        what: what A is, for the message.

    Returns:
        R = Lᵀ as a C-ordered upper triangle (A = RᵀR); what lies below the diagonal is left as it was.

    Raises:
        NumericalError: A is not positive definite at working precision.
    """
    L, info = lapack.dpotrf(A.T, lower=1, overwrite_a=1, clean=0)
    if info != 0:
        raise NumericalError(
            f"{what} is not positive definite at working precision (leading minor {info} of {len(A)}); "
            "raise the temperature, or remove duplicated inputs."
        )
    return L.T


def cholesky_solve(R: Matrix, B: Float[np.ndarray, "P *n"]) -> Float[np.ndarray, "P *n"]:
    """A⁻¹B from the factor that `cholesky` returned."""
    solution, _ = lapack.dpotrs(R.T, B, lower=1)
    return solution


def half_solve(R: Matrix, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
    """R⁻ᵀB from the factor that `cholesky` returned: its columns' squared lengths are those of B in the norm of A⁻¹."""
    solution, _ = lapack.dtrtrs(R.T, B, lower=1)
    return solution


def inverse_traces(R: Matrix) -> tuple[float, float]:
    """tr A⁻¹ and tr A⁻² from the Cholesky factor, which is overwritten.

    The traces are the one thing that needs the entries of the inverse; nothing is ever solved with it.

    Args:
        R: what `cholesky` returned; destroyed.
    """
    P = len(R)
    inverse, info = lapack.dpotri(R.T, lower=1, overwrite_c=1)
    if info != 0:
        raise NumericalError(f"the inverse's traces failed at row {info} of {P}; raise the temperature.")
    diagonal = inverse.diagonal()
    square = 0.0
    for column in range(P):  # the lower triangle, a column at a time: no P² temporary
        below = inverse[column:, column]
        square += 2.0 * float(blas.ddot(below, below))
    return float(diagonal.sum()), square - float(diagonal @ diagonal)


def symmetric_root(K: Float[np.ndarray, "*n P P"]) -> Float[np.ndarray, "*n P P"]:
    """R with R Rᵀ = K, also where K is singular, or rounding made it indefinite; of many at once.

    Args:
        K: symmetric.
    """
    values, vectors = np.linalg.eigh(K)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])
