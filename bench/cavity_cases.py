"""What `make bench-cavity` samples and predicts: one hidden layer at loads 1 to 8, on six data sets, at four sizes.

Every cell of the grid is there; none was left out for what it shows. Beside it, not sampled: the linear network, whose
theory is exact, and small loads, where saddle and cavity must meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from truth_cases import KEY, Case, labelled

import widthwise as ww

TASKS = ("MNIST odd/even", "MNIST 3/8", "CIFAR-10", "digits odd/even", "Gaussian, network teacher", "UCI kin8nm")
LOADS = (1, 2, 4, 8)
SIZES = (32, 64, 128, 256)
TEMPERATURE = 0.1
SAMPLER = ww.CollapsedHMC(chains=8, draws=400, warmup=300, weights_memory=0.01)
LONGER = ww.CollapsedHMC(chains=8, draws=1200, warmup=600, weights_memory=0.01)  # where those have not mixed

TEMPERED = ww.Tempered(chains=4, levels=12, draws=300, warmup=200)  # for the evidence
SETTINGS = ww.Cavity(ladders=8, levels=6, draws=300, warmup=150, nodes=256)  # of a cavity, but for its neurons
LADDERS = ww.Cavity(ladders=8, levels=12, draws=600, warmup=300, nodes=256)  # where those have not mixed
CHECKED = ("MNIST odd/even", "CIFAR-10", "digits odd/even", "Gaussian, network teacher")
SMALL_LOADS = ((0.25, (16, 32, 64)), (0.5, (16, 32, 64, 128)))


def cases(folder: Path | None) -> Iterator[Case]:
    """Every cell, by size."""
    tasks = [task for name in TASKS for task in labelled(folder) if task.name == name]
    for P in SIZES:
        for load in LOADS:
            for task in tasks:
                yield Case(task, P, ww.FullyConnected((P // load,), "erf"), TEMPERATURE, "cavity")


def checks(folder: Path | None) -> Iterator[Case]:
    """What is not sampled: the identity at every load, erf at small ones."""
    tasks = [task for name in CHECKED for task in labelled(folder) if task.name == name]
    for task in tasks:
        for load in LOADS:
            yield Case(task, 64, ww.FullyConnected((64 // load,), "identity"), TEMPERATURE, "identity")
    for task in tasks:
        for load, sizes in SMALL_LOADS:
            for P in sizes:
                yield Case(task, P, ww.FullyConnected((round(P / load),), "erf"), TEMPERATURE, "small load")


def sampled(case: Case, store: str) -> ww.sampling.Samples:  # type: ignore[name-defined]
    """The real network, drawn; what the store holds is not drawn again."""
    X, y, X_test, y_test = case.data()

    def draw(sampler):
        return ww.sample(
            case.network, X, y, X_test, y_test, temperature=case.temperature, sampler=sampler, key=KEY, throw=False,
            store=store,
        )  # fmt: skip

    found = draw(SAMPLER)
    return found if found.diagnostics.status == "mixed" else draw(LONGER)
