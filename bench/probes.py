"""`make bench-probes`: collapse to the teacher, or memorise? The probes on controlled tasks and on real data.

Students of known teachers are trained and probed on a grid (`probes_tasks`), the optimum at infinitely many data is
searched, and real data are fitted with true and with shuffled labels beside the finite-width theory. Rows hold raw
numbers; verdicts are passed by the report. What the store holds is not done again: an interrupted run goes on.

    python bench/probes.py --data FOLDER --store probes.db --write docs/probes.md

FOLDER holds mnist.npz; the rest needs no file.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import probes_tasks as tasks
from rows import as_csv, elsewhere

import widthwise as ww
from widthwise.errors import DataWarning, WidthwiseError
from widthwise.files import whole
from widthwise.probes import Teacher, copy_average, infinite_data, story
from widthwise.probes.experiment import experiment
from widthwise.store import Store, fingerprint

VERSION = 1  # of what is measured
PARTS = ("transition", "labelled", "infinite", "story", "sampled", "real")
Row = dict[str, Any]


def students(parts: tuple[str, ...], store: Store) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Name and measurement of every student of these parts."""
    for case in tasks.cases(parts):
        activation, N0, M, N1 = case.network
        how = f"{case.recipe.method} noise {case.recipe.noise:g}{' shuffled' * bool(case.recipe.shuffled)}"
        how += f" retries {case.recipe.retries}" if case.recipe.retries else ""
        what = f"{case.part} {activation} {N0}-{M}-{N1} P {case.P} {how} {case.seed}"

        def measure(case: tasks.Case = case, what: str = what) -> Row:
            run = experiment(case.teacher, case.P, case.network[3], case.seed, case.recipe, store=store)
            activation, N0, M, N1 = case.network
            known = {name: probe.value for name, probe in run.report.probes.items()}
            null = run.report.overlap.null_mean
            return {
                "name": what, "part": case.part, "activation": activation, "N0": N0, "M": M, "N1": N1, "P": case.P,
                "p": case.parameters, "seed": case.seed, "noise": case.recipe.noise, "shuffled": case.recipe.shuffled,
                "method": case.recipe.method, "must": case.must, "word": run.word, **known, "overlap_null": null,
                "status": run.status, "restart": run.restart, "steps": run.steps, "seconds": run.seconds,
            }  # fmt: skip

        yield what, measure


def infinite() -> Iterator[tuple[str, Callable[[], Row]]]:
    """The best student at P = ∞ by restarts, beside copies and one average."""
    for activation, M in (("erf", 3), ("erf", 5), ("relu", 3), ("relu", 5)):
        for width in range(1, M + 2):
            name = f"infinite {activation} {M}-{width}"

            def measure(activation: str = activation, M: int = M, width: int = width, name: str = name) -> Row:
                began = time.perf_counter()
                teacher = Teacher.one_hidden_layer(inputs=20, units=M, activation=activation, gain=tasks.GAIN, key=0)
                best = infinite_data(teacher, width, restarts=20, key=0)
                copies = copy_average(teacher, width) if width <= M else None
                return {
                    "name": name, "part": "infinite", "activation": activation, "N0": 20, "M": M, "N1": width,
                    "loss": best.relative_loss, "overlap": best.overlap, "fraction": best.fraction,
                    "status": best.status, "curvature": best.curvature, "gradient": best.gradient,
                    "copy_loss": copies and copies.relative_loss, "copy_overlap": copies and copies.overlap,
                    "copy_gradient": copies and copies.gradient, "copy_critical": copies and copies.critical,
                    "seconds": time.perf_counter() - began,
                }  # fmt: skip

            yield name, measure


