"""The last layer's bound as a table and as a figure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from widthwise.bound.text import LABELS, columns, heading, notes, said, words
from widthwise.report.figures import GREY, INK, SAMPLED, TEST, TRAINING, plain
from widthwise.report.whole_table import Column, WholeTable

_STYLE = {"informative": "green", "inconclusive": "yellow", "outside_assumption": "red", "vacuous": "red"}


def bound_table(report: Any, *, name: str) -> RenderableType:
    """The network beside the readouts refitted on its features: errors, the bound, and what it is worth.

    Args:
        report: from `bound.last_layer`.
        name: what the features came from.
    """
    statuses = {column: status for column, status, _ in said(report)}
    found = []
    for title, values in columns(report).items():
        cells: list[str | Text] = [values.get(key, "") for key in LABELS]
        if title in statuses:
            cells[list(LABELS).index("status")] = _status(statuses[title])
        found.append(Column(title, cells, "bold" if title == "network" else ""))
    above = Text.assemble((name, "bold"), f": {heading(report)}")
    reasons = [Text.assemble(f"{column}: ", _status(status), f". {reason}") for column, status, reason in said(report)]
    below = Group(*reasons, Text(notes(report), style="dim"))
    table = WholeTable(list(LABELS.values()), found)
    return Group(Padding(above, (1, 0, 0, 0)), table, Padding(below, (0, 0, 1, 0)))


def _status(status: str) -> Text:
    return Text(words(status), style=_STYLE.get(status, ""))


def bound_figure(report: Any, curve: Any = None, theory: Any = None, *, title: str, subtitle: str = "") -> Figure:
    """Gap over the number of examples, both axes logarithmic: the bound, its sharp form, refits, the network.

    Args:
        report: from `bound.last_layer`.
        curve: refits of the readout, from `bound.gap_curve`; None draws none.
        theory: (P, gap) of the sharp form on a finer grid, from `bound.sharp_gap`; by default at the curve's sizes.
        title: first line above the panel.
        subtitle: second line.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(7.2, 4.6), facecolor="white", layout=layout)
    axes = figure.subplots()
    plain(axes, "Generalisation gap, in units of the target power", pad=20)
    # a sample of fewer examples than features has a smaller rank: that is not the layer's
    N = max(report.effective_size, 0 if curve is None else curve.effective_size)
    points = [float(report.P)] + ([] if curve is None else [float(x) for x in curve.sizes])
    left, right = min(*points, 1.6 * N) / 1.25, max(*points, 2.4 * N) * 1.25
    heights = [2 * N / right, 2.0]
    P = np.geomspace(left, right, 200)
    axes.plot(P, 2 * N / P, color=TRAINING, lw=2, label="the bound, $2N_{\\mathrm{eff}}/P$", zorder=4)
    if curve is not None:
        _draw_theory(axes, *((curve.sizes, curve.sharp) if theory is None else theory))
        heights += _draw_refits(axes, curve)
    if report.relative_gap is None:
        axes.axvline(report.P, color=GREY, lw=1, zorder=0, label="this network, its gap not measured")
    else:
        heights += _draw_network(axes, report)
    bottom, top = min(heights) / 1.6, min(max(heights) * 1.6, 50 * 2 * N / left)
    _draw_vacuous(axes, left, N)
    axes.set_xscale("log")
    axes.set_yscale("log", nonpositive="clip")
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    for axis in (axes.xaxis, axes.yaxis):
        decades = math.log10(right / left if axis is axes.xaxis else top / bottom)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("number of examples $P$")
    axes.set_ylabel("$(\\varepsilon_g - \\varepsilon_t)/T_y$")
    axes.legend(frameon=False, fontsize=9, loc="best")
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def _draw_theory(axes: Axes, sizes: np.ndarray, gap: np.ndarray) -> None:
    """A pole where λ = 0 and P = N_eff: the line leaves the panel and comes back."""
    known = ~np.isnan(gap)
    if known.any():
        axes.plot(sizes[known], gap[known], color=TEST, lw=2, label="its sharp form, of these features")


def _draw_refits(axes: Axes, curve: Any) -> list[float]:
    """Dots with bars of two standard errors; a gap that is not positive as the arrow below its bar's end."""
    up = curve.gap > 0.0
    error = np.where(np.isfinite(curve.standard_error), curve.standard_error, 0.0)
    axes.errorbar(
        curve.sizes[up], curve.gap[up], yerr=2 * error[up], fmt="o", ms=6, color=SAMPLED, mfc=TEST, mew=1.2,
        capsize=2.5, lw=1.2, zorder=6, label="readout refitted, ± 2 s.e.",
    )  # fmt: skip
    ends = (curve.gap + 2 * error)[~up]
    axes.plot(curve.sizes[~up][ends > 0.0], ends[ends > 0.0], "v", ms=6, color=SAMPLED, mfc="white", zorder=6)
    shown = [*curve.gap[up], *ends[ends > 0.0]]
    return [float(min(shown)), float(max(shown))] if shown else []


def _draw_network(axes: Axes, report: Any) -> list[float]:
    gap, error = report.relative_gap.value, report.relative_gap.standard_error
    error = error if math.isfinite(error) else 0.0
    trunk = "trunk trained" if report.trunk_trained else "trunk fixed"
    if gap > 0.0:
        axes.errorbar(
            report.P, gap, yerr=2 * error, fmt="D", ms=7, color=SAMPLED, mfc=TRAINING, mew=1.2, capsize=2.5, lw=1.2,
            zorder=7, label=f"this network, {trunk}",
        )  # fmt: skip
        return [gap]
    end = gap + 2 * error
    if end > 0.0:
        axes.plot([report.P], [end], "v", ms=7, color=SAMPLED, mfc=TRAINING, label=f"this network, {trunk}: below")
        return [end]
    return []


def _draw_vacuous(axes: Axes, left: float, N: int) -> None:
    axes.axvspan(left, 2 * N, color=GREY, alpha=0.13, lw=0, zorder=0)
    axes.annotate(
        f"vacuous: $P \\leq 2N_{{\\mathrm{{eff}}}} = {2 * N}$", (2 * N, 1.0), xycoords=("data", "axes fraction"),
        xytext=(-3, 3), textcoords="offset points", ha="right", va="bottom", color=INK, fontsize=9,
    )  # fmt: skip
