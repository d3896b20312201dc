"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from widthwise.errors import InputError


@contextlib.contextmanager
def whole(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO]:
    """A file to write to, which takes the place of `path` only when the block ends without an exception.

    Args:
        path: where the file is to stand; its folder must exist.
        mode: "wb" or "w".

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    writable(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # as a plain open() would have made it
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def writable(path: str | os.PathLike[str]) -> None:
    """Refuses a path that could not be written to, before any work is done.

    Raises:
        InputError: it is a folder, its folder does not exist, or it may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, got a folder; add a file name.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: expected an existing folder, got {str(path.parent)!r}; create it first.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"{path}: expected a place that may be written, got no permission; choose another.")
