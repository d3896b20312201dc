"""`ww.sample`: from a network and its data to draws of its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from widthwise.errors import InputError, NumericalError
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.sampling import checks
from widthwise.sampling.chains import float64, random_key, run
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.patches import Network, above, inputs, rows, seen
from widthwise.sampling.progress import Progress, reporter
from widthwise.sampling.samplers import AbstractHMC, CollapsedHMC
from widthwise.sampling.samples import Samples


def sample(
    network: Network,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    temperature: float,
    sampler: AbstractHMC | None = None,
    key: Any = 0,
    progress: bool | Callable[[Progress], object] = False,
    throw: bool = True,
) -> Samples:
    """Draw the weights of a network of finite width from their posterior, and average what they predict.

        p(θ|D) ∝ exp( −Σ_μ |y_μ − f(x_μ)|²/2T ) × prior          [Pacelli et al. 2023, arXiv 2209.04882]

    Assumes: the Gaussian priors of `FullyConnected` or `Convolutional`; no theory, no kernel, no large width.

    Args:
        network: to sample.
        X: training inputs (P, N0); for a convolutional network images (P, H, W) or (P, H, W, C).
        y: training targets (P,) or (P, D).
        X_test: test inputs (n, …), each of the shape of a training input.
        y_test: test targets (n,) or (n, D), for the generalisation error.
        temperature: T > 0.
        sampler: `CollapsedHMC` (default) or `HMC`, with its settings.
        key: a whole number, or a JAX random key.
        progress: True for a bar on stderr, or a function that receives each `Progress`.
        throw: raise when the chains have not mixed; False returns them with the status "not mixed".

    Returns:
        samples: errors with standard errors, predictions, diagnostics.

    Raises:
        InputError: arrays, temperature, network or sampler are not what is needed, or the run would not fit in memory.
        NumericalError: the chains have not mixed; the error's `samples` holds them.
        MissingExtra: BlackJAX or ArviZ is not installed.
    """
    _check_network(network)
    sampler = CollapsedHMC() if sampler is None else sampler
    if not isinstance(sampler, AbstractHMC):
        raise InputError(f"sampler: expected CollapsedHMC(...) or HMC(...), got {sampler!r}; pass one of them.")
    T = checks.positive("temperature", temperature)
    X = inputs("X", X, network)
    targets = checks.targets("y", y, len(X))
    if X_test is None and y_test is not None:
        raise InputError("X_test: expected inputs for y_test, got None; pass both.")
    shape = X.shape[1:]
    tests = np.empty((0, *shape)) if X_test is None else inputs("X_test", X_test, network, shape)
    test_targets = None if y_test is None else checks.targets("y_test", y_test, len(tests), targets.ndim)
    y2 = targets.reshape(len(X), -1)
    y2_test = None if test_targets is None else test_targets.reshape(len(tests), -1)
    if y2_test is not None and y2_test.shape[1] != y2.shape[1]:
        raise InputError(
            f"y_test: expected {y2.shape[1]} columns, as in y, got {y2_test.shape[1]}; give both the same."
        )
    for package in ("blackjax", "arviz"):
        checks.extra(package)

    _check_memory(network, sampler, (len(X), len(tests), y2.shape[1]), shape)
    X_rows, test_rows = rows(network, X), rows(network, tests)
    frame = Frame.of(X_rows, network.precisions[0], network.bias_variances[0])
    coordinates = frame.inside(X_rows)
    points = frame.inside(test_rows), frame.outside(test_rows)
    with float64(), reporter(progress) as report:
        seed = random_key(key)
        draws = run(network, sampler, T, coordinates, y2, above(network, shape), points, seed, report)
    samples = Samples(
        network=network,
        temperature=T,
        sampler=sampler,
        frame=frame,
        inputs=coordinates,
        X_test=tests,
        y=y2,
        y_test=y2_test,
        scalar=targets.ndim == 1,
        **draws,
    )
    verdict = samples.diagnostics
    if throw and verdict.status != "mixed":
        settings = f"warmup={2 * sampler.warmup}, draws={4 * sampler.draws}"
        if verdict.divergences > 0:
            settings += f", target_acceptance={(3.0 + sampler.target_acceptance) / 4.0:.2f}"
        error = NumericalError(
            f"the chains have not mixed: {'; '.join(verdict.problems)}; sample longer or in smaller steps, e.g. "
            f"{type(sampler).__name__}({settings}), "
            "or pass throw=False to look at them (they are this error's `samples`)."
        )
        error.samples = samples  # type: ignore[attr-defined]
        raise error
    return samples


def _check_network(network: Any) -> None:
    if isinstance(network, PrecomputedKernel):
        raise InputError(
            "network: expected FullyConnected or Convolutional, got PrecomputedKernel, whose weights are not known; "
            "there is nothing to sample: describe the network by its widths and activation."
        )
    if not isinstance(network, FullyConnected | Convolutional):
        raise InputError(
            f"network: expected FullyConnected or Convolutional, got {type(network).__name__}; "
            "pass ww.FullyConnected(...)."
        )
    import jax

    with float64():
        try:
            shape = jax.eval_shape(jax.grad(lambda h: network.phi(h).sum()), jax.numpy.ones((2, 3)))
            traced = network.phi.builtin or jax.eval_shape(network.phi, shape).shape == (2, 3)
        except Exception as error:  # whatever the caller's function raises
            raise InputError(
                f"activation {network.phi.name}: expected a function that JAX can trace and differentiate, got "
                f"{type(error).__name__}; write it with jax.numpy."
            ) from error
    if not traced:
        raise InputError(
            f"activation {network.phi.name}: expected an elementwise function, got another shape back; "
            "write it with jax.numpy, one output for each input."
        )


def _check_memory(network: Network, sampler: AbstractHMC, counts: tuple[int, int, int], shape: tuple[int, ...]) -> None:
    """Refuse a run whose draws and working arrays would not fit in `sampler.memory`: counts are (P, n, D)."""
    (P, n, D), (patches, size) = counts, seen(network, shape)
    stack, draws = above(network, shape), sampler.chains * sampler.draws
    grids = [(patches, 1), *(layer.shape for layer in stack)] if stack else [(patches, 1)] * network.depth
    # a layer's features, or what its patches see of those below, whichever are more
    seen_below = zip(grids, network.widths, (0, *network.widths))
    widest = max(count * max(N, entries * below * bool(stack)) for (count, entries), N, below in seen_below)
    factorised = min(P, network.widths[-1] * grids[-1][0])
    rank, outside = min(P * patches, size + 1), min(n * patches, size + 1)
    kept = 2 * draws * (P * D + n * (D + 1) + 6)
    working = sampler.chains * (6 * P * widest + 3 * factorised**2)
    tests = n * (3 * widest + factorised + patches * (3 * size + rank + outside))
    need = 8 * (kept + working + tests + 3 * P * patches * (size + 1)) / 2**30
    if need > sampler.memory:
        raise InputError(
            f"memory: expected a run of at most {sampler.memory:g} GiB, got an estimate of {need:.3g} GiB; "
            "take fewer draws, chains or test points, or raise the sampler's `memory`."
        )
