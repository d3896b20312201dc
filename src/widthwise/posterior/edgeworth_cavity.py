"""What the cavity's bath leaves out: the fourth cumulant of its neurons, about draws of the explicit ones.

`edgeworth` for one layer, its kernel K̄ replaced by that of a draw, Q K + ΦΦᵀ/(λ_1 N), in which the neurons that
specialise are already what they are: N − k neurons ψ = √q φ/√λ_1, q = S/(N − k), are left to be Gaussian.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.kernels import layers
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.edgeworth import Edgeworth, Frame, drawn_features, last_layer

NEURONS = 8192
NODES = 8  # draws of the explicit neurons
_ENTRIES = 3_000_000
_LEAST = 1024


def edgeworth_cavity(
    law: CavityLaw, X_new: Float[np.ndarray, "n N0"] | None, y_new: Float[np.ndarray, " n"] | None
) -> Edgeworth:
    """How far the error of real neurons is from that of the bath's Gaussian ones, at first order in 1/N.

    Args:
        law: of one hidden layer and one output.
        X_new, y_new: the test examples; None for the training error.
    """
    X, y = law.engine.X, law.engine.y
    network: Any = law.engine.network
    points = X if X_new is None else np.concatenate([X, X_new])
    layer = layers(network, points)[0]
    inputs = law.frame.augmented(points)
    N, M = law.sampled.width, law.sampled.width - law.sampled.neurons
    count = max(_LEAST, min(NEURONS, _ENTRIES // len(points)))
    explicit = law.features(points)
    bias = variance = squares = 0.0
    chosen = np.searchsorted(np.cumsum(law.weights), (np.arange(NODES) + 0.5) / NODES)
    for number, g in enumerate(np.minimum(chosen, len(law.Q) - 1)):
        F, q = explicit[g], law.Q[g] * N / M
        frame = Frame.of(law.Q[g] * layer.kernel + F @ F.T, y, law.temperature, y_new)
        rng = np.random.default_rng(number)
        each, settled = last_layer(frame, drawn_features(network.phi, inputs, layer.precision / q, count, rng), count)
        gaussian = frame.of_matrix(q * layer.kernel)
        share = M / (N * N * NODES)
        bias += share * (float(each[0].mean()) - settled.bias - 2.0 * gaussian.bias)
        variance += share * (float(each[1].mean()) - settled.variance - 2.0 * gaussian.variance)
        squares += share**2 * float(each.sum(axis=0).var()) / each.shape[1]
    return Edgeworth(bias, variance, math.sqrt(squares))
