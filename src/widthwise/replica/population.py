"""All that the data-averaged theory needs to know of features and targets: their second moments."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import DataWarning, InputError
from widthwise.replica.inputs import precision, sample

if TYPE_CHECKING:
    from widthwise.replica.curve import LearningCurve

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Population:
    """Second moments of features φ and targets y, and what follows from them.

        Ω = E[φφᵀ],   b = E[φy],   T_y = E[y²],   θ = Ω⁺b,   ε_R = T_y − b·θ

    Several outputs are summed over: b is (N, D), T_y = Σ_d E[y_d²].

    Eigenvalues of Ω up to its rounding count as zero: 2e-15 max(N, 16) of the largest, or 1e-6 √max(N, 16) where Ω
    came from float32 (which holds it; integers and diagonals are exact). Features with deviations 1e6 times smaller
    than the others' (300 times, from float32) may be lost in that: bring them to like units first.

    Args:
        feature_covariance: Ω (N, N), symmetric, positive semi-definite; may be singular.
        feature_target_covariance: b (N,) or (N, D), in the range of Ω.
        target_power: T_y > 0.

    Raises:
        InputError: not such moments of any law; the message says which of them fails.
    """

    feature_covariance: Any = field(repr=False)
    feature_target_covariance: Any = field(repr=False)
    target_power: Any
    _unit: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        Omega = checks.numbers_of("feature_covariance", self.feature_covariance)
        put(self, "_unit", precision(self.feature_covariance))
        put(self, "feature_covariance", _covariance(Omega, self._unit))
        put(self, "feature_target_covariance", _cross(self.feature_target_covariance, self.size))
        put(self, "target_power", _power(self.target_power))
        omega, vectors = self._spectrum
        if omega[0] < -self._floor:
            raise InputError(
                f"feature_covariance: expected a positive semi-definite matrix, got an eigenvalue {omega[0]:.3g} "
                f"beside a largest of {omega[-1]:.3g}; pass E[φφᵀ] itself, or a sample to Population.of_sample."
            )
        outside = np.linalg.norm(vectors[:, : self.size - self.rank].T @ self._columns)
        # E[φ_i y]² ≤ ω_i T_y (Cauchy–Schwarz): so far may rounding of ω alone lift b out of the range
        if outside > np.sqrt(max(self._floor, np.finfo(float).tiny) * self.target_power):
            raise InputError(
                f"feature_target_covariance: expected a vector in the range of Ω (rank {self.rank} of {self.size}), "
                f"got one with {outside:.3g} outside it; take both moments from the same law."
            )
        excess = float(self.signal.sum()) - self.target_power
        if excess > np.sqrt(self._unit) * self.target_power:
            raise InputError(
                f"target_power: expected at least b·Ω⁺b = {self.target_power + excess:.6g}, got "
                f"{self.target_power:.6g}; take all three moments from the same law, uncentred or all centred."
            )

    @property
    def size(self) -> int:
        """N, the number of features."""
        return len(self.feature_covariance)

    @property
    def _columns(self) -> Float[np.ndarray, "N D"]:
        return self.feature_target_covariance.reshape(self.size, -1)

    @cached_property
    def _spectrum(self) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, "N N"]]:
        values, vectors = np.linalg.eigh(self.feature_covariance)
        return values, vectors

    @property
    def _rounding(self) -> float:
        """How far the moments are known, relative to the largest."""
        if self._unit > _EPS:  # of entries that were rounded independently; far above what eigh adds
            return 8 * float(np.sqrt(max(self.size, 16))) * self._unit
        return 8 * max(self.size, 16) * _EPS

    @property
    def _floor(self) -> float:
        """Eigenvalues up to here are zero within rounding."""
        return self._rounding * float(np.max(np.abs(self._spectrum[0])))

    @cached_property
    def rank(self) -> int:
        """Rank of Ω: dead and duplicated features do not count."""
        return int(np.count_nonzero(self._spectrum[0] > self._floor))

    @cached_property
    def eigenvalues(self) -> Float[np.ndarray, " r"]:
        """ω_i > 0, ascending (rank,)."""
        return self._spectrum[0][self.size - self.rank :]

    @cached_property
    def signal(self) -> Float[np.ndarray, " r"]:
        """What each eigenvector of Ω explains of T_y: (e_i·b)²/ω_i (rank,)."""
        along = self._spectrum[1][:, self.size - self.rank :].T @ self._columns
        return (along**2).sum(axis=1) / self.eigenvalues

    @cached_property
    def teacher(self) -> Float[np.ndarray, "N *D"]:
        """θ = Ω⁺b, the best readout, in the shape of b."""
        vectors = self._spectrum[1][:, self.size - self.rank :]
        theta = vectors @ ((vectors.T @ self._columns) / self.eigenvalues[:, None])
        return theta.reshape(self.feature_target_covariance.shape)

    @cached_property
    def residual(self) -> float:
        """ε_R = T_y − b·θ, what no readout can explain; 0 where it is not more than rounding."""
        residual = self.target_power - float(self.signal.sum())
        return residual if residual > self._rounding * self.target_power else 0.0

    @property
    def noise_fraction(self) -> float:
        """ρ = ε_R/T_y."""
        return self.residual / self.target_power

    def learning_curve(self, loads: Any, ridge: Any = 0.0, *, method: str = "scalar") -> LearningCurve:
        """Errors over loads P/N and ridges: `replica.learning_curve` of these moments."""
        from widthwise.replica.curve import curve_of  # which needs this module

        return curve_of(self, loads, ridge, method)

    @classmethod
    def of_sample(cls, features: Any, targets: Any, *, constant: bool = True) -> Population:
        """The moments of a large sample.

        ε_R is ‖y − Φθ‖²/(n − rank), unbiased, and b is shortened until b·θ = T_y − ε_R; the sample's own b·θ takes
        part of the residual for signal.

        Assumes: n ≫ N. The sample's Ω has the eigenvalues of Ω spread by a factor (1 ± √(N/n))² (Marchenko, Pastur
            1967), and curves with P < N or a ridge feel it.
        Args:
            features: (n, N), no constant among them.
            targets: (n,) or (n, D).
            constant: whether the readout has a constant that is not penalised: the moments are then about the mean,
                T_y is a variance, and such a fit uses up one of its P examples.

        Raises:
            InputError: shapes that do not agree, entries that are not finite, no more rows than features.
        Warns:
            DataWarning: n < 10 N.
        """
        X, Y = sample(features, targets)
        n, N = X.shape
        if constant:
            X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
        power = float((Y**2).sum() / n)
        if power == 0.0:
            raise InputError("targets: expected some that vary, got a constant; there is nothing to learn.")
        Omega, b = X.T @ X / n, X.T @ Y / n
        raw = cls(Omega, b, power * (1 + 1e-9))
        used = raw.rank + int(constant)
        if n <= used:
            raise InputError(
                f"features: expected more rows than the rank with the constant, {used}, got {n}; what no readout "
                "explains cannot be told from fewer, pass more examples."
            )
        if n < 10 * N:
            warnings.warn(
                f"{n} examples of {N} features: the sample's covariance is rough below n = 10 N = {10 * N}; pass more.",
                DataWarning,
                stacklevel=2,
            )
        explained = float(raw.signal.sum())
        unexplained = float(((Y - X @ raw.teacher.reshape(N, -1)) ** 2).sum()) / (n - used)
        shrink = np.sqrt(max(power - unexplained, 0.0) / explained) if explained > 0 else 0.0
        b = (shrink * b).reshape((N, *np.shape(targets)[1:]))
        return cls(Omega, b, power)


def _covariance(Omega: Float[np.ndarray, "..."], unit: float) -> Float[np.ndarray, "N N"]:
    if Omega.ndim != 2 or Omega.shape[0] != Omega.shape[1] or not Omega.size or not np.isfinite(Omega).all():
        raise InputError(
            f"feature_covariance: expected a square matrix of finite numbers, got shape {Omega.shape}; pass E[φφᵀ]."
        )
    if not Omega.any():
        raise InputError("feature_covariance: expected some feature that varies, got all zeros; every feature is dead.")
    asymmetry = float(np.abs(Omega - Omega.T).max())
    if asymmetry > max(1e-10, 4 * unit) * float(np.abs(Omega).max()):
        raise InputError(
            f"feature_covariance: expected a symmetric matrix, got Ω − Ωᵀ up to {asymmetry:.3g}; pass (Ω + Ωᵀ)/2."
        )
    return (Omega + Omega.T) / 2


def _cross(vector: Any, N: int) -> Float[np.ndarray, "N *D"]:
    b = checks.numbers_of("feature_target_covariance", vector)
    if b.ndim not in (1, 2) or len(b) != N or not b.size or not np.isfinite(b).all():
        raise InputError(
            f"feature_target_covariance: expected {N} finite numbers (or {N} rows, one column per output), got shape "
            f"{b.shape}; pass E[φy]."
        )
    return b.copy()


def _power(value: Any) -> float:
    T_y = checks.numbers_of("target_power", value)
    if T_y.ndim or not (np.isfinite(T_y) and T_y > 0):
        raise InputError(f"target_power: expected a positive number, got {value!r}; pass E[y²].")
    return float(T_y)
