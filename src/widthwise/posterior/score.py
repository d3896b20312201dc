"""Errors as averages over the posterior: total = bias + variance."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Float, Int

from widthwise.posterior.judged import Judged
from widthwise.posterior.prediction import Prediction


@dataclass(frozen=True)
class Errors(Judged):
    """A mean squared error averaged over the posterior (Gibbs average); the temperature is not added.

        total = ⟨|y − f|²⟩ = bias + variance,   bias = |y − ⟨f⟩|²,   variance = ⟨|f|²⟩ − |⟨f⟩|²

    Args:
        total, bias, variance: means over the examples, sums over the outputs.
        monte_carlo_error: standard error of `total` from the draws of a matrix Q; None where none was drawn.
    """

    total: float
    bias: float
    variance: float
    monte_carlo_error: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Score(Errors):
    """`Errors` on test data, and what else they tell.

    Args:
        accuracy: of the mean predictor, its sign for targets ±1, its largest output for one-hot targets; else None.
        accuracy_of_draw: the same of one posterior draw, on average.
        negative_log_likelihood: mean of −log p(y), with T added to the variance; of D outputs together.
    """

    accuracy: float | None
    accuracy_of_draw: float | None
    negative_log_likelihood: float


def together(parts: list[Score], sizes: list[int]) -> Score:
    """The score of several sets of examples as one: every entry is a mean over examples."""
    share = np.array(sizes) / sum(sizes)

    def mean(name: str) -> float | None:
        entries = [getattr(part, name) for part in parts]
        return None if None in entries else float(share @ np.array(entries))

    return Score(**{entry.name: mean(entry.name) for entry in fields(Score)})  # type: ignore[arg-type]


def standard_error(
    weights: Float[np.ndarray, " G"],
    totals: Float[np.ndarray, " G"],
    chains: Int[np.ndarray, " G"] | None = None,
) -> float | None:
    """Of the mean over drawn order parameters of each one's own error; None of a single one.

    Args:
        weights: sum to 1, nearly equal where there are no chains.
        totals: the error of each component.
        chains: which independent chain each draw comes from; without them the draws are taken as independent.
    """
    if len(totals) < 2:
        return None
    if chains is not None:
        own = np.bincount(chains, weights)
        off = np.bincount(chains, weights * (totals - weights @ totals))  # Σ_g w_g (t_g − t̄), a sum of zero over chains
        count = int(np.count_nonzero(own))
        return float(np.sqrt(np.sum(off**2) * count / (count - 1))) if count > 1 else None
    spread = float(weights @ (totals - weights @ totals) ** 2)
    return float(np.sqrt(spread / (len(totals) - 1)))


def signs(y: Float[np.ndarray, "n *D"]) -> bool:
    """Whether the targets are two-class labels: one output, every entry +1 or −1."""
    return y.ndim == 1 and bool(np.all(np.abs(y) == 1.0))


def one_hot(y: Float[np.ndarray, "n *D"]) -> bool:
    """Whether each example has one output at the higher of two levels and the others at the lower (1 and 0, say)."""
    if y.ndim != 2 or y.shape[1] < 2:
        return False
    high, low = float(y.max()), float(y.min())
    return high > low and bool(np.all((y == high) | (y == low)) and np.all((y == high).sum(axis=1) == 1))


def score(prediction: Prediction, y: Float[np.ndarray, "n *D"]) -> Score:
    """The score of a prediction against targets (n,) or (n, D)."""
    n = len(y)
    bias = float(np.sum((y - prediction.mean) ** 2)) / n
    variance = float(np.sum(prediction.variance)) / n
    accuracy = of_draw = None
    if signs(y):
        accuracy = float(np.mean(np.where(prediction.mean > 0.0, 1.0, -1.0) == y))
        positive = prediction.probability_positive()
        of_draw = float(np.mean(np.where(y > 0.0, positive, 1.0 - positive)))
    elif one_hot(y):
        label = y.argmax(axis=1)
        accuracy = float(np.mean(prediction.mean.argmax(axis=1) == label))
        of_draw = float(np.mean(prediction.class_probabilities(draws=256)[np.arange(n), label]))
    drawn = None
    if prediction.drawn and prediction.means is not None and prediction.variances is not None:
        rest = (y - prediction.means) ** 2 + prediction.variances
        totals = rest.reshape(len(rest), -1).sum(axis=1) / n
        drawn = standard_error(prediction.weights, totals, prediction.chains)
    return Score(
        monte_carlo_error=drawn,
        total=bias + variance,
        bias=bias,
        variance=variance,
        accuracy=accuracy,
        accuracy_of_draw=of_draw,
        negative_log_likelihood=-float(np.mean(prediction.log_density(y))),
    )
