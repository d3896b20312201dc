"""The predictive law of the sampled network: a mixture over draws, each Gaussian given its hidden weights.

p(f | D) = (1/S) Σ_s N(f; m_s, v_s),   of a noisy target N(y; m_s, v_s + T);   D outputs independent given a draw
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from widthwise.errors import InputError
from widthwise.sampling import checks
from widthwise.sampling.estimates import Estimate, estimate, standard_error

_ENTRIES = 2**23  # of the mixture at a time
_BISECTIONS = 50


@dataclass(frozen=True)
class Prediction:
    """The posterior law of f on n points, with Monte Carlo errors: (n,) each, or (n, D) for D outputs."""

    mean: np.ndarray
    variance: np.ndarray
    mean_standard_error: np.ndarray
    variance_standard_error: np.ndarray


def moments(mean: Float[np.ndarray, "C S n D"], spread: Float[np.ndarray, "C S n"], scalar: bool) -> Prediction:
    """⟨f⟩ and ⟨f²⟩ − ⟨f⟩², the latter freed of the noise of ⟨f⟩."""
    centre = mean.mean(axis=(0, 1))
    error = standard_error(mean)
    square = (mean - centre) ** 2 + spread[..., None]
    fields = (centre, square.mean(axis=(0, 1)) + error**2, error, standard_error(square))
    return Prediction(*(field[:, 0] if scalar else field for field in fields))


def coverage(
    mean: Float[np.ndarray, "C S n D"],
    variance: Float[np.ndarray, "C S n"],
    lower: Float[np.ndarray, "n D"],
    upper: Float[np.ndarray, "n D"],
) -> Estimate:
    """Posterior probability that f lies in [lower, upper], averaged over points and outputs; closed form given a draw.

        mean_x ⟨ Φ((upper − m)/√v) − Φ((lower − m)/√v) ⟩

    Args:
        mean, variance: of f given each draw.
        lower, upper: of each point and output.
    """
    series = np.zeros(mean.shape[:2])
    for points in _blocks(mean):
        m, v, low, high = mean[:, :, points], variance[:, :, points, None], lower[points], upper[points]
        inside = np.where(v > 0.0, _below(high, m, v) - _below(low, m, v), (low <= m) & (m <= high))
        series += inside.sum(axis=(2, 3))
    return estimate(series / lower.size)


def below(
    mean: Float[np.ndarray, "C S n D"], variance: Float[np.ndarray, "C S n"], values: Float[np.ndarray, "n D"]
) -> Float[np.ndarray, "n D"]:
    """P(f < value) of each point and output: where f is certain, 0, 1, or ½ at the value itself.

    Args:
        mean, variance: of f given each draw; with T added, of a noisy target.
        values: one for each point and output.
    """
    found = np.empty(values.shape)
    for points in _blocks(mean):
        each = _below(values[points], mean[:, :, points], variance[:, :, points, None])
        found[points] = each.mean(axis=(0, 1))
    return found


def interval(
    mean: Float[np.ndarray, "C S n D"], variance: Float[np.ndarray, "C S n"], level: Any
) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "n D"]]:
    """The central interval of f at each point, of each output, by bisection of the mixture's distribution function.

    Args:
        mean, variance: of f given each draw; with T added, of a noisy target.
        level: its probability.
    """
    if not (isinstance(level, numbers.Real) and 0.0 < float(level) < 1.0):
        raise InputError(f"level: expected a probability between 0 and 1, got {level!r}; pass e.g. 0.9.")
    ends = []
    for p in (0.5 * (1.0 - float(level)), 0.5 * (1.0 + float(level))):
        end = np.empty(mean.shape[2:])
        for points in _blocks(mean):
            m, v = mean[:, :, points], variance[:, :, points, None]
            own = m + ndtri(p) * np.sqrt(v)  # every draw's own quantile: the mixture's lies among them
            low, high = own.min(axis=(0, 1)), own.max(axis=(0, 1))
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                over = _below(middle, m, v).mean(axis=(0, 1)) > p
                low, high = np.where(over, low, middle), np.where(over, middle, high)
            end[points] = 0.5 * (low + high)
        ends.append(end)
    return ends[0], ends[1]


def negative_log_likelihood(
    mean: Float[np.ndarray, "C S n D"], variance: Float[np.ndarray, "C S n"], y: Float[np.ndarray, "n D"]
) -> Estimate:
    """−mean_x log p̄(y), p̄ = ⟨p_s⟩ the average of the draws' densities at a point; of D outputs together.

    To the noise of p̄ it answers linearly, by −mean_x p_s/p̄ (its error is ArviZ's, of that series), and is shifted
    upwards by ½ mean_x (standard error of p_s/p̄)², which is taken off.                                [delta method]

    Args:
        mean, variance: of a noisy target given each draw: T is added.
        y: the targets.
    """
    value, shift, linear = 0.0, 0.0, np.zeros(mean.shape[:2])
    for points in _blocks(mean):
        v = variance[:, :, points]
        squares = np.sum((y[points] - mean[:, :, points]) ** 2, axis=3) / v
        logs = -0.5 * (squares + y.shape[1] * np.log(2.0 * math.pi * v))
        top = logs.max(axis=(0, 1))
        density = np.exp(logs - top)
        average = density.mean(axis=(0, 1))
        ratio = density / average
        value -= float(np.sum(top + np.log(average)))
        shift += 0.5 * float(np.sum(standard_error(ratio) ** 2))
        linear -= ratio.sum(axis=2)
    n = len(y)
    return replace(estimate(linear / n), value=(value - shift) / n)


def bounds(lower: Any, upper: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Two bounds of f at each point and output, checked, as (n, D) each.

    Args:
        lower, upper: what was given.
        shape: (n,) or (n, D).
    """
    low, high = per_point("lower", lower, shape), per_point("upper", upper, shape)
    if (low > high).any():
        raise InputError(f"coverage: expected lower ≤ upper, got {np.sum(low > high)} above; pass (lower, upper).")
    return low, high


def per_point(name: str, values: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "n D"]:
    """One finite number for each test point and output, as (n, D).

    Args:
        name: what they are called in the message.
        values: of the predictions' shape.
        shape: (n,) or (n, D).
    """
    array = checks.targets(name, values, shape[0], len(shape))
    if array.shape != shape:
        raise InputError(f"{name}: expected shape {shape}, as the predictions, got {array.shape}; one for each.")
    return array.reshape(len(array), -1)


def _below(values: Float[np.ndarray, "n D"], m: Float[np.ndarray, "C S n D"], v: Float[np.ndarray, "C S n 1"]) -> Any:
    """Φ((value − m)/√v)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(v > 0.0, ndtr((values - m) / np.sqrt(v)), 0.5 * (1.0 + np.sign(values - m)))


def _blocks(mean: Float[np.ndarray, "C S n D"]) -> Iterator[slice]:
    """Stretches of points whose mixtures fit in the budget."""
    C, S, n, D = mean.shape
    size = max(1, _ENTRIES // (C * S * D))
    return (slice(start, start + size) for start in range(0, n, size))
