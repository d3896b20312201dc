"""Draws of f from a posterior: of its order parameters first, then of the Gaussian process that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from widthwise.numerics.lapack import symmetric_root
from widthwise.posterior import Prediction
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.layers import LayersLaw
from widthwise.posterior.mixture import Mixture
from widthwise.posterior.outputs import OutputsLaw
from widthwise.posterior.patches import PatchLaw
from widthwise.posterior.scalar import ScalarLaw


def draw(
    law: AbstractLaw, predict: Callable[[AbstractLaw], Prediction], count: int, random: np.random.RandomState
) -> Float[np.ndarray, "*n count"]:
    """`count` joint draws of f at all points and outputs (n, count) or (n, D, count).

        Q ~ p(Q | D),   f | Q ~ N(mean, covariance of that component)

    Args:
        law: the weighted order parameters.
        predict: the prediction of a law at the points, with its covariance.
        count: how many.
        random: draws them.
    """
    weights = _weights(law)
    each = random.multinomial(count, weights / weights.sum())
    parts = []
    for g in np.flatnonzero(each):
        prediction = predict(law if len(weights) == 1 else component(law, int(g)))
        mean, size = prediction.mean, prediction.mean.size
        covariance = np.asarray(prediction.covariance).reshape(size, size)
        root = symmetric_root(0.5 * (covariance + covariance.T))
        parts.append(mean[..., None] + (root @ random.standard_normal((size, each[g]))).reshape(*mean.shape, -1))
    return np.concatenate(parts, axis=-1)[..., random.permutation(count)]


def component(law: AbstractLaw, g: int) -> AbstractLaw:
    """The law with its order parameters fixed at node g: one Gaussian process."""
    at, one = slice(g, g + 1), np.ones(1)
    if isinstance(law, ScalarLaw):
        m = law.mixture
        return replace(law, mixture=Mixture(m.Q[at], one, m.layers[:, at], None if m.c is None else m.c[at]))
    if isinstance(law, OutputsLaw):
        return replace(law, layers=law.layers[:, at], weights=one)
    if isinstance(law, PatchLaw | LayersLaw):
        return replace(law, Q=law.Q[at], weights=one)
    return law


def _weights(law: AbstractLaw) -> Float[np.ndarray, " G"]:
    if isinstance(law, ScalarLaw):
        return law.mixture.weights
    return law.weights if isinstance(law, OutputsLaw | PatchLaw | LayersLaw) else np.ones(1)
