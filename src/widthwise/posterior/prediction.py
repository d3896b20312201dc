"""The predictive law at new points: a mixture of Gaussian processes, one at the saddle, many for the integral."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from widthwise.errors import InputError


@dataclass(frozen=True)
class Prediction:
    """The posterior of f at n new points.

    Args:
        mean: ⟨f⟩ (n,).
        variance: ⟨f²⟩ − ⟨f⟩² (n,), of f: the temperature is not added.
        covariance: (n, n) where it was asked for, else None.
        temperature: T.
    """

    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]
    temperature: float
    covariance: Float[np.ndarray, "n n"] | None = None
    weights: Float[np.ndarray, " G"] = field(default_factory=lambda: np.ones(1), repr=False)
    means: Float[np.ndarray, "G n"] | None = field(default=None, repr=False)
    variances: Float[np.ndarray, "G n"] | None = field(default=None, repr=False)

    @property
    def standard_deviation(self) -> Float[np.ndarray, " n"]:
        """√variance (n,)."""
        return np.sqrt(self.variance)

    def _components(self, observed: bool) -> tuple[Float[np.ndarray, "G n"], Float[np.ndarray, "G n"]]:
        means = self.mean[None] if self.means is None else self.means
        variances = self.variance[None] if self.variances is None else self.variances
        return means, np.sqrt(variances + (self.temperature if observed else 0.0))

    def interval(
        self, level: float = 0.9, *, observed: bool = False
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The central interval that holds f (or, `observed`, a noisy target: T is added) with probability `level`.

        Args:
            level: between 0 and 1.
            observed: whether the interval is of y = f + √T·noise.

        Returns:
            (lower, upper), each (n,).

        Raises:
            InputError: the level is not between 0 and 1.
        """
        if not (isinstance(level, numbers.Real) and 0.0 < float(level) < 1.0):
            raise InputError(f"level: expected a probability between 0 and 1, got {level!r}; pass e.g. 0.9.")
        tail = 0.5 * (1.0 - level)
        return self._quantile(tail, observed), self._quantile(1.0 - tail, observed)

    def _quantile(self, p: float, observed: bool) -> Float[np.ndarray, " n"]:
        means, deviations = self._components(observed)
        each = means + ndtri(p) * deviations
        low, high = each.min(axis=0), each.max(axis=0)
        if len(means) == 1:
            return low
        safe = np.maximum(deviations, np.finfo(float).tiny)
        for _ in range(60):  # the mixture's distribution function, bisected between its components' quantiles
            middle = 0.5 * (low + high)
            above = self.weights @ ndtr((middle - means) / safe) > p
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return 0.5 * (low + high)

    def log_density(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """log p(y) of noisy targets, variance + T, at each point (n,)."""
        means, deviations = self._components(True)
        logs = -0.5 * ((y - means) / deviations) ** 2 - np.log(deviations) - 0.5 * np.log(2.0 * np.pi)
        top = logs.max(axis=0)
        return np.asarray(top + np.log(self.weights @ np.exp(logs - top)))

    def probability_positive(self) -> Float[np.ndarray, " n"]:
        """P(f > 0) of a posterior draw (n,)."""
        means, deviations = self._components(False)
        return np.asarray(self.weights @ ndtr(means / np.maximum(deviations, np.finfo(float).tiny)))
