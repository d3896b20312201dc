"""How well a predicted law is calibrated: its intervals, its likelihood and its probabilities against data."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from widthwise.errors import InputError
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.score import signs

LEVELS = (0.5, 0.8, 0.9, 0.95)
BINS = 10  # of probability, for the calibration error


@dataclass(frozen=True)
class Calibration:
    """The predicted law at n test points beside their targets; of D outputs all n D are pooled, each on its own.

    Shares of a sample: they scatter by about √(level (1 − level)/n) where the law is right.

    Args:
        levels: of the central intervals.
        coverage: share of the targets inside the interval of y = f + √T·noise, per level; the level, if y follows it.
        coverage_of_f: share inside the interval of f; below the level as long as the targets are noisy.
        width, width_of_f: mean width of these intervals.
        negative_log_likelihood: mean of −log p(y), with T added to the variance; of D outputs together.
        pit_distance: sup |F_n(u) − u| of the probability integral transforms u = P(target < y): 0 is uniform.
        brier_score: mean of (P(f > 0) − 1{y > 0})² for targets ±1; else None.
        calibration_error: Σ_b (n_b/n) |mean of P(f > 0) − share of +1| over ten equal bins b of P(f > 0) for targets
            ±1; else None.
    """

    levels: tuple[float, ...]
    coverage: tuple[float, ...]
    coverage_of_f: tuple[float, ...]
    width: tuple[float, ...]
    width_of_f: tuple[float, ...]
    negative_log_likelihood: float
    pit_distance: float
    brier_score: float | None
    calibration_error: float | None


def calibration(parts: Iterable[tuple[Prediction, np.ndarray]], levels: Any = LEVELS) -> Calibration:
    """The calibration of one law, predicted in parts.

        y inside the central interval of level p  ⇔  |2u − 1| ≤ p,   u = P(target < y)     [Dawid 1984, JRSS A 147, 278]

    Args:
        parts: predictions with their targets (n,) or (n, D).
        levels: probabilities between 0 and 1.

    Raises:
        InputError: a level is not between 0 and 1, or there is none.
    """
    levels = checked(levels)
    below: dict[bool, list[np.ndarray]] = {True: [], False: []}
    widths, logs, positive, targets = [], [], [], []
    for prediction, y in parts:
        for observed, transforms in below.items():
            transforms.append(probability_below(prediction, y, observed=observed).ravel())
            ends = [prediction.interval(level, observed=observed) for level in levels]
            widths.append([float(np.sum(upper - lower)) for lower, upper in ends])
        logs.append(prediction.log_density(y))
        targets.append(y)
        if y.ndim == 1:
            positive.append(prediction.probability_positive())
    y, u = np.concatenate(targets), {observed: np.concatenate(found) for observed, found in below.items()}
    labels = signs(y)
    p, truth = (np.concatenate(positive), 0.5 * (y + 1.0)) if labels else (np.zeros(0), np.zeros(0))
    total = np.array(widths).reshape(-1, 2, len(levels)).sum(axis=0) / y.size
    return Calibration(
        levels=levels,
        coverage=tuple(float(np.mean(np.abs(2.0 * u[True] - 1.0) <= level)) for level in levels),
        coverage_of_f=tuple(float(np.mean(np.abs(2.0 * u[False] - 1.0) <= level)) for level in levels),
        width=tuple(total[0].tolist()),
        width_of_f=tuple(total[1].tolist()),
        negative_log_likelihood=-float(np.mean(np.concatenate(logs))),
        pit_distance=distance_to_uniform(u[True]),
        brier_score=float(np.mean((p - truth) ** 2)) if labels else None,
        calibration_error=expected_calibration_error(p, truth) if labels else None,
    )


def checked(levels: Any) -> tuple[float, ...]:
    """Levels as probabilities between 0 and 1."""
    given = tuple(levels) if np.iterable(levels) else (levels,)
    real = all(isinstance(level, numbers.Real) and 0.0 < float(level) < 1.0 for level in given)
    if not np.iterable(levels) or not given or not real:
        raise InputError(f"levels: expected probabilities between 0 and 1, got {levels!r}; pass e.g. (0.5, 0.9).")
    return tuple(float(level) for level in given)


def probability_below(
    prediction: Prediction, y: Float[np.ndarray, "n *D"], *, observed: bool
) -> Float[np.ndarray, "n *D"]:
    """P(f < y), or of a noisy target, of each output on its own; where f is certain, 0, 1, or ½ at y itself."""
    means, deviations = prediction._components(observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(deviations > 0.0, ndtr((y - means) / deviations), 0.5 * (1.0 + np.sign(y - means)))
    return np.tensordot(prediction.weights, each, 1)


def distance_to_uniform(u: Float[np.ndarray, " n"]) -> float:
    """Kolmogorov's distance sup |F_n(u) − u| between a sample and the uniform law on [0, 1]."""
    u, n = np.sort(u), len(u)
    return float(max(np.max(np.arange(1, n + 1) / n - u), np.max(u - np.arange(n) / n)))


def expected_calibration_error(p: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]) -> float:
    """Σ_b (n_b/n) |mean p − mean truth| over ten equal bins of p.     [Naeini, Cooper, Hauskrecht 2015, AAAI 29]

    Args:
        p: probabilities.
        truth: 1 where it happened, else 0.
    """
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    return float(np.abs(np.bincount(bins, p - truth, BINS)).sum()) / len(p)
