"""Where neurons specialise: phases over widths and temperatures, beside the saddle's validity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import Cavity
from widthwise.activations.phi import BUILTIN
from widthwise.errors import InputError
from widthwise.networks import FullyConnected
from widthwise.posterior import checks
from widthwise.posterior.infer import infer
from widthwise.posterior.prepare import prepare
from widthwise.store import Store, fingerprint

VERSION = 1
Grid = Float[np.ndarray, "widths temperatures"]


@dataclass(frozen=True)
class PhasePoint:
    """One width at one temperature: the cavity, and the saddle beside it.

    Args:
        width: N.
        temperature: T.
        load: P/N.
        rho_tau: ρτ of the saddle.
        specialised: ⟨m⟩, neurons that specialised.
        fraction: ⟨m⟩/N.
        kurtosis: excess kurtosis of a neuron's pull.
        share: of Q, that the specialised carry.
        separated: whether a valley tells them from the others.
        saturated: whether more explicit neurons are needed.
        stable: m of the most probable phase; None without a valley.
        phases: how many there are.
        gain: log evidence of the cavity over the theory without explicit neurons, in nats.
        gain_error: standard error of it, from the ladders.
        saddle_training, cavity_training: ε_t.
        saddle_test, cavity_test: ε_g; None without test data.
        status: of the cavity's certificate.
    """

    width: int
    temperature: float
    load: float
    rho_tau: float
    specialised: float
    fraction: float
    kurtosis: float
    share: float
    separated: bool
    saturated: bool
    stable: int | None
    phases: int
    gain: float
    gain_error: float
    saddle_training: float
    cavity_training: float
    saddle_test: float | None
    cavity_test: float | None
    status: str


@dataclass(frozen=True)
class PhaseDiagram:
    """What neurons do over widths (rows) and temperatures (columns).

    Args:
        network: in words.
        examples: P.
        widths: N, as asked for.
        temperatures: T, as asked for.
        points: of every cell.
    """

    network: str
    examples: int
    widths: tuple[int, ...]
    temperatures: tuple[float, ...]
    points: tuple[tuple[PhasePoint, ...], ...]

    def values(self, name: str) -> Grid:
        """One field of every point; NaN where it has no value.

        Args:
            name: of a field of `PhasePoint` that is a number or yes or no, such as "specialised" or "rho_tau".

        Raises:
            InputError: no such field.
        """
        known = [field for field in PhasePoint.__dataclass_fields__ if field != "status"]
        if name not in known:
            raise InputError(f"name: expected one of {', '.join(known)}, got {name!r}; choose one of these.")
        found = [[getattr(point, name) for point in row] for row in self.points]
        return np.array([[np.nan if value is None else value for value in row] for row in found], float)

    def records(self) -> list[dict[str, Any]]:
        """One plain dictionary for each point."""
        return [asdict(point) for row in self.points for point in row]

    def __iter__(self) -> Iterator[PhasePoint]:
        return (point for row in self.points for point in row)

    def __str__(self) -> str:
        tested = all(point.cavity_test is not None for point in self)
        error = "test" if tested else "training"
        titles = ("N", "T", "P/N", "rho*tau", "specialised", "kurtosis", "share of Q", "gain", error, "saddle's", "")
        lines = [titles]
        for p in self:
            own, other = (p.cavity_test, p.saddle_test) if tested else (p.cavity_training, p.saddle_training)
            lines.append(
                (
                    str(p.width), f"{p.temperature:g}", f"{p.load:.3g}", f"{p.rho_tau:.2f}", f"{p.specialised:.2f}",
                    f"{p.kurtosis:.1f}", f"{p.share:.0%}", f"{p.gain:+.2f}", f"{own:.4f}", f"{other:.4f}", words(p),
                )
            )  # fmt: skip
        wide = [max(len(line[i]) for line in lines) for i in range(len(titles) - 1)]
        rows = ["  ".join([*(cell.rjust(n) for cell, n in zip(line, wide)), line[-1]]).rstrip() for line in lines]
        return "\n".join([f"{self.network}, P = {self.examples}", *rows])


def words(point: PhasePoint) -> str:
    """A point's phase in a word or two, and what is wrong with it.

    Args:
        point: of a `PhaseDiagram`.
    """
    if not point.separated:
        said = "Gaussian" if point.specialised < 0.5 else "gradual"
    elif point.phases > 1:
        said = f"{point.phases} phases, m = {point.stable} stable"
    else:
        said = "Gaussian" if point.stable == 0 else f"m = {point.stable}"
    said += "; more neurons" if point.saturated else ""
    return said if point.status == "converged" else f"{said}; {point.status}"


def phase_diagram(
    network: Any,
    X: Any,
    y: Any,
    *,
    widths: Any,
    temperatures: Any,
    cavity: Cavity | None = None,
    X_test: Any = None,
    y_test: Any = None,
    store: Any = None,
    progress: Callable[[PhasePoint], None] | None = None,
) -> PhaseDiagram:
    """How many neurons specialise at every width and temperature, with the saddle's validity beside it.

    Each point is sampled on its own, from independent ladders; one kernel serves all. A point goes to the store as
    soon as it is known: what is there is not sampled again, so that an interrupted diagram goes on, and a finer one
    adds to it.

    Assumes: as `infer` with approximation="cavity": one fully connected hidden layer, one output.

    Args:
        network: `FullyConnected`, whose width is replaced by each of `widths`.
        X: inputs (P, N_0).
        y: targets (P,).
        widths: N, whole numbers of at least 2.
        temperatures: T > 0.
        cavity: how many neurons are explicit, how they are sampled.
        X_test, y_test: where the test errors are wanted.
        store: a `Store`, or its path.
        progress: called with each point.

    Returns:
        A `PhaseDiagram`; points that have not mixed say so in their status.

    Raises:
        InputError: an empty grid, widths below two, test inputs without targets, or as `infer`.
    """
    if not isinstance(network, FullyConnected):
        raise InputError(f"network: expected a FullyConnected network, got {type(network).__name__}; describe one.")
    if network.depth != 1:
        raise InputError(f"network: expected one hidden layer, got {network.depth}; pass widths of length one.")
    if (X_test is None) != (y_test is None):
        raise InputError("phase_diagram: expected X_test and y_test together, got one of them; pass both or neither.")
    rows = [_whole(N) for N in _listed("widths", widths)]
    columns = [checks.temperature(T) for T in _listed("temperatures", temperatures)]
    kept = None if store is None else Store.of(store)
    if kept is not None and BUILTIN.get(network.phi.name) is not network.phi:
        raise InputError(f"store: expected a built-in activation, got {network.phi.name}, which a file cannot name.")
    prepared = prepare(network, X)
    at = None if X_test is None else prepared.at(X_test)
    data = [None if part is None else np.asarray(part, float) for part in (X, y, X_test, y_test)]
    how = cavity or Cavity()
    points: list[list[PhasePoint]] = []
    for N in rows:
        points.append([])
        for T in columns:
            asked = (network.precisions, network.bias_variances, network.phi.name, N, T, how, *data)
            name = None if kept is None else "phases " + fingerprint(VERSION, *asked)
            entry = None if kept is None or name is None else kept.get(name)
            point = PhasePoint(**entry.record) if entry is not None else _point(prepared, y, N, T, how, at, y_test)
            if kept is not None and name is not None and entry is None:
                kept.put(name, asdict(point))
            points[-1].append(point)
            if progress is not None:
                progress(point)
    whole = replace(network, widths=(rows[0],)).name.replace(f"{rows[0]}", "N", 1) if len(rows) > 1 else network.name
    return PhaseDiagram(whole, len(prepared.X), tuple(rows), tuple(columns), tuple(map(tuple, points)))


def _point(prepared: Any, y: Any, N: int, T: float, how: Cavity, at: Any, y_test: Any) -> PhasePoint:
    given: dict[str, Any] = {"temperature": T, "widths": [N], "throw": False}
    saddle = infer(prepared, y, approximation="saddle", **given)
    found = infer(prepared, y, approximation="cavity", cavity=how, **given)
    special, validity, evidence = found.specialisation, saddle.validity, found.law.evidence  # type: ignore[attr-defined]
    stable = next(phase for phase in found.phases if phase.stable)
    tests = (None, None) if at is None else (float(p.score(at, y_test).total) for p in (saddle, found))
    saddle_test, cavity_test = tests
    return PhasePoint(
        width=N,
        temperature=T,
        load=found.load[0],
        rho_tau=validity.product,
        specialised=special.count,
        fraction=special.fraction,
        kurtosis=special.kurtosis,
        share=special.share,
        separated=special.separated,
        saturated=special.saturated,
        stable=stable.specialised if special.separated else None,
        phases=len(found.phases),
        gain=evidence.gain,
        gain_error=evidence.standard_error,
        saddle_training=saddle.training_error.total,
        cavity_training=found.training_error.total,
        saddle_test=saddle_test,
        cavity_test=cavity_test,
        status=found.certificate.status,
    )


def _listed(name: str, values: Any) -> list[Any]:
    listed = list(values) if isinstance(values, list | tuple | np.ndarray | range) else [values]
    if not listed:
        raise InputError(f"{name}: expected at least one number, got none; pass e.g. [64, 32, 16].")
    return listed


def _whole(N: Any) -> int:
    if isinstance(N, bool) or not isinstance(N, int | np.integer) or N < 2:
        raise InputError(f"widths: expected whole numbers of at least 2, got {N!r}; pass e.g. [64, 32, 16].")
    return int(N)
