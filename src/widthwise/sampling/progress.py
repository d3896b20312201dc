"""How far a run is: what a callback receives, and the bar that `progress=True` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a running sampler.

    Attributes:
        stage: "warm-up" or "draws".
        done, total: transitions of the whole run, warm-up included.
        acceptance: mean over the chains and the latest transitions.
        step_size: in use.
        seconds_left: until the end, at the present speed.
    """

    stage: str
    done: int
    total: int
    acceptance: float
    step_size: float
    seconds_left: float


@contextmanager
def reporter(progress: bool | Callable[[Progress], object]) -> Iterator[Callable[[Progress], object]]:
    """The function that is told how far a run is: the caller's own, a rich bar on stderr (`True`), or none."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda report: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("compiling", total=None, note="")

        def show(report: Progress) -> None:
            note = f"acceptance {report.acceptance:.2f}, {report.seconds_left:.0f} s left"
            bar.update(task, description=report.stage, completed=report.done, total=report.total, note=note)

        yield show
