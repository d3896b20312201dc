"""Random numbers by key: teachers, inputs, noise and shuffles never share a stream, whatever their keys."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from widthwise import checks


class Stream(IntEnum):
    """What the numbers are for. The tag is large, so that another room's [key, repeat] is none of these."""

    TEACHER = 0x7EAC4E00
    READOUT = 0x7EAC4E01
    INPUTS = 0x7EAC4E02
    CLASSES = 0x7EAC4E03
    NOISE = 0x7EAC4E04
    SHUFFLE = 0x7EAC4E05
    FACTORS = 0x7EAC4E06


def generator(stream: Stream, key: int) -> np.random.Generator:
    """The generator of one purpose and key.

    Args:
        stream: the purpose.
        key: whole number, not negative.
    """
    return np.random.default_rng([int(stream), checks.whole("key", key, 0)])
