"""Networks as they are trained: a stack of layers, and the readout of the last one's features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from widthwise.activations.phi import Activation, resolve
from widthwise.errors import InputError
from widthwise.training.layers import Average, Conv, Dense, Layer, Pool, Residual, Shape


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Parameters:
    """Every number of a network: those of the trunk, layer by layer, and the readout's `{"W", "b"}`."""

    trunk: tuple[dict[str, Any], ...]
    readout: dict[str, Any]

    @property
    def count(self) -> int:
        """p."""
        return sum(int(leaf.size) for leaf in jax.tree.leaves(self))


@dataclass(frozen=True)
class Architecture:
    """A network f(x) = w·φ(x) + c, φ(x) the N_out features of its last layer.

    Args:
        name: in words.
        layers: from the input up; what the last one gives is flattened.
        activation: of every layer, a name or a callable.
    """

    name: str
    layers: tuple[Layer, ...]
    activation: str = "relu"
    phi: Activation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("layers: expected at least one layer, got none; pass e.g. (Dense(64),).")
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "phi", resolve(self.activation))

    def init(self, key: int, shape: Shape, outputs: int | None = None) -> Parameters:
        """Random parameters: weights of variance 2/fan-in (relu, He et al. 2015) or 1/fan-in, biases 0.

        Args:
            key: the seed.
            shape: of one example: (N0,), (H, W) or (H, W, C).
            outputs: D; None for one output without an axis of its own.
        """
        gain = math.sqrt(2.0) if self.phi.name.startswith(("relu", "leaky_relu")) else 1.0
        rng, shape, trunk = np.random.default_rng(key), _with_channel(shape), []
        for layer in self.layers:
            weights, shape = layer.init(rng, shape, gain)
            trunk.append(weights)
        N = math.prod(shape)
        tail = () if outputs is None else (outputs,)
        W = rng.normal(scale=1.0 / math.sqrt(N), size=(N, *tail))
        return Parameters(tuple(trunk), {"W": jnp.asarray(W, jnp.float32), "b": jnp.zeros(tail, jnp.float32)})

    def features(self, trunk: tuple[dict[str, Any], ...], x: Any) -> Any:
        """φ(x) of a batch: (n, ...) ↦ (n, N_out), in JAX."""
        x = x[..., None] if x.ndim == 3 else x
        for layer, weights in zip(self.layers, trunk):
            x = layer.apply(weights, x, self.phi)
        return x.reshape(len(x), -1)

    def weight_norms(self, parameters: Parameters, shape: Shape) -> tuple[float, ...] | None:
        """‖W_ℓ‖_F of every layer as one matrix, its bias and a constant unit included; the readout's last.

        None where a layer is not one matrix (a residual block).
        """
        norms, shape = [], _with_channel(shape)
        for layer, weights in zip(self.layers, parameters.trunk):
            shape = jax.eval_shape(
                lambda x, layer=layer, weights=weights: layer.apply(weights, x, self.phi), jnp.zeros((1, *shape))
            ).shape[1:]
            norm = layer.norm(weights, shape)
            if norm is None:
                return None
            norms.append(norm)
        return (*norms, math.sqrt(sum(float(jnp.sum(jnp.square(w))) for w in parameters.readout.values())))

    @property
    def depth(self) -> int:
        """Layers of weights, the readout included, the longest way through."""
        return 1 + sum({Dense: 1, Conv: 1, Residual: 2}.get(type(layer), 0) for layer in self.layers)


def mlp(*widths: int, activation: str = "relu") -> Architecture:
    """Fully connected: one layer for each width."""
    return Architecture(f"mlp {'-'.join(map(str, widths))}", tuple(map(Dense, widths)), activation)


def lenet(features: int = 32, *, stride: int = 1, activation: str = "relu") -> Architecture:
    """Two 5 × 5 convolutions of 6 and 16 channels, each pooled, and a dense layer. [LeCun et al. 1998, scaled down]

    Args:
        features: N_out.
        stride: of the first convolution; 2 for images above some 12 pixels.
        activation: of every layer.
    """
    layers = (Conv(6, 5, stride), Pool(), Conv(16, 5), Pool(), Dense(features))
    return Architecture(f"lenet {features}", layers, activation)


def vgg(features: int = 64, *, channels: int = 16, stride: int = 1, activation: str = "relu") -> Architecture:
    """Two pairs of 3 × 3 convolutions, each pooled, and a dense layer. [Simonyan & Zisserman 2015, scaled down]

    Args:
        features: N_out.
        channels: of the first pair; the second has twice as many.
        stride: of the first convolution.
        activation: of every layer.
    """
    c = channels
    layers = (Conv(c, 3, stride), Conv(c), Pool(), Conv(2 * c), Conv(2 * c), Pool(), Dense(features))
    return Architecture(f"vgg {features}", layers, activation)


def resnet(features: int = 32, *, stride: int = 1, activation: str = "relu") -> Architecture:
    """A convolution, two residual blocks, the second of half the side, and the mean over pixels.

    [He et al. 2016, scaled down, without batch normalisation]

    Args:
        features: N_out, the second block's channels; even.
        stride: of the first convolution.
        activation: of every layer.
    """
    c = features // 2
    layers = (Conv(c, 3, stride), Residual(c), Residual(features, 2), Average())
    return Architecture(f"resnet {features}", layers, activation)


def _with_channel(shape: Shape) -> Shape:
    return (*shape, 1) if len(shape) == 2 else tuple(shape)
