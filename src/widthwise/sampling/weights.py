"""The network's weights themselves, in their own units, from the standardised ones that were sampled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from widthwise.errors import InputError
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.marginal import readout
from widthwise.sampling.model import Data, Model
from widthwise.sampling.patches import above
from widthwise.sampling.precision import float64, random_key
from widthwise.sampling.problem import model as model_of

if TYPE_CHECKING:
    from widthwise.sampling.samples import Samples


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer of the network in every draw.

    Attributes:
        weights: W ("C S' N_ℓ fan_in"), N(0, 1/λ) under the prior; the readout's rows are the outputs.
        biases: b ("C S' N_ℓ"), N(0, σ_b²) under the prior; None without.
    """

    weights: Float[np.ndarray, "C S N fan_in"]
    biases: Float[np.ndarray, "C S N"] | None

    @property
    def parameters(self) -> int:
        """How many numbers the layer has, weights and biases."""
        N, fan_in = self.weights.shape[2:]
        return N * (fan_in + (self.biases is not None))


def network_weights(samples: Samples, key: Any = 0, *, draws: int | None = None) -> list[LayerWeights]:
    """All the weights of the sampled networks: draws from p(θ|D), layer by layer, the readout last.

        h^1 = W^1 x/√N_0 + b^1,   h^{ℓ+1} = W^{ℓ+1} φ(h^ℓ)/√N_ℓ + b^{ℓ+1},   f = v φ(h^L)/√N_L
                                                                            [Pacelli et al. 2023, arXiv 2209.04882]

    What the chains leave out is drawn from its exact law given what they hold: the first layer orthogonal to the
    training inputs from the prior, an integrated readout from its Gaussian, whose draw is the ridge fit of perturbed
    targets:

        v/√F = u + w(y − Φu − ε),   u ~ N(0, 1/c),  ε ~ N(0, T),   w(r) = (cT + ΦᵀΦ)^{-1}Φᵀr,  c = λ_L F
                                                                            [Papandreou and Yuille 2010, NeurIPS 23]

    A convolutional filter's fan-in lists (down, across, channel); a dense readout's (patch, channel), F = N_L n_L; an
    average-pooled one has the F = N_L weights v_c of f = Σ_c v_c ⟨φ(h_c)⟩_patches/√N_L.

    Args:
        samples: from `ww.sample`.
        key: a whole number, or a JAX random key, of what is drawn here.
        draws: of each chain at most, evenly spaced among those whose weights were kept; None: all of these.

    Returns:
        layers: L + 1 of them; their arrays begin with (chains, draws).

    Raises:
        InputError: `draws` below one, or the weights would not fit in the sampler's `memory`.
    """
    network, frame = samples.network, samples.frame
    stack, T = above(network, samples.X_test.shape[1:]), samples.temperature
    with float64():
        model, data = model_of(network, samples.sampler.collapsed, T, samples.inputs, samples.y, stack)
        z = chosen(samples.weights, draws)
        _check_memory(samples, model, z.shape[0] * z.shape[1])
        key_outside, key_readout = jax.random.split(jax.random.fold_in(random_key(key), 2))
        sizes = [rows * columns for rows, columns in model.shapes]
        parts = np.split(z, np.cumsum(sizes)[:-1], axis=2)
        standard = [part.reshape(*z.shape[:2], *shape) for part, shape in zip(parts, model.shapes)]
        fresh = jax.random.normal(key_outside, (*standard[0].shape[:3], len(frame.basis)))
        standard[0] = completed(frame, standard[0], np.asarray(fresh))
        if model.collapsed:
            flat = jnp.asarray(z.reshape(-1, model.dimension))
            drawn = np.asarray(draw_readouts(model, data, flat, jax.random.split(key_readout, len(flat))))
            standard.append(drawn.reshape(*z.shape[:2], *drawn.shape[1:]))
    biased = (True, *model.biased, False)
    deviations = np.sqrt((*network.bias_variances, 0.0))
    layers = []
    for z_layer, with_biases, precision, deviation in zip(standard, biased, network.precisions, deviations):
        W, b = (z_layer[..., :-1], z_layer[..., -1]) if with_biases else (z_layer, None)
        layers.append(LayerWeights(W / math.sqrt(precision), b * deviation if b is not None and deviation else None))
    return layers


def completed(
    frame: Frame, inside: Float[np.ndarray, "C S N r"], fresh: Float[np.ndarray, "C S N M"]
) -> Float[np.ndarray, "C S N M"]:
    """The first layer in all its coordinates, biases last: the sampled part, and prior draws outside the span."""
    return fresh + (inside - fresh @ frame.basis) @ frame.basis.T


@partial(jax.jit, static_argnames=("model",))
def draw_readouts(
    model: Model, data: Data, weights: Float[Array, "S dimension"], keys: Array
) -> Float[Array, "S D features"]:
    """The integrated readout of each of S draws of the hidden weights, in units where its prior is N(0, 1)."""

    def one(pair: tuple[Array, Array]) -> Array:
        z, key = pair
        layers = model.layers(z)
        Phi = model._features(layers, data.inputs @ layers[0].T, data)
        key_u, key_noise = jax.random.split(key)
        u = jax.random.normal(key_u, (model.features, model.outputs)) / jnp.sqrt(data.readout)
        noise = jnp.sqrt(data.temperature) * jax.random.normal(key_noise, data.y.shape)
        u += readout(Phi, data.y - Phi @ u - noise, data.temperature, data.readout).weights
        return jnp.sqrt(data.readout) * u.T

    return jax.lax.map(one, (weights, keys))


def chosen(weights: Float[np.ndarray, "C kept dimension"], draws: int | None) -> Float[np.ndarray, "C S dimension"]:
    """As many draws of each chain as are wanted, evenly spaced."""
    kept = weights.shape[1]
    if draws is None:
        return weights
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise InputError(f"draws: expected a whole number of at least 1, got {draws!r}; pass e.g. {kept}, or None.")
    return weights[:, np.unique(np.linspace(0, kept - 1, min(int(draws), kept)).astype(int))]


def _check_memory(samples: Samples, model: Model, draws: int) -> None:
    """Refuse weights that would not fit: the first layer is there three times while it is completed."""
    first, above_it = model.widths[0] * len(samples.frame.basis), model.dimension + model.features * model.outputs
    need, limit = 8 * draws * (3 * first + 2 * above_it) / 2**30, samples.sampler.memory
    if need > limit:
        raise InputError(
            f"memory: expected weights of at most {limit:g} GiB, got an estimate of {need:.3g} GiB; "
            f"ask for fewer, e.g. draws={max(1, int(draws * limit / need) // len(samples.weights))}."
        )
