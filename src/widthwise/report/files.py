"""Files, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from widthwise.errors import InputError


def check_writable(option: str, path: str | os.PathLike[str]) -> Path:
    """The file that `path` stands for, once it is sure that a file can be put there.

    Args:
        option: what asked for it, for the message.
        path: of the file to write; links are followed.

    Raises:
        InputError: no such folder, a folder or a device in its place, or no permission.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    if target.is_dir():
        raise InputError(f"{option}: expected a file name, got the folder {str(path)!r}; add a name.")
    if target.exists() and not target.is_file():
        raise InputError(f"{option}: expected an ordinary file, got the device {str(path)!r}; choose another path.")
    if not target.parent.is_dir():
        raise InputError(
            f"{option}: expected an existing folder, got {str(path)!r}; make {str(target.parent)!r} first."
        )
    try:
        part = _part(target)
        part.open("xb").close()
        part.unlink()
    except OSError as error:
        raise InputError(
            f"{option}: expected a folder to write into, got {str(path)!r} ({error.strerror or error}); "
            "choose another path."
        ) from error
    return target


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write every file under another name in its own folder, then move them all into place.

    Args:
        contents: the bytes of each file.

    Raises:
        InputError: the disk is full or the folder went away; then no file has changed.
    """
    parts = {target: _part(target) for target in contents}
    try:
        for target, part in parts.items():
            with part.open("xb") as stream:
                stream.write(contents[target])
                stream.flush()
                os.fsync(stream.fileno())
        for target, part in parts.items():
            os.replace(part, target)
    except OSError as error:
        raise InputError(f"expected room to write {error.filename or 'the files'}, got {error.strerror}.") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    return target.with_name(f".widthwise-{secrets.token_hex(6)}.part")
