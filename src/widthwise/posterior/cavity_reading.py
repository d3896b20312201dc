"""What the draws of a cavity say, whatever the order parameter of its bath: nodes, evidence, phases, certificate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from widthwise.actions.matrix import OrderParameterDraws
from widthwise.errors import NumericalError
from widthwise.numerics.hamiltonian import monte_carlo
from widthwise.posterior.certificate import INDEPENDENT, MIXED, Certificate
from widthwise.posterior.phases import Phase, Specialisation, multiplicities, phases_of, specialisation_of, valley


class Evidence(NamedTuple):
    """Of the sampled law, in nats.

    Attributes:
        log_evidence: log p(y | X), multiplicities included.
        standard_error: of it, from the ladders.
        gain: of it over the theory without explicit neurons.
        barrier: Λ of the ladder, the sum of its rejections.
        round_trips: of all replicas.
    """

    log_evidence: float
    standard_error: float
    gain: float
    barrier: float
    round_trips: int


class Draws(NamedTuple):
    """Of all draws, over (ladders, draws): what the nodes are chosen by.

    Attributes:
        shares: q_i ("C S k").
        variance: λ_L var(v_i | W), of several outputs their sum ("C S k").
        Q: of the bath, of several outputs its trace ("C S").
        error: P ε_t of the draw alone ("C S").
    """

    shares: Float[np.ndarray, "C S k"]
    variance: Float[np.ndarray, "C S k"]
    Q: Float[np.ndarray, "C S"]
    error: Float[np.ndarray, "C S"]


class Reading(NamedTuple):
    """What a law is made of, but for the draws themselves.

    Attributes:
        nodes: those kept, as flat indices (" G").
        weights: sum to 1 (" G").
        ladders: of each (" G").
        evidence: log p(y | X).
        specialisation, phases: of all draws.
        certificate: whether they can be believed.
    """

    nodes: Int[np.ndarray, " G"]
    weights: Float[np.ndarray, " G"]
    ladders: Int[np.ndarray, " G"]
    evidence: Evidence
    specialisation: Specialisation
    phases: tuple[Phase, ...]
    certificate: Certificate


def read(action: Any, draws: Draws, *, log_evidence: float, standard_error: float, throw: bool) -> Reading:
    """The draws, each with the multiplicity of its specialised neurons.

    Args:
        action: that was sampled.
        draws: what is looked at.
        log_evidence: of the theory without explicit neurons.
        standard_error: of all of log p(y | X).
        throw: whether chains that have not mixed raise.
    """
    N, (C, S, k) = action.width, draws.shares.shape
    flat = draws.shares.reshape(C * S, k)
    threshold, separated = valley(flat)
    weight = multiplicities(flat, threshold, N) if separated else np.ones(C * S)
    each = max(1, action.settings.nodes // C)
    nodes, counts = np.unique(systematic(weight.reshape(C, S), each), return_counts=True)
    tempered = action.tempered
    gain = tempered.log_ratio + float(np.log(weight.mean()))
    evidence = Evidence(log_evidence + gain, standard_error, gain, tempered.barrier, tempered.round_trips)
    special = specialisation_of(
        flat, draws.Q.ravel(), weight, N, threshold, separated, draws.variance.reshape(C * S, k)
    )
    phases = phases_of(
        draws.shares, draws.Q, draws.error / len(action.target), weight.reshape(C, S), threshold,
        evidence.log_evidence, separated=separated,
    )  # fmt: skip
    found = _certificate(action, draws, len(phases), throw=throw)
    return Reading(nodes, counts / counts.sum(), nodes // S, evidence, special, phases, found)


def systematic(weights: Float[np.ndarray, "C S"], each: int) -> Int[np.ndarray, " n"]:
    """Draws, as flat indices in ascending order, each as often as its weight says: evenly spaced in the cumulative one.

    Args:
        weights: of all draws, above zero.
        each: how many are wanted of a ladder, on average.
    """
    flat = weights.ravel()
    climbed = np.cumsum(flat) / flat.sum()
    count = each * len(weights)
    return np.minimum(np.searchsorted(climbed, (np.arange(count) + 0.5) / count), len(flat) - 1)


def _certificate(action: Any, draws: Draws, phases: int, *, throw: bool) -> Certificate:
    """Whether the ladders agree; where they meet several phases, whether states went back and forth between them."""
    tempered, s = action.tempered, action.settings
    about = [monte_carlo(draws.error), monte_carlo(np.log(draws.Q))]
    ess, rhat = min(one.ess for one in about), max(one.rhat for one in about)
    crossed = phases == 1 or tempered.round_trips >= s.ladders
    mixed = rhat <= MIXED and ess >= INDEPENDENT and crossed
    if throw and not mixed:
        trips = "" if crossed else f", {tempered.round_trips} round trips between phases (at least {s.ladders})"
        raise NumericalError(
            f"cavity: R-hat {rhat:.3f} (at most {MIXED}), {ess:.0f} effective draws (at least {INDEPENDENT}){trips}; "
            f"sample longer, e.g. cavity=Cavity(neurons={s.neurons}, levels={3 * s.levels // 2}, draws={3 * s.draws}, "
            f"warmup={2 * s.warmup}), or pass throw=False."
        )
    return Certificate(
        status="converged" if mixed else "not mixed",
        residual=None,
        hessian=(),
        kind="draws",
        starts=s.ladders,
        agreeing=s.ladders if mixed else 0,
        stationary_points=(),
        solver="eigenvalues",
        evaluations=s.ladders * s.levels * (s.draws + s.warmup),
        monte_carlo_error=about[0].standard_error / about[0].mean,
        ess=ess,
        rhat=rhat,
    )


def check_reservoir(draws: OrderParameterDraws) -> None:
    """Refuses to start from chains that have not mixed.

    Raises:
        NumericalError: they have not.
    """
    if not (draws.rhat <= MIXED and draws.ess >= INDEPENDENT):
        raise NumericalError(
            f"cavity: the theory without explicit neurons, from which it starts, has R-hat {draws.rhat:.3f} (at most "
            f"{MIXED}) and {draws.ess:.0f} effective draws (at least {INDEPENDENT}); raise the temperature, or pass "
            "throw=False."
        )
