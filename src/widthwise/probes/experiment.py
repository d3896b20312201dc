"""One student from beginning to end: data drawn, trained, probed, and kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from widthwise import checks
from widthwise.bound.memorisation import memorisation
from widthwise.errors import InputError
from widthwise.networks import FullyConnected
from widthwise.probes.memory import shuffled_r2
from widthwise.probes.report import Report, report
from widthwise.probes.student import Student
from widthwise.probes.train import fit, train
from widthwise.probes.verdict import judge
from widthwise.store import Store, fingerprint

VERSION = 1  # of what a run is: another is another entry


@dataclass(frozen=True)
class Recipe:
    """How students are trained and what is measured of them.

    Args:
        method: of `train`.
        activation: φ of the student, by name; None for the teacher's, erf where it has none.
        noise: σ of the labels' Gaussian noise, in the labels' units.
        shuffled: fraction of the labels that are permuted.
        restarts: of each student, at most; the best by training error.
        repeats: pairs of warm refits that m is measured with; 0: not measured.
        retries: at most so many refits from random weights beside a warm one that did not fit its labels: relu units
            that are silent on an example cannot learn from it. The best by training error counts.
        permutations: cold refits to permuted labels for the shuffled R²; 0: not measured.
        fresh: inputs that the test error is measured on.
        nulls: random students of each null law.
        key: of everything; a run's own numbers follow from it and from its seed.
        settings: further ones, of the method.

    Raises:
        InputError: numbers out of range.
    """

    method: str = "gauss-newton"
    activation: Any = None
    noise: float = 0.0
    shuffled: float = 0.0
    restarts: int = 5
    repeats: int = 2
    retries: int = 0
    permutations: int = 0
    fresh: int = 10_000
    nulls: int = 200
    key: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        least = {"restarts": 1, "repeats": 0, "retries": 0, "permutations": 0, "fresh": 100, "nulls": 2, "key": 0}
        for name, bound in least.items():
            checks.whole(name, getattr(self, name), bound)
        for name in ("noise", "shuffled"):
            checks.number(name, getattr(self, name), 0.0)
        if self.activation is not None and not isinstance(self.activation, str):
            raise InputError(f"activation: expected a name, got {self.activation!r}; pass e.g. 'erf'.")


PLAIN = Recipe()


@dataclass(frozen=True)
class Run:
    """One student's report, and how it was reached.

    Args:
        seed: of its data and its initial weights.
        report: what the probes said.
        status: of the student: "converged", "stalled", "steps".
        restart: which of the restarts it was.
        steps: that the optimiser took.
        seconds: all together.
    """

    seed: int
    report: Report
    status: str
    restart: int
    steps: int
    seconds: float

    @property
    def word(self) -> str:
        """The verdict's word for this run alone, which can be one that got stuck."""
        return judge({name: probe.value for name, probe in self.report.probes.items()}, self.report)

    def records(self) -> dict[str, Any]:
        """As plain values, for files."""
        return {**vars(self), "report": self.report.records()}

    @classmethod
    def of_records(cls, records: dict[str, Any]) -> Run:
        """The run again, from its records."""
        return cls(**{**records, "report": Report.of_records(records["report"])})


def experiment(
    teacher: Any, examples: int, width: int, seed: int = 0, recipe: Recipe = PLAIN, *, store: Any = None
) -> Run:
    """Draw data from the teacher, train a student of one hidden layer, probe it; what is stored is not done again.

    m is measured by refits that begin at the student, with labels moved by 0.05 of their deviation. Of real data
    (`Teacher.of_data`) the rows that did not train test.

    Args:
        teacher: a `Teacher`.
        examples: P.
        width: N1.
        seed: of this run.
        recipe: how.
        store: a `Store`, or its path; None keeps nothing.

    Raises:
        InputError: as `Teacher.sample`, `train`, `report`; a teacher that a store cannot name, such as of a callable.
    """
    store = None if store is None else Store.of(store)
    name = None if store is None else "probe " + fingerprint(VERSION, teacher, examples, width, seed, recipe)
    kept = store.get(name) if store is not None and name is not None else None
    if kept is not None:
        return Run.of_records(kept.record)
    run = _run(teacher, examples, width, seed, recipe)
    if store is not None and name is not None:
        store.put(name, run.records())
    return run


def network_of(teacher: Any, width: int, recipe: Recipe) -> FullyConnected:
    """The student's architecture.

    Args:
        teacher: whose activation it takes where the recipe names none.
        width: N1.
        recipe: how.
    """
    activation = recipe.activation or getattr(teacher, "activation", None) or "erf"
    return FullyConnected(widths=(checks.whole("width", width, 1),), activation=activation)


def data_of(teacher: Any, examples: int, seed: int, recipe: Recipe) -> tuple[Any, Any, Any, Any]:
    """(X, y, X_test, y_test) of one run; no test data where the teacher draws fresh ones.

    Args:
        teacher: a `Teacher`.
        examples: P.
        seed: of the run.
        recipe: how.
    """
    how: dict[str, Any] = {"noise": recipe.noise, "shuffled": recipe.shuffled, "key": own_key(recipe, seed)}
    if teacher.size is None:
        return *teacher.sample(examples, **how), None, None
    if examples >= teacher.size:
        raise InputError(
            f"examples: expected fewer than all {teacher.size}, got {examples}; some must be left to test."
        )
    return teacher.split(examples, min(recipe.fresh, teacher.size - examples), **how)


def own_key(recipe: Recipe, seed: int) -> int:
    """One seed for all that is a run's own."""
    return int(np.random.SeedSequence([recipe.key, checks.whole("seed", seed, 0)]).generate_state(1)[0])


def refit(network: FullyConnected, student: Student, recipe: Recipe, key: int) -> Any:
    """fit(X, y, start=None) whose first fit is the student itself, and whose others begin there.

    Args:
        network: of the student.
        student: as it was trained on the labels as given.
        recipe: how it was trained.
        key: of its training.
    """

    def run(X: Any, y: Any, start: Student | None = None) -> Student:
        if start is None:
            return student
        how = {"method": recipe.method, "restarts": 1 + recipe.retries, **recipe.settings}
        return train(network, X, y, key=key, start=start, **how)

    return run


def _run(teacher: Any, examples: int, width: int, seed: int, recipe: Recipe) -> Run:
    began, key = time.perf_counter(), own_key(recipe, seed)
    network = network_of(teacher, width, recipe)
    X, y, X_test, y_test = data_of(teacher, checks.whole("examples", examples, 1), seed, recipe)
    how: dict[str, Any] = {"method": recipe.method, "restarts": recipe.restarts, "key": key, **recipe.settings}
    student = train(network, X, y, **how)
    m: Any = False
    R2 = None
    if recipe.repeats:
        m = memorisation(refit(network, student, recipe, key), X, y, repeats=recipe.repeats, key=key)
    if recipe.permutations:
        R2 = shuffled_r2(fit(network, **how), X, y, repeats=recipe.permutations, key=key)
    found = report(
        student, teacher, X=X, y=y, X_test=X_test, y_test=y_test, memorisation=m, shuffled=R2,
        fresh=recipe.fresh, nulls=recipe.nulls, key=recipe.key,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return Run(seed, found, student.status, student.restart, student.steps, seconds)
