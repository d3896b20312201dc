"""The figure of docs/cavity.md: deviations of saddle and cavity from the sampled networks, by load and by size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
BLUE, RED, GREY = "#0072B2", "#D55E00", "#7A7A7A"
ENOUGH = 4  # cells of a load and size, for a median over data sets
_STYLES = {"saddle": (RED, "o", "saddle"), "cavity-4": (BLUE, "s", "cavity, k = 4")}
_WORDS = {"test": "test error", "training": "training error"}


def draw(path: Path, grid: list[Row]) -> None:
    """Above every cell by load, below the median by size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in grid if row.get("cavity-4_test") is not None and row["sampled_status"] == "mixed"]
    figure, axes = plt.subplots(2, 3, figsize=(13.5, 7.6), layout="constrained")
    for column, what in enumerate(_WORDS):
        _by_load(axes[0, column], rows, what)
        _by_size(axes[1, column], rows, what)
    _apart(axes[0, 2], rows)
    _one_against_other(axes[1, 2], rows)
    axes[0, 0].legend(frameon=False, fontsize=9)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _off(row: Row, theory: str, what: str) -> float:
    return 100.0 * (float(row[f"{theory}_{what}"]) / float(row[f"sampled_{what}"]) - 1.0)


def _places(rows: list[Row]) -> tuple[list[float], dict[float, int]]:
    loads = sorted({row["load"] for row in rows})
    return loads, {load: i for i, load in enumerate(loads)}


def _scattered(ax: Any, rows: list[Row], value: Any) -> None:
    """All cells of each load beside each other, and their medians."""
    loads, place = _places(rows)
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    for side, (theory, (colour, marker, words)) in zip((-0.2, 0.2), _STYLES.items()):
        x = [place[row["load"]] + side + 0.05 * (tasks.index(row["task"]) - 2.5) for row in rows]
        ax.plot(x, [value(row, theory) for row in rows], marker, ms=4, alpha=0.6, mew=0, color=colour, label=words)
        for load in loads:
            middle = float(np.median([value(row, theory) for row in rows if row["load"] == load]))
            ax.plot([place[load] + side - 0.17, place[load] + side + 0.17], [middle] * 2, lw=2.5, color=colour)
    ax.set_xticks(range(len(loads)), [f"{load:g}" for load in loads])
    ax.set_xlabel("load P/N")


def _by_load(ax: Any, rows: list[Row], what: str) -> None:
    ax.axhline(0.0, color=GREY, lw=0.8)
    _scattered(ax, rows, lambda row, theory: _off(row, theory, what))
    ax.set_ylabel("predicted/sampled − 1, per cent")
    ax.set_title(f"{_WORDS[what]}: every cell, medians", loc="left", fontsize=10.5)
    ax.set_yscale("symlog", linthresh=2.0)
    ticks = [-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100]
    low, high = ax.get_ylim()
    ax.set_yticks([t for t in ticks if low <= t <= high], [str(t) for t in ticks if low <= t <= high])
    ax.minorticks_off()


def _by_size(ax: Any, rows: list[Row], what: str) -> None:
    for load, style in ((2, ":"), (4, "--"), (8, "-")):
        for theory, (colour, marker, words) in _STYLES.items():
            own = [row for row in rows if row["load"] == load]
            sizes = [P for P in sorted({row["P"] for row in own}) if sum(row["P"] == P for row in own) >= ENOUGH]
            middle = [np.median([abs(_off(row, theory, what)) for row in own if row["P"] == P]) for P in sizes]
            ax.plot(sizes, middle, style + marker, color=colour, ms=4, label=f"{words}, load {load}")
    ax.set(xscale="log", yscale="log", xlabel="P", ylabel="median |predicted/sampled − 1|, per cent")
    ax.set_xticks([32, 64, 128, 256], ["32", "64", "128", "256"])
    ax.minorticks_off()
    ax.set_title(f"{_WORDS[what]}: with size, at fixed load", loc="left", fontsize=10.5)
    if what == "test":
        ax.set_ylim(bottom=0.25 * ax.get_ylim()[0])
        ax.legend(frameon=False, fontsize=8, ncols=2, loc="lower left")


def _apart(ax: Any, rows: list[Row]) -> None:
    _scattered(ax, rows, lambda row, theory: row[f"{theory}_distance"])
    ax.set(yscale="log", ylabel="‖⟨f⟩ predicted − sampled‖")
    ax.set_title("mean predictor: distance on the test points", loc="left", fontsize=10.5)


def _one_against_other(ax: Any, rows: list[Row]) -> None:
    for what, marker, colour in (("test", "o", "#009E73"), ("training", "^", "#CC79A7")):
        x, y = ([max(abs(_off(row, theory, what)), 0.02) for row in rows] for theory in ("saddle", "cavity-4"))
        ax.plot(x, y, marker, ms=4, mew=0, alpha=0.65, color=colour, label=_WORDS[what])
    ax.plot([0.02, 200], [0.02, 200], color=GREY, lw=1)
    ax.set(xscale="log", yscale="log", xlabel="|saddle/sampled − 1|, per cent", ylabel="|cavity/sampled − 1|, per cent")
    ax.set_title("below the line the cavity is nearer", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8)
