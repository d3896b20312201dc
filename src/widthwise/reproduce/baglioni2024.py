"""Baglioni et al. 2024: one hidden erf layer on CIFAR-10's airplanes and automobiles, P = N_1/4.

The published numbers are the paper's source data (public repository paolo-baglioni/bayesian_FCN_prop): ε_g of the
theory at 147 points, and of networks sampled by the discretised Langevin dynamics at 12 of them.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from importlib import resources
from typing import Any

import numpy as np

from widthwise.comparison.table import AGREEMENT
from widthwise.reproduce.cifar10 import BINARIES, NPZ, TESTS, Task, images, labels
from widthwise.reproduce.facts import fact
from widthwise.reproduce.figure import error_figure
from widthwise.reproduce.rows import Reproduction, Row, measured, per_cent, theory_notes
from widthwise.reproduce.study import Setup, Study

STEP = 1e-3  # η of the published Langevin dynamics at T = 0.01; at T = 0.5 it is 5e-5
QUICK_P = 50


@dataclass(frozen=True)
class Point:
    """A published point: ε_g at (P, N_1, T), of the theory and, at some, of a sampled network."""

    P: int
    N1: int
    T: float
    theory: float
    sampled: float | None
    standard_error: float | None


def published() -> list[Point]:
    """The 147 published points."""
    with fact("baglioni2024.csv").open(encoding="utf-8") as file:
        return [
            Point(
                int(row["P"]), int(row["N1"]), float(row["T"]), float(row["theory_value"]),
                float(row["sampled_value"]) if row["sampled_value"] else None,
                float(row["sampled_standard_error"]) if row["sampled_standard_error"] else None,
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


# --- inner products instead of images ---


def condense(task: Task, P: int = QUICK_P) -> dict[str, np.ndarray]:
    """The first P training inputs and the test inputs, rotated: what stays of images when only a network sees them.

    An orthonormal frame of the training inputs' span gives each input its coordinates in it; of what sticks out of the
    span only the length is kept, as one more coordinate. Gaussian first-layer weights see no difference in the training
    inputs together with any one test input. With M coordinates in place of N_0, x → x·√(M/N_0) keeps x·x'/N_0.

    Args:
        task: from `images`.
        P: how many training inputs.

    Returns:
        arrays: train ("P P"), test ("n P"), outside ("n"), float32, and N0: what the facts file holds.
    """
    X, X_test = task.X[:P], task.X_test
    basis = np.linalg.qr(X.T)[0]
    inside = X_test @ basis
    outside = np.linalg.norm(X_test - inside @ basis.T, axis=1)
    arrays = {"train": X @ basis, "test": inside, "outside": outside}
    return {name: array.astype(np.float32) for name, array in arrays.items()} | {"N0": np.array(X.shape[1])}


def condensed(arrays: dict[str, np.ndarray] | None = None, directions: int = 50) -> Task:
    """The task that `condense` made; by default the embedded one, P = 50.

    Test inputs leave the span in orthogonal directions, in turn: point by point it does not matter in which, and the
    noise of an average over points is smaller where they do not share one.

    Args:
        arrays: what `condense` returned.
        directions: how many.
    """
    if arrays is None:
        with resources.as_file(fact("baglioni2024_p50.npz")) as path, np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    train, test = arrays["train"].astype(float), arrays["test"].astype(float)
    P, n = len(train), len(test)
    outside = np.zeros((n, directions))
    outside[np.arange(n), np.arange(n) % directions] = arrays["outside"]
    scale = math.sqrt((P + directions) / float(arrays["N0"]))
    X, X_test = np.hstack([train, np.zeros((P, directions))]), np.hstack([test, outside])
    y, y_test = labels("train")[:P].astype(float), labels("test")[:n].astype(float)
    return Task(scale * X, y, scale * X_test, y_test, "CIFAR-10, embedded inner products")


# --- the study ---


@dataclass(frozen=True)
class Chains:
    """How a point is sampled: chains, draws of each, warm-up."""

    chains: int
    draws: int
    warmup: int

    def __str__(self) -> str:
        return f"{self.chains} × {self.draws} draws, warm-up {self.warmup}"


# (P, T) → --full: standard errors of at most 0.15 % of ε_g at P = 50 and 100, 0.25 % at 250
FULL = {
    (50, 0.01): Chains(8, 400, 100),
    (100, 0.01): Chains(8, 150, 100),
    (250, 0.01): Chains(4, 150, 80),
    (50, 0.5): Chains(8, 150, 60),
    (100, 0.5): Chains(8, 100, 60),
    (250, 0.5): Chains(4, 100, 60),
}
QUICK = {(50, 0.01): Chains(8, 150, 80), (50, 0.5): Chains(8, 60, 60)}
# η → thinning: equal times η·thinning between draws. Steps far above the published one, whose bias is large enough
# to be measured; it is linear in η, so that it is known at the published step all the better.
LANGEVIN = {16e-3: 200, 32e-3: 100}
LANGEVIN_CHAINS = Chains(8, 300, 20)


def run(setup: Setup) -> Reproduction:
    """Theory at every published point, infinite width beside it, and the real network sampled at some.

    Args:
        setup: full, on the images, or quick, on the embedded inner products of P = 50.

    Raises:
        InputError: the images are not where `setup.data` says.
    """
    import widthwise as ww

    task = images(setup.data) if setup.full else condensed()
    points = [point for point in published() if len(task.X) >= point.P and (setup.full or point.P == QUICK_P)]
    setup.say(f"theory at {len(points)} points")
    values = {(point.P, point.T): errors for point, errors in _theory(task, points)}
    plan = FULL if setup.full else QUICK
    rows = []
    for point in points:
        theory, infinite = values[point.P, point.T]
        row = Row(
            f"T = {point.T:g}", point.P, "test error", theory, infinite, published=point.theory,
            published_sampled=point.sampled, published_standard_error=point.standard_error,
        )  # fmt: skip
        chains = plan.get((point.P, point.T))
        rows.append(row if chains is None else replace(row, **_exact(setup, task, point, chains)))
    if setup.full:
        rows += _langevin(setup, task, next(p for p in points if (p.P, p.T) == (QUICK_P, 0.01)), values[QUICK_P, 0.01])
    setting = {
        "x": "P",
        "data": f"{task.name}; airplane 0 against automobile 1, {TESTS} test images",
        "network": "one hidden layer, erf, N_1 = 4P, unit precisions, no biases",
        "seed": setup.seed,
        "version": ww.__version__,
    }
    return Reproduction("baglioni2024", STUDY.title, tuple(rows), tuple(_notes(rows)), 0.0, setting)


def _theory(task: Task, points: list[Point]) -> Iterator[tuple[Point, tuple[float, float]]]:
    """(finite width, infinite width) at each point: one kernel for all T of one P."""
    import widthwise as ww

    for P in sorted({point.P for point in points}):
        prepared = ww.prepare(ww.FullyConnected([4 * P], "erf"), task.X[:P])
        at = prepared.at(task.X_test)
        for point in (point for point in points if point.P == P):
            given = {"temperature": point.T, "widths": [point.N1]}
            finite = ww.infer(prepared, task.y[:P], **given).score(at, task.y_test).total
            infinite = ww.infer(prepared, task.y[:P], approximation="infinite", **given).score(at, task.y_test).total
            yield point, (float(finite), float(infinite))


def _exact(setup: Setup, task: Task, point: Point, chains: Chains) -> dict[str, Any]:
    """What a row says of a point's exact sampler."""
    import widthwise as ww

    return _draw(setup, task, point, ww.CollapsedHMC(**asdict(chains)), f"CollapsedHMC, {chains}")


