"""The contract of a move, and the loop that makes many of them, of all chains of all networks at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc import hmc
from jaxtyping import Array, Float

from widthwise.sampling.model import Data, Model

JITTER = 0.3  # of a trajectory's length, either way, so that none is a multiple of a period


class Trace(NamedTuple):
    """What one transition leaves behind, over (draws, chains).

    Attributes:
        log_likelihood: of the state after it.
        acceptance, divergent: of its trajectory.
        steps: gradients that it took.
        levels: of a ladder ("draws chains levels") each: the log likelihoods, and which replica is at each level.
    """

    log_likelihood: Any
    acceptance: Any
    divergent: Any
    steps: Any
    levels: tuple[Any, ...] = ()


class Chances(NamedTuple):
    """The randomness of some transitions, drawn beforehand: it would double what has to be compiled.

    Attributes:
        keys: of each chain ("draws chains").
        jitter: factor of a trajectory's length, shared by the chains (" draws").
    """

    keys: Any
    jitter: Any


class Plan(NamedTuple):
    """How to move: numbers all, so that warming up and drawing are one compiled function.

    Attributes:
        size: of a step; zero for that of the adaptation.
        length: mean, of a trajectory; no step is longer.
        limit: of the steps of one. With a small one chains roll down from the prior without losing time while the step
            size is still wrong.
        target: acceptance to adapt to, averaged over the chains.
    """

    size: Any
    length: Any
    limit: Any
    target: Any


@dataclass(frozen=True)
class AbstractMove:
    """One transition of every chain of one network.

    A chain's state is BlackJAX's `HMCState`: position, log density and its gradient; or another with `position`, which
    `begin` makes. Static: hashable, compiled once.
    """

    def begin(self, states: Any) -> Any:
        """The states that it moves, of all networks, from those that `start` gives."""
        return states

    def enter(self, states: Any, adapts: bool) -> Any:
        """The states, of all networks, at the beginning of a later stage, which `adapts` or does not."""
        return states

    def step(self, model: Model, data: Data, chance: Chances, states: Any, plan: Plan) -> tuple[Any, Trace]:
        """The states after it, and what it leaves behind, over chains.

        Args:
            model, data: the network.
            chance: of one transition: a key for each chain, one jitter.
            states: of the chains.
            plan: its size is the step's, never zero here.
        """
        raise NotImplementedError


def traced(states: Any, acceptance: Array, divergent: Array, steps: Array) -> Trace:
    """The trace of states that have moved."""
    likelihood = states.logdensity + 0.5 * jnp.sum(states.position**2, axis=1)
    return Trace(likelihood, acceptance, divergent, jnp.broadcast_to(steps, likelihood.shape))


def chances(key: Any, draws: int, chains: int) -> Chances:
    """The randomness of `draws` transitions."""
    key_chains, key_jitter = jax.random.split(key)
    jitter = jax.random.uniform(key_jitter, (draws,), minval=1.0 - JITTER, maxval=1.0 + JITTER)
    return Chances(jax.random.split(key_chains, (draws, chains)), jitter)


def over_networks(function: Any, *arguments: Any) -> Any:
    """`function` over the first axis of every argument: as it is for one network, vectorised for more."""
    if jax.tree.leaves(arguments)[0].shape[0] == 1:
        found = function(*jax.tree.map(lambda a: a[0], arguments))
        return jax.tree.map(lambda a: a[None], found)
    return jax.vmap(function)(*arguments)


@partial(jax.jit, static_argnames=("model",))
def start(model: Model, data: Data, positions: Float[Array, "networks chains dimension"]) -> Any:
    """Chains at these positions."""

    def of_one(data: Data, positions: Array) -> Any:
        return jax.vmap(lambda z: hmc.init(z, lambda z: model.log_density(z, data)))(positions)

    return over_networks(of_one, data, positions)


def adaptation(target: float, sizes: Float[np.ndarray, " networks"]) -> Any:
    """A fresh state of the step-size adaptation, its types those of later ones: `advance` is then compiled once."""
    states = [dual_averaging_adaptation(target)[0](size) for size in sizes]
    return jax.tree.map(lambda *a: np.asarray(a, dtype=float), *states)


@partial(jax.jit, static_argnames=("model", "move"))
def advance(
    model: Model, move: AbstractMove, data: Data, moves: Chances, states: Any, adapting: Any, plan: Plan
) -> tuple[Any, Any, Trace, Any]:
    """One transition for each of `moves`; everything but `model` and `move` has a first axis over networks.

    Returns:
        the chains' states, the adaptation's, the trace ("networks draws chains"), and the positions ("networks draws
        chains dimension").
    """

    def of_one(data: Data, moves: Chances, states: Any, adapting: Any, plan: Plan) -> Any:
        update = dual_averaging_adaptation(plan.target)[1]

        def one(carry: Any, chance: Chances) -> Any:
            states, adapting = carry
            size = jnp.where(plan.size > 0, plan.size, jnp.minimum(jnp.exp(adapting.log_step_size), plan.length))
            states, trace = move.step(model, data, chance, states, plan._replace(size=size))
            return (states, update(adapting, jnp.mean(trace.acceptance))), (trace, states.position)

        (states, adapting), (trace, positions) = jax.lax.scan(one, (states, adapting), moves)
        return states, adapting, trace, positions

    return over_networks(of_one, data, moves, states, adapting, plan)
