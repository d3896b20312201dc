"""Whether fresh examples are training examples after all, up to the rounding that fetching features twice leaves."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

_SAME = 1e-5  # of a column's spread: nearer rows are one example
_ROUNDINGS = 8.0  # of the precision: what another batch size changes
_AXES = 12  # random directions, on which rows that differ do not meet
_CHANCE = 3.0  # standard deviations


def seen(
    fresh: tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n D"]],
    training: tuple[Float[np.ndarray, "P N"], Float[np.ndarray, "P D"]],
    precision: float,
) -> int:
    """How many fresh examples are training examples; 0 where they may coincide by chance, n where all of them are.

    Dead units and features of few values make different examples coincide. So only those are counted that meet an
    example that training has once; by chance a new one does so with probability 2 f₂/P, f₂ being the number of examples
    that training has twice                                                       [Good 1953, Biometrika 40, 237]

    Args:
        fresh, training: features and targets.
        precision: the rounding unit of the features.
    """
    new, old, reach = _placed(fresh, training, precision)
    if len(new) == len(old) and bool((np.abs(new - old) <= reach).all()):  # in the same order, too: no chance
        return len(new) if np.ptp(training[0], axis=0).any() else 0
    _, first, inverse, counts = np.unique(
        np.round(old / (reach * 1e-2)), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    points = old[first]
    tree = cKDTree(points)
    _, near = tree.query(points, k=[2, 3], distance_upper_bound=reach)
    others = counts - 1 + np.sum(np.append(counts, 0)[near], axis=1)
    distance, nearest = tree.query(new, distance_upper_bound=reach)
    met: Bool[np.ndarray, " n"] = np.isfinite(distance)
    known = int(np.sum(np.append(others, -1)[nearest] == 0))
    P, n = len(old), len(new)
    twice = 0.5 * float(np.sum(others[inverse.ravel()] == 1)) + 1.0  # one more: none seen does not mean none
    chance = 2.0 * twice * n / P
    if known <= chance + _CHANCE * np.sqrt(chance * (1.0 + 2.0 * n / P)):
        return 0
    return len(new) if met.all() else known


def _placed(
    fresh: tuple[Float[np.ndarray, "n N"], Float[np.ndarray, "n D"]],
    training: tuple[Float[np.ndarray, "P N"], Float[np.ndarray, "P D"]],
    precision: float,
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "P k"], float]:
    """Both on a few random axes, every column in units of its spread; and how near one example is to itself there."""
    scales = []
    for block, born in zip(training, (precision, 0.0)):
        largest = np.abs(block).max(axis=0)
        spread = np.std(block, axis=0)
        scale = spread + _ROUNDINGS * born / _SAME * largest
        scales.append(np.where(scale > 0.0, scale, np.where(largest > 0.0, largest, 1.0)))
    M = sum(len(scale) for scale in scales)
    random = np.random.default_rng(0)  # no result depends on it
    axes = np.eye(M) if M <= _AXES else random.standard_normal((M, _AXES)) / np.sqrt(_AXES)
    N = len(scales[0])
    turns = axes[:N] / scales[0][:, None], axes[N:] / scales[1][:, None]
    new, old = (block[0] @ turns[0] + block[1] @ turns[1] for block in (fresh, training))
    alive = sum(int(np.ptp(block, axis=0).astype(bool).sum()) for block in training)
    return new, old, _SAME * np.sqrt(max(alive, 1))
