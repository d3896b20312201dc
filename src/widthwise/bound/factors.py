"""Thin factors of features or of a kernel, with a rank that knows the precision the numbers were born with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh, svd

from widthwise.errors import InputError

# How far above the rounding of the entries a direction must stand to count: a random matrix of entries of size ε has
# no singular value above ε(√P + √N), and features carry a few roundings each.
_LEEWAY = 8.0
_DOUBLE = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Factors:
    """Φ − ⟨Φ⟩ = U C, U orthonormal, of as many columns as the features have rank.

    Args:
        U: (P, r).
        C: (r, N).
        C_inverse: C⁻¹ (N, N) where r = N, else None.
        mean: of the features (N,), zero without a constant.
        constant: whether a constant stands beside the features.
    """

    U: Float[np.ndarray, "P r"]
    C: Float[np.ndarray, "r N"]
    C_inverse: Float[np.ndarray, "N r"] | None
    mean: Float[np.ndarray, " N"]
    constant: bool

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
        precision: the rounding unit of the entries (`checks.precision`).
    """
    P, N = features.shape
    size = np.abs(features).max(axis=0)
    size = np.where(size > 0.0, size, 1.0)
    scale = size * np.sqrt(np.mean((features / size) ** 2, axis=0))
    scale = np.where(scale > 0.0, scale, 1.0)
    scaled = features / scale
    mean = scaled.mean(axis=0) if constant else np.zeros(N)
    U, s, Vt = svd(scaled - mean, full_matrices=False)
    noise = max(_LEEWAY * precision * (np.sqrt(P) + np.sqrt(N)), 16.0 * _DOUBLE * float(s[0]))
    rank = int(np.sum(s > noise))
    U, s, Vt = U[:, :rank], s[:rank], Vt[:rank]
    inverse = (Vt.T / s) / scale[:, None] if rank == N else None
    return Factors(U=U, C=s[:, None] * Vt * scale, C_inverse=inverse, mean=mean * scale, constant=constant)


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
    if not np.allclose(K, K.T, rtol=0.0, atol=1e3 * precision * max(top, 1e-300)):
        raise InputError("K: expected a symmetric matrix, got one that is not; pass the kernel of the training inputs.")
    values, vectors = eigh(K)
    noise = max(2.0 * _LEEWAY * precision * np.sqrt(P) * top, 16.0 * _DOUBLE * float(np.abs(values).max()))
    if float(values[0]) < -1e3 * noise:
        raise InputError(
            f"K: expected a positive semi-definite matrix, got an eigenvalue of {values[0]:.3g}; is it a kernel?"
        )
    kept = values > noise
    return vectors[:, kept][:, ::-1], values[kept][::-1]
