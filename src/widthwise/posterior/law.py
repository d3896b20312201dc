"""What a posterior is made of: a law of the order parameters with the training data that it was inferred from."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.posterior.certificate import Validity
from widthwise.posterior.fit import Fit, Node
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.score import Errors
from widthwise.posterior.sources import AbstractSource

_ENTRIES = 2**25  # of a predictive mixture held at a time


class AbstractLaw(abc.ABC):
    """Weighted order parameters, each of which makes the network a Gaussian process conditioned on the data.

    One file per kind of order parameter: a number (`scalar`), a matrix over the outputs (`outputs`), a matrix over the
    patches (`patches`).

    Attributes:
        source: the training inputs and their kernel.
        temperature: T.
        action: the effective action on these data.
        drawn: whether the order parameters are random draws, if more than one.
    """

    kind: str
    drawn: bool = False
    source: AbstractSource
    temperature: float
    action: Any

    @property
    @abc.abstractmethod
    def targets(self) -> Float[np.ndarray, "P *D"]:
        """The training targets (P,) or (P, D)."""

    @property
    def points_at_a_time(self) -> int:
        """New points whose predictive mixtures, covariances of the outputs included, are held at once."""
        outputs = 1 if self.targets.ndim == 1 else self.targets.shape[1]
        return max(1, _ENTRIES // (len(getattr(self, "weights", (1.0,))) * outputs**2))

    @property
    @abc.abstractmethod
    def order_parameters(self) -> dict[str, np.ndarray]:
        """Posterior means, per hidden layer."""

    @property
    @abc.abstractmethod
    def solver(self) -> str:
        """What reduced the kernel."""

    def log_evidence(self, approximation: str) -> float:
        """log p(y | X) by the approximation named."""
        if approximation == "infinite":
            return float(self.action.log_evidence_infinite())
        if approximation == "integrated":
            return float(self.action.log_evidence_integrated())
        return float(self.action.log_evidence_saddle())

    @abc.abstractmethod
    def validity(self, *, exact: bool) -> Validity:
        """τ, ρ and the neurons' kurtosis, and what they say."""

    @abc.abstractmethod
    def nodes(self) -> Iterator[Node]:
        """Every order parameter's Gaussian process on the training points."""

    @cached_property
    def fit(self) -> Fit:
        """What they do together to the targets."""
        return Fit.of(self.nodes(), self.temperature)

    def training_error(self) -> Errors:
        """ε_t; of several outputs their sum."""
        return self.fit.errors(len(self.targets), drawn=self.drawn)

    @abc.abstractmethod
    def dual_vector(self) -> Float[np.ndarray, "P *D"]:
        """(y − ⟨f⟩)/T on the training points."""

    @abc.abstractmethod
    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        """The posterior of f at new points."""

    @abc.abstractmethod
    def renormalised_kernel(self, X1: Any, X2: Any) -> np.ndarray:
        """K_R between two sets of inputs, averaged over the order parameters."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What a file needs, besides the training inputs and targets, to make this law again."""