def _langevin(setup: Setup, task: Task, point: Point, values: tuple[float, float]) -> list[Row]:
    """The discretised dynamics at several steps η, as many rows: their bias is linear in η."""
    import widthwise as ww

    rows = []
    for step, thinning in LANGEVIN.items():
        sampler = ww.Langevin(step_size=step, thinning=thinning, **asdict(LANGEVIN_CHAINS))
        named = f"Langevin, η = {step:g}, {LANGEVIN_CHAINS}, thinning {thinning}"
        found = _draw(setup, task, point, sampler, named)
        rows.append(Row(f"Langevin, eta = {step:g}", point.P, "test error", *values, **found))
    return rows


def _draw(setup: Setup, task: Task, point: Point, sampler: Any, named: str) -> dict[str, Any]:
    import widthwise as ww

    setup.say(f"sampling P = {point.P}, T = {point.T:g}: {named}")
    network, P = ww.FullyConnected([point.N1], "erf"), point.P
    data = task.X[:P], task.y[:P], task.X_test, task.y_test
    found = measured(setup.sample(network, *data, temperature=point.T, sampler=sampler))
    return found | {"settings": f"{named}, seed {setup.seed}"}


def bias_slope(rows: list[Row]) -> tuple[float, float] | None:
    """d ε_g/dη of the discretised dynamics and its standard error: weighted least squares through the exact value.

        ε(η) − ε(0) = s·η + O(η²),   ε(0): the exact sampler's at the same P and T

    Args:
        rows: those of "Langevin, eta = …" and the sampled one of "T = 0.01", P = 50; None where some are missing, or
            ran away.
    """
    from widthwise.sampling.step_bias import fit

    exact = _coldest(rows)
    moved = [(float(r.series.rpartition("=")[2]), r) for r in rows if r.series.startswith("Langevin")]
    if exact is None or exact.sampled is None or not moved:
        return None
    points = [(0.0, exact), *moved]
    value = np.array([row.sampled for _, row in points], float)
    if not np.isfinite(value).all():
        return None
    eta, error = np.array([step for step, _ in points]), np.array([row.standard_error for _, row in points], float)
    line = fit("test error", eta, value, error)
    return line.slope, line.slope_error


