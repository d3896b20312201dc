"""Hamiltonian Monte Carlo in standardised coordinates, many chains at once, on BlackJAX's kernel and adaptation.

The prior N(0, I) is integrated exactly: between two kicks of the likelihood, position and momentum rotate into each
other, (q, p) → (q cos ε + p sin ε, p cos ε − q sin ε). With a flat likelihood every proposal is accepted, and one of
length π/2 is independent of where it started.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import hmc
from blackjax.mcmc.integrators import IntegratorState
from jaxtyping import Array, Float

from widthwise.sampling.model import Data, Model

JITTER = 0.3  # of a trajectory's length, either way, so that none is a multiple of a period
FIRST_STEP = 0.1
SHORT = 10  # steps of a trajectory at most: on the way down from the prior, and afterwards
LONG = 1000


def rotation(logdensity: Callable, kinetic_energy: Callable) -> Callable:
    """A leapfrog step that follows the standard normal prior exactly: half a kick, a rotation, half a kick.

    BlackJAX's log density holds the prior, −|q|²/2; its force −q is taken out of the kick again.
    """
    value_and_grad = jax.value_and_grad(logdensity)

    def step(state: IntegratorState, size: Any) -> IntegratorState:
        q, p, _, gradient = state
        p = p + 0.5 * size * (gradient + q)
        cos, sin = jnp.cos(size), jnp.sin(size)
        q, p = q * cos + p * sin, p * cos - q * sin
        value, gradient = value_and_grad(q)
        return IntegratorState(q, p + 0.5 * size * (gradient + q), value, gradient)

    return step


_kernel = hmc.build_kernel(integrator=rotation)


class Trace(NamedTuple):
    """What one transition leaves behind, over (draws, chains)."""

    log_likelihood: Any
    acceptance: Any
    divergent: Any
    steps: Any


class Chances(NamedTuple):
    """The randomness of some transitions, drawn beforehand: it would double what has to be compiled.

    Attributes:
        keys: of each chain ("draws chains").
        jitter: factor of the trajectory's length, shared by the chains (" draws").
    """

    keys: Any
    jitter: Any


def chances(key: Any, draws: int, chains: int) -> Chances:
    """The randomness of `draws` transitions."""
    key_chains, key_jitter = jax.random.split(key)
    jitter = jax.random.uniform(key_jitter, (draws,), minval=1.0 - JITTER, maxval=1.0 + JITTER)
    return Chances(jax.random.split(key_chains, (draws, chains)), jitter)


def _transition(model: Model, data: Data, chance: Chances, states: Any, size: Any, length: Any, limit: Any) -> Any:
    """One trajectory of every chain; its length is jittered, and shared as the number of steps is."""
    length = length * chance.jitter
    steps = jnp.clip(jnp.ceil(length / size), 1, limit).astype(int)
    size = jnp.minimum(length / steps, size)
    mass = jnp.ones(model.dimension)

    def one(key: Any, state: Any) -> Any:
        return _kernel(key, state, lambda z: model.log_density(z, data), size, mass, steps)

    states, info = jax.vmap(one)(chance.keys, states)
    likelihood = states.logdensity + 0.5 * jnp.sum(states.position**2, axis=1)
    return states, Trace(likelihood, info.acceptance_rate, info.is_divergent, jnp.broadcast_to(steps, likelihood.shape))


@partial(jax.jit, static_argnames=("model",))
def start(model: Model, data: Data, positions: Float[Array, "chains dimension"]) -> Any:
    """Chains at these positions."""
    return jax.vmap(lambda z: hmc.init(z, lambda z: model.log_density(z, data)))(positions)


def adaptation(target: Any, size: Any = FIRST_STEP) -> Any:
    """A fresh state of the step-size adaptation, its types those of later ones: `advance` is then compiled once."""
    return jax.tree.map(lambda a: np.asarray(a, dtype=float), dual_averaging_adaptation(target)[0](size))


class Plan(NamedTuple):
    """How to move: numbers all, so that warming up and drawing are one compiled function.

    Attributes:
        size: of a step; zero for that of the adaptation.
        length: mean, of a trajectory.
        limit: of the steps of one. With a small one chains roll down from the prior without losing time while the step
            size is still wrong.
        target: acceptance to adapt to, averaged over the chains.
    """

    size: Any
    length: Any
    limit: Any
    target: Any


@partial(jax.jit, static_argnames=("model",))
def advance(
    model: Model, data: Data, moves: Chances, states: Any, adapting: Any, plan: Plan
) -> tuple[Any, Any, Trace, Any]:
    """One transition for each of `moves`.

    Returns:
        the chains' states, the adaptation's, the trace, and the positions ("draws chains dimension").
    """
    update = dual_averaging_adaptation(plan.target)[1]

    def one(carry: Any, chance: Chances) -> Any:
        states, adapting = carry
        size = jnp.where(plan.size > 0, plan.size, jnp.minimum(jnp.exp(adapting.log_step_size), plan.length))
        states, trace = _transition(model, data, chance, states, size, plan.length, plan.limit)
        return (states, update(adapting, jnp.mean(trace.acceptance))), (trace, states.position)

    (states, adapting), (trace, positions) = jax.lax.scan(one, (states, adapting), moves)
    return states, adapting, trace, positions
