"""Where neurons specialise: the phase diagram as a table and a figure; the one-neuron law across the transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import AbstractPathEffect, withStroke
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from widthwise.report.figures import GREY, INK, TEST, TRAINING, plain

_LINES = {0.5: (0, (3, 1.5)), 0.8: "-"}  # ρτ of the saddle: sound below the first, outside from the second on
_STYLE = {"Gaussian": "green", "gradual": "yellow"}
_NOTE = Text(
    "specialised: neurons whose own share of Q is beyond the valley, or ½ without one; share: of Q, "
    "that they carry; gain: log evidence over the theory of Gaussian neurons, in nats; errors of the cavity and of the "
    "saddle; rho*tau: the saddle's, doubtful from 0.5 on.",
    style="dim",
)


def diagram_table(diagram: Any, *, name: str = "") -> RenderableType:
    """Every width and temperature: who specialised, what it gains, and the errors beside the saddle's.

    Args:
        diagram: from `phase_diagram`.
        name: of the data.
    """
    from widthwise.posterior.phase_diagram import words

    tested = all(point.cavity_test is not None for point in diagram)
    kind = "test" if tested else "training"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    titles = ("N", "T", "P/N", "rho*tau", "specialised", "kurtosis", "share", "gain", f"{kind} error", "saddle's")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("phase")
    for row in diagram.points:
        for p in row:
            own, other = (p.cavity_test, p.saddle_test) if tested else (p.cavity_training, p.saddle_training)
            said = words(p)
            table.add_row(
                str(p.width), f"{p.temperature:g}", f"{p.load:.3g}", f"{p.rho_tau:.2f}", f"{p.specialised:.2f}",
                f"{p.kurtosis:.1f}", f"{p.share:.0%}", f"{p.gain:+.2f}", f"{own:.4f}", f"{other:.4f}",
                Text(said, _STYLE.get(said, "red")), end_section=p is row[-1],
            )  # fmt: skip
    what = f"{name}: {diagram.network}, " if name else f"{diagram.network}, "
    heading = Padding(Text.assemble((what, "bold"), f"P = {diagram.examples}"), (1, 0, 0, 0))
    return Group(heading, table, Padding(_NOTE, (0, 0, 1, 0)))


def diagram_figure(diagram: Any, *, title: str, subtitle: str = "") -> Figure:
    """Specialised neurons, and what they change in the error, over load and temperature; the saddle's ρτ as contours.

    Args:
        diagram: from `phase_diagram`.
        title: first line above the panels.
        subtitle: second line.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.06)
    figure = Figure(figsize=(10.4, 4.4), facecolor="white", layout=layout)
    left, right = figure.subplots(1, 2)
    kind = "test" if all(point.cavity_test is not None for point in diagram) else "training"
    change = 100.0 * (diagram.values(f"saddle_{kind}") / diagram.values(f"cavity_{kind}") - 1.0)
    largest = max(float(np.nanmax(np.abs(change))), 1.0)
    count = diagram.values("specialised")
    top = max(float(np.nanmax(count)), 1.0)
    mesh = _cells(left, diagram, count, cmap="Blues", norm=PowerNorm(0.7, 0.0, 1.25 * top), dark=0.6 * top)
    figure.colorbar(mesh, ax=left, label="specialised neurons", pad=0.02).outline.set_visible(False)
    mesh = _cells(
        right, diagram, change, "+.0f", cmap="PuOr", vmin=-1.3 * largest, vmax=1.3 * largest, dark=0.9 * largest
    )
    figure.colorbar(mesh, ax=right, label="percent", pad=0.02).outline.set_visible(False)
    for level, style in _LINES.items():
        left.plot([], [], color=TRAINING, lw=1.8, ls=style, label=f"$\\rho\\tau$ = {level:g} of the saddle")
    figure.legend(*left.get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    plain(left, "Specialised neurons", pad=10)
    plain(right, f"The saddle's {kind} error above the cavity's", pad=10)
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def _cells(
    ax: Axes, diagram: Any, values: Float[np.ndarray, "N T"], number: str = ".2g", *, dark: float, **how: Any
) -> Any:
    """One cell for each width and temperature, its number in it; contours of ρτ where there are enough."""
    rows, columns = np.argsort(diagram.temperatures), np.argsort(-np.array(diagram.widths))
    shown = values[columns][:, rows].T
    mesh = ax.pcolormesh(np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5, shown, **how)
    for (j, i), value in np.ndenumerate(shown):
        colour = "white" if abs(value) > dark else INK
        ax.annotate(
            f"{value:{number}}" if abs(value) >= 5e-3 else "0",
            (i, j),
            ha="center",
            va="center",
            fontsize=9,
            color=colour,
        )
    if min(shown.shape) > 1:
        rho_tau = diagram.values("rho_tau")[columns][:, rows].T
        levels = [level for level in _LINES if rho_tau.min() < level < rho_tau.max()]
        if levels:
            halo: list[AbstractPathEffect] = [withStroke(linewidth=3.5, foreground="white")]
            ax.contour(
                rho_tau, levels=levels, colors=TRAINING, linewidths=1.8, linestyles=[_LINES[level] for level in levels]
            ).set_path_effects(halo)
    loads = [f"{diagram.examples / diagram.widths[i]:.3g}\n$N$ = {diagram.widths[i]}" for i in columns]
    ax.set_xticks(range(len(columns)), loads)
    ax.set_yticks(range(len(rows)), [f"{diagram.temperatures[j]:g}" for j in rows])
    ax.set(xlabel="load $P/N$", ylabel="temperature $T$", xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    ax.tick_params(length=0)
    return mesh


def neuron_figure(
    laws: Mapping[str, tuple[Any, Any, Any]], *, title: str, subtitle: str = "", highest: float = 1.6
) -> Figure:
    """The one-neuron law across the transition: |v|√λ/√N of the theory's neurons (line) and of sampled ones (bars).

    Args:
        laws: panel's title ↦ (shares q of the theory's neurons, their weights, shares q of the sampled network's), each
            an array of any shape; the weights, of `posterior.phases.of_all`, broadcast to the first, None are equal;
            the last may be None.
        title: first line above the panels.
        subtitle: second line.
        highest: end of the axis.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08)
    figure = Figure(figsize=(1.2 + 2.9 * len(laws), 3.9), facecolor="white", layout=layout)
    axes = figure.subplots(1, len(laws), sharey=True, squeeze=False)[0]
    edges = np.linspace(0.0, highest, 49)
    middle = 0.5 * (edges[1:] + edges[:-1])
    for ax, (words, (theory, weights, sampled)) in zip(axes, laws.items()):
        plain(ax, words, pad=10)
        if sampled is not None:
            ax.stairs(_density(sampled, None, edges), edges, fill=True, color=GREY, alpha=0.45, label="sampled network")
        ax.plot(middle, _density(theory, weights, edges), color=TEST, lw=1.8, label="cavity")
        ax.set(yscale="log", xlim=(0.0, highest), ylim=(3e-3, 2e1), xlabel="readout $|v_i|\\sqrt{\\lambda}/\\sqrt{N}$")
    axes[0].set_ylabel("density of neurons")
    axes[-1].legend(frameon=False, fontsize=9, loc="upper right")
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def _density(q: Any, weights: Any, edges: np.ndarray) -> np.ndarray:
    q = np.asarray(q, float)
    w = np.broadcast_to(1.0 if weights is None else weights, q.shape)
    counts = np.histogram(np.sqrt(q).ravel(), edges, weights=w.ravel())[0]
    density = counts / (w.sum() * np.diff(edges))
    return np.where(density > 0.0, density, np.nan)
