"""The phase diagram, a trajectory and a story as figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from widthwise.report.figures import GREEN, GREY, INK, ORANGE, PURPLE, SKY, TEST, TRAINING, plain

_WIDTHS = (TEST, TRAINING, GREEN, PURPLE, ORANGE, SKY)
_LEAST = 1e-6  # of the axis of errors; what is below lies on it
_PANELS = {
    "test_error": "Test error, of the target's power",
    "overlap": "Overlap with the teacher's units",
    "memorisation": "Memorisation $m$",
    "kurtosis": "Excess kurtosis of the error",
}


def phase_figure(diagram: Any, trajectory: Any = None, *, title: str, subtitle: str = "") -> Figure:
    """Probes against P/(N0 N1), a line of medians for each width, a dot for each seed; shares; a training.

    Args:
        diagram: from `probes.phase_diagram`.
        trajectory: of `probes.trajectory`; None leaves its panel out.
        title: first line above the panels.
        subtitle: second line.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.05, hspace=0.05)
    figure = Figure(figsize=(12.0, 7.0), facecolor="white", layout=layout)
    axes = figure.subplots(2, 3)
    for ax, (probe, words) in zip(axes.flat, _PANELS.items()):
        _draw_probe(ax, diagram, probe, words)
    _draw_shares(axes[1, 1], diagram)
    if trajectory is None:
        axes[1, 2].set_axis_off()
    else:
        _draw_trajectory(axes[1, 2], trajectory)
    handles, words = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, words, frameon=False, fontsize=9.5, loc="outside lower center", ncols=len(words))
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def _draw_probe(ax: Axes, diagram: Any, probe: str, words: str) -> None:
    plain(ax, words, pad=10)
    each, median = diagram.values(probe), diagram.median(probe)
    if probe == "test_error":
        each, median = np.maximum(each, _LEAST), np.maximum(median, _LEAST)
        ax.set_yscale("log")
    x = np.array(diagram.sizes)
    order = np.argsort(x)
    for i, N1 in enumerate(diagram.units):
        colour = _WIDTHS[i % len(_WIDTHS)]
        shift = 1.0 + 0.012 * (i - 0.5 * (len(diagram.units) - 1))
        ax.plot(np.repeat(x * shift, each.shape[2]), each[i].ravel(), "o", ms=4, color=colour, alpha=0.3, mew=0)
        known = order[np.isfinite(median[i][order])]
        ax.plot(
            x[known] * shift,
            median[i][known],
            "o-",
            ms=5.5,
            mec="white",
            mew=0.8,
            lw=2,
            color=colour,
            label=f"$N_1 = {N1}$",
        )
    if probe == "overlap":
        nulls = [run.report.overlap.null_mean for run in diagram.runs[:1]]
        if nulls[0] is not None:
            ax.axhline(nulls[0], color=GREY, lw=1, ls=(0, (4, 3)), label="a random student")
        ax.set_ylim(0.0, 1.04)
    if probe == "memorisation":
        # p/P = (N0 + 1)/(N0 · size): the same for every width
        grid = np.geomspace(x.min(), x.max(), 100)
        ax.plot(grid, np.minimum(1.0, (diagram.inputs + 1) / (diagram.inputs * grid)), color=GREY, lw=1, ls=(0, (4, 3)))
        ax.annotate("$p/P$", (grid[-1], (diagram.inputs + 1) / (diagram.inputs * grid[-1])), xytext=(-2, -12),
                    textcoords="offset points", ha="right", color=INK, fontsize=9)  # fmt: skip
        ax.set_ylim(0.0, 1.06)
    if probe == "kurtosis":
        ax.axhline(0.0, color=GREY, lw=1, ls=(0, (4, 3)))
        if not np.isfinite(median).any():
            ax.annotate("no error is left", (0.5, 0.5), xycoords="axes fraction", ha="center", color=INK, fontsize=9)
    if probe == "test_error":
        ax.set_ylim(0.5 * _LEAST, max(2.0, 1.3 * float(np.nanmax(each))))
        if float(np.nanmin(each)) <= _LEAST:
            ax.annotate("numerically zero", (1.0, _LEAST), xycoords=("axes fraction", "data"), xytext=(-2, 5),
                        textcoords="offset points", ha="right", color=INK, fontsize=8.5)  # fmt: skip
    _sizes(ax, x)


