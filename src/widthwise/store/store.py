"""The store: entries and numbered parts under keys, in one file."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from widthwise.errors import InputError
from widthwise.store import arrays as blobs
from widthwise.store.connection import connect, create, faults, place
from widthwise.store.entry import Entry, checked_key, checked_part, encode_record
from widthwise.store.fingerprint import fingerprint

_ENTRY = -1  # the part that is the key's entry


class Store:
    """Records and arrays by key, in one SQLite file.

    A key has an entry (`put`, `get`), numbered parts (`append`, `parts`), or both: neither touches the other. What one
    call writes, or all that one `transaction` writes, is there whole or not at all, whenever the process dies. Nothing
    is open or locked between calls: any number of processes and threads may use one file, a store may be pickled, and
    a process that has one may fork, though not inside a transaction. Copy the file when nobody writes.

    Args:
        path: of the file; made when there is none.

    Raises:
        InputError: the path is not a store, is of a later version, or cannot be read. Nothing has been touched then.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = place(path)
        self._thread = threading.local()  # .open: (connection, process) of this thread's transaction
        create(self.path)
        with faults(self.path):
            connect(self.path).close()

    @classmethod
    def of(cls, store: Store | str | os.PathLike[str]) -> Store:
        """The store itself, or the one at a path: what a function does with its `store=`."""
        return store if isinstance(store, cls) else cls(store)  # type: ignore[arg-type]

    def put(self, key: str, record: Mapping[str, Any], arrays: Mapping[str, Any] = {}) -> None:
        """Write the entry of `key`, in place of the one it had; its parts stay.

        Args:
            key: any text.
            record: None, bool, numbers (inf and nan too), text, and lists and dicts of them.
            arrays: by name; of numbers, text or times.

        Raises:
            InputError: a value that cannot be kept, no room, or another process that keeps the file locked.
        """
        self._write(key, _ENTRY, record, arrays)

    def append(self, key: str, part: int, record: Mapping[str, Any], arrays: Mapping[str, Any] = {}) -> None:
        """Write part `part` (0, 1, 2, …) of `key`, in place of the one of that number.

        Args, Raises: as `put`.
        """
        self._write(key, checked_part(part), record, arrays)

    def get(self, key: str) -> Entry | None:
        """The entry of `key`; None without one.

        Raises:
            InputError: what is there is not what was written.
        """
        return self._read(checked_key(key), _ENTRY)

    def parts(self, key: str) -> Iterator[Entry]:
        """The parts of `key` by number, each read when its turn comes; what is deleted meanwhile is left out.

        Raises:
            InputError: a part is not what was written.
        """
        with self._reading(checked_key(key)) as connection:
            rows = connection.execute("SELECT part FROM entries WHERE key = ? AND part >= 0 ORDER BY part", (key,))
            numbers = [number for (number,) in rows]
        for number in numbers:
            entry = self._read(key, number)
            if entry is not None:
                yield entry

    def keys(self, prefix: str = "") -> list[str]:
        """Every key that has an entry or parts and begins with `prefix`, in order."""
        if prefix:
            checked_key(prefix)
        with self._reading() as connection:
            rows = connection.execute("SELECT DISTINCT key FROM entries WHERE key >= ? ORDER BY key", (prefix,))
            return list(takewhile(lambda key: key.startswith(prefix), (key for (key,) in rows)))

    def delete(self, key: str) -> None:
        """Forget `key`, its entry and its parts, if it is there."""
        with self._writing(checked_key(key)) as connection, faults(self.path, key):
            blobs.drop_unreferenced(connection, self._unlink(connection, "key = ?", key))

    def __contains__(self, key: object) -> bool:
        with self._reading() as connection:
            sql = "SELECT 1 FROM entries WHERE key = ? LIMIT 1"
            return connection.execute(sql, (checked_key(key),)).fetchone() is not None

    def __len__(self) -> int:
        with self._reading() as connection:
            return int(connection.execute("SELECT count(DISTINCT key) FROM entries").fetchone()[0])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Several writes, all or none: an exception in the block undoes them. One inside another joins it.

        Other processes read on, and wait to write. What is written stays in memory until the block ends.
        """
        with self._writing():
            yield

    @property
    def size(self) -> int:
        """Bytes of the file. What is deleted leaves room in it for what comes; `vacuum` gives that back."""
        return self.path.stat().st_size

    def vacuum(self) -> None:
        """Write the file anew, without empty room: takes as much room again while it lasts.

        Raises:
            InputError: inside a transaction, or no room.
        """
        if self._current() is not None:
            raise InputError("vacuum: expected no transaction, got one; call it after the block.")
        with faults(self.path), contextlib.closing(connect(self.path)) as connection:
            connection.execute("VACUUM")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing: between calls nothing is open."""

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return Store, (self.path,)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def _write(self, key: str, part: int, record: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        checked_key(key)
        text = encode_record(record)
        kept = {name: blobs.plain_array(f"arrays[{name!r}]", arrays[name]) for name in sorted(map(checked_key, arrays))}
        # all hashing before the file is locked
        hashes = {name: blobs.digest(array) for name, array in kept.items()}
        written = datetime.now(UTC).isoformat()
        digest = fingerprint(key, part, written, text, list(hashes.items()))
        with self._writing(key) as connection, faults(self.path, key):
            for name, array in kept.items():
                blobs.keep(connection, hashes[name], array)
            # the old arrays go last: where they lay, nothing need be saved for a rollback
            old = self._unlink(connection, "key = ? AND part = ?", key, part)
            sql = "INSERT INTO entries (key, part, written, record, digest) VALUES (?, ?, ?, ?, ?)"
            entry = connection.execute(sql, (key, part, written, text, digest)).lastrowid
            connection.executemany("INSERT INTO arrays VALUES (?, ?, ?)", [(entry, *item) for item in hashes.items()])
            blobs.drop_unreferenced(connection, old)

    def _read(self, key: str, part: int) -> Entry | None:
        with self._reading(key) as connection:
            sql = "SELECT id, key, part, written, record, digest FROM entries WHERE key = ? AND part = ?"
            row = connection.execute(sql, (key, part)).fetchone()
            if row is None:
                return None
            entry, *covered, digest = row
            sql = "SELECT name, hash FROM arrays WHERE entry = ? ORDER BY name"
            hashes = connection.execute(sql, (entry,)).fetchall()
            try:
                if fingerprint(*covered, hashes) != digest:
                    raise blobs.Damaged
                found: dict[str, np.ndarray] = {name: blobs.fetch(connection, value) for name, value in hashes}
            except blobs.Damaged:
                where = f"key {key!r}" if part == _ENTRY else f"key {key!r}, part {part}"
                raise InputError(
                    f"store {str(self.path)!r}, {where}: expected what was written, got other bytes: the file is "
                    "damaged; delete the key and compute it again."
                ) from None
        _, _, written, text = covered
        return Entry(key, None if part == _ENTRY else part, written, json.loads(text), found)

    @staticmethod
    def _unlink(connection: sqlite3.Connection, where: str, *values: Any) -> list[bytes]:
        """Delete entries; the arrays they had, to be dropped unless another has them."""
        chosen = f"IN (SELECT id FROM entries WHERE {where})"
        old = [name for (name,) in connection.execute(f"SELECT hash FROM arrays WHERE entry {chosen}", values)]
        connection.execute(f"DELETE FROM arrays WHERE entry {chosen}", values)
        connection.execute(f"DELETE FROM entries WHERE {where}", values)
        return old

    def _current(self) -> sqlite3.Connection | None:
        """The connection of this thread's transaction."""
        current = getattr(self._thread, "open", None)
        if current is None:
            return None
        connection, process = current
        if process != os.getpid():
            raise InputError(f"store {str(self.path)!r}: expected the process that began the transaction, got a fork.")
        if not connection.in_transaction:
            raise InputError(
                f"store {str(self.path)!r}: expected a live transaction, got one that failed; begin again."
            )
        return connection

    @contextlib.contextmanager
    def _reading(self, key: str | None = None) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file."""
        current = self._current()
        with contextlib.ExitStack() as stack:
            stack.enter_context(faults(self.path, key))
            if current is None:
                current = stack.enter_context(contextlib.closing(connect(self.path)))
                current.execute("BEGIN")
            yield current

    @contextlib.contextmanager
    def _writing(self, key: str | None = None) -> Iterator[sqlite3.Connection]:
        """A connection whose changes in the block are kept together, or, on an exception, not at all."""
        outer = self._current()
        with faults(self.path, key):
            connection = connect(self.path) if outer is None else outer
        process = os.getpid()
        try:
            with faults(self.path, key):
                connection.execute("BEGIN IMMEDIATE" if outer is None else "SAVEPOINT inner")
            if outer is None:
                self._thread.open = (connection, process)
            yield connection
            self._current()  # refuses a fork, and what SQLite itself has rolled back
            with faults(self.path, key):
                connection.execute("COMMIT" if outer is None else "RELEASE inner")
        except BaseException:
            if process == os.getpid() and outer is not None and connection.in_transaction:
                connection.execute("ROLLBACK TO inner")
                connection.execute("RELEASE inner")
            raise
        finally:
            # a fork's copy is left alone: to close it would undo the parent's transaction
            if outer is None and process == os.getpid():
                self._thread.open = None
                connection.close()  # rolls back what was not committed
