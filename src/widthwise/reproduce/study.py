"""What a study is, and how it is asked to run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from widthwise.reproduce.rows import Reproduction

WEIGHTS = 0.01  # GiB of weights, of each run


def _silent(line: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Setup:
    """How a study is to be run.

    Args:
        full: everything (hours), or the quick version on embedded data (minutes).
        data: what --data named: a file or a folder; None without.
        seed: of every chain.
        store: a `Store` or its path, where chains are kept and taken up again; None keeps nothing.
        resume: False starts anew, whatever the store holds.
        say: told what is being done, a line at a time.
        progress: as of `ww.sample`.
    """

    full: bool
    data: Path | None = None
    seed: int = 0
    store: Any = None
    resume: bool = True
    say: Callable[[str], object] = _silent
    progress: bool | Callable[..., object] = False

    def sample(
        self, network: Any, X: Any, y: Any, X_test: Any, y_test: Any, *, temperature: float, sampler: Any
    ) -> Any:
        """`ww.sample` with this setup's store and seed; chains that have not mixed come back, with that status.

        Args:
            network, X, y, X_test, y_test, temperature, sampler: as of `ww.sample`.
        """
        from widthwise.sampling import sample

        # the averages are all that is wanted: a store need not keep every weight
        sampler = dataclasses.replace(sampler, weights_memory=min(sampler.weights_memory, WEIGHTS))
        return sample(
            network, X, y, X_test, y_test, temperature=temperature, sampler=sampler, key=self.seed,
            progress=self.progress, throw=False, store=self.store, resume=self.resume,
        )  # fmt: skip


@dataclass(frozen=True)
class Study:
    """A published result that can be computed anew.

    Args:
        name: on the command line.
        title: one line.
        source: authors, year, arXiv.
        needs: what the full version needs; "" for nothing.
        run: computes it.
        figure: draws what `run` returned.
        minutes: measured, of the quick and of the full version, such as ("2", "55").
    """

    name: str
    title: str
    source: str
    needs: str
    run: Callable[[Setup], Reproduction]
    figure: Callable[[Reproduction], Any]
    minutes: tuple[str, str]
