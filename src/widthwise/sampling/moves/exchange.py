"""Replica exchange: each chain is a ladder of replicas at β_0 = 0 … β_K = 1, that move by HMC and then swap.

    p_β(z) ∝ p(z) p(y|z)^β

The replica at β = 0 is drawn afresh from the prior every time. Of the neighbours every other pair offers to swap, even
and odd pairs in turns: not at random, so that a replica that has begun to rise goes on.
[Okabe et al. 2001, Chem. Phys. Lett. 335, 435; Syed, Bouchard-Côté, Deligiannidis and Doucet 2022, arXiv 1905.02939]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.step_size import dual_averaging_adaptation
from blackjax.mcmc.hmc import HMCState
from jaxtyping import Array, Bool, Float, Int
from scipy.interpolate import PchipInterpolator

from widthwise.sampling.model import Data, Model
from widthwise.sampling.moves.hmc import trajectories
from widthwise.sampling.moves.move import AbstractMove, Chances, Plan, Trace, adaptation

FEWEST = 1e-3  # rejections of a pair: below it the barrier between them counts as that high


class Ladders(NamedTuple):
    """All ladders of one network; level k at β_k.

    Attributes:
        positions, log_likelihood, gradient: of the replicas; the gradient is the log likelihood's.
        replicas: which of them is at each level.
        betas: β_0 … β_K.
        adapting: of the step sizes of levels 1 … K − 1, the dual averaging's; level K has the plan's.
        tuning: whether it still goes on.
        rejected, count: chances of a rejection of each pair, summed over ladders and transitions; how many.
        odd: whether the odd pairs are next.
    """

    positions: Float[Array, "C L dimension"]
    log_likelihood: Float[Array, "C L"]
    gradient: Float[Array, "C L dimension"]
    replicas: Int[Array, "C L"]
    betas: Float[Array, " L"]
    adapting: Any
    tuning: Bool[Array, ""]
    rejected: Float[Array, " pairs"]
    count: Float[Array, ""]
    odd: Int[Array, ""]

    @property
    def position(self) -> Float[Array, "C dimension"]:
        """At β = 1: these are the draws."""
        return self.positions[:, -1]


@dataclass(frozen=True)
class Exchange(AbstractMove):
    """One trajectory of every replica, then one round of swaps.

    Args:
        levels: K + 1 of a ladder, both ends included.
        first_step: the size to begin with.
    """

    levels: int
    first_step: float

    def begin(self, states: Any) -> Ladders:
        """Ladders of `levels` replicas each, from as many chains for each of them, at β_k = (k/K)³.

        Here everything has a first axis over networks.
        """
        z, L = states.position, self.levels
        G, C = z.shape[0], z.shape[1] // L
        betas = jnp.broadcast_to(jnp.linspace(0.0, 1.0, L) ** 3, (G, L))
        return Ladders(
            z.reshape(G, C, L, -1),
            (states.logdensity + 0.5 * jnp.sum(z**2, axis=2)).reshape(G, C, L),
            (states.logdensity_grad + z).reshape(G, C, L, -1),
            jnp.broadcast_to(jnp.arange(L), (G, C, L)),
            betas,
            _adaptations(np.full((G, L - 2), self.first_step)),
            jnp.ones(G, dtype=bool),
            jnp.zeros((G, L - 1)),
            jnp.zeros(G),
            jnp.zeros(G, dtype=int),
        )

    def enter(self, states: Any, adapts: bool) -> Ladders:
        """Before a stage that adapts: the β of equal rejections, and a new adaptation from the present step sizes."""
        count = np.asarray(states.count)
        if adapts and np.all(count > 0):
            betas, rejected = np.asarray(states.betas), np.asarray(states.rejected) / count[:, None]
            sizes = np.asarray(states.adapting.log_step_size_avg)
            moved = np.stack([equalised(*pair) for pair in zip(betas, rejected)])
            inner = zip(moved[:, 1:-1], betas[:, 1:-1], sizes)
            sizes = np.array([np.interp(new, old, size) if len(old) else size for new, old, size in inner])
            states = states._replace(betas=jnp.asarray(moved), adapting=_adaptations(np.exp(sizes)))
        return states._replace(
            tuning=jnp.full(count.shape, adapts),
            rejected=jnp.zeros_like(states.rejected),
            count=jnp.zeros_like(states.count),
        )

    def step(self, model: Model, data: Data, chance: Chances, states: Any, plan: Plan) -> tuple[Any, Trace]:
        L, tuned = self.levels, states.adapting
        keys = jax.vmap(lambda key: jax.random.split(key, L + 1))(chance.keys)
        fresh = jax.vmap(lambda key: jax.random.normal(key, (model.dimension,)))(keys[:, 0])
        value_and_grad = jax.value_and_grad(lambda z: model.log_likelihood(z, data))
        values, gradients = jax.vmap(value_and_grad)(fresh)

        sizes = jnp.exp(jnp.where(states.tuning, tuned.log_step_size, tuned.log_step_size_avg))
        sizes = jnp.append(jnp.minimum(sizes, plan.length), plan.size)

        def level(given: Any) -> Any:
            beta, size, keys, z, value, gradient = given

            def log_density(z: Any) -> Any:
                return beta * model.log_likelihood(z, data) - 0.5 * jnp.dot(z, z)

            squares = jnp.sum(z**2, axis=1)
            chains = HMCState(z, beta * value - 0.5 * squares, beta * gradient - z)
            chains, info, steps = trajectories(keys, chains, log_density, plan._replace(size=size), chance.jitter)
            z = chains.position
            value = (chains.logdensity + 0.5 * jnp.sum(z**2, axis=1)) / beta
            return z, value, (chains.logdensity_grad + z) / beta, info.acceptance_rate, info.is_divergent, steps

        by_level = [jnp.swapaxes(a[:, 1:], 0, 1) for a in (states.positions, states.log_likelihood, states.gradient)]
        each = jax.lax.map if jax.default_backend() == "cpu" else lambda f, given: jax.vmap(f)(given)
        *moved, acceptance, divergent, steps = each(
            level, (states.betas[1:], sizes, jnp.swapaxes(keys[:, 1:L], 0, 1), *by_level)
        )
        replicas = [
            jnp.concatenate([first[:, None], jnp.swapaxes(rest, 0, 1)], axis=1)
            for first, rest in zip((fresh, values, gradients), moved)
        ]
        order, rejection = _swaps(keys[:, L], states.betas, replicas[1], states.odd)
        z, value, gradient = (_ordered(a, order) for a in replicas)
        label = _ordered(states.replicas, order)
        update = jax.vmap(dual_averaging_adaptation(plan.target)[1])
        states = Ladders(
            *(z, value, gradient, label, states.betas),
            update(tuned, jnp.mean(acceptance[:-1], axis=1)),
            states.tuning,
            states.rejected + jnp.mean(rejection, axis=0),
            states.count + 1.0,
            1 - states.odd,
        )
        gradients_taken = jnp.broadcast_to(jnp.sum(steps) + 1, value[:, -1].shape)
        return states, Trace(value[:, -1], acceptance[-1], divergent[-1], gradients_taken, (value, label))


def equalised(betas: Float[np.ndarray, " L"], rejected: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " L"]:
    """The ladder of equal rejections: as many β, equally spaced in the barrier Λ(β) = Σ_{β_k < β} r_k.

    Between the β_k it is a monotone cubic.                            [Syed et al. 2022, Algorithm 2, arXiv 1905.02939]

    Args:
        betas: from 0 to 1, increasing.
        rejected: mean chance of rejection of each pair of neighbours.
    """
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(rejected, FEWEST))])
    found = PchipInterpolator(barrier, betas)(np.linspace(0.0, barrier[-1], len(betas)))
    found[0], found[-1] = 0.0, 1.0
    return found


def _swaps(keys: Any, betas: Array, value: Float[Array, "C L"], odd: Array) -> tuple[Array, Array]:
    """Which level's replica comes to each ("C L"), and every pair's chance of a rejection ("C pairs").

    A pair swaps with probability min(1, e^{(β_k − β_{k+1})(ℓ_{k+1} − ℓ_k)}); one that is not asked counts no less.
    """
    log_chance = jnp.minimum((betas[:-1] - betas[1:]) * (value[:, 1:] - value[:, :-1]), 0.0)
    log_chance = jnp.where(jnp.isnan(log_chance), -jnp.inf, log_chance)
    pairs = jnp.arange(len(betas) - 1)
    u = jax.vmap(lambda key: jax.random.uniform(key, pairs.shape))(keys)
    swap = (pairs % 2 == odd) & (jnp.log(u) < log_chance)
    none = jnp.zeros((len(value), 1), dtype=int)
    up, down = jnp.hstack([swap.astype(int), none]), jnp.hstack([none, swap.astype(int)])
    return jnp.arange(len(betas)) + up - down, -jnp.expm1(log_chance)


def _ordered(a: Array, order: Int[Array, "C L"]) -> Array:
    return jnp.take_along_axis(a, order.reshape(*order.shape, *[1] * (a.ndim - 2)), axis=1)


def _adaptations(sizes: Float[np.ndarray, "G inner"]) -> Any:
    """A fresh adaptation of each inner level of each network's ladders."""
    with jax.ensure_compile_time_eval():  # in the shape that a checkpoint is to have, nothing is computed
        each = adaptation(0.5, np.append(sizes.ravel(), 1.0))  # one more: there may be none
    return jax.tree.map(lambda a: a[:-1].reshape(sizes.shape), each)
