"""Which neurons of the sampled network specialise: each one's share of the order parameter, from its kept weights.

    q_i = λ_L |⟨v_i | W⟩|²/N_L,   ⟨v | W⟩ the mean readout given the hidden weights

Many small shares make a Gaussian network; a neuron whose share is O(1), at any width, carries a part of the function
alone. Nothing here is the theory's: `posterior.phases` says the same of its own neurons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtr

from widthwise.errors import InputError
from widthwise.networks import FullyConnected
from widthwise.sampling.estimates import Estimate, estimate
from widthwise.sampling.marginal import readout
from widthwise.sampling.model import Data, Model
from widthwise.sampling.patches import above
from widthwise.sampling.precision import float64
from widthwise.sampling.problem import model as model_of

if TYPE_CHECKING:
    from widthwise.sampling.samples import Samples

OWN = 0.5  # the share that makes a neuron specialised where no valley tells
DEEPEST = 1 / 3  # of a valley's density, in that of the lower of its two modes
LEAST = 20  # draws with a specialised neuron, and shares of others
CLEAR = 4.0  # standard deviations of counts, from the valley to the lower mode
_WIDE = 0.1  # bins of log q
_BINS = 256 / 70  # that (1, 4, 6, 4, 1)/16 averages
_SMALLEST = 1e-6  # q that counts


@dataclass(frozen=True)
class Specialisation:
    """The order parameter of specialisation, averaged over the kept draws.

    Attributes:
        count: neurons of the last hidden layer with λ_L v_i²/N_L above the threshold.
        fraction: of its N neurons.
        kurtosis: excess kurtosis of a readout weight v_i.
        share: of Q = Σ_i λ_L v_i²/N_L, that the specialised carry.
        threshold: q from which a neuron is specialised: the valley, else ½.
        separated: whether there is a valley.
    """

    count: Estimate
    fraction: Estimate
    kurtosis: Estimate
    share: Estimate
    threshold: float
    separated: bool


def readout_shares(samples: Samples) -> tuple[Float[np.ndarray, "C S N"], Float[np.ndarray, "C S N"]]:
    """q_i of every neuron of the last hidden layer, and λ_L var(v_i | W)/N_L; both summed over outputs.

    Args:
        samples: of a fully connected network, with the weights of some draws.

    Raises:
        InputError: a convolutional network.
    """
    network = samples.network
    if not isinstance(network, FullyConnected):
        raise InputError(f"specialisation: expected a fully connected network, got {network.name}; sample one.")
    z = samples.weights
    with float64():
        stack = above(network, samples.X_test.shape[1:])
        arguments = (network, samples.sampler.collapsed, samples.temperature, samples.inputs, samples.y, stack)
        model, data = model_of(*arguments)
        found = _readouts(model, data, jnp.asarray(z.reshape(-1, model.dimension)))
        mean, variance = (np.asarray(part).reshape(*z.shape[:2], -1) for part in found)
    return network.precisions[-1] * mean, variance / network.widths[-1]


def specialisation(samples: Samples) -> Specialisation:
    """How many neurons are specialised: `Samples.specialisation`."""
    q, variance = readout_shares(samples)
    C, S, _ = q.shape
    if C * S < LEAST:
        raise InputError(
            f"weights_memory: expected the weights of {LEAST} draws or more, got those of {C * S}; sample with more "
            f"than weights_memory={samples.sampler.weights_memory:g}."
        )
    threshold, separated = valley(q)
    s = np.sqrt(variance)
    near, far = ((math.sqrt(threshold) + side * np.sqrt(q)) / np.maximum(s, 1e-12) for side in (-1.0, 1.0))
    m = ndtr(-near) + ndtr(-far)  # v | W is Gaussian
    bell = [np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) for x in (near, far)]
    above_it = (q + variance) * m + variance * (far * bell[0] + near * bell[1])
    second, carried = (q + variance).mean(axis=2), above_it.mean(axis=2)
    fourth = (q**2 + 6.0 * q * variance + 3.0 * variance**2).mean(axis=2)
    M, share = second.mean(), carried.mean() / second.mean()
    # of ratios the first order in the means
    tails = fourth.mean() / M**2 - 3.0 + (fourth - fourth.mean()) / M**2 - 2.0 * fourth.mean() * (second - M) / M**3
    return Specialisation(
        count=estimate(m.sum(axis=2)),
        fraction=estimate(m.mean(axis=2)),
        kurtosis=estimate(tails),
        share=estimate(share + (carried - share * second) / M),
        threshold=threshold,
        separated=separated,
    )


def valley(q: Float[np.ndarray, "C S N"]) -> tuple[float, bool]:
    """The least likely log q between two modes, if it is at most a third as likely as either; ½ without one.

    Args:
        q: shares of all neurons.
    """
    x = np.log(q[q > _SMALLEST])
    if not x.size:
        return OWN, False
    edges = np.arange(math.log(_SMALLEST), max(float(x.max()), 0.0) + 10 * _WIDE, _WIDE)
    counts = np.histogram(x, edges)[0]
    density = np.convolve(np.pad(counts, 2, mode="edge"), (1, 4, 6, 4, 1), mode="valid") / 16.0
    largest = np.log(np.maximum(q.max(axis=2).ravel(), _SMALLEST))
    fewest = max(LEAST, len(largest) // 500)
    best, threshold = 1.0, OWN
    for i in range(1, len(density) - 1):
        upper = i + int(np.argmax(density[i:]))
        lower = min(float(density[:i].max()), float(density[upper]))
        clear = (lower - density[i]) ** 2 * _BINS >= CLEAR**2 * (lower + density[i])
        often = clear and counts[:i].sum() >= max(LEAST, len(x) // 50) and (largest > edges[i]).sum() >= fewest
        if often and edges[upper] > math.log(0.2) and density[i] < best * lower:
            best, threshold = float(density[i] / lower), math.exp(0.5 * (edges[i] + edges[i + 1]))
    eighths = [part.any() for part in np.array_split(largest > math.log(threshold), 8)]
    return (threshold, True) if best <= DEEPEST and sum(eighths) >= 3 else (OWN, False)


@partial(jax.jit, static_argnames=("model",))
def _readouts(
    model: Model, data: Data, weights: Float[Array, "S dimension"]
) -> tuple[Float[Array, "S N"], Float[Array, "S N"]]:
    """|w_i|², w the mean of v/√N_L, and λ_L var(v_i | W); over outputs both are summed."""

    def one(z: Array) -> tuple[Array, Array]:
        layers = model.layers(z)
        hidden = layers if model.collapsed else layers[:-1]
        Phi = model._features(hidden, data.inputs @ layers[0].T, data)
        law = readout(Phi, data.y, data.temperature, data.readout)
        variance = jnp.maximum(1.0 - jnp.sum(Phi * law.solved, axis=0), 0.0)
        return jnp.sum(law.weights**2, axis=1), model.outputs * variance

    return jax.lax.map(one, weights)
