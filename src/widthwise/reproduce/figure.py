"""Learning curves: theory as lines, published numbers as open marks, sampled networks with their error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from widthwise.report.figures import GREEN, GREY, ORANGE, PURPLE, SAMPLED, SKY, TEST, TRAINING, plain
from widthwise.reproduce.rows import Reproduction, Row

COLOURS = (TEST, TRAINING, GREEN, PURPLE, ORANGE, SKY)
DASHED = (0, (4, 3))
ASIDE, SHORT = 1.03, 1.12  # factors of x: a sampled mark from its point, the ends of a line of one point


def error_figure(
    found: Reproduction,
    series: Sequence[str],
    *,
    xlabel: str,
    ylabel: str = "test error, $\\langle (y - f)^2 \\rangle$",
    subtitle: str = "",
    log_x: bool = True,
) -> Figure:
    """Left, the error of each series against x; right, sampled/theory − 1 in per cent, published and ours.

    Lines are the theory's, dashed at infinite width; small open circles its published values. Without anything
    sampled, the right panel is left out.

    Args:
        found: the rows.
        series: which of them, in the order of the colours.
        xlabel, ylabel: of the left panel.
        subtitle: second line above the panels.
        log_x: whether x is logarithmic.
    """
    chosen = [row for row in found.rows if row.series in series]
    sampled = [row for row in chosen if row.sampled is not None or row.published_sampled is not None]
    layout = ConstrainedLayoutEngine(w_pad=0.12, wspace=0.06, h_pad=0.08)
    figure = Figure(figsize=(10.6, 4.6) if sampled else (6.8, 4.6), facecolor="white", layout=layout)
    axes = figure.subplots(1, 2 if sampled else 1, squeeze=False, width_ratios=(6, 5) if sampled else (1,))[0]
    for name, colour in zip(series, COLOURS):
        rows = sorted((row for row in chosen if row.series == name), key=lambda row: row.x)
        draw_errors(axes[0], rows, colour)
        if sampled:
            _draw_excess(axes[1], rows, colour)
    plain(axes[0], "Theory, published and sampled" if sampled else "Theory", pad=12)
    axes[0].set_ylabel(ylabel)
    handles = [Line2D([], [], color=colour, lw=2, label=name) for name, colour in zip(series, COLOURS)]
    axes[0].legend(handles=[*handles, *_legend(chosen)], frameon=False, fontsize=8.5, loc="best")
    if sampled:
        plain(axes[1], "Sampled network, relative to theory (± 2 s.e.)", pad=12)
        axes[1].axhline(0.0, color=GREY, lw=1, zorder=0)
        axes[1].set_ylabel("sampled / theory − 1, per cent")
    shown = (chosen, sampled) if sampled else (chosen,)
    for ax, rows in zip(axes, shown):
        ax.set_xlabel(xlabel)
        if log_x:
            log_axis(ax, [row.x for row in rows])
    title = found.title + (f"\n{subtitle}" if subtitle else "")
    figure.suptitle(title, fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def draw_errors(axes: Axes, rows: Sequence[Row], colour: str) -> None:
    """One series: the theory's line, infinite width dashed, published values, sampled ones with two standard errors.

    What was sampled stands a little aside, so that it does not hide the rest: published left, ours right.
    """
    if len(rows) == 1:  # a line of one point is a short one
        (row,) = rows
        axes.hlines(row.theory, row.x / SHORT, row.x * SHORT, color=colour, lw=1.8)
        if row.infinite is not None:
            axes.hlines(row.infinite, row.x / SHORT, row.x * SHORT, color=colour, lw=1, ls=DASHED, alpha=0.75)
    else:
        axes.plot([row.x for row in rows], [row.theory for row in rows], color=colour, lw=1.8)
        wide = [(row.x, row.infinite) for row in rows if row.infinite is not None]
        if wide:
            axes.plot(*zip(*wide), color=colour, lw=1, ls=DASHED, alpha=0.75)
    known = [(row.x, row.published) for row in rows if row.published is not None]
    if known:
        axes.plot(*zip(*known), "o", ms=3.8, mfc="none", mec=colour, mew=0.7, alpha=0.8)
    for row in rows:
        if row.published_sampled is not None:
            _bar(axes, row.x / ASIDE, row.published_sampled, row.published_standard_error, 1.0, _theirs(colour))
        if row.sampled is not None:
            _bar(axes, row.x * ASIDE, row.sampled, row.standard_error, 1.0, _ours(colour))


def _draw_excess(axes: Axes, rows: Sequence[Row], colour: str) -> None:
    """sampled/theory − 1 in per cent."""
    for row in rows:
        per_cent = 100.0 / row.theory
        if row.published_sampled is not None:
            value = per_cent * (row.published_sampled - row.theory)
            _bar(axes, row.x / ASIDE, value, row.published_standard_error, per_cent, _theirs(colour))
        if row.sampled is not None:
            value = per_cent * (row.sampled - row.theory)
            _bar(axes, row.x * ASIDE, value, row.standard_error, per_cent, _ours(colour))


def _bar(axes: Axes, x: float, y: float, error: float | None, scale: float, style: dict[str, Any]) -> None:
    axes.errorbar(x, y, yerr=None if error is None else 2.0 * scale * error, capsize=3, zorder=6, **style)


def _ours(colour: str) -> dict[str, Any]:
    return {"fmt": "o", "ms": 6.5, "color": SAMPLED, "mfc": colour, "mew": 1.2, "lw": 1.3}


def _theirs(colour: str) -> dict[str, Any]:
    return {"fmt": "D", "ms": 5.5, "color": colour, "mfc": "white", "mew": 1.2, "lw": 1.1}


def _legend(rows: Sequence[Row]) -> list[Line2D]:
    """What the marks mean, of those that occur."""
    entries = []
    if any(row.infinite is not None for row in rows):
        entries.append(Line2D([], [], color=GREY, lw=1, ls=DASHED, label="infinite width"))
    if any(row.published is not None for row in rows):
        entries.append(Line2D([], [], marker="o", ls="", ms=4, mfc="none", mec=GREY, label="theory, published"))
    if any(row.published_sampled is not None for row in rows):
        mark: dict[str, Any] = {"marker": "D", "ms": 5.5, "mfc": "white", "mec": GREY}
        entries.append(Line2D([], [], ls="", label="sampled, published", **mark))
    if any(row.sampled is not None for row in rows):
        mark = {"marker": "o", "ms": 6.5, "mfc": GREY, "mec": SAMPLED}
        entries.append(Line2D([], [], ls="", label="sampled, ours", **mark))
    return entries


def log_axis(axes: Axes, x: Sequence[float]) -> None:
    """A logarithmic x with plain numbers at 1, 2, 5, …; a single point gets room around it."""
    low, high = min(x) / 1.25, max(x) * 1.25
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    ticks = [m * 10.0**k for k in range(-6, 9) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
