"""The figure of docs/probes.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from probes_rows import VARIANTS, Row, curve, median, of, sizes_of

BLUE, RED, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A7A7A"
_COLOURS = dict(zip(VARIANTS, (BLUE, PURPLE, RED)))


def draw(path: Path, rows: list[Row]) -> None:
    """The transition above; the verdict's curve, infinite data, the story and real data below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(17, 8.2), layout="constrained")
    for ax, (probe, words) in zip(
        axes[0],
        {"test_error": "test error/T_y", "overlap": "overlap", "memorisation": "memorisation m",
         "kurtosis": "excess kurtosis of the error"}.items(),
    ):  # fmt: skip
        _draw_transition(ax, rows, probe)
        ax.set_title(words, loc="left", fontsize=10.5)
        ax.set(xscale="log", xlabel="P/(N0 N1)")
        ax.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        ax.minorticks_off()
    axes[0, 0].legend(frameon=False, fontsize=8.5)
    _draw_verdicts(axes[1, 0], rows)
    _draw_infinite(axes[1, 1], rows)
    _draw_story(axes[1, 2], rows)
    _draw_real(axes[1, 3], rows)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_transition(ax: Any, rows: list[Row], probe: str) -> None:
    for number, (variant, words) in enumerate(VARIANTS.items()):
        own = of(rows, "transition", method=variant[0], noise=variant[1])
        known = [row for row in own if row.get(probe) is not None]
        floor = 1e-6 if probe == "test_error" else -math.inf
        x = np.array([row["P"] / 120 for row in known]) * (1 + 0.02 * (number - 1))
        y = np.array([max(row[probe], floor) for row in known])
        ax.plot(x, y, "o", ms=3.5, mew=0, alpha=0.3, color=_COLOURS[variant])
        sizes = [P for P in sizes_of(own) if sum(row["P"] == P for row in known) >= 4]
        medians = [max(median([row for row in known if row["P"] == P], probe), floor) for P in sizes]
        ax.plot(np.array(sizes) / 120, medians, "-", lw=2, color=_COLOURS[variant], label=words)
    if probe == "test_error":
        ax.set_yscale("log")
    if probe == "overlap":
        null = median(of(rows, "transition"), "overlap_null")
        ax.axhline(null, color=GREY, ls="--", lw=1)
        ax.annotate("a random student", (4, null), xytext=(0, 4), textcoords="offset points", ha="right", fontsize=8.5)
        ax.set_ylim(0, 1.04)
    if probe == "memorisation":
        grid = np.geomspace(0.5, 4, 100)
        ax.plot(grid, np.minimum(1, 1.05 / grid), "--", lw=1, color=GREY, label="p/P")
        ax.legend(frameon=False, fontsize=8.5)
        ax.set_ylim(0, 1.05)
    if probe == "kurtosis":
        ax.axhline(0, color=GREY, ls="--", lw=1)
        ax.set_ylim(-0.5, 2.6)


def _draw_verdicts(ax: Any, rows: list[Row]) -> None:
    """Shares over P/p: dashed memorised, solid collapsed."""
    for colour, (name, cells) in zip((BLUE, RED, GREEN, PURPLE), curve(rows, 0.0)):
        x = [ratio for ratio, _ in cells]
        for word, style in (("memorised", "--"), ("collapsed", "-")):
            y = [np.mean([row["word"] == word for row in runs]) for _, runs in cells]
            ax.plot(x, y, style, marker="o", ms=4, color=colour, mfc=colour if style == "-" else "white",
                    label=name if style == "-" else None)  # fmt: skip
    ax.set(xscale="log", xlabel="P/p", ylim=(-0.04, 1.06))
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.set_title("share of runs: memorised (dashed), collapsed (solid)", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5, loc="center left")


def _draw_infinite(ax: Any, rows: list[Row]) -> None:
    for (activation, M), colour in zip((("erf", 3), ("erf", 5), ("relu", 3), ("relu", 5)), (BLUE, GREEN, RED, PURPLE)):
        own = sorted(of(rows, "infinite", activation=activation, M=M), key=lambda row: row["N1"])
        x = [row["N1"] / M for row in own]
        ax.plot(x, [row["loss"] for row in own], "o-", ms=5, color=colour, label=f"{activation}, M = {M}: best")
        copies = [(row["N1"] / M, row["copy_loss"]) for row in own if row.get("copy_loss") is not None]
        ax.plot(*zip(*copies), "s", ms=9, mfc="none", mec=colour)
    ax.plot([], [], "s", ms=9, mfc="none", mec=GREY, label="copies and one average")
    ax.set(xlabel="N1/M", ylim=(-0.01, None))
    ax.set_title("infinite data: loss/T_y", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5)


def _draw_story(ax: Any, rows: list[Row]) -> None:
    floor = 1e-4
    for N1, colour in ((6, BLUE), (60, RED)):
        own = of(rows, "story", N1=N1)
        for side, style in (("theory", "--"), ("student", "-")):
            y = [median([row for row in own if row["P"] == P], f"{side}_test_error") for P in sizes_of(own)]
            ax.plot(sizes_of(own), np.maximum(y, floor), style, marker="o", ms=5, color=colour,
                    mfc=colour if side == "student" else "white", label=f"N1 = {N1}, {side}")  # fmt: skip
    drawn = sorted(of(rows, "sampled"), key=lambda row: row["P"])
    points = [[row[name] for row in drawn] for name in ("P", "test_error")]
    ax.plot(*points, "D", ms=6, mfc="none", color="black", label="N1 = 60, posterior sampled")
    ax.set(xscale="log", yscale="log", xlabel="P", ylim=(0.6 * floor, 2.0))
    ax.set_xticks([60, 120, 240, 480], ["60", "120", "240", "480"])
    ax.xaxis.minorticks_off()
    ax.set_title("one task, three ways: test error/T_y", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5, loc="lower left")


def _draw_real(ax: Any, rows: list[Row]) -> None:
    for data, colour in (("digits", BLUE), ("MNIST", RED)):
        for shuffled, style in ((0.0, "-"), (1.0, "--")):
            own = of(rows, "real", data=data, shuffled=shuffled)
            y = [median([row for row in own if row["P"] == P], "student_alignment_after") for P in sizes_of(own)]
            ax.plot(sizes_of(own), y, style, marker="o", ms=5, color=colour, mfc="white" if shuffled else colour,
                    label=f"{data}, {'shuffled' if shuffled else 'true'}")  # fmt: skip
    ax.set(xscale="log", xlabel="P", ylim=(0, None))
    ax.set_xticks([150, 500, 1500], ["150", "500", "1500"])
    ax.minorticks_off()
    ax.set_title("real data: alignment of the students' hidden layer", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5)
