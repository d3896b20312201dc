"""Hamiltonian Monte Carlo in standardised coordinates, many chains at once, on BlackJAX's kernel.

The prior N(0, I) is integrated exactly: between two kicks of the likelihood, position and momentum rotate into each
other, (q, p) → (q cos ε + p sin ε, p cos ε − q sin ε). With a flat likelihood every proposal is accepted, and one of
length π/2 is independent of where it started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from blackjax.mcmc import hmc
from blackjax.mcmc.integrators import IntegratorState
from jaxtyping import Array

from widthwise.sampling.model import Data, Model
from widthwise.sampling.moves.move import AbstractMove, Chances, Plan, Trace, traced


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


def trajectories(keys: Any, states: Any, log_density: Callable, plan: Plan, jitter: Array) -> tuple[Any, Any, Array]:
    """One of every chain, of jittered length and as many steps: the states after them, what BlackJAX tells, the steps.

    Args:
        keys: of each chain.
        states: of the chains.
        log_density: of one position.
        plan: its size is the step's.
        jitter: factor of the length.
    """
    length = plan.length * jitter
    steps = jnp.clip(jnp.ceil(length / plan.size), 1, plan.limit).astype(int)
    size = jnp.minimum(length / steps, plan.size)
    mass = jnp.ones(states.position.shape[1])
    states, info = jax.vmap(lambda key, state: _kernel(key, state, log_density, size, mass, steps))(keys, states)
    return states, info, steps


@dataclass(frozen=True)
class Trajectory(AbstractMove):
    """One trajectory of every chain; its length is jittered, and shared as the number of steps is."""

    def step(self, model: Model, data: Data, chance: Chances, states: Any, plan: Plan) -> tuple[Any, Trace]:
        def log_density(z: Any) -> Any:
            return model.log_density(z, data)

        states, info, steps = trajectories(chance.keys, states, log_density, plan, chance.jitter)
        return states, traced(states, info.acceptance_rate, info.is_divergent, steps)
