"""What a store holds under a key: a record of plain values, and arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.errors import InputError


@dataclass(frozen=True)
class Entry:
    """One entry, or one of a key's parts, as it was written.

    Args:
        key: what it is kept under.
        part: its number; None for the key's entry.
        written: UTC, ISO 8601.
        record: plain values; tuples have become lists.
        arrays: dtype, shape and bytes as they were, in C order.
    """

    key: str
    part: int | None
    written: str
    record: dict[str, Any]
    arrays: dict[str, np.ndarray]


def checked_key(key: Any) -> str:
    """A key, if it is text that a file can hold.

    Raises:
        InputError: not text, empty, or with characters that are none.
    """
    if not isinstance(key, str) or not key or "\0" in key or not _encodable(key):
        raise InputError(f"key: expected a string of at least one character, without NUL, got {key!r}; rename it.")
    return key


def checked_part(part: Any) -> int:
    """A part's number.

    Raises:
        InputError: not a whole number from 0 to 2⁶³ − 1.
    """
    if isinstance(part, bool | np.bool_) or not isinstance(part, int | np.integer) or not 0 <= part < 2**63:
        raise InputError(f"part: expected a whole number from 0, got {part!r}; number the parts 0, 1, 2, ….")
    return int(part)


def encode_record(record: Any) -> str:
    """A record as JSON with NaN and Infinity; `json.loads` gives it back.

    Raises:
        InputError: a value that JSON cannot hold; arrays have their own place.
    """
    if not isinstance(record, Mapping):
        raise InputError(f"record: expected a dict, got {type(record).__name__}; pass {{'value': ...}}.")
    return json.dumps(_plain(record, "record"))


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: expected strings as keys, got {key!r}; write it as text.")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise InputError(
        f"{where}: expected None, a bool, a number, text, or lists and dicts of them, got {type(value).__name__}; "
        "arrays go in arrays=."
    )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
