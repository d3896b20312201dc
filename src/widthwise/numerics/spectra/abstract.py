"""The one question that every theory here asks of a kernel matrix, and what an answer looks like."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

WEAK = 1e-6  # q tr K/t below which A's traces say less of K than K's own


@dataclass(frozen=True)
class GaussianTerms:
    """Everything scalar that N(y; 0, A), A = t I + q K, says about (q, t).

    With a = A⁻¹y:  f = log det A + yᵀA⁻¹y,  ∂f/∂q = tr(A⁻¹K) − aᵀKa,
    ∂²f/∂q² = −tr(A⁻¹KA⁻¹K) + 2 aᵀKA⁻¹Ka.

    Args:
        log_det: log det A.
        quadratic: yᵀA⁻¹y.
        trace: tr(A⁻¹K).
        dual_energy: aᵀKa.
        trace_square: tr(A⁻¹KA⁻¹K).
        dual_curvature: aᵀKA⁻¹Ka.
        dual_norm: aᵀa.
    """

    log_det: float
    quadratic: float
    trace: float
    dual_energy: float
    trace_square: float
    dual_curvature: float
    dual_norm: float


@runtime_checkable
class AnswersTerms(Protocol):
    """Whatever knows the scalar answers, exactly or by a guess."""

    def terms(self, q: float, t: float) -> GaussianTerms:
        """The scalar answers at (q, t)."""


class AbstractSpectrum(abc.ABC):
    """A kernel matrix K and a target y, ready to answer for A = t I + q K at any (q, t).

    A *rotation* takes vectors to the coordinates in which A is easy (eigenvectors, the tridiagonal basis, or none);
    `solve` works there. Rotate once, solve for as many (q, t) as wanted.
    """

    kind: str

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """P."""

    @property
    @abc.abstractmethod
    def trace_K(self) -> float:
        """tr K."""

    @property
    @abc.abstractmethod
    def norm_K(self) -> float:
        """A bound on K's largest eigenvalue, at most √P times it."""

    @abc.abstractmethod
    def terms(self, q: float, t: float) -> GaussianTerms:
        """The scalar answers at (q, t)."""

    def sensitivity(self, q: float, t: float) -> float:
        """|a|² + tr A⁻¹: what ∂(log det A + yᵀA⁻¹y)/∂K can be per unit of error in K's eigenvalues."""
        f = self.terms(q, t)
        return f.dual_norm + (self.size - q * f.trace) / t

    @abc.abstractmethod
    def rotate(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        """B in the easy coordinates; B itself may be overwritten."""

    @abc.abstractmethod
    def rotate_back(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        """The inverse of `rotate`."""

    @abc.abstractmethod
    def solve(self, q: float, t: float, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        """A⁻¹ applied to rotated columns, in rotated coordinates."""

    @property
    @abc.abstractmethod
    def target(self) -> Float[np.ndarray, " P"]:
        """y in rotated coordinates."""

    def solve_target(self, q: float, t: float) -> Float[np.ndarray, " P"]:
        """A⁻¹y in rotated coordinates (P,)."""
        return self.solve(q, t, self.target[:, None])[:, 0]

    def dual_vector(self, q: float, t: float) -> Float[np.ndarray, " P"]:
        """a = A⁻¹y in the original coordinates, (P,)."""
        return self.rotate_back(self.solve_target(q, t)[:, None])[:, 0]


def shrinkages(
    P: int, q: float, t: float, inverse: float, inverse_square: float, trace: float, square: float
) -> tuple[float, float]:
    """q tr(A⁻¹K) and q² tr(A⁻¹KA⁻¹K) from the traces of A⁻¹ and A⁻²; where t dwarfs q K, which cancels there, of K.

    Args:
        P: rows of K.
        q, t: A = t I + q K.
        inverse, inverse_square: tr A⁻¹ and tr A⁻².
        trace, square: tr K and tr K².
    """
    s = q * trace / t
    if s < WEAK:
        s2 = (q / t) ** 2 * square
        return s - s2, s2
    return P - t * inverse, P - 2.0 * t * inverse + t * t * inverse_square
