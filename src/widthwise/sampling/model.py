"""The network as its sampler sees it: one flat vector of standardised weights, each N(0, 1) under the prior.

h^1 = C z^1ᵀ (+ what is outside the training inputs' span),   h^{ℓ+1} = φ(h^ℓ) z^{ℓ+1}ᵀ/√(λ_ℓ N_ℓ) + σ_b z_b^{ℓ+1}

C has a row for each input, or one for each of its n_1 patches: the same z^1 sees them all. A convolutional layer above
has a row for each of its own patches, the features of the patches below side by side in it, zeros for padding. The
readout then sees the features of an image's patches side by side (N_L n_L of them) or averaged (N_L).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from widthwise.activations.phi import Activation
from widthwise.sampling.marginal import log_evidence, predictive, readout


class Data(NamedTuple):
    """The numbers of a run: everything that may change without compiling anew."""

    inputs: Float[Array, "rows r"]
    y: Float[Array, "P D"]
    temperature: Float[Array, ""]
    scales: Float[Array, " M"]
    bias_scales: Float[Array, " M"]
    readout: Float[Array, ""]
    precisions: Float[Array, " layers"]
    above: tuple[Int[Array, "patches entries"], ...] = ()


class Points(NamedTuple):
    """Points to predict: coordinates in the training inputs' span, and the root of what sticks out of it."""

    inputs: Float[Array, "rows r"]
    outside: Float[Array, "rows m"]


class Predicted(NamedTuple):
    """f on a set of points given one draw of the weights: mean, and the variance left by an integrated readout."""

    mean: Float[Array, "n D"]
    variance: Float[Array, " n"]


@dataclass(frozen=True)
class Model:
    """The shape of a sampled network (static: one compilation for each).

    Args:
        inputs: r, the dimension of the training inputs' span (biases of the first layer included).
        widths: N_1 … N_L.
        outputs: D.
        phi: the activation.
        biased: whether the hidden layers 2 … L have biases.
        collapsed: whether the readout is integrated out.
        patches: n_L, the rows that one input has before the readout (1: the whole input is one).
        pooled: whether the readout sees the patches' average.
        stack: for each convolutional layer after the first, (n, how many of these one of its own patches sees), n the
            patches of the layer below.
    """

    inputs: int
    widths: tuple[int, ...]
    outputs: int
    phi: Activation
    biased: tuple[bool, ...]
    collapsed: bool
    patches: int = 1
    pooled: bool = False
    stack: tuple[tuple[int, int], ...] = ()

    @property
    def features(self) -> int:
        """F, how many features of an input the readout sees, for each output."""
        return self.widths[-1] * (1 if self.pooled else self.patches)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shape of each layer's weights; a layer's biases are its last column, the readout (if sampled) comes last."""
        seen = [entries for _, entries in self.stack] or [1] * len(self.biased)
        hidden = zip(self.widths[1:], self.widths[:-1], seen, self.biased)
        layers = [(self.widths[0], self.inputs), *((N, M * entries + biased) for N, M, entries, biased in hidden)]
        return tuple(layers if self.collapsed else [*layers, (self.outputs, self.features)])

    @property
    def dimension(self) -> int:
        """How many weights are sampled."""
        return sum(rows * columns for rows, columns in self.shapes)

    def spread_over_weights(self, values: Float[Array, " layers"]) -> Float[Array, " dimension"]:
        """One number of each layer, for each of its weights."""
        sizes = np.array([rows * columns for rows, columns in self.shapes])
        return jnp.repeat(values[: len(sizes)], sizes, total_repeat_length=self.dimension)

    def layers(self, z: Float[Array, " dimension"]) -> list[Array]:
        """The flat vector, cut into layers."""
        parts, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            parts.append(z[start : start + size].reshape(shape))
            start += size
        return parts

    def _features(self, layers: list[Array], h: Float[Array, "rows N1"], data: Data) -> Float[Array, "n F"]:
        """What the readout sees, φ(h^L), from h^1."""
        features = self.phi(h)
        for index, biased in enumerate(self.biased):
            W = layers[index + 1]
            if self.stack:
                features = _side_by_side(features, self.stack[index][0], data.above[index])
            h = data.scales[index] * features @ (W[:, :-1] if biased else W).T
            if biased:
                h = h + data.bias_scales[index] * W[:, -1]
            features = self.phi(h)
        if self.pooled:
            return features.reshape(-1, self.patches, self.widths[-1]).mean(axis=1)
        return features.reshape(-1, self.features)

    def log_likelihood(self, z: Float[Array, " dimension"], data: Data) -> Float[Array, ""]:
        """log p(y | z): Gaussian of variance T about the network's output, the readout integrated if collapsed."""
        layers = self.layers(z)
        Phi = self._features(layers, data.inputs @ layers[0].T, data)
        if self.collapsed:
            return log_evidence(Phi, data.y, data.temperature, data.readout)
        rest = data.y - Phi @ layers[-1].T / jnp.sqrt(data.readout)
        return -0.5 * (jnp.sum(rest**2) / data.temperature + rest.size * jnp.log(2.0 * jnp.pi * data.temperature))

    def log_density(self, z: Float[Array, " dimension"], data: Data) -> Float[Array, ""]:
        """log p(y | z) + log p(z), the latter without its constant."""
        return self.log_likelihood(z, data) - 0.5 * jnp.dot(z, z)

    def predict(self, z: Float[Array, " dimension"], data: Data, points: Points, key: Array) -> list[Predicted]:
        """f on the training points and on `points`, given the sampled weights.

        Weights orthogonal to the training inputs keep their prior: they are drawn afresh from `key`, one draw for all
        the points together.
        """
        layers = self.layers(z)
        Phi = self._features(layers, data.inputs @ layers[0].T, data)
        fresh = jax.random.normal(key, (self.widths[0], points.outside.shape[1]))
        h = points.inputs @ layers[0].T + points.outside @ fresh.T
        sets = [Phi, self._features(layers, h, data)]
        if self.collapsed:
            law = readout(Phi, data.y, data.temperature, data.readout)
            return [Predicted(*predictive(law, Phi, F, data.temperature, data.readout)) for F in sets]
        v = layers[-1].T / jnp.sqrt(data.readout)
        return [Predicted(F @ v, jnp.zeros(F.shape[0])) for F in sets]


def _side_by_side(
    features: Float[Array, "rows N"], n: int, above: Int[Array, "patches entries"]
) -> Float[Array, "rows_above seen"]:
    """For each patch the features of the n below that it sees, in one row; of padding zeros."""
    N = features.shape[1]
    padded = jnp.pad(features.reshape(-1, n, N), ((0, 0), (0, 1), (0, 0)))
    return padded[:, above].reshape(-1, above.shape[1] * N)


@partial(jax.jit, static_argnames=("model",))
def predict_all(
    model: Model, data: Data, points: Points, weights: Float[Array, "S dimension"], keys: Array
) -> list[Predicted]:
    """f on the training points and on `points` for each of S draws of the weights and as many random keys.

    One draw after the other: test sets are large, and the features of several draws need not fit at once.
    """
    return jax.lax.map(lambda pair: model.predict(pair[0], data, points, pair[1]), (weights, keys))
