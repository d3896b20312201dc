"""Whether a run's chains can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from widthwise.sampling.estimates import estimate

if TYPE_CHECKING:
    from widthwise.sampling.samples import Samples

RHAT = 1.05
ESS = 100
DIVERGENT = 0.01
WATCHED_POINTS = 16


@dataclass(frozen=True)
class Diagnostics:
    """Whether the chains can be believed.

    Attributes:
        status: "mixed" or "not mixed".
        problems: what speaks against them, in words.
        acceptance: mean over chains and draws.
        step_size: after warm-up.
        leapfrog_steps: of a trajectory, on average.
        divergences: trajectories whose energy ran away, after warm-up.
        rhat, ess, ess_tail: the worst over log likelihood, errors and the predictions at some points.
        burn_in: draws of each chain that were dropped, because it had not settled yet.
        weights_kept: draws of each chain whose weights were kept for `Samples.predict`.
        seconds: the run took.
    """

    status: str
    problems: tuple[str, ...]
    acceptance: float
    step_size: float
    leapfrog_steps: float
    divergences: int
    rhat: float
    ess: float
    ess_tail: float
    burn_in: int
    weights_kept: int
    seconds: float


def diagnose(samples: Samples) -> Diagnostics:
    """Whether the chains can be believed.

    Mixed: rank-normalised R-hat at most 1.05, bulk and tail ESS at least 100 for every watched quantity, at most
    1 % of the trajectories divergent, nothing still drifting, and in every ladder of `Tempered` a round trip.
                                                                            [Vehtari et al. 2021, arXiv 1903.08008]
    """
    watched = [samples.estimates["log_likelihood"], samples.training_error]
    watched += [samples.generalisation_error] if samples.y_test is not None else []
    f = samples.test_mean if samples.test_mean.shape[2] else samples.train_mean
    f = f.reshape(*f.shape[:2], -1)
    points = np.unique(np.linspace(0, f.shape[2] - 1, WATCHED_POINTS).astype(int))
    watched += [estimate(f[..., i]) for i in points]
    rhat, ess, tail = max(w.rhat for w in watched), min(w.ess for w in watched), min(w.ess_tail for w in watched)
    ladders = samples.tempering
    divergences = int(np.sum(samples.divergent))
    problems = []
    if rhat > RHAT:
        problems.append(f"R-hat {rhat:.3f} (at most {RHAT})")
    if ess < ESS:
        problems.append(f"effective sample size {ess:.0f} (at least {ESS})")
    if tail < ESS:
        problems.append(f"effective sample size of the tails {tail:.0f} (at least {ESS})")
    if samples.drift:
        problems.append(samples.drift)
    if divergences > DIVERGENT * samples.divergent.size:
        problems.append(f"{divergences} divergent of {samples.divergent.size} (at most {DIVERGENT:.0%})")
    if ladders is not None and not ladders.round_trips.all():
        problems.append(
            f"{np.sum(ladders.round_trips == 0)} of {len(ladders.round_trips)} ladders without a round trip between "
            f"prior and posterior: more draws, or levels={max(ladders.suited_levels, len(ladders.betas) + 1)}"
        )
    return Diagnostics(
        status="not mixed" if problems else "mixed",
        problems=tuple(problems),
        acceptance=float(samples.acceptance.mean()),
        step_size=samples.step_size,
        leapfrog_steps=float(samples.leapfrog_steps.mean()),
        divergences=divergences,
        rhat=rhat,
        ess=ess,
        ess_tail=tail,
        burn_in=samples.dropped.shape[1],
        weights_kept=samples.weights.shape[1],
        seconds=samples.seconds,
    )
