"""Is the student's error Gaussian? So it is while the student memorises; where it collapses, no more."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound.measurement import Measurement
from widthwise.errors import InputError
from widthwise.probes.probe import Null

_ENTROPY = 0.5 * math.log(2.0 * math.pi * math.e)  # of a standard Gaussian
_NUMBERS = 4_000_000  # drawn at most for one null, if that leaves 20 draws
_LEAST = 8


def excess_kurtosis(errors: Any) -> Measurement:
    """The fourth cumulant of a sample over its squared variance: 0 of a Gaussian, 3 of a Laplace law.

        ⟨(e − ē)⁴⟩/⟨(e − ē)²⟩² − 3

    Its error is that of the infinitesimal jackknife (the bootstrap's first order) [Efron 1982, SIAM CBMS 38, ch. 6].
    The error of a random student is a sum of a few units and not Gaussian: of erf units flatter, below 0.

    Args:
        errors: (n,), n ≥ 8, that vary.

    Raises:
        InputError: too few, all the same, not finite.
    """
    z = _standard(errors)
    third, fourth = float(np.mean(z**3)), float(np.mean(z**4))
    influence = z**4 - fourth - 2.0 * fourth * (z**2 - 1.0) - 4.0 * third * z
    return Measurement(fourth - 3.0, float(np.std(influence)) / math.sqrt(len(z)))


def gaussian_kurtosis(n: int) -> Null:
    """The exact mean and deviation of `excess_kurtosis` of n Gaussian numbers: −6/(n + 1), about √(24/n).

    [Fisher 1930, Proc. R. Soc. A 130, 16; Joanes, Gill 1998, The Statistician 47, 183]
    """
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5))
    return Null(-6.0 / (n + 1), math.sqrt(variance))


def negentropy(errors: Any, *, draws: int = 200, key: int = 0) -> Measurement:
    """How many nats the entropy of a sample falls short of a Gaussian's of the same variance: 0 of a Gaussian alone.

        J = ½ log 2πe s² − H,   H = ⟨log[(e_(i+m) − e_(i−m)) n/2m]⟩,  m = ⌊√n + ½⌋
                                                                            [Vasicek 1976, J. R. Stat. Soc. B 38, 54]

    minus its mean over Gaussian samples of the same size, simulated: the estimator's bias, most of it. The error
    adds the deviation of the same samples to that of ⟨½z² + log p⟩, which vanishes where the law is Gaussian.

    Args:
        errors: (n,), n ≥ 8, that vary.
        draws: Gaussian samples simulated.
        key: of them.

    Returns:
        A `Measurement`; infinite where more than 2m errors are equal.

    Raises:
        InputError: too few, all the same, not finite.
    """
    z = _standard(errors)
    null = gaussian_negentropy(len(z), draws, key)
    z = np.sort(z)
    logs = _log_spacings(z)
    if not np.isfinite(logs).all():
        return Measurement(math.inf, math.nan)
    spread = float(np.std(0.5 * z**2 - logs)) / math.sqrt(len(z))
    return Measurement(_ENTROPY - float(np.mean(logs)) - null.mean, math.hypot(spread, null.deviation))


@lru_cache(maxsize=64)
def gaussian_negentropy(n: int, draws: int = 200, key: int = 0) -> Null:
    """Mean and deviation of the raw estimate J of n Gaussian numbers, simulated.

    Args:
        n: how many, at least 8.
        draws: samples; fewer, but 20 at least, where they would be more than 4 million numbers.
        key: the seed.
    """
    random, draws = np.random.default_rng([key, n]), min(draws, max(20, _NUMBERS // n))
    J = np.empty(draws)
    for i in range(draws):
        z = random.standard_normal(n)
        J[i] = _ENTROPY - float(np.mean(_log_spacings(np.sort((z - z.mean()) / z.std()))))
    return Null(float(J.mean()), float(J.std(ddof=1)))


def _log_spacings(z: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """−log p at each of the sorted numbers, from its 2m neighbours."""
    n = len(z)
    m = math.floor(math.sqrt(n) + 0.5)
    padded = np.pad(z, m, mode="edge")
    with np.errstate(divide="ignore"):
        return np.log((padded[2 * m :] - padded[: -2 * m]) * (n / (2.0 * m)))


def _standard(errors: Any) -> Float[np.ndarray, " n"]:
    e = checks.real("errors", errors, (1,), "(n,)")
    if len(e) < _LEAST:
        raise InputError(f"errors: expected at least {_LEAST} to see the shape of their law, got {len(e)}.")
    deviations = e - e.mean()
    largest = float(np.abs(deviations).max())
    if largest <= 1e-14 * float(np.abs(e).max()):
        raise InputError("errors: expected errors that vary, got all the same; nothing is left to be Gaussian.")
    deviations = deviations / largest
    return deviations / np.sqrt(np.mean(deviations**2))
