"""The page of `make bench-cavity`: every cell of the grid, and what the cells say together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from cavity_figure import draw
from problems import between

Row = dict[str, Any]
WORDS = {
    "infinite": "infinite width", "saddle": "saddle", "integrated": "integrated (k = 0)",
    "edgeworth": "saddle + Edgeworth", "kappa4": "κ₄ kernel", "one-neuron": "one-neuron law",
    "cavity-1": "cavity, k = 1", "cavity-2": "cavity, k = 2", "cavity-4": "**cavity, k = 4**",
    "cavity-8": "cavity, k = 8",
}  # fmt: skip
WHATS = {"test": "ε_g", "training": "ε_t", "bias": "(y − ⟨f⟩)²", "variance": "variance"}
CAVITY = "cavity-4"


def write(path: Path, rows: list[Row]) -> None:
    """Replaces the page's tables, and its figure.

    Args:
        path: docs/cavity.md.
        rows: measured.
    """
    for mark, text in tables(rows).items():
        between(path, mark, text)
    draw(path.with_suffix(".png"), of(rows, "cavity"))


def tables(rows: list[Row]) -> dict[str, str]:
    """Every table by its mark on the page."""
    grid = of(rows, "cavity")
    return {
        "headline": _headline(grid),
        "missing": _missing([row for row in rows if row["part"] == "cavity"]),
        "summary": _summary(grid),
        "trend": _trend(grid),
        "worst": _worst(grid),
        "worse": _worse(grid),
        "neurons": _neurons(grid),
        "tried": _tried(grid),
        "identity": _identity(of(rows, "identity")),
        "small": _small(of(rows, "small load")),
        "evidence": _evidence(grid),
        "phases": _phases(grid),
        "cells": _cells(grid),
        "cost": _cost(grid),
    }


def summary(rows: list[Row]) -> str:
    """What a run without --write prints."""
    grid = of(rows, "cavity")
    return "\n\n".join((_headline(grid), _summary(grid), _worse(grid)))


def of(rows: list[Row], part: str) -> list[Row]:
    """Rows of "cavity" (the grid), "identity" or "small load"; of the grid the sampled ones."""
    return [row for row in rows if row["part"] == part and (part != "cavity" or row.get("sampled_test") is not None)]


def off(row: Row, theory: str, what: str = "test") -> float | None:
    """(predicted − sampled)/sampled; None of what was not predicted."""
    value = row.get(f"{theory}_{what}")
    return None if value is None else float(value) / float(row[f"sampled_{what}"]) - 1.0


def noise(row: Row, theory: str, what: str = "test") -> float:
    """Standard error of `off`: of the sampling, and of the theory's own draws (of the parts of ε_g as of all of it)."""
    own = row.get(f"{theory}_training_error" if what == "training" else f"{theory}_error") or 0.0
    return float(np.hypot(row[f"sampled_{what}_standard_error"], own)) / float(row[f"sampled_{what}"])


def known(rows: Iterable[Row], *theories: str) -> list[Row]:
    """Rows where all of these theories predicted."""
    return [row for row in rows if all(row.get(f"{theory}_test") is not None for theory in theories)]


def _lines(header: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    if not body:
        return "None at hand."
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(cells) + " |" for cells in body])


def _percent(value: float | None, digits: int = 1, sign: bool = True) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{100 * value:{'+' if sign else ''}.{digits}f} %"


def _loads(rows: list[Row]) -> list[float]:
    return sorted({row["load"] for row in rows})


def _middle_and_worst(rows: list[Row], value: Callable[[Row], float | None]) -> str:
    found = np.abs([v for row in rows if (v := value(row)) is not None])
    if not len(found):
        return "–"
    worst = f"≤ {100 * found.max():.1f}" if found.max() < 10.0 else "> 1000"
    return f"{100 * np.median(found):.1f} ({worst}) %"


