"""The sampled network's hidden layers: their mean Gram matrix, by forward passes with the drawn weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.networks import FullyConnected
from widthwise.sampling.estimates import BATCHES
from widthwise.sampling.patches import Network, above, inputs, rows
from widthwise.sampling.precision import float64, random_key
from widthwise.sampling.weights import chosen, network_weights

if TYPE_CHECKING:
    from widthwise.sampling.samples import Samples

_HELD = 2**25  # weights held at a time


@dataclass(frozen=True, eq=False)
class FeatureKernel:
    """A posterior mean Gram matrix with its Monte Carlo error, entry by entry.

    Attributes:
        value: ("n m").
        standard_error: from stretches of each chain ("n m").
    """

    value: Float[np.ndarray, "n m"]
    standard_error: Float[np.ndarray, "n m"]


def feature_kernel(samples: Samples, X1: Any, X2: Any, layer: int | None, key: Any, draws: int | None) -> FeatureKernel:
    """⟨ΦΦᵀ⟩ of a hidden layer between two sets of inputs: `Samples.feature_kernel`."""
    network, shape = samples.network, samples.X_test.shape[1:]
    L = network.depth
    layer = L if layer is None else layer
    if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not 1 <= layer <= L:
        raise InputError(f"layer: expected a hidden layer from 1 to {L}, got {layer!r}; leave it out for the last.")
    X1 = inputs("X1", X1, network, shape)
    X2 = X1 if X2 is None else inputs("X2", X2, network, shape)
    z = chosen(samples.weights, draws)
    C, S = z.shape[:2]
    batches = min(BATCHES, S)
    if C * batches < 2:
        raise InputError(
            f"draws: expected the weights of two draws or more, got those of {C * S}; sample with more than "
            f"weights_memory={samples.sampler.weights_memory:g}, or ask for more."
        )
    total, counts = np.zeros((C, batches, len(X1), len(X2))), np.bincount(np.arange(S) * batches // S)
    together = max(1, _HELD // (C * (network.widths[0] * len(samples.frame.basis) + z.shape[2])))
    for start in range(0, S, together):
        part = replace(samples, weights=z[:, start : start + together])
        layers = network_weights(part, _key(key, start))[:layer]
        for c, s in np.ndindex(part.weights.shape[:2]):
            one = [(w.weights[c, s], None if w.biases is None else w.biases[c, s]) for w in layers]
            left = _features(network, one, X1)
            right = left if X2 is X1 else _features(network, one, X2)
            total[c, (start + s) * batches // S] += left @ right.T
    means = (total / counts[:, None, None]).reshape(-1, *total.shape[2:])
    share = np.tile(counts, C) / (C * S)
    value = np.tensordot(share, means, 1)
    spread = np.tensordot(share, (means - value) ** 2, 1)
    return FeatureKernel(value, np.sqrt(spread / (len(share) - 1)))


def _key(key: Any, start: int) -> Any:
    """Of the draws from `start` on: the caller's own for the first."""
    if not start:
        return key
    with float64():
        return jax.random.fold_in(random_key(key), start)


def _features(
    network: Network, weights: list[tuple[np.ndarray, np.ndarray | None]], X: Float[np.ndarray, "n *shape"]
) -> Float[np.ndarray, "n F"]:
    """One draw's features, in the units in which their inner products are the layer's kernel (√(λ_ℓ N_ℓ n_ℓ)).

    Args:
        network: whose first layers these are.
        weights: W (N_ℓ, fan-in) and b (N_ℓ,) of each, as `network_weights` lists them.
        X: inputs.
    """
    n, stack = len(X), above(network, X.shape[1:])
    f: Any = X
    for k, (W, b) in enumerate(weights):
        if k == 0:
            seen = rows(network, X).reshape(n, -1, W.shape[1])  # (n, patches, fan-in)
        elif isinstance(network, FullyConnected):
            seen = f
        else:
            padded = np.concatenate([f, np.zeros((n, 1, f.shape[2]))], axis=1)
            seen = padded[:, stack[k - 1]].reshape(n, len(stack[k - 1]), -1)
        h = seen @ W.T / math.sqrt(W.shape[1])
        f = np.asarray(network.phi(h if b is None else h + b), dtype=float)
    scale = network.precisions[len(weights)] * f.shape[2]
    if not isinstance(network, FullyConnected) and network.readout == "average" and len(weights) == network.depth:
        return f.mean(axis=1) / math.sqrt(scale)
    return f.reshape(n, -1) / math.sqrt(scale * f.shape[1])
