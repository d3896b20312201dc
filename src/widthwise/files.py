"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from widthwise.errors import InputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOENT, errno.EACCES, errno.EROFS}


def writable(path: str | os.PathLike[str], name: str | None = None) -> Path:
    """The file that `path` stands for, once it is sure that a file can be put there: asked before any work is done.

    Args:
        path: of the file to write; links are followed.
        name: what asked for it, for the message; by default the path itself.

    Raises:
        InputError: no such folder, a folder or a device in its place, or no permission.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    what = str(path) if name is None else name
    if target.is_dir():
        raise InputError(f"{what}: expected the name of a file, got a folder, {str(path)!r}; add a file name.")
    if target.exists() and not target.is_file():
        raise InputError(f"{what}: expected an ordinary file, got the device {str(path)!r}; choose another path.")
    if not target.parent.is_dir():
        raise InputError(f"{what}: expected an existing folder, got {str(target.parent)!r}; make it first.")
    try:
        part = _part(target)
        part.open("xb").close()
        part.unlink()
        if target.exists():
            target.open("ab").close()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{what}: expected a place that may be written, got {str(path)!r} ({reason}); choose another path."
        ) from error
    return target


@contextlib.contextmanager
def whole(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """A file to write to, which takes the place of `path` only when the block ends without an exception.

    Args:
        path: where the file is to stand; its folder must exist.
        mode: "wb" or "w".

    Raises:
        InputError: `path` cannot be written, or the disk is full; then nothing has changed.
    """
    target = writable(path)
    part = _part(target)
    try:
        with part.open("xb" if "b" in mode else "x", encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise InputError(f"{path}: expected room to write, got {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes several files, each whole; none takes its place before all are written.

    Args:
        contents: the bytes of each file.
    """
    with contextlib.ExitStack() as stack:
        for target, content in contents.items():
            stack.enter_context(whole(target)).write(content)


def _part(target: Path) -> Path:
    return target.with_name(f".widthwise-{secrets.token_hex(6)}.part")
