"""`ww.sample`: from a network and its data to draws of its weights; `sample_grid`: many networks at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from widthwise.errors import InputError, NumericalError
from widthwise.sampling import checks
from widthwise.sampling.chains import run, thinning_of
from widthwise.sampling.checkpoint import Checkpoint, name_of
from widthwise.sampling.cost import check_memory, of
from widthwise.sampling.patches import Network
from widthwise.sampling.precision import float64, random_key
from widthwise.sampling.problem import Problem
from widthwise.sampling.progress import Progress, reporter
from widthwise.sampling.samplers import AbstractSampler, CollapsedHMC
from widthwise.sampling.samples import Samples, settle
from widthwise.store import Store


def sample(
    network: Network,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    *,
    temperature: float,
    sampler: AbstractSampler | None = None,
    key: Any = 0,
    progress: bool | Callable[[Progress], object] = False,
    throw: bool = True,
    store: Any = None,
    resume: bool = True,
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
        sampler: `CollapsedHMC` (default), `Tempered`, `HMC`, `NUTS` or `Langevin`, with its settings.
        key: a whole number, or a JAX random key.
        progress: True for a bar on stderr, or a function that receives each `Progress`, the first of them an estimate
            of time and memory.
        throw: raise when the chains have not mixed; False returns them with the status "not mixed".
        store: a `Store` or the path of one: the run is kept there every few seconds, and one that was interrupted, or
            made with fewer draws, goes on from there, to the same numbers. (Not where more draws would make
            `weights_memory` keep the weights of fewer of them: that is another run.)
        resume: False starts anew, whatever the store holds of this run.

    Returns:
        samples: errors with standard errors, predictions, diagnostics.

    Raises:
        InputError: arrays, temperature, network or sampler are not what is needed, or the run would not fit in memory.
        NumericalError: the chains have not mixed; the error's `samples` holds them.
        MissingExtra: BlackJAX or ArviZ is not installed.
    """
    sampler = _sampler(sampler)
    problem = Problem(network, X, y, X_test, y_test, temperature)
    with float64():
        (samples,) = _sample([problem], sampler, [random_key(key)], progress, store, resume)
    if throw:
        _believe(samples)
    return samples


def sample_grid(
    problems: Sequence[Problem],
    *,
    sampler: AbstractSampler | None = None,
    key: Any = 0,
    progress: bool | Callable[[Progress], object] = False,
    throw: bool = True,
    store: Any = None,
    resume: bool = True,
) -> list[Samples]:
    """Sample many networks; those of one shape (widths, activation, data sizes) together, in one vectorised run.

    Temperatures, precisions, data and targets may differ inside a run. On an accelerator, and for small networks, a
    run of many takes little longer than one of one; on a CPU large networks take as long as one by one.

    Args:
        problems: `widthwise.sampling.Problem`s.
        sampler, progress, throw, store, resume: as in `ww.sample`; `memory` is that of one run.
        key: problem number g is sampled with `jax.random.fold_in(key, g)`.

    Returns:
        the samples of each problem, in order.

    Raises:
        InputError: as `ww.sample`; an empty grid.
        NumericalError: chains of some network have not mixed; the error's `samples` holds that network's.
    """
    import jax

    sampler = _sampler(sampler)
    problems = list(problems) if isinstance(problems, Iterable) else []
    if not problems or not all(isinstance(problem, Problem) for problem in problems):
        raise InputError(f"problems: expected Problem(...)s, got {problems!r:.80}; pass at least one.")
    found: dict[int, Samples] = {}
    with float64():
        base = random_key(key)
        groups: dict[Any, list[int]] = {}
        for g, problem in enumerate(problems):
            groups.setdefault(_shape(problem, sampler), []).append(g)
        for members in groups.values():
            seeds = [jax.random.fold_in(base, g) for g in members]
            found |= zip(members, _sample([problems[g] for g in members], sampler, seeds, progress, store, resume))
    samples = [found[g] for g in range(len(problems))]
    if throw:
        for one in samples:
            _believe(one)
    return samples


def _sampler(sampler: Any) -> AbstractSampler:
    if sampler is None:
        sampler = CollapsedHMC()
    if not isinstance(sampler, AbstractSampler):
        raise InputError(
            "sampler: expected CollapsedHMC(...), Tempered(...), HMC(...), NUTS(...) or Langevin(...), got "
            f"{sampler!r}; pass one of them."
        )
    for package in ("blackjax", "arviz"):
        checks.extra(package)
    return sampler


def _shape(problem: Problem, sampler: AbstractSampler) -> Any:
    """Equal for problems that one compiled run serves."""
    static, _ = problem.model(sampler.collapsed)
    return static, len(problem.y), *(part.shape for part in problem.points(problem.X_test))


def _sample(
    problems: list[Problem], sampler: AbstractSampler, seeds: list[Any], progress: Any, store: Any, resume: bool
) -> list[Samples]:
    """The samples of problems of one shape; in 64 bits."""
    import jax

    need = check_memory(problems, sampler)
    words = [[int(word) for word in jax.numpy.ravel(jax.random.key_data(seed))] for seed in seeds]
    thinning = thinning_of(sampler, problems[0].model(sampler.collapsed)[0].dimension)
    name = "" if store is None else name_of(problems, sampler, words, thinning)
    checkpoint = Checkpoint(None if store is None else Store.of(store), name)
    with reporter(progress) as report:
        if not resume:
            checkpoint.forget()
        if report is not None and not checkpoint.exists():
            total = sum(stage.count for stage in sampler.stages())
            seconds = of(problems, sampler).seconds
            report(Progress("estimate", 0, total, 0.0, sampler.first_step, seconds, None, need))
        drawn = run(problems, sampler, seeds, checkpoint, report)
    return [settle(_samples(problem, sampler, arrays), thinning) for problem, arrays in zip(problems, drawn)]


def _samples(problem: Problem, sampler: AbstractSampler, arrays: dict[str, Any]) -> Samples:
    return Samples(
        network=problem.network,
        temperature=problem.temperature,
        sampler=sampler,
        frame=problem.frame,
        inputs=problem.inputs,
        X_test=problem.X_test,
        y=problem.targets,
        y_test=problem.test_targets,
        scalar=problem.y.ndim == 1,
        dropped=np.empty((sampler.chains, 0)),
        **arrays,
    )


def _believe(samples: Samples) -> None:
    """Raise if the chains have not mixed."""
    verdict = samples.diagnostics
    if verdict.status == "mixed":
        return
    error = NumericalError(
        f"the chains have not mixed: {'; '.join(verdict.problems)}; sample longer or in smaller steps, e.g. "
        f"{samples.sampler.longer(verdict.divergences > 0)}, "
        "or pass throw=False to look at them (they are this error's `samples`)."
    )
    error.samples = samples  # type: ignore[attr-defined]
    raise error
