"""The network itself: weights drawn from the prior and run forward; with the kernels it shares where patches lie."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from widthwise.activations.callables import evaluate
from widthwise.kernels.stack import positions
from widthwise.networks import Convolutional, FullyConnected

_NUMBERS = 1 << 22  # held at once, of a block of networks


def features(
    network: FullyConnected | Convolutional, X: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "b P F"]]:
    """Ψ of n networks, in blocks, with f = Ψv and v ~ N(0, I): φ(h^L)/√(λ_L N_L), or patches' likewise.

    Args:
        network: as described.
        X: (P, N_0), or images (P, H, W, C).
        n: networks.
        rng: of the weights.
    """
    if isinstance(network, Convolutional):
        places = network.stack(*X.shape[1:3])
        size = len(X) * max(place.count * N for place, N in zip(places, network.widths))
    else:
        X, size = _spanned(X, network), len(X) * max(network.widths)
    most = max(1, _NUMBERS // max(size, _weights(network, X)))
    for start in range(0, n, most):
        b = min(most, n - start)
        yield _convolved(network, X, b, rng) if isinstance(network, Convolutional) else _dense(network, X, b, rng)


def _weights(network: FullyConnected | Convolutional, X: np.ndarray) -> int:
    """How many the largest layer of one network has, at most."""
    below = (X.shape[-1], *network.widths)
    places = network.stack(*X.shape[1:3]) if isinstance(network, Convolutional) else ()
    area = max((place.patch[0] * place.patch[1] for place in places), default=1)
    return max(area * a * b for a, b in zip(below, network.widths))


def _spanned(X: Float[np.ndarray, "P N0"], network: FullyConnected) -> Float[np.ndarray, "P r"]:
    """X/√(λ_0 N_0) in an orthonormal basis of its rows: rotated Gaussian weights are Gaussian weights, only fewer."""
    X = X / math.sqrt(network.precisions[0] * X.shape[1])
    return X if len(X) >= X.shape[1] else np.ascontiguousarray(np.asarray(np.linalg.qr(X.T, mode="r")).T)


def _phi(network: FullyConnected | Convolutional, h: np.ndarray) -> np.ndarray:
    return evaluate(network.phi, h.ravel()).reshape(h.shape)


def _bias(variance: float, b: int, N: int, axes: int, rng: np.random.Generator) -> np.ndarray | float:
    """b^ℓ of each network, the same at all points and positions."""
    shape = (b, *(1,) * axes, N)
    return math.sqrt(variance) * rng.standard_normal(shape) if variance else 0.0


def _dense(
    network: FullyConnected, A: Float[np.ndarray, "P r"], b: int, rng: np.random.Generator
) -> Float[np.ndarray, "b P N"]:
    """h^1 = W^1 x/√N_0 + b^1, h^{ℓ+1} = W^{ℓ+1} φ(h^ℓ)/√N_ℓ + b^{ℓ+1}."""
    Psi = A[None]
    for N, precision, bias in zip(network.widths, network.precisions[1:], network.bias_variances):
        h = Psi @ rng.standard_normal((b, Psi.shape[-1], N)) + _bias(bias, b, N, 1, rng)
        Psi = _phi(network, h) / math.sqrt(precision * N)
    return Psi


def _convolved(
    network: Convolutional, X: Float[np.ndarray, "P H W C"], b: int, rng: np.random.Generator
) -> Float[np.ndarray, "b P F"]:
    """h^{ℓ+1}_{c,o} = Σ_{c',δ} W_{c,c',δ} φ(h^ℓ_{c', i(o,δ)})/√(|p| N_ℓ) + b_c, zero outside the image."""
    Psi = X.reshape(1, len(X), -1, X.shape[3])
    channels = X.shape[3]
    for layer, place in enumerate(network.stack(*X.shape[1:3])):
        N, precision, bias = network.widths[layer], network.precisions[layer], network.bias_variances[layer]
        at = positions(place)
        padded = np.concatenate([Psi, np.zeros((*Psi.shape[:2], 1, channels))], axis=2)  # position −1 is outside
        patches = padded[:, :, at].reshape(*Psi.shape[:2], place.count, -1)
        W = rng.standard_normal((b, 1, patches.shape[-1], N)) / math.sqrt(precision * patches.shape[-1])
        Psi, channels = _phi(network, patches @ W + _bias(bias, b, N, 2, rng)), N
    n, N = Psi.shape[2:]
    scale = math.sqrt(network.precisions[-1] * N)
    if network.readout == "average":
        return Psi.mean(axis=2) / scale
    return Psi.reshape(b, len(X), -1) / (scale * math.sqrt(n))
