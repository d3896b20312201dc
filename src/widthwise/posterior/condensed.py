"""What the cavity and the saddle say of each other: whether they agree, and if not, which phase it is."""

from __future__ import annotations

from widthwise.posterior.phases import Specialisation

AGREE = 0.05  # relative distance of their training errors, within which they do
FEW = 0.5  # specialised neurons, on average, that make a phase


def of_cavity(found: Specialisation, width: int, neurons: int, training_error: float, saddle: float) -> tuple[str, str]:
    """Verdict and reason of a cavity's posterior.

    Args:
        found: of its neurons.
        width: N.
        neurons: k, kept as they are.
        training_error: ε_t that it predicts.
        saddle: what the saddle predicts.
    """
    apart = saddle / training_error - 1.0
    if found.saturated:
        return "outside", (
            f"all {neurons} explicit neurons specialise: there may be more of them; keep more, e.g. "
            f"cavity=Cavity(neurons={2 * neurons})"
        )
    if found.separated and found.count >= FEW:
        return "sound", (
            f"{found.count:.1f} of {width} neurons specialise and carry {found.share:.0%} of Q: the saddle, whose "
            f"training error is {apart:+.0%} away, describes the other phase"
        )
    if abs(apart) <= AGREE:
        return "sound", f"cavity and saddle agree: training errors within {abs(apart):.1%}, no neuron specialises"
    return "doubtful", (
        f"cavity and saddle part ({apart:+.0%} in the training error) without a phase of its own: neurons specialise "
        f"by degrees, more of them may have to be explicit, e.g. cavity=Cavity(neurons={2 * neurons})"
    )
