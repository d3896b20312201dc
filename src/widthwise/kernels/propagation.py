"""How a small change of one layer's kernel reaches the output: the derivatives of all layers above it, composed.

    J[Δ]_ab = α_ab Δ_aa + β_ab Δ_ab + α_ba Δ_bb

Each layer's derivative (`kernels.tangent`) has this form, and so has the product of several. Here everything is dense,
for a few hundred points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual, dual_of
from widthwise.kernels.layer import map_symmetric
from widthwise.networks import FullyConnected
from widthwise.numerics.lapack import gram

Matrix = Float[np.ndarray, "p p"]


@dataclass(frozen=True)
class Propagation:
    """J on symmetric matrices over p points.

    Args:
        own: α, with a zero diagonal (p, p).
        pair: β, symmetric; its diagonal is all of J's (p, p).
    """

    own: Matrix
    pair: Matrix

    def __call__(self, delta: Matrix) -> Matrix:
        """J[Δ]."""
        left = self.own * delta.diagonal()[:, None]
        return left + left.T + self.pair * delta

    def after(self, other: Propagation) -> Propagation:
        """This one of what `other` returns."""
        slope = other.pair.diagonal()
        own = self.own * slope[:, None] + self.pair * other.own
        return Propagation(own, self.pair * other.pair)


@dataclass(frozen=True)
class Layer:
    """One hidden layer over p points, at infinite width below it.

    Args:
        covariance: of its pre-activations, K_{ℓ−1} + σ_b².
        kernel: K_ℓ = κ[covariance]/λ_ℓ.
        precision: λ_ℓ, of the weights that follow.
        propagation: from a change of K_ℓ to that of K_L; None for the last layer, where it is the identity.
    """

    covariance: Matrix
    kernel: Matrix
    precision: float
    propagation: Propagation | None


def layers(network: FullyConnected, X: Float[np.ndarray, "p N0"]) -> list[Layer]:
    """Every hidden layer of a fully connected network over the rows of X, the first one first."""
    dual, biases = dual_of(network.phi), (*network.bias_variances[1:], 0.0)
    C = gram(X, 1.0 / (network.precisions[0] * X.shape[1]))
    C = np.triu(C) + np.triu(C, 1).T + network.bias_variances[0]
    covariances, kernels = [], []
    for precision, bias in zip(network.precisions[1:], biases):
        covariances.append(C)
        kernels.append(map_symmetric(dual, C.copy(), precision, 0.0))
        C = kernels[-1] + bias
    found: list[Layer] = []
    above: Propagation | None = None
    for C, K, precision in reversed(list(zip(covariances, kernels, network.precisions[1:]))):
        found.insert(0, Layer(C, K, precision, above))
        own = _derivative(dual, C, precision)
        above = own if above is None else above.after(own)
    return found


def carried(network: FullyConnected, K: Matrix, layer: int) -> Matrix:
    """K_L that follows from K_ℓ, all layers above ℓ (from 1 to L) at infinite width."""
    dual, biases = dual_of(network.phi), network.bias_variances
    for above in range(layer, network.depth):
        K = map_symmetric(dual, K + biases[above], network.precisions[above + 1], 0.0)
    return K


def _derivative(dual: AbstractDual, C: Matrix, precision: float) -> Propagation:
    """J of one layer: κ[C]/λ."""
    c = np.maximum(C.diagonal(), 0.0)
    xx, xy, yy = dual.partials(c[:, None], C, c[None, :])
    own, pair = 0.5 * (xx + yy.T) / precision, 0.5 * (xy + xy.T) / precision
    np.fill_diagonal(own, 0.0)
    np.fill_diagonal(pair, dual.diagonal_slope(c) / precision)
    return Propagation(own, pair)