def _notes(rows: list[Row]) -> Iterator[str]:
    """What the numbers say, in sentences made of the numbers."""
    yield from theory_notes(rows, "P")
    for row in rows:
        if row.excess is None or row.published is None:
            continue
        ours = f"{per_cent(row.excess, row.standard_error, row.theory)} off theory"
        mixed = "" if row.status != "not mixed" else " (the chains have NOT mixed)"
        theirs = ""
        if row.published_sampled is not None:
            excess = row.published_sampled / row.theory - 1.0
            theirs = f"; published {per_cent(excess, row.published_standard_error, row.theory)}"
        yield f"{row.series}, P = {row.x:g}: the exact sampler is {ours}{mixed}{theirs}."
    yield from _cause(rows)


def _cause(rows: list[Row]) -> Iterator[str]:
    """Finite width or step bias: what the exact sampler's excess, and the Langevin steps, say of the published one."""
    row = _coldest(rows)
    if row is None or row.z is None or row.published_sampled is None or row.status == "not mixed":
        return
    error = math.hypot(row.standard_error or 0.0, row.published_standard_error or 0.0)
    between = (row.published_sampled - (row.sampled or 0.0)) / error
    cause = "finite width itself" if abs(between) <= AGREEMENT else "finite width, but not alone"
    yield (
        f"The published excess over theory at T = 0.01, P = {QUICK_P}: an exact sampler, which has no step, finds "
        f"{100 * (row.excess or 0.0):+.2f} % (z {row.z:+.1f}), {abs(between):.1f} standard errors from the published "
        f"value: {cause if row.z > AGREEMENT else 'not seen without a step'}."
    )
    slope = bias_slope(rows)
    if slope is not None:
        loose = any(row.series.startswith("Langevin") and row.status == "not mixed" for row in rows)
        unsure = "Not all chains have mixed. " if loose else ""
        yield (
            f"{unsure}Langevin dynamics at several steps: d ε_g/dη = {slope[0]:.3g} ± {slope[1]:.2g}, which at the "
            f"published step {STEP:g} is {per_cent(STEP * slope[0] / row.theory, STEP * slope[1], row.theory)} of ε_g."
        )


def _coldest(rows: list[Row]) -> Row | None:
    """The row of T = 0.01, P = 50, whose excess is the largest."""
    return next((row for row in rows if (row.series, row.x) == ("T = 0.01", QUICK_P)), None)


def figure(found: Reproduction) -> Any:
    """ε_g against P at the three temperatures; beside it sampled/theory − 1, published and ours."""
    about = "one hidden erf layer, $P = N_1/4$; CIFAR-10 airplanes and automobiles"
    return error_figure(found, ("T = 0.01", "T = 0.5", "T = 1"), xlabel="training examples $P$", subtitle=about)


STUDY = Study(
    name="baglioni2024",
    title="Predictive power of a Bayesian effective action, test error against P",
    source="Baglioni et al., PRL 133, 027301 (2024), arXiv 2401.11004",
    needs=f"CIFAR-10: its binary version ({BINARIES}) or {NPZ}",
    run=run,
    figure=figure,
    minutes=("1", "30"),
)
