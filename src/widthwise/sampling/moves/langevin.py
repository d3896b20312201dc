"""Discretised Langevin dynamics, unadjusted.

In standardised weights z = √λ_ℓ θ the dynamics θ ← θ − η ∂(loss + T prior) + √(2ηT) ξ reads

    z ← z + h_ℓ ∂/∂z log p(z|D) + √(2 h_ℓ) ξ,   h_ℓ = η T λ_ℓ

The weights that the training inputs do not meet follow a dynamics of their own and leave the others alone, so that the
reduced first layer moves exactly as the whole one would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from blackjax.mcmc.hmc import HMCState

from widthwise.sampling.model import Data, Model
from widthwise.sampling.moves.move import AbstractMove, Chances, Plan, Trace, traced

LOST = 1e50  # of a log density: a chain that far has run away, and what it predicts is no number


@dataclass(frozen=True)
class Diffusion(AbstractMove):
    """`plan.limit` steps of size η = `plan.size` of every chain.

    The acceptance of its trace is what a Metropolis test of each step would accept: 1 in the limit η → 0. A chain
    that has run away is divergent, and stays so.
    """

    def step(self, model: Model, data: Data, chance: Chances, states: Any, plan: Plan) -> tuple[Any, Trace]:
        h = plan.size * data.temperature * model.spread_over_weights(data.precisions)
        value_and_grad = jax.value_and_grad(lambda z: model.log_density(z, data))

        def one(key: Any, state: Any) -> Any:
            def step(index: Any, carry: Any) -> Any:
                state, accepted = carry
                xi = jax.random.normal(jax.random.fold_in(key, index), state.position.shape)
                position = state.position + h * state.logdensity_grad + jnp.sqrt(2.0 * h) * xi
                moved = HMCState(position, *value_and_grad(position))
                back = jnp.sum((state.position - position - h * moved.logdensity_grad) ** 2 / h) / 4.0
                log_ratio = moved.logdensity - state.logdensity - back + 0.5 * jnp.sum(xi**2)
                return moved, accepted + jnp.nan_to_num(jnp.exp(jnp.minimum(log_ratio, 0.0)))

            return jax.lax.fori_loop(0, plan.limit, step, (state, jnp.zeros(())))

        states, accepted = jax.vmap(one)(chance.keys, states)
        lost = ~(jnp.abs(states.logdensity) < LOST)
        states = states._replace(position=jnp.where(lost[:, None], jnp.nan, states.position))
        return states, traced(states, accepted / plan.limit, lost, plan.limit)
