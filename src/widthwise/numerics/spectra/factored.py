"""A kernel kept whole: one exact factorisation where the saddle is, a random-vector guess to get there.

For one fit of a large kernel. `surrogate` finds the neighbourhood; `terms` factorises once there and answers around
that point by its Taylor series (exact to second order; the third from the guess), so that a Newton iteration costs one
factorisation in all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import blas

from widthwise.numerics.lapack import cholesky, cholesky_solve, inverse_traces
from widthwise.numerics.spectra.abstract import AbstractSpectrum, GaussianTerms, shrinkages
from widthwise.numerics.spectra.ritz import RitzSpectrum

REACH = 1.5e-3  # |log q − log q₀| within which the Taylor series holds Q to about 1e-9 (loads of hundreds: 1e-7)
TERMS = 5  # of y's series: REACH^6 is rounding


@dataclass(frozen=True)
class _Factor:
    """A = t I + q K = RᵀR at one (q, t)."""

    q: float
    t: float
    R: Float[np.ndarray, "P P"]


@dataclass(frozen=True)
class _Expansion:
    """Around one exact factorisation at (q, t): the traces, and y's solution as a power series in q."""

    q: float
    t: float
    log_det: float
    slope: float  # q tr(A⁻¹K)
    curvature: float  # its derivative in log q
    third: float  # the derivative of that, estimated
    series: Float[np.ndarray, "P J"]  # (A⁻¹K)^j A⁻¹y: a(q + Δ) = Σ_j (−Δ)^j of these


class FactoredSpectrum(AbstractSpectrum):
    """K itself with a Cholesky factor at one (q, t), made again only when asked about a distant one.

    Args:
        K: (P, P) symmetric, C order, both triangles.
        y: the target (P,).
    """

    kind = "Cholesky"

    def __init__(self, K: Float[np.ndarray, "P P"], y: Float[np.ndarray, " P"]) -> None:
        self._K = K
        self._y = y
        self._factor: _Factor | None = None
        self._expansion: _Expansion | None = None
        self._guess: RitzSpectrum | None = None

    @property
    def size(self) -> int:
        return len(self._y)

    @property
    def trace_K(self) -> float:
        return float(np.trace(self._K))

    @cached_property
    def norm_K(self) -> float:
        return float(blas.dnrm2(self._K.reshape(-1)))  # Frobenius

    @property
    def target(self) -> Float[np.ndarray, " P"]:
        return self._y

    def surrogate(self, q: float, t: float) -> RitzSpectrum:
        """A cheaper spectrum to look for a start on, good near (q, t); it also sharpens `terms`' Taylor series."""
        self._guess = RitzSpectrum.of(self._K, self._y, q, t)
        return self._guess

    def terms(self, q: float, t: float) -> GaussianTerms:
        at = self._near(q, t)
        d = math.log(q / at.q)
        slope = at.slope + d * (at.curvature + 0.5 * d * at.third)
        curvature = at.curvature + d * at.third
        a, b = self._dual(at, q)
        quadratic, norm = float(self._y @ a), float(a @ a)
        return GaussianTerms(
            log_det=at.log_det + d * (at.slope + d * (0.5 * at.curvature + d * at.third / 6.0)),
            quadratic=quadratic,
            trace=slope / q,
            dual_energy=(quadratic - t * norm) / q,  # K a = (y − t a)/q
            trace_square=(slope - curvature) / q**2,
            dual_curvature=float(self._y @ b - t * (a @ b)) / q,
            dual_norm=norm,
        )

    def solve_target(self, q: float, t: float) -> Float[np.ndarray, " P"]:
        at = self._expansion
        if at is None or at.t != t or abs(math.log(q / at.q)) > REACH:
            return self.solve(q, t, self._y[:, None])[:, 0]
        return self._dual(at, q)[0]

    def rotate(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return B

    def rotate_back(self, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return B

    def solve(self, q: float, t: float, B: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        return cholesky_solve(self._factorise(q, t).R, B)

    def _factorise(self, q: float, t: float) -> _Factor:
        factor = self._factor
        if factor is None or (factor.q, factor.t) != (q, t):
            self._factor = None  # frees the old one first
            A = self._K * q
            A.reshape(-1)[:: self.size + 1] += t
            factor = self._factor = _Factor(q, t, cholesky(A, "T I + Q K"))
        return factor

    def _near(self, q: float, t: float) -> _Expansion:
        at = self._expansion
        if at is None or at.t != t or abs(math.log(q / at.q)) > REACH:
            at = self._expansion = self._expand(q, t)
        return at

    def _expand(self, q: float, t: float) -> _Expansion:
        P = self.size
        R = self._factorise(q, t).R
        chain = [cholesky_solve(R, self._y)]
        for _ in range(TERMS):  # A⁻¹K c = (c − t A⁻¹c)/q: no product with K
            chain.append((chain[-1] - t * cholesky_solve(R, chain[-1])) / q)
        log_det = 2.0 * float(np.log(R.diagonal()).sum())
        self._factor = None  # the traces destroy it; answers at other q than this need another anyway
        inverse, square = inverse_traces(R)
        slope, shrunk = shrinkages(P, q, t, inverse, square, self.trace_K, self.norm_K**2)
        return _Expansion(q, t, log_det, slope, slope - shrunk, self._third(q, t), np.column_stack(chain))

    def _dual(self, at: _Expansion, q: float) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
        """a = A⁻¹y at q, and −da/dq = A⁻¹Ka."""
        powers = (at.q - q) ** np.arange(at.series.shape[1])
        j = np.arange(1, at.series.shape[1])
        return at.series @ powers, at.series[:, 1:] @ (j * powers[:-1])

    def _third(self, q: float, t: float) -> float:
        """d³ log det A/d(log q)³, from the guess where there is one."""
        if self._guess is None:
            return 0.0
        guess = self._guess
        shrink = q * guess.nodes / (t + q * guess.nodes)
        return float(np.sum(guess.multiplicity * shrink * (1.0 - shrink) * (1.0 - 2.0 * shrink)))
