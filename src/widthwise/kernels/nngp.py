"""The infinite-width (NNGP) kernel of a fully connected network, any depth.

K_0 = X Xᵀ/(λ_0 N_0),   K_ℓ = κ[K_{ℓ-1} + σ_b²]/λ_ℓ            [Pacelli et al. 2023, arXiv 2209.04882]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual, dual_of
from widthwise.kernels.layer import map_cross, map_symmetric
from widthwise.networks import FullyConnected
from widthwise.numerics.lapack import gram


@dataclass(frozen=True)
class TrainingKernel:
    """The kernel among the training points and the means of the last hidden layer on them.

    Args:
        K: K_L (P, P).
        mean: m/√λ_L, the mean of the scaled features (P,), or None where φ has no mean.
    """

    K: Float[np.ndarray, "P P"]
    mean: Float[np.ndarray, " P"] | None


@dataclass(frozen=True)
class CrossKernel:
    """The kernel between new points and the training points.

    Args:
        k: (n, P).
        diagonal: the new points' own variances (n,).
        mean: m/√λ_L at the new points (n,), or None where φ has no mean.
    """

    k: Float[np.ndarray, "n P"]
    diagonal: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"] | None


def _layers(network: FullyConnected) -> list[tuple[float, float]]:
    """(λ_ℓ, σ_b² of layer ℓ+1) for ℓ = 1 … L; the readout has no bias."""
    following = (*network.bias_variances[1:], 0.0)
    return list(zip(network.precisions[1:], following))


def _input_scale(network: FullyConnected, N0: int) -> float:
    return 1.0 / (network.precisions[0] * N0)


def _variances(
    network: FullyConnected, X: Float[np.ndarray, "P N0"], dual: AbstractDual
) -> list[Float[np.ndarray, " P"]]:
    """The pre-activation variances of each hidden layer, then the output's: L + 1 arrays (P,)."""
    c = _input_scale(network, X.shape[1]) * np.einsum("ij,ij->i", X, X) + network.bias_variances[0]
    variances = [c]
    for precision, bias in _layers(network):
        variances.append(dual.diagonal(variances[-1]) / precision + bias)
    return variances


def _mean(network: FullyConnected, dual: AbstractDual, c: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"] | None:
    return dual.mean(c) / np.sqrt(network.precisions[-1]) if dual.has_mean else None


def training_kernel(network: FullyConnected, X: Float[np.ndarray, "P N0"]) -> TrainingKernel:
    """K_L among the rows of X (P, N_0), C order; costs one rank-k update and one pass per layer."""
    dual = dual_of(network.phi)
    K = gram(X, _input_scale(network, X.shape[1]))
    if network.bias_variances[0]:
        K += network.bias_variances[0]
    mean = None
    for layer, (precision, bias) in enumerate(_layers(network), start=1):
        if layer == network.depth:
            mean = _mean(network, dual, K.diagonal().copy())
        map_symmetric(dual, K, precision, bias)
    return TrainingKernel(K, mean)


def cross_kernel(
    network: FullyConnected, X_new: Float[np.ndarray, "n N0"], X: Float[np.ndarray, "P N0"]
) -> CrossKernel:
    """K_L between the rows of X_new (n, N_0) and those of X (P, N_0)."""
    dual = dual_of(network.phi)
    left, right = _variances(network, X_new, dual), _variances(network, X, dual)
    k = (X_new @ X.T) * _input_scale(network, X.shape[1]) + network.bias_variances[0]
    for layer, (precision, bias) in enumerate(_layers(network)):
        map_cross(dual, k, left[layer], right[layer], precision, bias)
    return CrossKernel(k, left[-1], _mean(network, dual, left[-2]))
