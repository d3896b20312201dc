"""One hexadecimal name for any nested value: equal values have equal names, on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from widthwise.errors import InputError
from widthwise.store.arrays import flat_bytes, plain_array


def fingerprint(*things: Any) -> str:
    """SHA-256 of a canonical encoding: what names a computation by everything that went into it.

        encoding = tag, length of payload (8 bytes, little-endian), payload

    A container's payload is its items' encodings, an array's its dtype, its shape and the SHA-256 of its bytes,

    so no two structures meet by concatenation. Types count: 1, 1.0, True and "1" are four values. What Python or a file
    of JSON would blur is one value: tuples and lists; the order of a dict; −0.0 and 0.0; every NaN; a NumPy scalar and
    Python's; an array's memory and byte order.

    Args:
        things: None, bool, int, float, str, bytes, tuples, lists, dicts, dataclasses (class name and init fields),
            NumPy arrays of numbers, text or times, and NumPy scalars.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: a value of any other type (functions, sets, objects: name them by a string).
    """
    return hashlib.sha256(_encode(things)).hexdigest()


def _encode(value: Any) -> bytes:
    if isinstance(value, np.generic):
        value = _python(value)
    if value is None:
        return _framed(b"N")
    if isinstance(value, bool):
        return _framed(b"B", b"1" if value else b"0")
    if isinstance(value, int):
        return _framed(b"I", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    if isinstance(value, float):
        return _framed(b"F", struct.pack("<d", math.nan if math.isnan(value) else value + 0.0))  # −0.0 + 0.0 = 0.0
    if isinstance(value, str):
        return _framed(b"S", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, bytes | bytearray):
        return _framed(b"Y", value)
    if isinstance(value, tuple | list):
        return _framed(b"L", *map(_encode, value))
    if isinstance(value, Mapping):
        return _framed(b"D", *_sorted_pairs(value.items()))
    if isinstance(value, np.ndarray):
        array = plain_array("fingerprint", value)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        content = hashlib.sha256(flat_bytes(array).data).digest()
        return _framed(b"A", _encode(array.dtype.str), _encode(array.shape), content)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init)
        return _framed(b"C", _encode(type(value).__name__), *_sorted_pairs(pairs))
    raise InputError(
        f"fingerprint: expected plain values, sequences, dicts, dataclasses or arrays, got {type(value).__name__}; "
        "put what identifies it, such as its name, in its place."
    )


def _framed(tag: bytes, *parts: Any) -> bytes:
    return b"".join((tag, struct.pack("<Q", sum(map(len, parts))), *parts))


def _sorted_pairs(pairs: Iterable[tuple[Any, Any]]) -> list[bytes]:
    return [key + value for key, value in sorted((_encode(key), _encode(value)) for key, value in pairs)]


def _python(value: np.generic) -> Any:
    plain = value.item()
    if not isinstance(plain, bool | int | float | str | bytes):
        raise InputError(f"fingerprint: expected plain values, got {type(value).__name__}; make it an array or text.")
    return plain
