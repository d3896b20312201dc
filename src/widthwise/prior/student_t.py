"""Regression with a Student's t process: the Gaussian process of the network's kernel, its scale learnt from the data.

    (y, f*) ~ t_ν(0, [K + T I, k; kᵀ, k**])                  [Shah, Wilson, Ghahramani 2014, arXiv 1402.4306, Lemma 3]
    f* | y ~ t_{ν+P}( kᵀA⁻¹y,  (ν + Ps)/(ν + P) (k** − kᵀA⁻¹k) ),   A = K + T I,   s = yᵀA⁻¹y/P

The noise is *inside* the kernel, as there: it shares the process' scale, is uncorrelated with f and not independent of
it. That keeps the posterior in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import betaln, gammaln
from scipy.stats import t as student

from widthwise.errors import InputError, unknown_name
from widthwise.numerics.lapack import cholesky, cholesky_solve, half_solve
from widthwise.posterior import checks
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.score import Score, score
from widthwise.posterior.sources import AbstractSource, source_of

PARAMETRISATIONS = ("shape", "covariance")


@dataclass(frozen=True)
class StudentTPrediction(Prediction):
    """The posterior of f at n new points, a Student's t law at each: `Prediction` with other tails.

    `variance` is infinite where there are at most 2 degrees of freedom.

    Args:
        shape: squared scale of f (n,): variance · (ν' − 2)/ν'.
        noise: squared scale that a noisy target has besides.
        degrees_of_freedom: ν' = ν + P.
    """

    shape: Float[np.ndarray, " n"] = field(kw_only=True)
    noise: float = field(kw_only=True)
    degrees_of_freedom: float = field(kw_only=True)

    def _deviations(self, observed: bool) -> Float[np.ndarray, " n"]:
        return np.sqrt(self.shape + (self.noise if observed else 0.0))

    def _quantile(self, p: float, observed: bool) -> Float[np.ndarray, " n"]:
        return self.mean + student.ppf(p, self.degrees_of_freedom) * self._deviations(observed)

    def log_density(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """log p(y) of noisy targets at each point (n,)."""
        return student.logpdf(y, self.degrees_of_freedom, self.mean, self._deviations(True))

    def probability_positive(self) -> Float[np.ndarray, " n"]:
        """P(f > 0) of a posterior draw."""
        safe = np.maximum(self._deviations(False), np.finfo(float).tiny)
        return student.cdf(self.mean / safe, self.degrees_of_freedom)


@dataclass(frozen=True, eq=False)
class StudentTProcess:
    """A Student's t process with a network's infinite-width kernel, conditioned on training data.

        posterior mean         kᵀA⁻¹y, the Gaussian process'
        posterior covariance   (ν + Ps)/(ν + P − 2) (k** − kᵀA⁻¹k)       where K is the shape matrix
                               (ν − 2 + Ps)/(ν − 2 + P) (k** − kᵀA⁻¹k)   where K is the prior covariance, ν > 2
        log evidence           log t_ν(y; 0, A)                  [Shah, Wilson, Ghahramani 2014, arXiv 1402.4306]

    Assumes: one output; noise of variance T inside the kernel, so that it shares the process' scale.
    Reduces to: the Gaussian process as ν → ∞ (`test_many_degrees_of_freedom_are_scikit_learns_gaussian_process`).

    Args:
        network: `FullyConnected`, `Convolutional` (its kernel of infinite width, or of the average readout) or
            `PrecomputedKernel`.
        X: inputs (P, N_0); images; the kernel (P, P).
        y: targets (P,).
        temperature: T > 0, on the kernel's diagonal.
        degrees_of_freedom: ν > 0; N_L by default, which makes the scale as uncertain as the network's.
        parametrisation: what K + T I is of the prior: its "shape" matrix or its "covariance" (ν > 2).

    Raises:
        InputError: data that do not fit, ν out of range, an unknown parametrisation.
        NumericalError: K + T I is not positive definite at working precision; raise the temperature.
    """

    network: Any
    X: Any = field(repr=False)
    y: Any = field(repr=False)
    temperature: Any = field(kw_only=True)
    degrees_of_freedom: Any = field(default=None, kw_only=True)
    parametrisation: str = field(default="shape", kw_only=True)
    source: AbstractSource = field(init=False, repr=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.parametrisation not in PARAMETRISATIONS:
            raise unknown_name("parametrisation", self.parametrisation, PARAMETRISATIONS)
        put(self, "temperature", checks.temperature(self.temperature))
        put(self, "source", source_of(self.network, self.X, copies=3))
        put(self, "X", self.source.X)
        put(self, "y", checks.targets(self.y, self.source.size, outputs=None))
        given = self.network.widths[-1] if self.degrees_of_freedom is None else self.degrees_of_freedom
        nu = checks.positive("degrees_of_freedom", given)
        if self.parametrisation == "covariance" and nu <= 2.0:
            raise InputError(
                f'degrees_of_freedom: expected more than 2 with parametrisation="covariance", got {nu:g}; there is no '
                'covariance, use parametrisation="shape".'
            )
        put(self, "degrees_of_freedom", nu)
        checks.warn_if_degenerate(self.X, self.y)

    @cached_property
    def _factor(self) -> Float[np.ndarray, "P P"]:
        A = self.source.training().K
        A.reshape(-1)[:: len(A) + 1] += self.temperature
        return cholesky(A, "K + T I")

    @cached_property
    def _dual(self) -> Float[np.ndarray, " P"]:
        """a = (K + T I)⁻¹y."""
        return cholesky_solve(self._factor, self.y)

    @property
    def _prior_shape(self) -> float:
        """The prior's shape matrix over K + T I."""
        nu = self.degrees_of_freedom
        return 1.0 if self.parametrisation == "shape" else (nu - 2.0) / nu

    @cached_property
    def s(self) -> float:
        """yᵀ(K + T I)⁻¹y/P: below 1 the data make the posterior narrower than the Gaussian process'."""
        return float(self.y @ self._dual) / len(self.y)

    @property
    def shape_factor(self) -> float:
        """Posterior shape matrix over the Gaussian process' posterior covariance."""
        nu, P, c = self.degrees_of_freedom, len(self.y), self._prior_shape
        return (c * nu + P * self.s) / (nu + P)

    @property
    def scale_factor(self) -> float:
        """Posterior covariance over the Gaussian process'; infinite where ν + P ≤ 2."""
        degrees = self.degrees_of_freedom + len(self.y)
        return self.shape_factor * degrees / (degrees - 2.0) if degrees > 2.0 else math.inf

    @cached_property
    def log_evidence(self) -> float:
        """log p(y), normalised: the multivariate t density of the targets."""
        nu, P, c = self.degrees_of_freedom, len(self.y), self._prior_shape
        log_det = 2.0 * float(np.log(self._factor.diagonal()).sum()) + P * math.log(c)
        # log Γ((ν + P)/2) − log Γ(ν/2), which keeps its digits for any ν
        ratio = float(gammaln(0.5 * P) - betaln(0.5 * nu, 0.5 * P))
        square = 0.5 * (nu + P) * math.log1p(P * self.s / (c * nu))
        return ratio - 0.5 * P * math.log(nu * math.pi) - 0.5 * log_det - square

    def predict(self, X_new: Any, diagonal: Any = None, *, covariance: bool = False) -> StudentTPrediction:
        """The posterior of f at new points.

        Args:
            X_new: inputs (n, N_0); for a precomputed kernel k (n, P).
            diagonal: for a precomputed kernel the new points' own variances (n,), or their kernel (n, n).
            covariance: whether the covariance (n, n) between the points is wanted, too.

        Raises:
            InputError: inputs of another shape than in training.
        """
        kernel = self.source.cross(X_new, diagonal)
        V = half_solve(self._factor, np.ascontiguousarray(kernel.k.T))
        own = np.maximum(kernel.diagonal - np.einsum("pn,pn->n", V, V), 0.0)
        matrix = None
        if covariance:
            rest = self.source.among(X_new, diagonal) - V.T @ V
            matrix = self.scale_factor * rest if math.isfinite(self.scale_factor) else np.full_like(rest, np.inf)
        finite = math.isfinite(self.scale_factor)
        return StudentTPrediction(
            kernel.k @ self._dual,
            self.scale_factor * own if finite else np.full_like(own, np.inf),
            self.temperature,
            matrix,
            shape=self.shape_factor * own,
            noise=self.shape_factor * self.temperature,
            degrees_of_freedom=self.degrees_of_freedom + len(self.y),
        )

    def score(self, X_test: Any, y_test: Any, diagonal: Any = None) -> Score:
        """Errors as averages over the posterior, accuracy and negative log likelihood on test data.

        Args:
            X_test: inputs (n, N_0); for a precomputed kernel k (n, P).
            y_test: targets (n,).
            diagonal: for a precomputed kernel the new points' own variances (n,).
        """
        prediction = self.predict(X_test, diagonal)
        return score(prediction, checks.targets(y_test, len(prediction.mean), "y_test", outputs=None))
