"""What a run will cost, before it starts: memory from its arrays, time from a few transitions of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.errors import InputError
from widthwise.sampling.chains import CHUNK, chunk_of
from widthwise.sampling.patches import Network, above, seen
from widthwise.sampling.precision import float64
from widthwise.sampling.problem import Problem
from widthwise.sampling.samplers import SHORT, AbstractSampler, CollapsedHMC

if TYPE_CHECKING:
    from widthwise.sampling.samples import Samples


@dataclass(frozen=True)
class Cost:
    """What a run will cost.

    Attributes:
        memory: GiB at most.
        seconds: about; the step size of a long warm-up, and with it the time, is seldom more than twice off.
        gradients: evaluations of the log density's gradient, all chains together.
        parameters: weights that are sampled, of each chain.
    """

    memory: float
    seconds: float
    gradients: int
    parameters: int


def cost(
    network: Any, X: Any, y: Any, X_test: Any = None, *, temperature: float, sampler: AbstractSampler | None = None
) -> Cost:
    """Time and memory that `ww.sample` with these arguments would take on this machine.

    A few short transitions are made and timed (for HMC and NUTS they adapt the step size), and thrown away.

    Args:
        network, X, y, X_test, temperature, sampler: as for `ww.sample`.

    Raises:
        InputError: as `ww.sample` does, but for memory.
    """
    sampler = CollapsedHMC() if sampler is None else sampler
    with float64():
        return of([Problem(network, X, y, X_test, None, temperature)], sampler)


def memory(problem: Problem, sampler: AbstractSampler) -> float:
    """GiB that a run of one problem needs at most: its draws and its working arrays.

    JAX takes about 0.1 GiB more, whatever it compiles.
    """
    network, shape, C = problem.network, problem.shape, sampler.chains
    R = C * sampler.replicas
    P, n, D = len(problem.X), len(problem.X_test), problem.targets.shape[1]
    patches, size = seen(network, shape)
    stack, draws = above(network, shape), C * max(sampler.draws, CHUNK)
    last = network.widths[-1] * (len(stack[-1]) if stack else patches)
    working = R * (6 * P * _widest(network, shape) + 3 * min(P, last) ** 2)
    entries = [layer.shape[1] for layer in stack] or [1] * len(network.widths)
    inputs = [min(P * patches, size + 1), *(N * seen_below for N, seen_below in zip(network.widths, entries))]
    weights = sum(N * (M + 1) for N, M in zip(network.widths, inputs)) + D * last
    moved = C * weights * 2 * chunk_of(sampler, weights, 1) + 10 * R * weights  # a chunk's positions, the states
    # in chunks, all in one, and the largest once more while it is put together
    levels = 2 * sampler.replicas * (sampler.replicas > 1)
    kept = 2 * draws * (P * D + n * (D + 1) + 6 + levels) + draws * max(P, n) * D
    kept_weights = 3 * min(sampler.weights_memory * 2**30, 8 * draws * weights)
    points = _points(network, shape, P, n) + 3 * P * patches * (size + 1)
    return float(8 * (kept + working + moved + points) + kept_weights) / 2**30


def _widest(network: Network, shape: tuple[int, ...]) -> int:
    """Numbers of an input's widest layer: its features, or what its patches see of those below, whichever are more."""
    (patches, _), stack = seen(network, shape), above(network, shape)
    grids = [(patches, 1), *(layer.shape for layer in stack)] if stack else [(patches, 1)] * network.depth
    below = (0, *network.widths)
    return max(n * max(N, entries * M * bool(stack)) for (n, entries), N, M in zip(grids, network.widths, below))


def _points(network: Network, shape: tuple[int, ...], P: int, n: int) -> int:
    """Numbers that n points to predict take beside P training points: as patches, in coordinates, as features."""
    patches, size = seen(network, shape)
    coordinates = min(P * patches, size + 1) + min(n * patches, size + 1)
    return n * (3 * _widest(network, shape) + P + patches * (3 * size + coordinates))


