"""What networks are stacked of: each layer makes its weights, applies them, and knows its Frobenius norm.

A layer sees one batch: (n, ...) with one example's shape in `...`, images as (H, W, C). Weights are `{"W", "b"}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from widthwise.errors import InputError

Weights = dict[str, Any]
Shape = tuple[int, ...]
Phi = Callable[[Any], Any]


@dataclass(frozen=True)
class Dense:
    """φ(W x + b) of the flattened input.

    Args:
        width: units, at least 1.
    """

    width: int

    def __post_init__(self) -> None:
        _at_least_one("width", self.width)

    def init(self, rng: np.random.Generator, shape: Shape, gain: float) -> tuple[Weights, Shape]:
        """Weights of variance gain²/fan-in, no bias; and the shape of what comes out."""
        return _normal(rng, (math.prod(shape), self.width), math.prod(shape), gain), (self.width,)

    def apply(self, weights: Weights, x: Any, phi: Phi) -> Any:
        """(n, ...) ↦ (n, width)."""
        return phi(x.reshape(len(x), -1) @ weights["W"] + weights["b"])

    def norm(self, weights: Weights, shape: Shape) -> float | None:
        """‖[[W, b], [0, 1]]‖_F: with the constant unit that carries the bias."""
        return math.sqrt(_squares(weights) + 1.0)


@dataclass(frozen=True)
class Conv:
    """φ of a convolution, padded with zeros so that stride 1 keeps the image's size.

    Args:
        channels: of the result, at least 1.
        size: side of the square filter.
        stride: between its places.
    """

    channels: int
    size: int = 3
    stride: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "size", "stride"):
            _at_least_one(name, getattr(self, name))

    def init(self, rng: np.random.Generator, shape: Shape, gain: float) -> tuple[Weights, Shape]:
        """Filters of variance gain²/fan-in, no bias; and the shape of what comes out."""
        H, W, C = image(shape)
        filters = _normal(rng, (self.size, self.size, C, self.channels), self.size**2 * C, gain)
        return filters, (-(-H // self.stride), -(-W // self.stride), self.channels)

    def apply(self, weights: Weights, x: Any, phi: Phi) -> Any:
        """(n, H, W, C) ↦ (n, H/stride, W/stride, channels)."""
        return phi(_convolve(x, weights, self.stride))

    def norm(self, weights: Weights, shape: Shape) -> float | None:
        """Of the whole linear map: the filter and its bias at every place, and the constant unit."""
        return math.sqrt(_squares(weights) * math.prod(shape[:2]) + 1.0)


@dataclass(frozen=True)
class Residual:
    """φ(s(x) + W₂ φ(W₁ x)), s the identity, or a 1 × 1 convolution where the shape changes.

    Args:
        channels: of the result, at least 1.
        stride: of the first convolution and of s.
    """

    channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        _at_least_one("channels", self.channels)
        _at_least_one("stride", self.stride)

    def init(self, rng: np.random.Generator, shape: Shape, gain: float) -> tuple[Weights, Shape]:
        """Three convolutions' weights (the last only where s has any); and the shape of what comes out."""
        inner, after = Conv(self.channels, stride=self.stride).init(rng, shape, gain)
        weights = {"inner": inner, "outer": Conv(self.channels).init(rng, after, 1.0)[0]}
        if after != tuple(shape):
            weights["skip"] = Conv(self.channels, size=1, stride=self.stride).init(rng, shape, 1.0)[0]
        return weights, after

    def apply(self, weights: Weights, x: Any, phi: Phi) -> Any:
        """(n, H, W, C) ↦ (n, H/stride, W/stride, channels)."""
        skip = _convolve(x, weights["skip"], self.stride) if "skip" in weights else x
        return phi(skip + _convolve(phi(_convolve(x, weights["inner"], self.stride)), weights["outer"], 1))

    def norm(self, weights: Weights, shape: Shape) -> float | None:
        """None: a sum of paths is no single matrix."""
        return None


@dataclass(frozen=True)
class Pool:
    """Averages of 2 × 2 pixels; an odd last row or column is left out."""

    def init(self, rng: np.random.Generator, shape: Shape, gain: float) -> tuple[Weights, Shape]:
        """No weights; and the shape of what comes out."""
        H, W, C = image(shape)
        if min(H, W) < 2:
            raise InputError(f"Pool: expected images of at least 2 x 2 pixels here, got {H} x {W}; leave one Pool out.")
        return {}, (H // 2, W // 2, C)

    def apply(self, weights: Weights, x: Any, phi: Phi) -> Any:
        """(n, H, W, C) ↦ (n, H/2, W/2, C)."""
        n, H, W, C = x.shape
        return x[:, : H // 2 * 2, : W // 2 * 2].reshape(n, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))

    def norm(self, weights: Weights, shape: Shape) -> float | None:
        """Its spectral norm with the constant unit: it only multiplies the next matrix."""
        return 1.0


@dataclass(frozen=True)
class Average:
    """The mean over all pixels: one number per channel."""

    def init(self, rng: np.random.Generator, shape: Shape, gain: float) -> tuple[Weights, Shape]:
        """No weights; and the shape of what comes out."""
        return {}, (image(shape)[2],)

    def apply(self, weights: Weights, x: Any, phi: Phi) -> Any:
        """(n, H, W, C) ↦ (n, C)."""
        return x.mean(axis=(1, 2))

    def norm(self, weights: Weights, shape: Shape) -> float | None:
        """As `Pool`."""
        return 1.0


Layer = Dense | Conv | Residual | Pool | Average


def image(shape: Shape) -> tuple[int, int, int]:
    """(H, W, C) of one example.

    Raises:
        InputError: it is no image.
    """
    if len(shape) != 3:
        raise InputError(
            f"expected images (P, H, W) or (P, H, W, C) for a convolutional layer, got examples of shape {shape}; "
            "reshape X, or describe a network of Dense layers."
        )
    H, W, C = shape
    return H, W, C


def _convolve(x: Any, weights: Weights, stride: int) -> Any:
    """Zero padding as XLA's "SAME"; by patches and one product: XLA's convolution is many times slower on a CPU."""
    size, (H, W, C) = len(weights["W"]), x.shape[1:]
    after = -(-H // stride), -(-W // stride)
    missing = [max(0, (m - 1) * stride + size - length) for m, length in zip(after, (H, W))]
    x = jnp.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in missing), (0, 0)))
    shifts = [(i, j) for i in range(size) for j in range(size)]
    spans = [(m - 1) * stride + 1 for m in after]
    patches = [x[:, i : i + spans[0] : stride, j : j + spans[1] : stride] for i, j in shifts]
    return jnp.concatenate(patches, axis=-1) @ weights["W"].reshape(size * size * C, -1) + weights["b"]


def _normal(rng: np.random.Generator, shape: Shape, fan_in: int, gain: float) -> Weights:
    W = rng.normal(scale=gain / math.sqrt(fan_in), size=shape)
    return {"W": jnp.asarray(W, jnp.float32), "b": jnp.zeros(shape[-1], jnp.float32)}


def _squares(weights: Weights) -> float:
    return float(sum(jnp.sum(jnp.square(w)) for w in weights.values()))


def _at_least_one(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}; pass e.g. 16.")
