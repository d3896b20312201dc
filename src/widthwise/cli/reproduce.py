"""`widthwise reproduce`: a published result computed anew, as table, text and figure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from widthwise.cli.kept import KeptRun, interruptible
from widthwise.cli.options import STORE
from widthwise.cli.output import keep_inputs, write
from widthwise.errors import NumericalError

if TYPE_CHECKING:
    from widthwise.reproduce import Reproduction


def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The study; without it, a list of them.")] = None,
    full: Annotated[bool, typer.Option("--full/--quick", help="Every point, or minutes on embedded data.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="File or folder of the data --full needs.")] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where NAME.csv, .md and .png go.")] = Path("."),
    seed: Annotated[int, typer.Option(min=0, help="Of the chains.")] = 0,
    store: Annotated[
        Path | None, typer.Option(metavar="PATH", help=f"Keeps the chains; by default {STORE} in --out.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Take up what an interrupted run has kept, or start anew.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Compute a published result anew and say, point by point, how it compares."""
    from widthwise.files import writable
    from widthwise.reproduce.registry import STUDIES, find

    if name is None:
        _console().print(_table(STUDIES))
        return
    study = find(name)
    files = {kind: writable(out / f"{name}.{kind}", "--out") for kind in ("csv", "md", "png")}
    kept = writable(out / STORE if store is None else store, "--store")
    keep_inputs({**{f"--out, {kind}": path for kind, path in files.items()}, "--store": kept}, [data])
    new, chains = not kept.exists(), KeptRun(kept)
    try:
        with interruptible(chains, resume):
            found = _run(name, full=full, data=data, seed=seed, store=chains, resume=resume, quiet=quiet)
    finally:
        if new and not len(chains):  # nothing was sampled
            kept.unlink(missing_ok=True)
    _write(files, found, study.figure(found))
    for line in (*found.verdicts(), *found.notes, found.summary()):
        typer.echo(line)
    typer.echo(f"written: {', '.join(str(out / path.name) for path in files.values())}")
    if found.failed:
        row = found.failed[0]
        raise NumericalError(
            f"{name}: expected the published theory, got another at {len(found.failed)} of {len(found.rows)} points, "
            f"the first {row.series}, {found.setup.get('x', 'x')} = {row.x:g}: {row.verdict}."
        )


def _run(name: str, *, quiet: bool, **asked: Any) -> Reproduction:
    import widthwise.reproduce as room

    def say(line: str) -> None:
        if not quiet:
            typer.echo(f"{line} …", err=True)

    return room.reproduce(name, say=say, progress=not quiet and sys.stderr.isatty(), **asked)


def _write(files: dict[str, Path], found: Reproduction, figure: Any) -> None:
    """All three files or none."""
    from widthwise.report.figures import render

    contents = {
        files["csv"]: found.csv().encode(),
        files["md"]: found.markdown().encode(),
        files["png"]: render(figure, "png"),
    }
    write(contents)


def _console() -> Any:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=120)


def _table(studies: Any) -> Any:
    """The studies: what, whose, how long, and what the full version needs."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("study", no_wrap=True, style="bold")
    table.add_column("what, and from where", overflow="fold")
    for title in ("--quick", "--full"):
        table.add_column(title, no_wrap=True, justify="right")
    for study in studies.values():
        said = f"{study.title}\n{study.source}" + (f"\n--full needs {study.needs}" if study.needs else "")
        quick, full = (f"{minutes} min" for minutes in study.minutes)
        table.add_row(study.name, Text(said), quick, full, end_section=True)
    return table
