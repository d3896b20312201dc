"""How many draws to drop: where the chains, on average, begin to agree with their last half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

LEVEL = 1e-3  # of the whole family of tests: a stationary run is hardly ever cut
PARTS = 20  # a cut is a whole number of these parts of a chain
LATEST = 7  # in parts: a stretch that begins later leaves no room for twice the cut
SPREAD = 4  # chains from which their own spread tells the error of their average


@dataclass(frozen=True)
class BurnIn:
    """What to drop.

    Attributes:
        draws: of each chain, at its beginning: a multiple of 5 % (rounded up), at most half.
        settled: whether what is left agrees with the last half.
        reason: in words.
    """

    draws: int
    settled: bool
    reason: str


def burn_in(series: Float[np.ndarray, "quantities chains draws"], names: Sequence[str] = ()) -> BurnIn:
    """Where the chains have settled: twice the first b whose next stretch agrees with the last half.

        z(b) = (⟨x⟩_{b … b+m} − ⟨x⟩_{last half})/σ,   b = 0, 5 %, … 35 % of the draws, m = 5 % of them     [Geweke 1992]
        σ² = (V_m + V_half)/C

    V_m: variance of a stretch's mean, over all stretches of the last half in all C chains, about their common mean.
    V_half: of the last half's mean, over the chains. With fewer than four chains both from the steps between
    neighbouring stretches, V_m = V_half = ½ var(step): then what wanders as slowly as a drift counts as one.
    Every quantity's |z| is to be below Student's t at an overall level of 1e-3 (Bonferroni). Twice b, since what a test
    just fails to see at b still biases the average: of an exponential, over another b as small a part is left again.

    Assumes: a relaxation shorter than a tenth of the draws; a slower one is cut, or found unsettled, as far as its size
    shows above the noise. Chains that disagree with each other from the start are R-hat's to find.

    Args:
        series: scalars that every draw has, all draws of all chains; twenty draws at least to tell anything.
        names: what the quantities are called, for the reason.

    Returns:
        what to drop: half of the draws, and settled False, where no b will do.
    """
    S = series.shape[2]
    finite = np.isfinite(series).all(axis=(1, 2))
    if not finite.all():
        return BurnIn(_parts(PARTS // 2, S), False, f"{_name(names, int(np.argmin(finite)))} is not finite")
    length, half = max(1, S // PARTS), S // 2
    last = series[:, :, -half:].mean(axis=(1, 2))
    with np.errstate(over="ignore", invalid="ignore"):  # chains that ran away have squares beyond all numbers
        error, dof = _error(series[:, :, -half:], length)
    if not np.isfinite(error).all():
        away = _name(names, int(np.argmin(np.isfinite(error))))
        return BurnIn(_parts(PARTS // 2, S), False, f"{away} has run away")
    # what rounding alone can do counts as agreement
    error = np.maximum(error, 1e-12 * np.abs(series).max(axis=(1, 2)))
    limit = student.isf(0.5 * LEVEL / len(series), dof)
    for part in range(LATEST + 1):
        b = _parts(part, S)
        off = np.abs(series[:, :, b : b + length].mean(axis=(1, 2)) - last)
        if np.all(off <= limit * error):
            reason = f"agrees with the last half from {part / PARTS:.0%} of the draws on" if part else "settled"
            return BurnIn(_parts(min(2 * part, PARTS // 2), S), True, reason)
    z = np.divide(off, error, out=np.zeros(len(off)), where=error > 0)
    worst = int(np.argmax(z / limit))
    reason = (
        f"{_name(names, worst)} still drifting after {LATEST / PARTS:.0%} of the draws ({z[worst]:.3g} standard errors)"
    )
    return BurnIn(_parts(PARTS // 2, S), False, reason)


def _name(names: Sequence[str], q: int) -> str:
    return names[q].replace("_", " ") if names else f"quantity {q}"


def _parts(count: int, S: int) -> int:
    """So many twentieths of S draws, rounded up, at most half."""
    return min(math.ceil(count * S / PARTS), S // 2)


def _error(
    half: Float[np.ndarray, "quantities chains draws"], length: int
) -> tuple[Float[np.ndarray, " quantities"], Float[np.ndarray, " quantities"]]:
    """Standard error of the difference between a stretch and the half, averaged over chains; its degrees of freedom."""
    _, C, H = half.shape
    most = H / length
    centre = half.mean(axis=(1, 2), keepdims=True)
    sums = np.cumsum(np.concatenate([np.zeros((*half.shape[:2], 1)), half - centre], axis=2), axis=2)
    stretches = (sums[:, :, length:] - sums[:, :, :-length]) / length
    if C < SPREAD:
        steps = stretches[:, :, length:] - stretches[:, :, :-length]
        V_m = 0.5 * steps.var(axis=(1, 2))
        return np.sqrt(2.0 * V_m / C), np.full(len(V_m), max(C * most - 1.0, 1.0))
    V_half = np.maximum(half.mean(axis=2).var(axis=1, ddof=1), np.mean(stretches**2, axis=(1, 2)) / most)
    V_m = np.mean(stretches**2, axis=(1, 2)) + V_half / C  # what the common mean took away
    independent = np.divide(V_m, V_half, out=np.full(len(V_m), most), where=V_half > 0)
    return np.sqrt((V_m + V_half) / C), C * np.clip(independent, 1.0, most) - 1.0
