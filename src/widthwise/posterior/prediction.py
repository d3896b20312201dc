"""The predictive law at new points: a mixture of Gaussian processes, one at the saddle, many for the integral."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from widthwise.errors import InputError
from widthwise.numerics.lapack import symmetric_root

_CERTAIN = 1e-100  # a deviation below which f is taken to be known
DRAWS = 4096  # of the class scores at one point, where probabilities are wanted


@dataclass(frozen=True)
class Prediction:
    """The posterior of f at n new points, for one output or D.

    Args:
        mean: ⟨f⟩ (n,) or (n, D).
        variance: ⟨f²⟩ − ⟨f⟩² (n,) or (n, D), of f: the temperature is not added.
        temperature: T.
        covariance: between all points (n, n), or (n, D, n, D), where it was asked for, else None.
        weights: of the mixture's components (G,).
        means, variances: of each component (G, n) or (G, n, D).
        covariances: between each component's outputs at one point (G, n, D, D); None for one output.
        drawn: whether the components are random draws, whose averages have a Monte-Carlo error.
        chains: which independent chain each of them comes from (G,); None where they are independent.
    """

    mean: Float[np.ndarray, "n *D"]
    variance: Float[np.ndarray, "n *D"]
    temperature: float
    covariance: np.ndarray | None = None
    weights: Float[np.ndarray, " G"] = field(default_factory=lambda: np.ones(1), repr=False)
    means: Float[np.ndarray, "G n *D"] | None = field(default=None, repr=False)
    variances: Float[np.ndarray, "G n *D"] | None = field(default=None, repr=False)
    covariances: Float[np.ndarray, "G n D D"] | None = field(default=None, repr=False)
    drawn: bool = field(default=False, repr=False)
    chains: Int[np.ndarray, " G"] | None = field(default=None, repr=False)

    @classmethod
    def of_mixture(
        cls,
        weights: Float[np.ndarray, " G"],
        means: Float[np.ndarray, "G n *D"],
        variances: Float[np.ndarray, "G n *D"],
        temperature: float,
        *,
        covariance: np.ndarray | None = None,
        covariances: Float[np.ndarray, "G n D D"] | None = None,
        drawn: bool = False,
        chains: Int[np.ndarray, " G"] | None = None,
    ) -> Prediction:
        """The mixture's mean and variance, by the laws of total expectation and variance."""
        mean = np.tensordot(weights, means, 1)
        variance = np.tensordot(weights, variances, 1) + np.tensordot(weights, (means - mean) ** 2, 1)
        return cls(mean, variance, temperature, covariance, weights, means, variances, covariances, drawn, chains)

    @property
    def standard_deviation(self) -> Float[np.ndarray, "n *D"]:
        """√variance."""
        return np.sqrt(self.variance)

    @cached_property
    def output_covariance(self) -> Float[np.ndarray, "n D D"]:
        """Between the outputs at each point (n, D, D); (n, 1, 1) for one output."""
        if self.covariances is None or self.means is None:
            return self.variance[:, None, None] if self.variance.ndim == 1 else self._diagonal()
        shift = self.means - self.mean
        between = np.einsum("g,gnd,gne->nde", self.weights, shift, shift)
        return np.tensordot(self.weights, self.covariances, 1) + between

    def _diagonal(self) -> Float[np.ndarray, "n D D"]:
        return self.variance[:, :, None] * np.eye(self.variance.shape[1])

    def _components(self, observed: bool) -> tuple[Float[np.ndarray, "G n *D"], Float[np.ndarray, "G n *D"]]:
        means = self.mean[None] if self.means is None else self.means
        variances = self.variance[None] if self.variances is None else self.variances
        return means, np.sqrt(variances + (self.temperature if observed else 0.0))

    def interval(
        self, level: float = 0.9, *, observed: bool = False
    ) -> tuple[Float[np.ndarray, "n *D"], Float[np.ndarray, "n *D"]]:
        """The central interval that holds f (or, `observed`, a noisy target: T is added) with probability `level`.

        Args:
            level: between 0 and 1.
            observed: whether the interval is of y = f + √T·noise.

        Returns:
            (lower, upper), each (n,) or (n, D): of each output on its own.

        Raises:
            InputError: the level is not between 0 and 1.
        """
        if not (isinstance(level, numbers.Real) and 0.0 < float(level) < 1.0):
            raise InputError(f"level: expected a probability between 0 and 1, got {level!r}; pass e.g. 0.9.")
        tail = 0.5 * (1.0 - level)
        return self._quantile(tail, observed), self._quantile(1.0 - tail, observed)

    def _quantile(self, p: float, observed: bool) -> Float[np.ndarray, "n *D"]:
        means, deviations = self._components(observed)
        each = means + ndtri(p) * deviations
        low, high = each.min(axis=0), each.max(axis=0)
        if len(means) == 1:
            return low
        at, scale = np.tensordot(self.weights, each, 1), float(np.abs(each).max())
        safe = np.maximum(deviations, _CERTAIN)
        for _ in range(60):  # Newton's steps on the distribution function, halving where they leave the bracket
            z = (at - means) / safe
            excess = np.tensordot(self.weights, ndtr(z), 1) - p
            low, high = np.where(excess > 0.0, low, at), np.where(excess > 0.0, at, high)
            density = np.tensordot(self.weights, np.exp(-0.5 * z * z) / safe, 1) / math.sqrt(2.0 * math.pi)
            step = at - excess / np.maximum(density, _CERTAIN)
            new = np.where((low <= step) & (step <= high), step, 0.5 * (low + high))
            moved, at = float(np.abs(new - at).max()), new
            if moved <= 1e-13 * scale:
                break
        return at

    def log_density(self, y: Float[np.ndarray, "n *D"]) -> Float[np.ndarray, " n"]:
        """log p(y) of noisy targets at each point (n,): covariance + T, the outputs together."""
        means, deviations = self._components(True)
        if self.covariances is None:
            logs = -0.5 * ((y - means) / deviations) ** 2 - np.log(deviations) - 0.5 * math.log(2.0 * math.pi)
            logs = logs if logs.ndim == 2 else logs.sum(axis=2)
        else:
            D = y.shape[1]
            squares, log_det = _gaussian(self.covariances, self.temperature, y - means)
            logs = -0.5 * (squares + log_det + D * math.log(2.0 * math.pi))
        top = logs.max(axis=0)
        return np.asarray(top + np.log(self.weights @ np.exp(logs - top)))

    def probability_positive(self) -> Float[np.ndarray, "n *D"]:
        """P(f > 0) of a posterior draw."""
        means, deviations = self._components(False)
        return np.tensordot(self.weights, ndtr(means / np.maximum(deviations, _CERTAIN)), 1)

    def class_probabilities(self, *, draws: int = DRAWS, seed: int = 0) -> Float[np.ndarray, "n D"]:
        """The probability that each output is the largest in a posterior draw (n, D); rows sum to one.

        By scrambled Sobol points pushed through each component's Gaussian: an error of about 1/draws for smooth shares.

        Args:
            draws: points for each new point; rounded up to a power of two.
            seed: of the scrambling.

        Raises:
            InputError: there is one output; use `probability_positive`.
        """
        if self.mean.ndim == 1:
            raise InputError("class_probabilities: expected several outputs, got one; use probability_positive().")
        from scipy.stats import qmc

        n, D = self.mean.shape
        means, variances = self._components(False)
        G = len(means)
        power = max(math.ceil(math.log2(max(draws, 2))), 1)
        unit = qmc.Sobol(D + 1, seed=seed).random_base2(power)
        z = ndtri(np.clip(unit[:, :D], 1e-12, 1.0 - 1e-12))
        component = np.minimum(np.searchsorted(np.cumsum(self.weights), unit[:, D]), G - 1)
        shares = np.empty((n, D))
        for point in range(n):
            if self.covariances is None:
                scores = means[component, point] + variances[component, point] * z
            else:
                roots = symmetric_root(self.covariances[:, point])
                scores = means[component, point] + np.einsum("sde,se->sd", roots[component], z)
            shares[point] = np.bincount(scores.argmax(axis=1), minlength=D) / len(z)
        return shares


def _gaussian(
    covariances: Float[np.ndarray, "G n D D"], temperature: float, rest: Float[np.ndarray, "G n D"]
) -> tuple[Float[np.ndarray, "G n"], Float[np.ndarray, "G n"]]:
    """rᵀA⁻¹r and log det A for A = covariance + T I, also where rounding leaves A without a Cholesky factor."""
    try:
        roots = np.linalg.cholesky(covariances + temperature * np.eye(rest.shape[2]))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariances)
        values = np.maximum(values, 0.0) + temperature
        return ((np.einsum("gned,gne->gnd", vectors, rest) ** 2) / values).sum(axis=2), np.log(values).sum(axis=2)
    whitened = np.linalg.solve(roots, rest[..., None])[..., 0]
    return (whitened**2).sum(axis=2), 2.0 * np.log(np.diagonal(roots, axis1=2, axis2=3)).sum(axis=2)