def _headline(grid: list[Row]) -> str:
    both = known(grid, CAVITY, "saddle")
    out = [
        f"{len(both)} sampled networks, {len({row['task'] for row in both})} data sets, median (worst) deviation from "
        "the sampled error:",
        "",
    ]
    body = []
    for load in _loads(both):
        own = [row for row in both if row["load"] == load]
        cells = [f"{load:g}", str(len(own))]
        for what in ("test", "training"):
            for theory in ("saddle", CAVITY):
                cells.append(_middle_and_worst(own, lambda row, t=theory, w=what: off(row, t, w)))
        for theory in ("saddle", CAVITY):
            cells.append(f"{np.median([row[f'{theory}_distance'] for row in own]):.3f}")
        body.append(tuple(cells))
    head = ("load", "cells", "ε_g: saddle", "**cavity**", "ε_t: saddle", "**cavity**", "‖Δ⟨f⟩‖: saddle", "**cavity**")
    return "\n".join((*out, _lines(head, body)))


def _summary(grid: list[Row]) -> str:
    """Every theory on the cells where it was tried."""
    body = []
    for load in _loads(grid):
        for theory, words in WORDS.items():
            own = [row for row in known(grid, theory) if row["load"] == load]
            if own:
                cells = [_middle_and_worst(own, lambda row, t=theory, w=what: off(row, t, w)) for what in WHATS]
                apart = [row[f"{theory}_distance"] for row in own if row.get(f"{theory}_distance") is not None]
                cells.append(f"{np.median(apart):.3f} (≤ {max(apart):.3f})" if apart else "–")
                body.append((f"{load:g}", words, str(len(own)), *cells))
    return _lines(("load", "theory", "cells", *WHATS.values(), "‖Δ⟨f⟩‖"), body)


def _missing(rows: list[Row]) -> str:
    """The cells that are not there, and the chains that have not mixed."""

    def named(chosen: list[Row]) -> str:
        return "; ".join(f"{row['task']} {row['P']}/{row['width']}" for row in chosen) or "none"

    unsampled = [row for row in rows if row.get("sampled_test") is None]
    unpredicted = [row for row in rows if row.get("sampled_test") is not None and row.get(f"{CAVITY}_test") is None]
    unmixed = [row for row in rows if row.get("sampled_status", "mixed") != "mixed"]
    restless = [row for row in rows if row.get(f"{CAVITY}_status", "converged") != "converged"]
    return "\n".join(
        (
            f"- Not sampled: {named(unsampled)}.",
            f"- Sampled, but the cavity not run: {named(unpredicted)}.",
            f"- Sampled, chains not mixed (R-hat above 1.05 or few effective draws): {named(unmixed)}.",
            f"- The cavity's own draws not mixed, even the longer ones: {named(restless)}.",
        )
    )


def _trend(grid: list[Row]) -> str:
    body = []
    sizes = sorted({row["P"] for row in grid})
    for task in dict.fromkeys(row["task"] for row in grid):
        for load in _loads(grid):
            own = {row["P"]: row for row in grid if row["task"] == task and row["load"] == load}
            for what in ("test", "training"):
                cells = [task, f"{load:g}", WHATS[what]]
                for theory in ("saddle", CAVITY):
                    cells += [_percent(off(own[P], theory, what)) if P in own else "–" for P in sizes]
                body.append(tuple(cells))
    head = ("data", "load", "error", *(f"saddle, P = {P}" for P in sizes), *(f"cavity, {P}" for P in sizes))
    return _lines(head, body)


def _worse(grid: list[Row]) -> str:
    """Where the cavity is further from the sampled value than the saddle, in anything."""
    body, both = [], known(grid, CAVITY, "saddle")
    for what, words in WHATS.items():
        for row in both:
            old, new = off(row, "saddle", what), off(row, CAVITY, what)
            if abs(new) > abs(old):  # type: ignore[arg-type]
                gap = abs(new) - abs(old)  # type: ignore[arg-type]
                by = "noise" if gap < 2 * noise(row, CAVITY, what) else ""
                body.append((words, row["task"], f"{row['P']}/{row['width']}", _percent(old), _percent(new), by))
    for row in both:
        old, new = row["saddle_distance"], row[f"{CAVITY}_distance"]
        if new > old:
            body.append(("‖Δ⟨f⟩‖", row["task"], f"{row['P']}/{row['width']}", f"{old:.4f}", f"{new:.4f}", ""))
    count = {words: sum(cells[0] == words for cells in body) for words in (*WHATS.values(), "‖Δ⟨f⟩‖")}
    beyond = {words: sum(cells[0] == words and not cells[-1] for cells in body) for words in WHATS.values()}
    head = ", ".join(
        f"{words} in {number}" + (f" ({beyond[words]} beyond twice the noise)" if words in beyond else "")
        for words, number in count.items()
    )
    return f"Of {len(both)} cells: {head}.\n\n" + _lines(("error", "data", "P/N", "saddle", "cavity", "within"), body)


