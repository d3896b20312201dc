"""Chains, run: the bridge from NumPy arrays to the jitted transitions of `hmc`, chunk by chunk, and back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.networks import Convolutional
from widthwise.sampling.patches import Network
from widthwise.sampling.progress import Progress
from widthwise.sampling.samplers import AbstractHMC

CHUNK = 25
CHUNK_BYTES = 2**28


def float64() -> AbstractContextManager[Any]:
    """64-bit JAX inside, the caller's own setting outside."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64

    return enable_x64(True)


def random_key(key: Any) -> Any:
    import jax

    if isinstance(key, int | np.integer) and not isinstance(key, bool) and 0 <= key < 2**63:
        return jax.random.key(int(key))
    if isinstance(key, jax.Array):
        if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return key
        if key.dtype == np.uint32 and key.shape == (2,):
            return jax.random.wrap_key_data(key)
    raise InputError(f"key: expected a whole number of zero or more, or one JAX random key, got {key!r}; pass e.g. 0.")


def _model(
    network: Network,
    sampler: AbstractHMC,
    T: float,
    inputs: np.ndarray,
    y: np.ndarray,
    stack: Sequence[np.ndarray],
) -> tuple:
    """The static shape and the numbers of a run, as JAX sees them; `stack` is what `patches.above` gives."""
    import jax.numpy as jnp

    from widthwise.sampling.model import Data, Model

    lam, biases, N = network.precisions, network.bias_variances, network.widths
    patches = [len(inputs) // len(y), *(len(above) for above in stack)]
    seen = [above.shape[1] for above in stack]
    model = Model(
        inputs=inputs.shape[1],
        widths=N,
        outputs=y.shape[1],
        phi=network.phi,
        biased=tuple(variance > 0 for variance in biases[1:]),
        collapsed=sampler.collapsed,
        patches=patches[-1],
        pooled=isinstance(network, Convolutional) and network.readout == "average",
        stack=tuple(zip(patches, seen)),
    )
    entries = seen or [1] * len(N[:-1])
    scales = [1.0 / math.sqrt(precision * width * many) for precision, width, many in zip(lam[1:-1], N[:-1], entries)]
    data = Data(
        inputs=jnp.asarray(inputs),
        y=jnp.asarray(y),
        temperature=jnp.asarray(T, dtype=float),
        scales=jnp.asarray(scales, dtype=float),
        bias_scales=jnp.asarray(np.sqrt(np.asarray(biases[1:], dtype=float))),
        readout=jnp.asarray(lam[-1] * model.features, dtype=float),
        above=tuple(map(jnp.asarray, stack)),
    )
    return model, data


def run(
    network: Network,
    sampler: AbstractHMC,
    T: float,
    inputs: np.ndarray,
    y: np.ndarray,
    stack: Sequence[np.ndarray],
    tests: tuple[np.ndarray, np.ndarray],
    key: Any,
    report: Callable[[Progress], object],
) -> dict[str, Any]:
    """Warm up, draw, and collect: arrays over (chains, draws)."""
    import jax
    import jax.numpy as jnp

    from widthwise.sampling import hmc
    from widthwise.sampling.model import Points, predict_all

    begun = time.perf_counter()
    model, data = _model(network, sampler, T, inputs, y, stack)
    points = Points(*map(jnp.asarray, tests))
    key_start, key_roll, key_warm, key_draw = jax.random.split(key, 4)
    rolling = sampler.warmup // 4
    total = rolling + sampler.warmup + sampler.draws
    clock: dict[str, float] = {}

    def tell(stage: str, done: int, trace: Any, size: Any) -> None:
        # compilation is over with a stage's first chunk: its later ones tell the speed
        now = time.perf_counter()
        first_done, first_time = clock.setdefault(f"{stage} done", done), clock.setdefault(f"{stage} time", now)
        speed = (now - first_time) / (done - first_done) if done > first_done else (now - begun) / done
        acceptance = float(np.mean(np.asarray(trace.acceptance)))
        report(Progress(stage, min(done, total), total, acceptance, float(size), speed * max(total - done, 0)))

    states = hmc.start(model, data, jax.random.normal(key_start, (sampler.chains, model.dimension)))
    target, length = sampler.target_acceptance, sampler.trajectory
    done, size = 0, min(hmc.FIRST_STEP, length)
    bytes_per_draw = 8 * sampler.chains * model.dimension
    chunk = max(1, min(CHUNK, CHUNK_BYTES // bytes_per_draw))
    for limit, key_stage, count in ((hmc.SHORT, key_roll, rolling), (hmc.LONG, key_warm, sampler.warmup)):
        adapting, plan = hmc.adaptation(target, size), hmc.Plan(0.0, length, limit, target)
        for start in range(0, count, chunk):
            moves = hmc.chances(jax.random.fold_in(key_stage, start), chunk, sampler.chains)
            states, adapting, trace, _ = hmc.advance(model, data, moves, states, adapting, plan)
            size = min(math.exp(float(adapting.log_step_size_avg)), length)
            done += min(chunk, count - start)
            tell("warm-up", done, trace, size)

    plan = hmc.Plan(size, length, hmc.LONG, target)
    thinning = math.ceil(sampler.draws * bytes_per_draw / (sampler.weights_memory * 2**30))
    outputs: list[list[np.ndarray]] = []
    weights: list[np.ndarray] = []
    # whole chunks, so that nothing is compiled twice: draws beyond the last one wanted are dropped
    for start in range(0, sampler.draws, chunk):
        key_move, key_fresh = jax.random.split(jax.random.fold_in(key_draw, start))
        moves = hmc.chances(key_move, chunk, sampler.chains)
        states, adapting, trace, positions = hmc.advance(model, data, moves, states, adapting, plan)
        flat = positions.reshape(-1, model.dimension)
        predicted = predict_all(model, data, points, flat, jax.random.split(key_fresh, len(flat)))
        train, test = jax.tree.map(lambda a: np.asarray(a).reshape(chunk, sampler.chains, *a.shape[1:]), predicted)
        weights.append(np.asarray(positions)[[i for i in range(chunk) if (start + i) % thinning == 0]])
        spread = np.asarray(train.variance).mean(axis=2) * y.shape[1]
        outputs.append([np.asarray(a) for a in (*trace, train.mean, spread, test.mean, test.variance)])
        done += min(chunk, sampler.draws - start)
        tell("draws", done, trace, size)

    def joined(parts: Any, count: int = sampler.draws) -> np.ndarray:
        return np.ascontiguousarray(np.swapaxes(np.concatenate(list(parts))[:count], 0, 1))

    likelihood, acceptance, divergent, steps, *predicted = (joined(parts) for parts in zip(*outputs))
    train_mean, train_spread, test_mean, test_variance = predicted
    return {
        "key": tuple(int(word) for word in np.asarray(jax.random.key_data(key)).ravel()),
        "train_mean": train_mean,
        "train_spread": train_spread,
        "test_mean": test_mean,
        "test_variance": test_variance,
        "log_likelihood": likelihood,
        "acceptance": acceptance,
        "divergent": divergent,
        "leapfrog_steps": steps,
        "weights": joined(weights, math.ceil(sampler.draws / thinning)),
        "step_size": size,
        "seconds": time.perf_counter() - begun,
    }


def predict(
    network: Network,
    sampler: AbstractHMC,
    T: float,
    training: tuple[np.ndarray, np.ndarray],
    stack: Sequence[np.ndarray],
    points: tuple[np.ndarray, np.ndarray],
    weights: Float[np.ndarray, "C kept dimension"],
    key: int,
) -> tuple[np.ndarray, np.ndarray]:
    """f on points given each kept draw: mean (C, kept, n, D) and variance (C, kept, n)."""
    with float64():
        import jax
        import jax.numpy as jnp

        from widthwise.sampling.model import Points, predict_all

        model, data = _model(network, sampler, T, *training, stack)
        C, kept, dimension = weights.shape
        flat = jnp.asarray(weights.reshape(C * kept, dimension))
        # another stream than that of `run` from the same key
        seed = jax.random.fold_in(random_key(key), 1)
        _, (mean, variance) = predict_all(
            model, data, Points(*map(jnp.asarray, points)), flat, jax.random.split(seed, len(flat))
        )
    return np.asarray(mean).reshape(C, kept, *mean.shape[1:]), np.asarray(variance).reshape(C, kept, -1)
