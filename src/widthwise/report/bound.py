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

from widthwise.report.figures import GREY, INK, SAMPLED, TEST, TRAINING, plain
from widthwise.report.whole_table import Column, WholeTable

_STYLE = {"informative": "green", "inconclusive": "yellow", "outside_assumption": "red", "vacuous": "red"}
_HOLDS = {True: "below", False: "above", None: "undecided"}


def bound_table(report: Any, *, name: str) -> RenderableType:
    """The network beside the readouts refitted on its features: errors, the bound, and what it is worth.

    Args:
        report: from `bound.last_layer`.
        name: what the features came from.
    """
    columns = _columns(report)
    table = WholeTable(
        list(_ROWS.values()),
        [
            Column(title, [values.get(key, "") for key in _ROWS], "bold" if title == "network" else "")
            for title, values in columns
        ],
    )
    return Group(_heading(report, name), table, _footing(report))


_ROWS = {
    "P": "examples P",
    "size": "effective size N_eff",
    "training": "training error",
    "test": "test error",
    "gap": "gap, of the target power",
    "bound": "  the bound 2 N_eff/P",
    "holds": "  the gap lies",
    "m": "memorisation m",
    "ratio": "gap, of the test error",
    "predicted": "  predicted 1 − (1 − m)²",
    "twice": "  its limit 2m",
    "gcv": "test error by GCV",
    "tau": "τ, 1 if Gaussian",
    "status": "status",
}


def _columns(report: Any) -> list[tuple[str, dict[str, Any]]]:
    """Title and cells of the network, and of each readout refitted."""
    network = {
        "P": str(report.P), "size": str(report.effective_size), "training": str(report.training_error),
        "test": _known(report.generalisation_error), "gap": _known(report.relative_gap),
        "bound": f"{report.asymptotic_bound:.4g}", "status": _status(report.status),
        "holds": "" if report.relative_gap is None else _HOLDS[report.holds],
    }  # fmt: skip
    columns = [("network", network)]
    if report.in_sample is not None:
        fit = report.in_sample
        relative = fit.gap / report.target_power
        bound = 2 * fit.effective_size / fit.P
        below = {"holds": _HOLDS[relative.below(bound)]}
        columns.append(
            ("refitted in-sample", _refit(fit, relative, bound, _HOLDS[fit.ratio.below(2 * fit.memorisation)]) | below)
        )
    if report.readout_bound is not None:
        fit = report.readout_bound
        own = _refit(fit, fit.relative_gap, fit.asymptotic_bound, _HOLDS[fit.within_twice_m])
        columns.append(("refitted on fresh", own | {"holds": _HOLDS[fit.holds], "status": _status(fit.status)}))
    return columns


def _refit(fit: Any, relative: Any, bound: float, twice: str) -> dict[str, Any]:
    return {
        "P": str(fit.P), "size": str(fit.effective_size), "training": f"{fit.training_error:.4g}",
        "test": str(fit.press), "gap": str(relative), "bound": f"{bound:.4g}", "m": f"{fit.memorisation:.4g}",
        "ratio": str(fit.ratio), "predicted": f"{fit.predicted_ratio:.4g}", "gcv": _number(fit.gcv),
        "tau": _known(fit.tau), "twice": f"{twice} {2 * fit.memorisation:.4g}",
    }  # fmt: skip


def _heading(report: Any, name: str) -> RenderableType:
    lost = report.features + 1 - report.effective_size
    fewer = report.effective_size < report.P  # otherwise it is the examples that are few
    rank = f", {lost} of them dead or linear in others" if lost > 0 and fewer else ""
    trunk = "trained on these examples" if report.trunk_trained else "fixed beforehand"
    return Padding(
        Text.assemble(
            (name, "bold"),
            f": a last layer of {report.features} features{rank}\n"
            f"{report.P} training examples, variance of the targets {report.target_power:.4g}, trunk {trunk}",
        ),
        (1, 0, 0, 0),
    )


def _footing(report: Any) -> RenderableType:
    parts = [_said("network", report.status, report.reason)]
    if report.readout_bound is not None:
        parts.append(_said("refitted on fresh", report.readout_bound.status, report.readout_bound.reason))
    ridge = report.readout_bound or report.in_sample
    notes = ["Errors are mean squares; ± is one standard error."]
    if ridge is not None:
        with_ridge = f", ridge {ridge.ridge:g}" if ridge.ridge else ""
        notes.append(f"Refitted readouts{with_ridge}: the test error is that of leaving one out (PRESS).")
    parts.append(Text(" ".join(notes), style="dim"))
    return Padding(Group(*parts), (0, 0, 1, 0))


def _said(what: str, status: Any, reason: str) -> Text:
    return Text.assemble(f"{what}: ", _status(status), f". {reason}")


def _status(status: Any) -> Text:
    word = str(status)
    return Text(word.replace("_", " "), style=_STYLE.get(word, ""))


def _known(value: Any) -> str:
    return "–" if value is None else str(value)


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


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