def _sizes(ax: Axes, x: np.ndarray) -> None:
    ax.set_xscale("log")
    ax.set_xlim(x.min() / 1.12, x.max() * 1.12)
    ax.set_xticks(np.unique(x), [f"{value:g}" for value in np.unique(x)])
    ax.minorticks_off()
    ax.set_xlabel("examples, $P/(N_0 N_1)$")


def _draw_shares(ax: Axes, diagram: Any) -> None:
    """Shares of the seeds: solid collapsed, dashed memorised."""
    plain(ax, "Seeds that memorised (dashed), collapsed (solid)", pad=10)
    x = np.array(diagram.sizes)
    order = np.argsort(x)
    for i in range(len(diagram.units)):
        for word, style, face in (("memorised", (0, (3, 2)), "white"), ("collapsed", "-", _WIDTHS[i % len(_WIDTHS)])):
            share = diagram.fraction(word)[i][order]
            ax.plot(x[order], share, "o", ls=style, lw=1.8, ms=5, mfc=face, color=_WIDTHS[i % len(_WIDTHS)])
    ax.set_ylim(-0.04, 1.06)
    _sizes(ax, x)


def _draw_trajectory(ax: Axes, trajectory: Any) -> None:
    plain(ax, f"One student along its training, $P = {trajectory.examples}$, $N_1 = {trajectory.width}$", pad=10)
    steps = np.array(trajectory.steps)
    for probe, colour, words, floor in (
        ("training_error", TRAINING, "training error", _LEAST),
        ("test_error", TEST, "test error", _LEAST),
        ("overlap", GREEN, "overlap", 0.0),
    ):
        values = np.array([np.nan if v is None else max(v, floor) for v in trajectory.values(probe)])
        ax.plot(steps, values, "o-", ms=4, lw=1.8, color=colour, label=words)
    ax.set(xscale="log", yscale="log", ylim=(0.5 * _LEAST, 3.0))
    ax.set_xlabel("steps")
    ax.legend(frameon=False, fontsize=9, loc="lower left")


def story_figure(stories: Mapping[str, Any], *, title: str, subtitle: str = "") -> Figure:
    """Theory (open) beside student (filled): alignment before and after, memorisation, errors, of each task.

    Args:
        stories: title ↦ `probes.story`.
        title: first line above the panel.
        subtitle: second line.
    """
    names = {
        "alignment_before": "alignment\nbefore", "alignment_after": "alignment\nafter",
        "memorisation": "memorisation\n$m$", "training_error": "training\nerror", "test_error": "test\nerror",
    }  # fmt: skip
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(8.4, 4.6), facecolor="white", layout=layout)
    ax = figure.subplots()
    plain(ax, "Theory (open) beside the student (filled)", pad=12)
    highest = 1.0
    for i, (task, told) in enumerate(stories.items()):
        colour = _WIDTHS[i % len(_WIDTHS)]
        for side, face, shift in (("theory", "white", -0.07), ("student", colour, 0.07)):
            x = np.arange(len(names)) + shift + 0.3 * (i - 0.5 * (len(stories) - 1))
            values = np.array([np.nan if (v := getattr(told, side)[name]) is None else v for name in names])
            highest = max(highest, float(np.nanmax(values)))
            label = task if side == "student" else None
            ax.plot(x, values, "o", ms=8, mec=colour, mfc=face, mew=1.6, label=label)
    ax.axhline(1.0, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
    ax.set_ylim(-0.03 * highest, 1.08 * highest)
    ax.set_xticks(range(len(names)), list(names.values()))
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure
