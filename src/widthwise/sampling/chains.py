"""Chains, run: stage by stage, chunk by chunk, from NumPy arrays to jitted moves and back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.sampling.checkpoint import Checkpoint, Standing
from widthwise.sampling.patches import Network
from widthwise.sampling.precision import float64, random_key
from widthwise.sampling.problem import Problem, model
from widthwise.sampling.progress import Progress
from widthwise.sampling.samplers import AbstractSampler
from widthwise.sampling.samples import OF_EVERY_DRAW, OF_EVERY_LADDER

CHUNK = 25
CHUNK_BYTES = 2**28
NAMES = (*OF_EVERY_DRAW, "weights", *OF_EVERY_LADDER)  # what a chunk of draws leaves; the last of ladders alone


def thinning_of(sampler: AbstractSampler, dimension: int) -> int:
    """One in how many draws keeps its weights."""
    return math.ceil(sampler.draws * 8 * sampler.chains * dimension / (sampler.weights_memory * 2**30))


def chunk_of(sampler: AbstractSampler, dimension: int, networks: int) -> int:
    """How many transitions are made at a time."""
    return max(1, min(CHUNK, CHUNK_BYTES // (8 * sampler.chains * dimension * networks)))


def stacked(parts: Sequence[Any]) -> Any:
    """Trees of arrays of equal shapes, as one tree with a first axis over them."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


def run(
    problems: Sequence[Problem],
    sampler: AbstractSampler,
    seeds: Sequence[Any],
    checkpoint: Checkpoint,
    report: Callable[[Progress], object] | None,
) -> list[dict[str, Any]]:
    """Warm up, draw, and collect: for each problem the arrays over (chains, draws) that `Samples` wants.

    Args:
        problems: of one shape: their arrays and their networks' widths agree.
        sampler: its settings.
        seeds: a JAX random key for each.
        checkpoint: where to take up from, and to leave what is done.
        report: told how far it is, if anybody wants to know.
    """
    import jax

    from widthwise.sampling.model import Points
    from widthwise.sampling.moves import move as moves

    begun = time.perf_counter()
    built = [problem.model(sampler.collapsed) for problem in problems]
    static, data = built[0][0], stacked([data for _, data in built])
    points = stacked([Points(*problem.points(problem.X_test)) for problem in problems])
    stages = sampler.stages()
    keys = jax.vmap(lambda seed: jax.random.split(seed, 1 + len(stages)))(jax.numpy.stack(list(seeds)))
    thinning = thinning_of(sampler, static.dimension)
    chunk = chunk_of(sampler, static.dimension, len(problems))

    replicas = sampler.chains * sampler.replicas
    positions = jax.vmap(lambda key: jax.random.normal(key, (replicas, static.dimension)))(keys[:, 0])
    sizes = np.full(len(problems), sampler.first_step)
    adapting = moves.adaptation(sampler.target, sizes)
    standing, drawn = checkpoint.load()
    at, before = (0, 0), 0.0
    if standing is None:
        states = stages[0].move.begin(moves.start(static, data, positions))
    else:
        at, before, sizes = (standing.stage, standing.start), standing.seconds, standing.sizes
        likeness = jax.eval_shape(lambda: stages[0].move.begin(moves.start(static, data, positions))), adapting
        states, adapting = (
            jax.tree.unflatten(jax.tree.structure(like), leaves)
            for like, leaves in zip(likeness, (standing.states, standing.adapting))
        )
        drawn = drawn[: math.ceil(sampler.draws / chunk)]

    pace = _Pace(sum(stage.count for stage in stages), report)
    for index, stage in enumerate(stages):
        drawing = index == len(stages) - 1
        if index > at[0]:
            states = stage.move.enter(states, stage.adapts)
            adapting = moves.adaptation(sampler.target, sizes) if stage.adapts else adapting
        for start in range(0, stage.count, chunk):
            done = sum(earlier.count for earlier in stages[:index]) + min(start + chunk, stage.count)
            if (index, start) < at:
                pace.skipped(done)
                continue
            move_keys, fresh = _randomness(keys[:, 1 + index], start, drawing)
            chances = jax.vmap(lambda key: moves.chances(key, chunk, sampler.chains))(move_keys)
            whole = np.ones(len(problems))
            plan = moves.Plan(
                whole * 0.0 if stage.adapts else sizes,
                whole * sampler.length,
                np.full(len(problems), stage.limit),
                whole * sampler.target,
            )
            states, adapting, trace, positions = moves.advance(
                static, stage.move, data, chances, states, adapting, plan
            )
            if stage.adapts:
                sizes = np.minimum(np.exp(np.asarray(adapting.log_step_size_avg)), sampler.length)
            if drawing:
                drawn.append(predicted(static, data, points, positions, fresh, trace, start, thinning))
                checkpoint.note(start // chunk, drawn[-1])
            pace.tell(stage.name, done, trace, sizes, [part[0] for part in drawn])
            at = (index, start + chunk)
            if (drawing and start + chunk >= stage.count) or checkpoint.due():
                seconds = before + time.perf_counter() - begun
                leaves = [[np.asarray(leaf) for leaf in jax.tree.leaves(tree)] for tree in (states, adapting)]
                checkpoint.save(Standing(*at, seconds, sizes, *leaves), len(drawn))

    seconds = before + time.perf_counter() - begun
    kept = {name: math.ceil(sampler.draws / thinning) if name == "weights" else sampler.draws for name in NAMES}
    results = []
    for g, seed in enumerate(seeds):
        # (draws, chains, …) of every chunk, as (chains, draws, …)
        arrays = {
            name: np.ascontiguousarray(np.swapaxes(np.concatenate([part[i][g] for part in drawn])[: kept[name]], 0, 1))
            for i, name in enumerate(NAMES[: len(drawn[0])])
        }
        if sampler.replicas > 1:
            arrays["betas"] = np.array(states.betas[g])
        words = tuple(int(word) for word in np.asarray(jax.random.key_data(seed)).ravel())
        results.append(arrays | {"key": words, "step_size": float(sizes[g]), "seconds": seconds / len(problems)})
    return results


def _randomness(keys: Any, start: int, drawing: bool) -> tuple[Any, Any]:
    """Keys of the transitions from number `start` of a stage on, and of what those that are draws predict."""
    import jax

    folded = jax.vmap(lambda key: jax.random.fold_in(key, start))(keys)
    if not drawing:
        return folded, None
    both = jax.vmap(jax.random.split)(folded)
    return both[:, 0], both[:, 1]


def predicted(
    static: Any, data: Any, points: Any, positions: Any, fresh: Any, trace: Any, start: int, thinning: int
) -> list[np.ndarray]:
    """What a chunk of draws leaves: for each of `NAMES` an array ("networks draws chains …")."""
    import jax

    from widthwise.sampling.model import predict_all
    from widthwise.sampling.moves.move import over_networks

    G, S, C = positions.shape[:3]
    flat = positions.reshape(G, S * C, -1)
    keys = jax.vmap(lambda key: jax.random.split(key, S * C))(fresh)
    found = over_networks(lambda *given: predict_all(static, *given), data, points, flat, keys)
    train, test = jax.tree.map(lambda a: np.asarray(a).reshape(G, S, C, *a.shape[2:]), found)
    spread = train.variance.mean(axis=3) * data.y.shape[2]
    kept = [i for i in range(S) if (start + i) % thinning == 0]
    weights = np.asarray(positions)[:, kept]
    *scalars, levels = trace
    return [np.asarray(a) for a in (*scalars, train.mean, spread, test.mean, test.variance, weights, *levels)]


class _Pace:
    """How fast a run goes, told to whoever asked.

    Compilation is over with a stage's first chunk: its later ones tell the speed.
    """

    def __init__(self, total: int, report: Callable[[Progress], object] | None) -> None:
        self.total, self.report = total, report
        self.begun, self.taken_up = time.perf_counter(), 0
        self.first: dict[str, tuple[int, float]] = {}
        self.rhat: float | None = None
        self.rhat_of = 0

    def skipped(self, done: int) -> None:
        """An earlier run had come as far as that."""
        self.taken_up = done

    def tell(self, stage: str, done: int, trace: Any, sizes: np.ndarray, likelihoods: list[np.ndarray]) -> None:
        if self.report is None:
            return
        now = time.perf_counter()
        first_done, first_time = self.first.setdefault(stage, (done, now))
        if done > first_done:
            speed = (now - first_time) / (done - first_done)
        else:
            speed = (now - self.begun) / (done - self.taken_up)
        acceptance = float(np.mean(np.asarray(trace.acceptance)))
        left = speed * max(self.total - done, 0)
        if stage == "draws" and len(likelihoods) >= 1.1 * self.rhat_of:  # not after every chunk of a long run
            self.rhat, self.rhat_of = _rhat(np.concatenate(likelihoods, axis=1)), len(likelihoods)
        size, done = float(np.mean(sizes)), min(done, self.total)
        self.report(Progress(stage, done, self.total, acceptance, size, left, self.rhat))


def _rhat(likelihood: Float[np.ndarray, "networks draws chains"]) -> float:
    """The worst R-hat of the log likelihood so far."""
    from widthwise.sampling.estimates import estimate

    return max(estimate(np.swapaxes(series, 0, 1)).rhat for series in likelihood)


def predict(
    network: Network,
    collapsed: bool,
    T: float,
    training: tuple[np.ndarray, np.ndarray],
    stack: list[np.ndarray],
    points: tuple[np.ndarray, np.ndarray],
    weights: Float[np.ndarray, "C kept dimension"],
    key: int,
) -> tuple[np.ndarray, np.ndarray]:
    """f on points given each kept draw: mean (C, kept, n, D) and variance (C, kept, n)."""
    with float64():
        import jax
        import jax.numpy as jnp

        from widthwise.sampling.model import Points, predict_all

        static, data = model(network, collapsed, T, *training, stack)
        C, kept, dimension = weights.shape
        flat = jnp.asarray(weights.reshape(C * kept, dimension))
        # another stream than that of `run` from the same key
        seed = jax.random.fold_in(random_key(key), 1)
        _, (mean, variance) = predict_all(
            static, data, Points(*map(jnp.asarray, points)), flat, jax.random.split(seed, len(flat))
        )
    return np.asarray(mean).reshape(C, kept, *mean.shape[1:]), np.asarray(variance).reshape(C, kept, -1)
