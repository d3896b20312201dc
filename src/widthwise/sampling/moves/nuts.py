"""The No-U-Turn sampler, on BlackJAX's kernel and the steps of `hmc` that follow the prior exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from blackjax.mcmc import nuts

from widthwise.sampling.model import Data, Model
from widthwise.sampling.moves.hmc import rotation
from widthwise.sampling.moves.move import AbstractMove, Chances, Plan, Trace, traced

_kernel = nuts.build_kernel(integrator=rotation)


@dataclass(frozen=True)
class NoUTurn(AbstractMove):
    """A trajectory of every chain, doubled until it turns back; each chain's has its own length.

    Args:
        max_doublings: 2^max_doublings steps at most.
    """

    max_doublings: int

    def step(self, model: Model, data: Data, chance: Chances, states: Any, plan: Plan) -> tuple[Any, Trace]:
        mass = jnp.ones(model.dimension)

        def one(key: Any, state: Any) -> Any:
            return _kernel(key, state, lambda z: model.log_density(z, data), plan.size, mass, self.max_doublings)

        states, info = jax.vmap(one)(chance.keys, states)
        return states, traced(states, info.acceptance_rate, info.is_divergent, info.num_integration_steps)
