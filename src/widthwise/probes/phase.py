"""The phase diagram: students of many sizes, from few examples to many, over several seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from widthwise import checks
from widthwise.errors import DataWarning, InputError
from widthwise.probes.experiment import Recipe, Run, experiment, network_of
from widthwise.probes.teachers import Teacher
from widthwise.probes.verdict import Verdict, verdict
from widthwise.store import Store

WORDS = ("collapsed", "memorised", "partial")
SIZES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
WIDTHS = (1.0, 2.0)


@dataclass(frozen=True)
class PhaseDiagram:
    """What became of the students, over P/(N0 N1) and N1/M: rows are widths, columns sizes.

    Args:
        teacher: in words.
        inputs: N0.
        teacher_units: M; 1 where the teacher has none.
        sizes: P/(N0 N1) as asked for (columns).
        widths: N1/M as asked for (rows).
        examples: P of each cell.
        units: N1 of each row.
        activation: φ of the students.
        recipe: how they were trained and probed.
        cells: the runs of each cell, by seed.
    """

    teacher: str
    inputs: int
    teacher_units: int
    sizes: tuple[float, ...]
    widths: tuple[float, ...]
    examples: Int[np.ndarray, "widths sizes"]
    units: tuple[int, ...]
    activation: str
    recipe: Recipe
    cells: tuple[tuple[tuple[Run, ...], ...], ...] = field(repr=False)

    @property
    def seeds(self) -> int:
        """Runs of each cell."""
        return len(self.cells[0][0])

    @property
    def runs(self) -> tuple[Run, ...]:
        """All of them."""
        return tuple(run for row in self.cells for cell in row for run in cell)

    def values(self, probe: str) -> Float[np.ndarray, "widths sizes seeds"]:
        """One probe of every run; NaN where it has no value.

        Args:
            probe: a field of `Report`, such as "overlap" or "memorisation".

        Raises:
            InputError: no such probe.
        """
        known = self.runs[0].report.probes
        if probe not in known:
            raise InputError(f"probe: expected one of {', '.join(known)}, got {probe!r}; choose one of these.")
        found = [[[getattr(run.report, probe).value for run in cell] for cell in row] for row in self.cells]
        return np.array(found, float)

    def median(self, probe: str) -> Float[np.ndarray, "widths sizes"]:
        """Over the seeds that have a value; NaN where none has.

        Args:
            probe: as of `values`.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
            return np.nanmedian(self.values(probe), axis=2)

    @property
    def verdicts(self) -> tuple[tuple[Verdict, ...], ...]:
        """Of each cell, by its medians.

        Warns:
            DataWarning: fewer seeds than a verdict wants.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            said = tuple(tuple(verdict([run.report for run in cell]) for cell in row) for row in self.cells)
        for warning in caught[:1]:  # the same of every cell
            warnings.warn(warning.message, stacklevel=2)
        return said

    def fraction(self, word: str) -> Float[np.ndarray, "widths sizes"]:
        """Of the seeds that a verdict's word fits, one by one.

        Args:
            word: "collapsed", "memorised" or "partial".

        Raises:
            InputError: another word.
        """
        if word not in WORDS:
            raise InputError(f"word: expected one of {', '.join(WORDS)}, got {word!r}; choose one of these.")
        return np.array([[np.mean([run.word == word for run in cell]) for cell in row] for row in self.cells], float)

    def records(self) -> list[dict[str, Any]]:
        """One plain dictionary for each run: sizes, the probes' values, the word, how it was trained."""
        return list(self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for i, row in enumerate(self.cells):
            for j, cell in enumerate(row):
                for run in cell:
                    yield {
                        "size": self.sizes[j],
                        "width": self.widths[i],
                        "N0": self.inputs,
                        "M": self.teacher_units,
                        "N1": self.units[i],
                        "P": int(self.examples[i, j]),
                        "p": run.report.parameters,
                        "seed": run.seed,
                        "word": run.word,
                        **{name: probe.value for name, probe in run.report.probes.items()},
                        "status": run.status,
                        "restart": run.restart,
                        "steps": run.steps,
                        "seconds": run.seconds,
                    }

    def __str__(self) -> str:
        words = self.verdicts
        lines = [f"{self.teacher}; {self.activation} students, {self.seeds} seeds, medians"]
        lines.append("N1/M  P/(N0 N1)      P  verdict    overlap  m      test error")
        q, m, error = (self.median(name) for name in ("overlap", "memorisation", "test_error"))
        for i, j in np.ndindex(self.examples.shape):
            numbers = f"{q[i, j]:7.3f}  {m[i, j]:5.3f}  {error[i, j]:.3g}"
            size = f"{self.widths[i]:4g}  {self.sizes[j]:9g}  {self.examples[i, j]:5d}"
            lines.append(f"{size}  {words[i][j].word:9s}  {numbers}")
        return "\n".join(lines)


def phase_diagram(
    teacher: Any,
    *,
    sizes: Any = SIZES,
    widths: Any = WIDTHS,
    seeds: int = 8,
    recipe: Recipe | None = None,
    store: Any = None,
    progress: Callable[[Run], None] | None = None,
    **options: Any,
) -> PhaseDiagram:
    """Train students on a grid of P/(N0 N1) and N1/M, and say of each cell whether they collapsed or memorised.

    Run after run goes to the store: what it holds is not done again, so that an interrupted grid goes on, and a finer
    or longer one adds to it.

    Args:
        teacher: a `Teacher`.
        sizes: P/(N0 N1); P is rounded.
        widths: N1/M, of a teacher without units N1 itself; N1 is rounded.
        seeds: runs of each cell: data and initial weights; 5 at least for a verdict.
        recipe: how students are trained and probed.
        store: a `Store`, or its path.
        progress: called with each run.
        options: fields of the `Recipe`: method, activation, noise, shuffled, restarts, repeats, permutations, …; what
            else there is goes to the method, such as steps.

    Returns:
        A `PhaseDiagram`.

    Raises:
        InputError: an empty grid, P or N1 below 1, a recipe beside options, or as `experiment`.
    """
    if not isinstance(teacher, Teacher):
        raise InputError(
            f"teacher: expected a Teacher, got {type(teacher).__name__}; make one, of data by Teacher.of_data(X, y)."
        )
    recipe = _recipe(recipe, options)
    store = None if store is None else Store.of(store)
    grid = [_positive(name, values) for name, values in (("sizes", sizes), ("widths", widths))]
    M, N0 = 1 if teacher.units is None else len(teacher.units), teacher.input_size
    units = tuple(max(1, round(ratio * M)) for ratio in grid[1])
    P = np.array([[max(1, round(ratio * N0 * N1)) for ratio in grid[0]] for N1 in units], int)
    found: dict[tuple[int, int, int], Run] = {}
    for seed in range(checks.whole("seeds", seeds, 1)):  # the outermost: an interrupted grid is whole, of fewer seeds
        for i, j in np.ndindex(P.shape):
            found[i, j, seed] = experiment(teacher, int(P[i, j]), units[i], seed, recipe, store=store)
            if progress is not None:
                progress(found[i, j, seed])
    cells = tuple(tuple(tuple(found[i, j, s] for s in range(seeds)) for j in range(P.shape[1])) for i in range(len(P)))
    activation = network_of(teacher, 1, recipe).phi.name
    return PhaseDiagram(teacher.name, N0, M, grid[0], grid[1], P, units, activation, recipe, cells)


def _recipe(recipe: Recipe | None, options: dict[str, Any]) -> Recipe:
    if recipe is None:
        own = {name: options.pop(name) for name in list(options) if name in Recipe.__dataclass_fields__}
        return Recipe(**own) if not options else Recipe(**{**own, "settings": {**own.get("settings", {}), **options}})
    if options:
        raise InputError(f"recipe: expected it or its fields, got both ({', '.join(options)}); put them into it.")
    return recipe


def _positive(name: str, values: Any) -> tuple[float, ...]:
    array = checks.real(name, np.atleast_1d(values), (1,), "(numbers,)")
    if not len(array) or array.min() <= 0.0:
        raise InputError(f"{name}: expected numbers above zero, at least one, got {values!r}; pass e.g. (1, 2, 4).")
    return tuple(float(value) for value in array)
