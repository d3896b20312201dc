"""What a command leaves behind: files checked before the work and written all or none, and a console to print on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from widthwise.errors import InputError
from widthwise.store import Store

if TYPE_CHECKING:
    from rich.console import Console

_DRAWN = ("figure", "trace")


def output_files(asked: Mapping[str, str | None], inputs: Iterable[str | Path | None] = ()) -> dict[str, Path]:
    """Where to write, checked before anything is computed.

    Args:
        asked: option → path, or None where it was not given; "store" is a store to go on with.
        inputs: what the command reads; names that are no files, and None, do not matter.

    Raises:
        InputError: a path that cannot be written, an unknown format, one file for two purposes, an input's file.
    """
    from widthwise.files import writable

    files = {}
    for name, path in asked.items():
        if path is None:
            continue
        if name in _DRAWN:
            from widthwise.report.figures import figure_format

            figure_format(path)
        if path == "-":  # the table goes there
            raise InputError(f"--{name}: expected the name of a file, got '-', and stdout has the table; name one.")
        files[name] = writable(path, f"--{name}")
    for (one, first), (other, second) in combinations(files.items(), 2):
        if first == second:
            raise InputError(f"--{one} and --{other}: expected two files, got {str(first)!r} twice; name another.")
    keep_inputs({f"--{name}": path for name, path in files.items()}, inputs)
    if "store" in files and files["store"].exists():
        Store(files["store"])  # another file is refused now, and not when there is something to keep
    return files


def keep_inputs(outputs: Mapping[str, Path], inputs: Iterable[str | Path | None]) -> None:
    """Refuses to write over what is read, links of either kind followed.

    Args:
        outputs: option → file.
        inputs: as in `output_files`.

    Raises:
        InputError: an output is an input.
    """
    read = [Path(name).expanduser() for name in inputs if name is not None]
    for option, path in outputs.items():
        if any(path.is_file() and source.is_file() and path.samefile(source) for source in read):
            raise InputError(f"{option}: expected another file than the data are read from, got {str(path)!r}; rename.")


def write(contents: Mapping[Path, bytes]) -> None:
    """All files or none."""
    from widthwise.files import write_files

    if contents:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # whole or not at all: a moment's patience
        try:
            write_files(contents)
        finally:
            signal.signal(signal.SIGINT, before)


def console() -> Console:
    """As wide as the terminal; 100 columns where there is none."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=100)


def say_written(console: Console, files: Mapping[str, Path]) -> None:
    """One line per file."""
    for option, path in files.items():
        console.print(f"{option} written to {path}", style="dim", soft_wrap=True, markup=False, highlight=False)