def check_memory(problems: Sequence[Problem], sampler: AbstractSampler) -> float:
    """The memory of a run, in GiB.

    Raises:
        InputError: it is more than the sampler's `memory`.
    """
    need = sum(memory(problem, sampler) for problem in problems)
    if need > sampler.memory:
        raise InputError(
            f"memory: expected a run of at most {sampler.memory:g} GiB, got an estimate of {need:.3g} GiB; "
            "take fewer draws, chains or test points, or raise the sampler's `memory`."
        )
    return need


def check_prediction(samples: Samples, X: np.ndarray) -> None:
    """That the law of f on other points can be computed.

    Args:
        samples: whose kept weights are to predict.
        X: inputs, checked ("n *shape").

    Raises:
        InputError: it needs more than the sampler's `memory`.
    """
    (C, S, dimension), n, D = samples.weights.shape, len(X), samples.y.shape[1]
    points = _points(samples.network, X.shape[1:], len(samples.y), n)
    # f, its square and its distance from the mean, and what they are made of; the weights once more
    need = 8 * (C * S * (5 * n * (D + 1) + dimension) + points) / 2**30
    if need > samples.sampler.memory:
        raise InputError(
            f"X: expected points that take at most {samples.sampler.memory:g} GiB to predict, got {n} that take about "
            f"{need:.3g} GiB; predict fewer at a time, or raise the sampler's `memory`."
        )


def of(problems: Sequence[Problem], sampler: AbstractSampler) -> Cost:
    """The cost of a run of problems of one shape; in 64 bits.

    Everything that it compiles the run would compile too, and finds done.
    """
    import jax

    from widthwise.sampling.chains import predicted, stacked
    from widthwise.sampling.model import Points
    from widthwise.sampling.moves import move as moves

    built = [problem.model(sampler.collapsed) for problem in problems]
    static, data = built[0][0], stacked([data for _, data in built])
    points = stacked([Points(*problem.points(problem.X_test)) for problem in problems])
    stages, G = sampler.stages(), len(problems)
    chunk, whole, begun = chunk_of(sampler, static.dimension, G), np.ones(G), time.perf_counter()
    keys = jax.vmap(jax.random.key)(np.arange(G))
    chances = jax.vmap(lambda key: moves.chances(key, chunk, sampler.chains))(keys)
    replicas, first = sampler.chains * sampler.replicas, stages[0]
    positions = jax.vmap(lambda key: jax.random.normal(key, (replicas, static.dimension)))(keys)
    states = first.move.begin(moves.start(static, data, positions))
    adapting, size = moves.adaptation(sampler.target, whole * sampler.first_step), sampler.first_step
    still = whole * (0.0 if first.adapts else size)
    for limit in (1, SHORT):  # the first compiles, the second is timed
        plan = moves.Plan(still, whole * sampler.length, np.full(G, limit), whole * sampler.target)
        compiled = time.perf_counter()
        states, adapting, trace, positions = jax.block_until_ready(
            moves.advance(static, first.move, data, chances, states, adapting, plan)
        )
        moved = time.perf_counter()
        predicted(static, data, points, positions, keys, trace, 0, 1)
        # networks in one compiled loop wait for the slowest
        steps = float(np.sum(np.max(np.asarray(trace.steps), axis=(0, 2))))
        step, draw = (moved - compiled) / steps, (time.perf_counter() - moved) / chunk
    # NUTS compiles a move of its own after the first, about as long
    compiling = (compiled - begun) * len({stage.move for stage in stages})
    if first.adapts:
        size = min(float(np.exp(np.asarray(adapting.log_step_size_avg)).min()), sampler.length)
    steps = sum(stage.count * min(sampler.steps(size), stage.limit) for stage in stages) * sampler.replicas
    total = compiling + steps * step + stages[-1].count * draw
    need = sum(memory(problem, sampler) for problem in problems)
    return Cost(need, total, int(steps * sampler.chains * G), static.dimension)
