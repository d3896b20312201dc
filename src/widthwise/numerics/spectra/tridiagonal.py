"""A kernel reduced to tridiagonal form, the target being its first basis vector: one fit without eigenvalues.

A Householder reflection takes y to |y| e₁; LAPACK's reduction of the lower triangle then leaves e₁ where it is, so that
in the new basis y is still one number and A = t I + q (tridiagonal) is solved in O(P).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import blas, lapack

from widthwise.errors import NumericalError
from widthwise.numerics.spectra.abstract import AbstractSpectrum, GaussianTerms, shrinkages


@dataclass(frozen=True)
class TridiagonalSpectrum(AbstractSpectrum):
    """K in the basis where it is tridiagonal and y is |y| e₁.

    Args:
        diagonal: of the tridiagonal matrix (P,).
        off: beside the diagonal (P − 1,).
        norm: |y|, signed as the reflection left it.
        first: the reflector that took y to e₁, (P,), unit length or zero.
        reflectors: LAPACK's, below the diagonal (P, P), Fortran order.
        tau: their factors (P − 1,).
    """

    diagonal: Float[np.ndarray, " P"]
    off: Float[np.ndarray, " P-1"]
    norm: float
    first: Float[np.ndarray, " P"]
    reflectors: Float[np.ndarray, "P P"]
    tau: Float[np.ndarray, " P-1"]
    kind: str = "tridiagonal"

    @classmethod
    def of(cls, K: Float[np.ndarray, "P P"], y: Float[np.ndarray, " P"]) -> TridiagonalSpectrum:
        """Reduces K (P, P), symmetric, C order; K's memory is overwritten.

        Args:
            K: the kernel; its upper triangle (C order) is read.
            y: the target (P,).
        """
        P = len(y)
        A = K.T  # Fortran order: the lower triangle is K's upper one
        norm, w = _reflector(y)
        if norm != 0.0:  # A ← (1 − 2wwᵀ) A (1 − 2wwᵀ) = A − w vᵀ − v wᵀ
            u = blas.dsymv(2.0, A, w, lower=1)
            v = u - float(w @ u) * w
            A = blas.dsyr2(-1.0, w, v, lower=1, a=A, overwrite_a=1)
        if P == 1:
            return cls(A.diagonal().copy(), np.empty(0), norm, w, A, np.empty(0))
        lwork = int(lapack.dsytrd_lwork(P, lower=1)[0])
        A, diagonal, off, tau, _ = lapack.dsytrd(A, lower=1, lwork=lwork, overwrite_a=1)
        return cls(diagonal, off, norm, w, A, tau)

    @property
    def size(self) -> int:
        return len(self.diagonal)

    @property
    def trace_K(self) -> float:
        return float(self.diagonal.sum())

    @property
    def norm_K(self) -> float:
        off = np.abs(np.concatenate([[0.0], self.off, [0.0]]))
        return float((np.abs(self.diagonal) + off[1:] + off[:-1]).max())  # Gershgorin

    @property
    def target(self) -> Float[np.ndarray, " P"]:
        return np.concatenate([[self.norm], np.zeros(self.size - 1)])

    def _factor(self, q: float, t: float) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P-1"]]:
        """A = L diag(pivots) Lᵀ with L unit bidiagonal: (pivots, L's off-diagonal)."""
        pivots, off, info = _factor(t + q * self.diagonal, q * self.off)
        if info != 0:
            raise NumericalError(
                f"T I + Q K is not positive definite at working precision "
                f"(T = {t:.3g}, Q = {q:.3g}); raise the temperature."
            )
        return pivots, off

    def terms(self, q: float, t: float) -> GaussianTerms:
        P = self.size
        pivots, L = self._factor(q, t)
        a = _solve(pivots, L, self.target[:, None])[:, 0]
        Ka = self.diagonal * a
        Ka[:-1] += self.off * a[1:]
        Ka[1:] += self.off * a[:-1]
        # diag A⁻¹ from the pivots of both ends: 1/(p⁺ + p⁻ − A_ii); rows of A⁻¹ obey (A⁻¹)_ij = −L_i (A⁻¹)_{i+1,j}
        A = t + q * self.diagonal
        backward, _, _ = _factor(A[::-1], q * self.off[::-1])
        inverse = 1.0 / (pivots + backward[::-1] - A)
        trace_inverse = float(inverse.sum())
        trace_inverse_square = float(inverse @ inverse)
        if P > 1:  # s_i = Σ_{j>i} (A⁻¹)_ij² = L_i² (inverse_{i+1}² + s_{i+1}): one bidiagonal solve
            ratio = L * L
            band = np.ones((2, P - 1))
            band[0, 1:] = -ratio[:-1]
            s, _ = lapack.dtbtrs(band, (ratio * inverse[1:] ** 2)[:, None], uplo="U")
            trace_inverse_square += 2.0 * float(s.sum())
        curvature = float(Ka @ _solve(pivots, L, Ka[:, None])[:, 0])
        square = float(self.diagonal @ self.diagonal + 2.0 * self.off @ self.off)
        slope, shrunk = shrinkages(P, q, t, trace_inverse, trace_inverse_square, self.trace_K, square)
        return GaussianTerms(
            log_det=float(np.log(pivots).sum()),
            quadratic=self.norm * float(a[0]),
            trace=slope / q,
            dual_energy=float(a @ Ka),
            trace_square=shrunk / q**2,
            dual_curvature=curvature,
            dual_norm=float(a @ a),
        )

    def rotate(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return self._apply(self._reflect(np.asfortranarray(B)), "T")

    def rotate_back(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return self._reflect(self._apply(np.asfortranarray(B), "N"))

    def solve(self, q: float, t: float, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return _solve(*self._factor(q, t), B)

    def _reflect(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return B - np.outer(2.0 * self.first, self.first @ B)

    def _apply(self, B: Float[np.ndarray, "P n"], trans: str) -> Float[np.ndarray, "P n"]:
        """LAPACK's product of reflectors (which leaves the first coordinate alone) on B."""
        if self.size == 1 or B.shape[1] == 0:
            return B
        reflectors = self.reflectors[1:, :-1]
        out = np.array(B, order="F")
        lower = np.asfortranarray(out[1:])
        lwork = int(lapack.dormqr("L", trans, reflectors, self.tau, lower, lwork=-1)[1][0])
        out[1:] = lapack.dormqr("L", trans, reflectors, self.tau, lower, lwork=lwork, overwrite_c=1)[0]
        return out


def _reflector(y: Float[np.ndarray, " P"]) -> tuple[float, Float[np.ndarray, " P"]]:
    """(β, w) with (1 − 2wwᵀ) y = β e₁ and |w| = 1; w = 0 where y is zero."""
    norm = float(np.linalg.norm(y))
    if norm == 0.0:
        return 0.0, np.zeros_like(y)
    beta = -np.copysign(norm, y[0])
    w = y.copy()
    w[0] -= beta
    return float(beta), w / np.linalg.norm(w)


def _factor(
    diagonal: Float[np.ndarray, " P"], off: Float[np.ndarray, " P-1"]
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P-1"], int]:
    if len(diagonal) == 1:
        return diagonal, off, int(diagonal[0] <= 0)
    pivots, L, info = lapack.dpttrf(diagonal, off)
    return pivots, L, int(info)


def _solve(
    pivots: Float[np.ndarray, " P"], L: Float[np.ndarray, " P-1"], B: Float[np.ndarray, "P n"]
) -> Float[np.ndarray, "P n"]:
    if len(pivots) == 1:
        return B / pivots[:, None]
    return lapack.dpttrs(pivots, L, B)[0]
