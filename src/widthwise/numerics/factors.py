"""Thin factors of features or of a kernel, with a rank that knows the precision the numbers were born with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh, lstsq, qr, solve_triangular, svd

from widthwise.errors import InputError

# How far above the rounding of the entries a direction must stand to count: a random matrix of entries of size ε has
# no singular value above ε(√P + √N), and features carry a few roundings each.
_LEEWAY = 8.0
_DOUBLE = float(np.finfo(np.float64).eps)
_SINGLE = float(np.finfo(np.float32).eps)
_COARSE = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
_SLACK = 1e-8  # of the largest entry: what a kernel may miss of symmetry and positivity, at least
_DEPENDENT = 1e-12  # of the largest: what a sample of rows leaves of a direction that it does not have


def precision(values: Any) -> float:
    """The rounding unit that the numbers were born with: float32's where float32 holds every one of them.

    Features come from frameworks in single precision, whatever the type they are handed over in; what is linearly
    dependent there is so up to that rounding.
    """
    raw = np.asarray(values)
    if raw.dtype.name in _COARSE:
        return _COARSE[raw.dtype.name]
    with np.errstate(over="ignore"):
        single = np.array_equal(raw.astype(np.float32).astype(np.float64), raw.astype(np.float64))
    return _SINGLE if single else _DOUBLE


@dataclass(frozen=True)
class Factors:
    """Φ − ⟨Φ⟩ = U C, U orthonormal, of as many columns as the features have rank.

    Args:
        U: (P, r).
        C: (r, N).
        C_inverse: C⁻¹ (N, N) where r = N, else None.
        mean: of the features (N,), zero without a constant.
    """

    U: Float[np.ndarray, "P r"]
    C: Float[np.ndarray, "r N"]
    C_inverse: Float[np.ndarray, "N r"] | None
    mean: Float[np.ndarray, " N"]

    @cached_property
    def spectrum(self) -> tuple[Float[np.ndarray, "P r"], Float[np.ndarray, " r"], Float[np.ndarray, "r N"]]:
        """The singular value decomposition U, s, Vᵀ in the features' own units, which ridges and norms refer to."""
        W, s, Vt = svd(self.C, full_matrices=False)
        return self.U @ W, s, Vt

    def weights(self, y: Float[np.ndarray, "P D"], ridge: float) -> Float[np.ndarray, "N D"]:
        """argmin |y − (Φ − ⟨Φ⟩) v|² + λ|v|², of least norm.

        Args:
            y: (P, D), centred if there is a constant.
            ridge: λ.
        """
        if ridge == 0.0 and self.C_inverse is not None:
            return self.C_inverse @ (self.U.T @ y)
        U, s, Vt = self.spectrum
        filtered = np.divide(s, s**2 + ridge, out=np.zeros_like(s), where=s > 0.0)
        return Vt.T @ (filtered[:, None] * (U.T @ y))


def of_features(features: Float[np.ndarray, "P N"], constant: bool, precision: float) -> Factors:
    """The factors of features, centred where a constant stands beside them.

    The rank is that of the columns brought to one length, so that no unit decides it.

    Args:
        features: (P, N).
        constant: whether a constant, unpenalised, is fitted too.
        precision: the rounding unit of the entries (`precision`).
    """
    P, N = features.shape
    size = np.abs(features).max(axis=0)
    size = np.where(size > 0.0, size, 1.0)
    scale = size * np.sqrt(np.mean((features / size) ** 2, axis=0))
    scale = np.where(scale > 0.0, scale, 1.0)
    scaled = features / scale
    mean = scaled.mean(axis=0) if constant else np.zeros(N)
    scaled -= mean
    scaled[:, np.ptp(features, axis=0) == 0.0 if constant else size == 0.0] = 0.0
    U, C, inverse = _thin(scaled, _LEEWAY * precision * (np.sqrt(P) + np.sqrt(N)))
    inverse = None if inverse is None else inverse / scale[:, None]
    return Factors(U=U, C=C * scale, C_inverse=inverse, mean=mean * scale)


Thin = tuple[Float[np.ndarray, "P r"], Float[np.ndarray, "r N"], Float[np.ndarray, "N r"] | None]


def _thin(A: Float[np.ndarray, "P N"], noise: float) -> Thin:
    """U, C and C⁻¹ where it exists, from whatever singular values of A exceed the noise and its own rounding."""
    P, N = A.shape
    alive = A.any(axis=0)
    if alive.any() and not alive.all():
        U, part, _ = _thin(A[:, alive], noise)
        C = np.zeros((len(part), N))
        C[:, alive] = part
        return U, C, None
    if P < N:
        (R,) = qr(A.T, mode="r", check_finite=False)
        U, s, _ = svd(R[:P].T, full_matrices=False, check_finite=False)
        U = U[:, : _rank(s, noise)]
        return U, U.T @ A, None
    Q, R = qr(A, mode="economic", check_finite=False)
    W, s, Vt = svd(R, check_finite=False)
    rank = _rank(s, noise)
    if rank == N:
        return Q, R, solve_triangular(R, np.eye(N), check_finite=False)
    return Q @ W[:, :rank], s[:rank, None] * Vt[:rank], None


def _rank(s: Float[np.ndarray, " r"], noise: float) -> int:
    return int(np.sum(s > max(noise, 16.0 * _DOUBLE * float(s[0]))))


def least_norm(
    U: Float[np.ndarray, "P r"], s: Float[np.ndarray, " r"], y: Float[np.ndarray, "P D"], kept: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "P D"]:
    """Least squares with a constant on some of the rows, of least norm; its values at all of them.

    Args:
        U, s: of the features' decomposition; Vᵀ, a rotation, does not matter.
        y: targets.
        kept: the rows.
    """
    bases = (U,) if len(kept) > U.shape[1] else ()
    for basis in (*bases, U * s):  # where least squares has one solution, no unit matters to it
        part = basis[kept]
        mean, level = part.mean(axis=0), y[kept].mean(axis=0)
        w, _, rank, _ = lstsq(part - mean, y[kept] - level, cond=_DEPENDENT, lapack_driver="gelsy", check_finite=False)
        if rank == U.shape[1]:
            break
    return level + (basis - mean) @ w


def of_kernel(
    K: Float[np.ndarray, "P P"], precision: float
) -> tuple[Float[np.ndarray, "P r"], Float[np.ndarray, " r"]]:
    """Eigenvectors (P, r) and eigenvalues (r,) of a kernel matrix above rounding, the largest first.

    Args:
        K: (P, P), symmetric, positive semi-definite.
        precision: the rounding unit of the entries.
    """
    P = len(K)
    top = float(np.abs(K).max())
    slack = max(_SLACK, 1e3 * precision)
    if not np.allclose(K, K.T, rtol=0.0, atol=slack * top):
        raise InputError("K: expected a symmetric matrix, got one that is not; pass the kernel of the training inputs.")
    values, vectors = eigh(0.5 * (K + K.T))
    noise = max(2.0 * _LEEWAY * precision * np.sqrt(P) * top, 16.0 * _DOUBLE * float(np.abs(values).max()))
    if float(values[0]) < -max(slack * top, 1e3 * noise):
        raise InputError(
            f"K: expected a positive semi-definite matrix, got an eigenvalue of {values[0]:.3g}; is it a kernel?"
        )
    kept = values > noise
    return vectors[:, kept][:, ::-1], values[kept][::-1]
