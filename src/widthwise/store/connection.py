"""What SQLite is asked for, and its failures in the words of this library."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from widthwise.errors import InputError

BUSY_SECONDS = 30.0
APPLICATION = 0x77775354  # "wwST", in the file's header
VERSION = 1

# The entry of a key has part −1, its parts are numbered from 0; `digest` covers the row and the hashes of its arrays.
_SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, part INTEGER NOT NULL, written TEXT NOT NULL, record TEXT NOT NULL,
    digest TEXT NOT NULL, UNIQUE (key, part));
CREATE TABLE arrays (entry INTEGER NOT NULL, name TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (entry, name));
CREATE INDEX arrays_by_hash ON arrays (hash);
CREATE TABLE blobs (hash BLOB PRIMARY KEY, dtype TEXT NOT NULL, shape TEXT NOT NULL);
CREATE TABLE blocks (hash BLOB NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (hash, number));
"""


def place(path: str | os.PathLike[str]) -> Path:
    """The file that `path` stands for, links followed.

    Raises:
        InputError: no path, a folder or a device, or no folder to put it in.
    """
    try:
        target = Path(os.path.realpath(Path(path).expanduser()))
    except (TypeError, ValueError, RuntimeError) as error:  # neither text nor a path; NUL in it; nobody's ~
        raise InputError(
            f"store: expected a Store or the path of a file, got {path!r} ({error}); pass e.g. 'runs.db'."
        ) from error
    if target.is_dir():
        raise InputError(f"store: expected the name of a file, got a folder, {str(path)!r}; add a file name.")
    if target.exists() and not target.is_file():
        raise InputError(f"store: expected an ordinary file, got the device {str(path)!r}; choose another path.")
    if not target.parent.is_dir():
        raise InputError(f"store: expected an existing folder, got {str(target.parent)!r}; make it first.")
    return target


def create(path: Path) -> None:
    """Make the store at `path` where there is no file, or an empty one: in one transaction, so that two make one."""
    with faults(path), contextlib.closing(_open(path, "rwc")) as connection:
        if _pragma(connection, "page_count") > 0:
            return
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):  # nobody was faster
            if path.stat().st_size > 0:  # SQLite takes any file of less than a page for an empty one
                raise InputError(f"store: expected a store of widthwise, got {str(path)!r}, a file of something else.")
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")


def connect(path: Path) -> sqlite3.Connection:
    """A connection of its own to the store at `path`, in autocommit.

    The journal is SQLite's own default, for rollback, and not the write-ahead log, although that commits three times
    as fast: between transactions nothing is locked, mapped or left beside the file, so that a process may fork, the
    file may be copied or be read where nobody may write, and it may lie on a network's disk. Readers wait for no more
    than a commit: `cache_spill` keeps what a transaction writes in memory until then.

    Raises:
        InputError: it is not a store, or of a later version.
    """
    connection = _open(path, "rw")
    try:
        if _pragma(connection, "application_id") != APPLICATION:
            raise InputError(f"store: expected a store of widthwise, got {str(path)!r}, a database of something else.")
        version = _pragma(connection, "user_version")
        if version != VERSION:
            raise InputError(
                f"store: expected {str(path)!r} in version {VERSION} of the format, got version {version}; read it "
                "with the release that wrote it."
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_spill = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def faults(path: Path, key: str | None = None) -> Iterator[None]:
    """SQLite's errors as one `InputError`, which names the file and the key."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", None)
        if name is None:  # not SQLite's: a defect here
            raise
        raise InputError(
            f"store {str(path)!r}{'' if key is None else f', key {key!r}'}: {_say(name, error)}"
        ) from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    # damaged text is for the hashes to find
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _say(name: str, error: sqlite3.Error) -> str:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"expected its turn within {BUSY_SECONDS:g} s, got a file that another process keeps locked; try again."
    if name == "SQLITE_FULL" or name in ("SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE"):
        return f"expected room to write, got none ({error}); nothing has changed: make room, and run it again."
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"expected a file that may be read and written, got a refusal ({error}); choose another path."
    if name.startswith("SQLITE_NOTADB"):
        return "expected a store of widthwise, got a file of something else; choose another path."
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
        return f"expected an intact store, got a damaged one ({error}); delete it, or take an older copy."
    return f"expected a store that can be used, got {name} ({error}); check the disk and the path."
