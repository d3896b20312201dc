"""What is done to labels: shuffled, then made noisy."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError
from widthwise.probes.teachers.streams import Stream, generator

Labels = Float[np.ndarray, "P *D"]


def shuffle(y: Labels, fraction: Any, key: int) -> Labels:
    """The labels of round(fraction · P) examples, chosen at random, permuted at random among these examples.

    All labels remain, so the marginal law does; of a chosen example's label nothing is left but chance.

    Args:
        y: (P,) or (P, D); an example's D labels stay together.
        fraction: 0 … 1; True for all.
        key: the seed.

    Raises:
        InputError: a fraction outside 0 … 1.
    """
    fraction = checks.number("shuffled", float(fraction) if isinstance(fraction, bool) else fraction, 0.0)
    if fraction > 1.0:
        raise InputError(f"shuffled: expected a fraction of 0 … 1 of the labels, got {fraction:g}; pass 1 for all.")
    rng, count = generator(Stream.SHUFFLE, key), round(fraction * len(y))
    chosen = np.sort(rng.permutation(len(y))[:count])
    shuffled = y.copy()
    shuffled[chosen] = y[chosen[rng.permutation(count)]]
    return shuffled


def noisy(y: Labels, noise: Any, key: int) -> Labels:
    """y + σξ,   ξ ~ N(0, 1), independent for every example and output.

    Args:
        y: (P,) or (P, D).
        noise: σ ≥ 0, a standard deviation in the labels' own units.
        key: the seed.
    """
    sigma = checks.number("noise", noise, 0.0)
    return y + sigma * generator(Stream.NOISE, key).standard_normal(y.shape) if sigma else y