def _worst(grid: list[Row], count: int = 8) -> str:
    """The cells where the cavity is furthest from the sampled value."""
    body = []
    for what in ("test", "training"):
        ranked = sorted(known(grid, CAVITY), key=lambda row: -abs(off(row, CAVITY, what) or 0.0))
        for row in ranked[:count]:
            found = _percent(off(row, CAVITY, what)) + f" ± {100 * noise(row, CAVITY, what):.1f}"
            neurons = f"{row[f'{CAVITY}_count']:.1f}" + ("" if row[f"{CAVITY}_separated"] else ", no valley")
            body.append(
                (
                    WHATS[what],
                    row["task"],
                    f"{row['P']}/{row['width']}",
                    _percent(off(row, "saddle", what)),
                    found,
                    neurons,
                )
            )
    return _lines(("error", "data", "P/N", "saddle", "cavity", "specialised"), body)


def _neurons(grid: list[Row]) -> str:
    """Where every k was tried, on the same cells."""
    steps = ("integrated", "cavity-1", "cavity-2", "cavity-4", "cavity-8")
    body = []
    for row in known(grid, *steps):
        for what in ("test", "training"):
            cells = [row["task"], f"{row['P']}/{row['width']}", WHATS[what]]
            cells += [_percent(off(row, theory, what)) for theory in steps]
            body.append((*cells, f"± {100 * noise(row, CAVITY, what):.1f}"))
    return _lines(("data", "P/N", "error", "k = 0", "1", "2", "4", "8", "noise"), body)


def _tried(grid: list[Row]) -> str:
    """ε_g and ε_t of what did not work, cell by cell, where all of it was tried."""
    theories = ("saddle", "edgeworth", "kappa4", "one-neuron", CAVITY)
    body = []
    for row in known(grid, *theories):
        cells = [row["task"], f"{row['P']}/{row['width']}"]
        for what in ("test", "training"):
            cells += [_percent(off(row, theory, what)) for theory in theories]
        body.append(tuple(cells))
    names = tuple(WORDS[theory].strip("*") for theory in theories)
    return _lines(("data", "P/N", *(f"ε_g: {n}" for n in names), *(f"ε_t: {n}" for n in names)), body)


def _identity(rows: list[Row]) -> str:
    body = []
    for row in known(rows, CAVITY, "integrated"):
        cells = [row["task"], f"{row['load']:g}", f"{row['integrated_test']:.4f}"]
        error = row[f"{CAVITY}_error"]
        difference = row[f"{CAVITY}_test"] - row["integrated_test"]
        cells += [f"{row[f'{CAVITY}_test']:.4f} ± {error:.4f}", f"{difference / error:+.1f}"]
        cells += [_number(row.get("one-neuron_test")), f"{row['integrated_training']:.4f}"]
        cells += [f"{row[f'{CAVITY}_training']:.4f} ± {row[f'{CAVITY}_training_error']:.4f}"]
        cells += [_number(row.get("one-neuron_training"))]
        gain = f"{row[f'{CAVITY}_gain']:+.3f} ± {row[f'{CAVITY}_gain_error']:.3f}"
        body.append((*cells, gain, "yes" if row[f"{CAVITY}_separated"] else "no"))
    head = ("data", "load", "ε_g exact", "cavity", "z", "one-neuron law", "ε_t exact", "cavity", "one-neuron law",
            "log evidence − exact", "valley")  # fmt: skip
    return _lines(head, body)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _small(rows: list[Row]) -> str:
    body = []
    for row in known(rows, CAVITY, "saddle", "integrated"):
        N = row["width"]
        cells = [row["task"], f"{row['load']:g}", str(row["P"]), str(N)]
        for what, error in (("test", "error"), ("training", "training_error")):
            base, spread = row[f"saddle_{what}"], row[f"{CAVITY}_{error}"]
            difference = (row[f"{CAVITY}_{what}"] - base) / base
            cells += [f"{100 * difference:+.2f} ± {100 * spread / base:.2f} %", f"{N * difference:+.2f}"]
        body.append(tuple(cells))
    return _lines(("data", "load", "P", "N", "ε_g: cavity/saddle − 1", "times N", "ε_t: the same", "times N"), body)


