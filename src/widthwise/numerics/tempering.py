"""Tempered Hamiltonian Monte Carlo: replicas of a chain between a law that is known and one that is wanted, in JAX.

    log p_β(z) = b(z) + β c(z) − |z|²/2,   β_1 = 0 … β_L = 1

b makes the law that is known and can be drawn from, c what is added to it. Every replica moves by HMC whose Gaussian
part is followed exactly; neighbours exchange their states, even and odd pairs in turn, which carries a state through
the ladder without turning back [Okabe et al. 2001; Syed, Bouchard-Côté, Deligiannidis & Doucet 2022, arXiv 1905.02939];
at β = 0 it is drawn anew, so that what arrives at β = 1 has forgotten where it came from. All levels together give
log Z_1/Z_0 [Shirts & Chodera 2008, J. Chem. Phys. 129, 124105].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

STEPS = 16  # of a trajectory
TARGET = 0.8  # acceptance
_TURN = 0.5 * math.pi  # a trajectory at most: a quarter turn of the Gaussian part
_JITTER = 0.3
_CHUNK = 10  # transitions between two adaptations; all that is compiled

Density = Callable[[Any, Any], tuple[Any, Any]]
Refresh = Callable[[Any, Any], Any]


class State(NamedTuple):
    """Of every replica: over (ladders, levels).

    Attributes:
        z: positions ("C L d").
        coupling: c there ("C L").
        replica: which one it is ("C L").
    """

    z: Any
    coupling: Any
    replica: Any


class _Step(NamedTuple):
    """What one transition leaves behind."""

    top: Any  # z at β = 1 ("C d")
    coupling: Any  # ("C L")
    replica: Any  # ("C L")
    acceptance: Any  # (" L")
    exchange: Any  # probability of each neighbours' exchange (" L-1"), of the pairs whose turn it was
    tried: Any  # (" L-1")


@dataclass(frozen=True)
class Tempered:
    """Draws at β = 1, and what the ladder says.

    Args:
        positions: z (C, S, d), of independent ladders.
        coupling: c of every level (C, S, L).
        betas: the ladder (L,).
        acceptance: of the moves at each level (L,).
        exchanges: of neighbours' exchanges, the mean probability (L−1,).
        round_trips: journeys β = 0 → 1 → 0 of all replicas.
        log_ratio: log Z_1/Z_0.
        standard_error: of it, from the ladders.
    """

    positions: Float[np.ndarray, "C S d"]
    coupling: Float[np.ndarray, "C S L"]
    betas: Float[np.ndarray, " L"]
    acceptance: Float[np.ndarray, " L"]
    exchanges: Float[np.ndarray, " L-1"]
    round_trips: int
    log_ratio: float
    standard_error: float

    @property
    def barrier(self) -> float:
        """Λ, the sum of the rejections: about 2Λ levels are enough."""
        return float(np.sum(1.0 - self.exchanges))

    @property
    def round_trip_rate(self) -> float:
        """Round trips of a replica in a transition; with many levels at best 1/(2 + 2Λ), over the levels."""
        C, S, L = self.coupling.shape
        return self.round_trips / (C * S * L)


def temper(
    density: Density,
    refresh: Refresh,
    data: Any,
    *,
    ladders: int,
    levels: int,
    draws: int,
    warmup: int,
    seed: int,
) -> Tempered:
    """Draws from exp(b(z) + c(z)) N(z; 0, I), by way of exp(b(z)) N(z; 0, I).

    Args:
        density: (z (d,), data) ↦ (b, c); hashable, and compiled once for each shape of the data.
        refresh: (key, data) ↦ one draw z (d,) of the law at β = 0; hashable.
        data: a tree of arrays.
        ladders: C, independent of each other.
        levels: L ≥ 2.
        draws: S, kept of every ladder.
        warmup: transitions before, which adapt the step sizes and the ladder; rounded up to tens.
        seed: of everything random.
    """
    key = jax.random.key(seed)
    first = jax.random.split(jax.random.fold_in(key, 0), (ladders, levels))
    z = _start(refresh, data, first)
    replica = jnp.broadcast_to(jnp.arange(levels), (ladders, levels))
    state = State(z, jnp.zeros((ladders, levels)), replica)
    betas, sizes = np.linspace(0.0, 1.0, levels) ** 1.5, np.full(levels, _TURN / STEPS)
    advance = partial(_advance, density, refresh, data)

    done, seen, rejection = 0, np.zeros(levels - 1), np.zeros(levels - 1)
    while done < warmup:
        state, step = advance(jax.random.fold_in(key, 1 + done), state, betas, sizes)
        done += _CHUNK
        gain = 1.0 if done < warmup // 2 else 0.4
        moved = np.asarray(step.acceptance).mean(axis=0)
        sizes = np.clip(sizes * np.exp(gain * (moved - TARGET)), 1e-3, 1.3 * _TURN / STEPS)
        tried = np.asarray(step.tried)
        seen, rejection = seen + tried.sum(axis=0), rejection + (tried * (1.0 - np.asarray(step.exchange))).sum(axis=0)
        if done < 0.75 * warmup and seen.min() >= _CHUNK:
            betas, sizes = _equalised(betas, sizes, rejection / seen)
            seen, rejection = np.zeros(levels - 1), np.zeros(levels - 1)
    steps = []
    for start in range(0, draws, _CHUNK):
        state, step = advance(jax.random.fold_in(key, 1 + done + start), state, betas, sizes)
        steps.append(jax.tree.map(np.asarray, step))
    step = _Step(*(np.concatenate(parts)[:draws] for parts in zip(*steps)))
    coupling, tried = step.coupling.transpose(1, 0, 2), step.tried
    ratio, error = log_ratio(betas, coupling)
    return Tempered(
        positions=step.top.transpose(1, 0, 2),
        coupling=coupling,
        betas=betas,
        acceptance=step.acceptance.mean(axis=0),
        exchanges=(tried * step.exchange).sum(axis=0) / np.maximum(tried.sum(axis=0), 1),
        round_trips=round_trips(step.replica),
        log_ratio=ratio,
        standard_error=error,
    )


def log_ratio(betas: Float[np.ndarray, " L"], coupling: Float[np.ndarray, "C S L"]) -> tuple[float, float]:
    """log Z_1/Z_0 from the draws of all levels, and its standard error over the ladders.

        Z_k = Σ_n e^{β_k c_n} / Σ_j S e^{β_j c_n}/Z_j             [Shirts & Chodera 2008, Eq. (11), equal counts]

    Args:
        betas: the ladder, from 0 to 1.
        coupling: c of every draw of every level.
    """
    whole = _log_ratio(betas, coupling.ravel())
    each = np.array([_log_ratio(betas, ladder.ravel()) for ladder in coupling])
    return whole, float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) > 1 else math.inf


def _log_ratio(betas: Float[np.ndarray, " L"], c: Float[np.ndarray, " n"]) -> float:
    energy = np.multiply.outer(betas, c)
    log_Z = np.zeros(len(betas))
    for _ in range(1000):
        mixture = np.logaddexp.reduce(energy - log_Z[:, None], axis=0)
        new = np.logaddexp.reduce(energy - mixture, axis=1)
        new -= new[0]
        change, log_Z = float(np.abs(new - log_Z).max()), new
        if change < 1e-9:
            break
    return float(log_Z[-1])


def round_trips(replica: Int[np.ndarray, "S C L"]) -> int:
    """Journeys from the first level to the last and back, of all replicas.

    Args:
        replica: who is where, after each transition.
    """
    _, C, L = replica.shape
    upwards, trips = np.zeros((C, L), dtype=bool), np.zeros((C, L), dtype=int)
    ladders = np.arange(C)
    started = np.zeros((C, L), dtype=bool)
    for now in replica:
        top, bottom = now[:, -1], now[:, 0]
        upwards[ladders, top] = started[ladders, top] | upwards[ladders, top]
        back = upwards[ladders, bottom]
        trips[ladders[back], bottom[back]] += 1
        upwards[ladders, bottom] = False
        started[ladders, bottom] = True
        started[ladders, top] = False
    return int(trips.sum())


def _equalised(
    betas: Float[np.ndarray, " L"], sizes: Float[np.ndarray, " L"], rejection: Float[np.ndarray, " L-1"]
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " L"]]:
    """The ladder on which all neighbours would refuse equally often, with the step sizes that belong to it."""
    climbed = np.concatenate([[0.0], np.cumsum(np.maximum(rejection, 1e-3))])
    new = np.interp(np.linspace(0.0, climbed[-1], len(betas)), climbed, betas)
    return new, np.exp(np.interp(new, betas, np.log(sizes)))


@partial(jax.jit, static_argnums=0)
def _start(refresh: Refresh, data: Any, keys: Any) -> Any:
    """Every replica from the law at β = 0."""
    return jax.vmap(jax.vmap(refresh, (0, None)), (0, None))(keys, data)


@partial(jax.jit, static_argnums=(0, 1))
def _advance(
    density: Density, refresh: Refresh, data: Any, key: Any, state: State, betas: Any, sizes: Any
) -> tuple[State, _Step]:
    """`_CHUNK` transitions of all replicas of all ladders: drawn anew at β = 0, moved, exchanged."""

    def energy(z: Any, beta: Any) -> tuple[Any, Any]:
        base, coupling = density(z, data)
        return base + beta * coupling, coupling

    over_levels = jax.vmap(jax.value_and_grad(energy, has_aux=True), (0, 0))
    of_all = jax.vmap(over_levels, (0, None))
    draw = jax.vmap(refresh, (0, None))
    C, L, _ = state.z.shape

    def one(state: State, inputs: tuple[Any, Any]) -> tuple[State, _Step]:
        key, parity = inputs
        keys = jax.random.split(key, 5)
        fresh = state.z.at[:, 0].set(draw(jax.random.split(keys[3], C), data))
        state, moved = move(keys, state._replace(z=fresh))
        pair = (jnp.arange(L - 1) % 2) == parity
        chance = jnp.exp(jnp.minimum(jnp.diff(betas) * -jnp.diff(state.coupling, axis=1), 0.0))
        chance = jnp.where(jnp.isfinite(chance), chance, 0.0)
        taken = (jax.random.uniform(keys[4], (C, L - 1)) < chance) & pair
        up, down = jnp.pad(taken, ((0, 0), (0, 1))), jnp.pad(taken, ((0, 0), (1, 0)))
        index = jnp.arange(L) + up - down
        swapped = State(
            jnp.take_along_axis(state.z, index[:, :, None], axis=1),
            *(jnp.take_along_axis(part, index, axis=1) for part in state[1:]),
        )
        return swapped, _Step(swapped.z[:, -1], swapped.coupling, swapped.replica, moved, chance.mean(axis=0), pair)

    def move(keys: Any, state: State) -> tuple[State, Any]:
        size = sizes * jax.random.uniform(keys[0], (L,), minval=1.0 - _JITTER, maxval=1.0 + _JITTER)
        p = jax.random.normal(keys[1], state.z.shape)

        def step(i: Any, carried: Any) -> Any:  # one gradient in the program: compiling is what takes long
            z, p, first, c_first, _, _ = carried
            angle, half = jnp.where(i > 0, size, 0.0)[:, None], 0.5 * size[:, None]
            z, p = jnp.cos(angle) * z + jnp.sin(angle) * p, jnp.cos(angle) * p - jnp.sin(angle) * z
            (f, c), g = of_all(z, betas)
            p = jnp.where(i > 0, p + half * g, p)  # the half kick that ends a step
            energy = f - 0.5 * jnp.sum(z * z + p * p, axis=-1)
            first, c_first = jnp.where(i > 0, first, energy), jnp.where(i > 0, c_first, c)
            return z, p + half * g, first, c_first, energy, c

        nothing = jnp.zeros((C, L))
        start = (state.z, p, nothing, nothing, nothing, nothing)
        z, _, first, c_first, energy, c = jax.lax.fori_loop(0, STEPS + 1, step, start)
        chance = jnp.exp(jnp.minimum(energy - first, 0.0))
        chance = jnp.where(jnp.isfinite(chance), chance, 0.0)
        taken = jax.random.uniform(keys[2], chance.shape) < chance
        z = jnp.where(taken[..., None], z, state.z)
        return State(z, jnp.where(taken, c, c_first), state.replica), chance.mean(axis=0)

    return jax.lax.scan(one, state, (jax.random.split(key, _CHUNK), jnp.arange(_CHUNK) % 2))
