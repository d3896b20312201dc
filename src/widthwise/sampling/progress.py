"""How far a run is: what a callback receives, and the bar that `progress=True` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a running sampler.

    Attributes:
        stage: "estimate" (before anything has moved), "warm-up" or "draws".
        done, total: transitions of the whole run, warm-up included.
        acceptance: mean over the chains and the latest transitions.
        step_size: in use.
        seconds_left: until the end, at the present speed.
        rhat: of the log likelihood over the draws so far, the worst of all networks; None in the warm-up.
        memory: GiB that the run will need at most.
    """

    stage: str
    done: int
    total: int
    acceptance: float
    step_size: float
    seconds_left: float
    rhat: float | None = None
    memory: float = 0.0

    @property
    def note(self) -> str:
        """What there is to say, in a few words."""
        left = f"{_duration(self.seconds_left)} left"
        if self.stage == "estimate":
            return f"about {_duration(self.seconds_left)}, {self.memory:.2g} GiB"
        rhat = "" if self.rhat is None else f", R-hat {self.rhat:.3f}"
        return f"acceptance {self.acceptance:.2f}{rhat}, {left}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@contextmanager
def reporter(
    progress: bool | Callable[[Progress], object],
) -> Iterator[Callable[[Progress], object] | None]:
    """The function that is told how far a run is: the caller's own, a rich bar on stderr (`True`), or none."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("estimate", total=None, note="compiling")

        def show(report: Progress) -> None:
            total = report.total if report.done else None
            bar.update(task, description=report.stage, completed=report.done, total=total, note=report.note)

        yield show
