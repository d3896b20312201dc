"""What Gaussian equivalence drops first: the fourth cumulant of a neuron along the one direction that matters.

The theory replaces the features φ(h) of a neuron by Gaussian ones of the same covariance. Labels single out the
direction a = A⁻¹y; along it a neuron is g = aᵀφ(h), and its fourth cumulant changes the log evidence, at first order,
by Q²κ₄(g)/(8 N_1). Both are averages over neurons drawn from the prior: no posterior is sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.networks import FullyConnected

NEURONS = 8192
_BLOCK = 1024


@dataclass(frozen=True)
class Gaussianity:
    """How far a neuron is from Gaussian along the dual vector.

    Args:
        kurtosis: excess kurtosis of g = aᵀφ(h) over the prior; zero for Gaussian features.
        nats: Q²κ₄(g)/(8 N_1), the change of the log evidence at first order.
    """

    kurtosis: float
    nats: float


def gaussianity(
    network: FullyConnected, X: Float[np.ndarray, "P N0"], a: Float[np.ndarray, " P"], Q: float
) -> Gaussianity:
    """The kurtosis of a one-hidden-layer network's neurons along a, from seeded draws of the prior.

    Args:
        network: with one hidden layer.
        X: training inputs (P, N_0).
        a: dual vector A⁻¹y (P,).
        Q: order parameter.
    """
    rng = np.random.default_rng(0)
    scale = 1.0 / math.sqrt(network.precisions[0] * X.shape[1])
    bias = math.sqrt(network.bias_variances[0])
    g = np.empty(NEURONS)
    for start in range(0, NEURONS, _BLOCK):
        h = X @ rng.normal(scale=scale, size=(X.shape[1], _BLOCK)) + bias * rng.normal(size=_BLOCK)
        g[start : start + _BLOCK] = a @ np.asarray(network.phi(h), dtype=float)
    g -= g.mean()
    variance = float(np.mean(g**2))
    if variance == 0.0:
        return Gaussianity(0.0, 0.0)
    kurtosis = float(np.mean((g / math.sqrt(variance)) ** 4)) - 3.0
    # a carries the readout's precision: E g² is λ_1 aᵀKa
    power = Q * variance / network.precisions[-1]
    return Gaussianity(kurtosis, kurtosis * power**2 / (8.0 * network.widths[-1]))
