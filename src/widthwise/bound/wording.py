"""What may be said of the bound, in one word and in a sentence: a prediction for quenched features, never more."""

from __future__ import annotations

import enum

from widthwise.bound.measurement import Measurement


class Status(enum.StrEnum):
    """What 2 N_eff/P is worth here."""

    VACUOUS = "vacuous"
    OUTSIDE_ASSUMPTION = "outside_assumption"
    INCONCLUSIVE = "inconclusive"
    INFORMATIVE = "informative"


def vacuous(P: int, N: int) -> str:
    """Too few examples for the features."""
    return f"2 N_eff/P = {2 * N / P:.3g} is at least 1 and says nothing: it would take P > {2 * N} examples, not {P}."


def trained(P: int, N: int, relative_gap: Measurement | None) -> str:
    """The features saw the examples."""
    return (
        "The trunk was trained on these examples: its features are not quenched, and "
        f"2 N_eff/P = {2 * N / P:.3g} predicts nothing of this gap. {measured(2 * N / P, relative_gap)}"
    ).rstrip()


def quenched(P: int, N: int, relative_gap: Measurement | None) -> str:
    """The features are fixed."""
    return (
        f"For quenched features, P and N_eff large, the gap is predicted to stay below 2 N_eff/P = {2 * N / P:.3g} of "
        f"the target power. {measured(2 * N / P, relative_gap)}"
    ).rstrip()


def unexplained(P: int, N: int, rho: float) -> str:
    """Where the asymptotic form has not been reached yet: P/N < (1 − ρ/2)/(1 − ρ), at λ = 0; nothing elsewhere."""
    if P * (1.0 - rho) >= N * (1.0 - rho / 2.0):
        return ""
    from_where = f"from P = {N * (1.0 - rho / 2.0) / (1.0 - rho):.0f} on" if rho < 1.0 else "at no P"
    return (
        f" The readout leaves ρ = {rho:.3g} of the target power unexplained, and without a ridge such a gap lies below "
        f"the asymptotic form {from_where}; gap/ε_g ≤ 2m asks for less."
    )


def heavy(P: int, N: int, tau: Measurement, rho: float) -> str:
    """The features are far from Gaussian-equivalent."""
    return (
        f"These features are not Gaussian-equivalent to this readout (τ = {tau}): the gap tends to 2 ρτ N_eff/P of the "
        f"target power with ρτ = {rho * tau.value:.3g}, above 2 N_eff/P = {2 * N / P:.3g}."
    )


def measured(bound: float, relative_gap: Measurement | None) -> str:
    """Where the measured gap lies; nothing where it was not."""
    if relative_gap is None:
        return ""
    below = relative_gap.below(bound)
    if below is None:
        return f"Measured, {relative_gap}: too uncertain to say on which side of it."
    return f"Measured, {relative_gap}: {'below' if below else 'above'} it."
