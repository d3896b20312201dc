"""Errors as averages over the posterior: total = bias + variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.posterior.prediction import Prediction


@dataclass(frozen=True)
class Errors:
    """A mean squared error averaged over the posterior (Gibbs average); the temperature is not added.

        total = ⟨(y − f)²⟩ = bias + variance,   bias = (y − ⟨f⟩)²,   variance = ⟨f²⟩ − ⟨f⟩²

    Args:
        total, bias, variance: means over the examples.
    """

    total: float
    bias: float
    variance: float


@dataclass(frozen=True)
class Score(Errors):
    """`Errors` on test data, and what else they tell.

    Args:
        accuracy: share of right signs of the mean predictor, for targets ±1, else None.
        accuracy_of_draw: the same of one posterior draw, on average.
        negative_log_likelihood: mean of −log p(y), with T added to the variance.
    """

    accuracy: float | None
    accuracy_of_draw: float | None
    negative_log_likelihood: float


def signs(y: Float[np.ndarray, " n"]) -> bool:
    """Whether the targets are two-class labels: every one +1 or −1."""
    return bool(np.all(np.abs(y) == 1.0))


def score(prediction: Prediction, y: Float[np.ndarray, " n"]) -> Score:
    """The score of a prediction against targets (n,)."""
    bias = float(np.mean((y - prediction.mean) ** 2))
    variance = float(np.mean(prediction.variance))
    accuracy = of_draw = None
    if signs(y):
        accuracy = float(np.mean(np.where(prediction.mean > 0.0, 1.0, -1.0) == y))
        positive = prediction.probability_positive()
        of_draw = float(np.mean(np.where(y > 0.0, positive, 1.0 - positive)))
    return Score(
        total=bias + variance,
        bias=bias,
        variance=variance,
        accuracy=accuracy,
        accuracy_of_draw=of_draw,
        negative_log_likelihood=-float(np.mean(prediction.log_density(y))),
    )