def real(folder: Path | None) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Real data with true and with shuffled labels, students beside theory."""
    teachers = tasks.real(folder)
    for seed in range(tasks.REAL_SEEDS):
        for data, teacher in teachers.items():
            for P in tasks.REAL[data]:
                for shuffled in (0.0, 1.0):
                    name = f"real {data} P {P}{' shuffled' * bool(shuffled)} {seed}"
                    how = {"shuffled": shuffled, "key": seed, "temperature": tasks.REAL_TEMPERATURE, "restarts": 1}
                    how |= {"permutations": 1, "repeats": 1, "steps": tasks.REAL_STEPS, "fresh": 2000}
                    sizes = {"data": data, "P": P, "N1": tasks.REAL_WIDTH, "seed": seed, "shuffled": shuffled}
                    yield name, _told(name, "real", teacher, tasks.REAL_WIDTH, P, sizes, how)


def stories() -> Iterator[tuple[str, Callable[[], Row]]]:
    """One task, narrow and wide students, beside the theory."""
    teacher = Teacher.one_hidden_layer(inputs=20, units=3, activation="erf", gain=tasks.GAIN, key=0)
    for seed in range(tasks.STORY_SEEDS):
        for N1, sizes in tasks.STORY.items():
            for size in sizes:
                P = round(size * 20 * N1)
                name = f"story {N1} P {P} {seed}"
                how = {"key": seed, "temperature": tasks.STORY_TEMPERATURE, "restarts": 5, "repeats": 1}
                yield name, _told(name, "story", teacher, N1, P, {"P": P, "N1": N1, "seed": seed}, how)


def sampled() -> Iterator[tuple[str, Callable[[], Row]]]:
    """The wider networks of the story drawn from their posterior, on the first seed's data: was the theory right?"""
    for size in tasks.STORY[tasks.SAMPLED_WIDTH]:
        P = round(size * 20 * tasks.SAMPLED_WIDTH)
        name = f"sampled {tasks.SAMPLED_WIDTH} P {P}"

        def measure(P: int = P, name: str = name) -> Row:
            began = time.perf_counter()
            teacher = Teacher.one_hidden_layer(inputs=20, units=3, activation="erf", gain=tasks.GAIN, key=0)
            X, y, X_test, y_test = teacher.split(P, 2000, key=0)
            samples = ww.sample(
                ww.FullyConnected(widths=[tasks.SAMPLED_WIDTH], activation="erf"), X, y, X_test, y_test,
                temperature=tasks.STORY_TEMPERATURE, sampler=ww.CollapsedHMC(chains=2, draws=200), key=0, throw=False,
            )  # fmt: skip
            K, found = samples.feature_kernel(X).value, samples.generalisation_error
            power = float(np.mean(y_test**2))
            return {
                "name": name, "part": "sampled", "activation": "erf", "N0": 20, "N1": tasks.SAMPLED_WIDTH, "P": P,
                "test_error": found.value / power, "standard_error": found.standard_error / power,
                "training_error": samples.training_error.value / np.mean(y**2),
                "alignment_after": float(y @ K @ y / (np.linalg.norm(K) * (y @ y))),
                "status": samples.diagnostics.status, "seconds": time.perf_counter() - began,
            }  # fmt: skip

        yield name, measure


def _told(name: str, part: str, teacher: Any, width: int, P: int, sizes: Row, how: dict[str, Any]) -> Callable[[], Row]:
    def measure() -> Row:
        began = time.perf_counter()
        told = story(ww.FullyConnected(widths=[width], activation="erf"), teacher, P, **how)
        row = {"name": name, "part": part, "activation": "erf", "N0": teacher.input_size, **sizes}
        row |= {"p": told.report.parameters, "validity": told.validity, "status": told.trained.status}
        row |= {f"theory_{key}": value for key, value in told.theory.items()}
        row |= {f"student_{key}": value for key, value in told.student.items()}
        row |= {key: getattr(told.report, key).value for key in ("overlap", "shuffled_r2", "kurtosis")}
        row["participation_null"] = told.report.participation.null_mean
        return row | {"seconds": time.perf_counter() - began}

    return measure


def rows_of(folder: Path | None, path: str, parts: tuple[str, ...], minutes: float | None = None) -> list[Row]:
    """Every row of these parts, as far as the time allows; what the store holds of this version is not done again."""
    store, found, started = Store(path), [], time.monotonic()
    sources = [students(parts, store)]
    sources += [infinite()] if "infinite" in parts else []
    sources += [stories()] if "story" in parts else []
    sources += [sampled()] if "sampled" in parts else []
    sources += [real(folder)] if "real" in parts else []
    for source in sources:
        for name, measure in source:
            key = "row " + fingerprint(VERSION, name)
            kept = store.get(key)
            if kept is not None:
                found.append(dict(kept.record))
            elif minutes is None or time.monotonic() - started < 60.0 * minutes:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DataWarning)
                    try:
                        row = measure()
                    except WidthwiseError as error:
                        print(f"{name}: not measured, {error}", flush=True)
                        continue
                store.put(key, row)
                print(f"{name}: {row.get('word') or row['status']}, {row['seconds']:.1f} s", flush=True)
                found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WIDTHWISE_DATA"), help="folder with mnist.npz")
    parser.add_argument("--store", default="probes.db", help="where rows are kept")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced; csv and png beside it")
    parser.add_argument("--minutes", type=float, help="start nothing after so many; the store keeps what was done")
    arguments = parser.parse_args()
    parts = tuple(arguments.only.split(","))
    rows = rows_of(arguments.data and Path(arguments.data), arguments.store, parts, arguments.minutes)
    import probes_report

    if arguments.write:
        path = arguments.write
        rows += elsewhere(path.with_suffix(".csv"), rows)
        with whole(path.with_suffix(".csv")) as file:
            file.write(as_csv(rows))
        probes_report.write(path, rows)
    else:
        print(probes_report.summary(rows))


if __name__ == "__main__":
    main()
