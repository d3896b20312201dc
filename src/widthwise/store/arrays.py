"""Arrays as blobs: each kept once, under the SHA-256 of dtype, shape and bytes, however many entries have it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from widthwise.errors import InputError

BLOCK = 2**26  # bytes: far below the 1e9 that SQLite allows in one row
_KINDS = "biufcmMSU"


class Damaged(Exception):
    """What was read is not what was written."""


def plain_array(name: str, value: Any) -> Shaped[np.ndarray, "..."]:
    """`value` as an array whose bytes say everything, in C order.

    Raises:
        InputError: objects, structures, masks, or the platform's long double.
    """
    try:
        array = np.asarray(value, order="C")
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: expected an array, got {type(value).__name__} ({error}); convert it first."
        ) from error
    dtype, widest = array.dtype, {"f": 8, "c": 16}.get(array.dtype.kind, 1 << 62)
    if isinstance(value, np.ma.MaskedArray) or dtype.kind not in _KINDS or dtype.itemsize > widest:
        what = "a masked array" if isinstance(value, np.ma.MaskedArray) else f"dtype {dtype}"
        raise InputError(f"{name}: expected an array of numbers, text or times, got {what}; convert it first.")
    return array


def flat_bytes(array: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, " bytes"]:
    """The memory of an array in C order, not copied."""
    if array.nbytes == 0:
        return np.empty(0, np.uint8)
    return array.reshape(-1).view(np.uint8)


def digest(array: Shaped[np.ndarray, "..."]) -> bytes:
    """The name of its blob."""
    return _digest(array.dtype.str, json.dumps(array.shape), [flat_bytes(array)])


def keep(connection: sqlite3.Connection, name: bytes, array: Shaped[np.ndarray, "..."]) -> None:
    """Write the blob `name` unless it is there, and whole."""
    shape = json.dumps(array.shape)
    new = connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (name, array.dtype.str, shape)).rowcount
    if not new:
        try:
            fetch(connection, name)
            return
        except Damaged:  # what was just computed again mends it
            connection.execute("UPDATE blobs SET dtype = ?, shape = ? WHERE hash = ?", (array.dtype.str, shape, name))
            connection.execute("DELETE FROM blocks WHERE hash = ?", (name,))
    flat = flat_bytes(array)
    for number, start in enumerate(range(0, len(flat), BLOCK)):
        connection.execute("INSERT INTO blocks VALUES (?, ?, ?)", (name, number, flat[start : start + BLOCK]))


def fetch(connection: sqlite3.Connection, name: Any) -> Shaped[np.ndarray, "..."]:
    """The array that `keep` wrote under `name`.

    Raises:
        Damaged: its hash is another, or it is not there.
    """
    row = connection.execute("SELECT dtype, shape FROM blobs WHERE hash = ?", (name,)).fetchone()
    rows = connection.execute("SELECT bytes FROM blocks WHERE hash = ? ORDER BY number", (name,)).fetchall()
    blocks = [block for (block,) in rows]
    dtype, shape = row or ("", "")
    # the hash first: nothing that follows is then a surprise
    if not all(isinstance(block, bytes) for block in blocks) or _digest(dtype, shape, blocks) != name:
        raise Damaged
    array = np.empty(json.loads(shape), np.dtype(dtype))
    flat, start = flat_bytes(array), 0
    for block in blocks:
        flat[start : start + len(block)] = np.frombuffer(block, np.uint8)
        start += len(block)
    return array


def drop_unreferenced(connection: sqlite3.Connection, names: Iterable[bytes]) -> None:
    """Delete those of `names` that no entry has any more."""
    for name in set(names):
        if connection.execute("SELECT 1 FROM arrays WHERE hash = ? LIMIT 1", (name,)).fetchone() is None:
            connection.execute("DELETE FROM blobs WHERE hash = ?", (name,))
            connection.execute("DELETE FROM blocks WHERE hash = ?", (name,))


def _digest(dtype: Any, shape: Any, blocks: Iterable[Any]) -> bytes:
    sha = hashlib.sha256(f"{dtype}\n{shape}\n".encode())
    for block in blocks:
        sha.update(block)
    return sha.digest()