def _evidence(grid: list[Row]) -> str:
    body = []
    for row in grid:
        if row.get("evidence_log_evidence") is None or row.get(f"{CAVITY}_log_evidence") is None:
            continue
        cells = [row["task"], f"{row['P']}/{row['width']}"]
        cells.append(f"{row['evidence_log_evidence']:.2f} ± {row['evidence_standard_error']:.2f}")
        cells += [_number(row.get(f"{theory}_log_evidence"))[:-2] or "–" for theory in ("infinite", "integrated")]
        for k in (1, 2, 4, 8):
            value = row.get(f"cavity-{k}_log_evidence")
            cells.append("–" if value is None else f"{value:.2f} ± {row[f'cavity-{k}_gain_error']:.2f}")
        body.append((*cells, row["evidence_status"]))
    head = ("data", "P/N", "network", "infinite", "k = 0", "1", "2", "4", "8", "tempered chains")
    return _lines(head, body)


def _phases(grid: list[Row]) -> str:
    body = []
    for row in known(grid, CAVITY):
        if row["load"] >= 4:
            N = row["width"]
            body.append(
                (
                    row["task"], f"{row['P']}/{N}", f"{row['saddle_product']:.2f}",
                    f"{row[f'{CAVITY}_gain']:+.2f} ± {row[f'{CAVITY}_gain_error']:.2f}",
                    "yes" if row[f"{CAVITY}_separated"] else "no", f"{row[f'{CAVITY}_count']:.2f}",
                    f"{row[f'{CAVITY}_share']:.2f}", str(row[f"{CAVITY}_phases"]).replace("None: 1.000", "–"),
                    row[f"{CAVITY}_status"],
                )
            )  # fmt: skip
    head = ("data", "P/N", "ρτ", "log evidence − (k = 0)", "valley", "specialised", "their share of Q",
            "probability of each number", "draws")  # fmt: skip
    return _lines(head, body)


def _cells(grid: list[Row]) -> str:
    body = []
    for row in sorted(grid, key=lambda row: (row["task"], row["load"], row["P"])):
        cells = [row["task"], f"{row['load']:g}", f"{row['P']}/{row['width']}"]
        for what in WHATS:
            value, error = row[f"sampled_{what}"], row[f"sampled_{what}_standard_error"]
            cells += [f"{value:.4f} ± {error:.4f}", _percent(off(row, "saddle", what))]
            cells.append(_percent(off(row, CAVITY, what)))
        cells += [f"{d:.3f}" if (d := row.get(f"{t}_distance")) is not None else "–" for t in ("saddle", CAVITY)]
        note = [] if row["sampled_status"] == "mixed" else [f"not mixed: R-hat {row['sampled_rhat']:.2f}"]
        if row.get(f"{CAVITY}_status", "converged") != "converged":
            note.append(f"cavity {row[f'{CAVITY}_status']}: R-hat {row[f'{CAVITY}_rhat']:.2f}")
        body.append((*cells, "; ".join(note)))
    head = ["data", "load", "P/N"]
    for words in WHATS.values():
        head += [f"{words} sampled", "saddle", "cavity"]
    return _lines((*head, "‖Δ⟨f⟩‖ saddle", "cavity", "chains"), body)


def _cost(grid: list[Row]) -> str:
    body = []
    for P in sorted({row["P"] for row in grid}):
        cells = [str(P)]
        for theory in ("saddle", "kappa4", "one-neuron", "cavity-1", "cavity-2", "cavity-4", "cavity-8"):
            found = [row[f"{theory}_seconds"] for row in grid if row["P"] == P and row.get(f"{theory}_seconds")]
            cells.append(f"{np.median(found):.1f} (≤ {max(found):.0f})" if found else "–")
        body.append(tuple(cells))
    return _lines(("P", "saddle", "κ₄ kernel", "one-neuron law", *(f"cavity, k = {k}" for k in (1, 2, 4, 8))), body)
