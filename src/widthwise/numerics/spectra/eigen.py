"""A kernel by its eigenvalues: costly once, then O(P) for every (q, t) and every target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.numerics.spectra.abstract import AbstractSpectrum, GaussianTerms


def nonnegative(k: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Eigenvalues, those that are nothing but rounding (below P ε k_max, NumPy's rank) set to zero.

    Left positive they would be directions that a large enough q can fit: a minimum of the action that is not there.

    Raises:
        InputError: an eigenvalue is negative by more than rounding.
    """
    largest = max(float(np.abs(k).max()), np.finfo(float).tiny)
    if float(k.min()) < -1e-8 * largest:
        raise InputError(
            f"kernel: expected a positive semi-definite matrix, got an eigenvalue {k.min():.3g} "
            f"(largest {largest:.3g}); check the kernel, or add a multiple of the identity."
        )
    return np.where(k > len(k) * np.finfo(float).eps * largest, k, 0.0)


def sums(
    k: Float[np.ndarray, " P"],
    multiplicity: Float[np.ndarray, " P"] | float,
    power: Float[np.ndarray, " P"],
    q: float,
    t: float,
) -> GaussianTerms:
    """`GaussianTerms` from eigenvalues k, each counted `multiplicity` times in traces and carrying `power` of |y|²."""
    A = t + q * k
    shrink = k / A
    weight = power / A
    return GaussianTerms(
        log_det=float(np.sum(multiplicity * np.log(A))),
        quadratic=float(weight.sum()),
        trace=float(np.sum(multiplicity * shrink)),
        dual_energy=float(weight @ shrink),
        trace_square=float(np.sum(multiplicity * shrink * shrink)),
        dual_curvature=float(weight @ (shrink * shrink)),
        dual_norm=float(np.sum(weight / A)),
    )


@dataclass(frozen=True)
class Eigensystem:
    """K = U diag(k) Uᵀ, without a target.

    Args:
        k: eigenvalues, ascending, not negative (P,).
        U: eigenvectors in columns (P, P).
    """

    k: Float[np.ndarray, " P"]
    U: Float[np.ndarray, "P P"]

    @classmethod
    def of(cls, K: Float[np.ndarray, "P P"], *, overwrite: bool = False) -> Eigensystem:
        """Decomposes K (P, P), symmetric; with `overwrite` in its own memory."""
        k, U = scipy.linalg.eigh(K, driver="evd", check_finite=False, overwrite_a=overwrite)
        return cls(nonnegative(k), U)

    def with_target(self, y: Float[np.ndarray, " P"]) -> EigenSpectrum:
        """The spectrum for the target y (P,): O(P²) once."""
        return EigenSpectrum(self, self.U.T @ y)


@dataclass(frozen=True)
class EigenSpectrum(AbstractSpectrum):
    """An `Eigensystem` with a target: every answer is a sum over eigenvalues.

    Args:
        system: eigenvalues and eigenvectors.
        coordinates: Uᵀy (P,).
    """

    system: Eigensystem
    coordinates: Float[np.ndarray, " P"]
    kind: str = "eigenvalues"

    @property
    def target(self) -> Float[np.ndarray, " P"]:
        return self.coordinates

    @property
    def size(self) -> int:
        return len(self.system.k)

    @property
    def trace_K(self) -> float:
        return float(self.system.k.sum())

    @property
    def norm_K(self) -> float:
        return float(self.system.k.max())

    def terms(self, q: float, t: float) -> GaussianTerms:
        return sums(self.system.k, 1.0, self.target**2, q, t)

    def sensitivity(self, q: float, t: float) -> float:
        k, y = self.system.k, self.target
        A = t + q * k
        known = k > 0.0  # eigenvalues at rounding were set to zero: those are exact
        return float(((y / A) ** 2 + 1.0 / A)[known].sum())

    def rotate(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return self.system.U.T @ B

    def rotate_back(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return self.system.U @ B

    def solve(self, q: float, t: float, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return B / (t + q * self.system.k)[:, None]
