"""The prediction as a figure: the effective action with its minimum, and the errors against the width."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter

from widthwise.errors import unknown_name

# Okabe and Ito's colours: told apart by everybody, in print and on screen.
TEST, TRAINING, SAMPLED, GREY = "#0072B2", "#D55E00", "#000000", "#7A7A7A"
GREEN, PURPLE, ORANGE, SKY = "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK = "#444444"
FORMATS = ("png", "pdf", "svg")


@dataclass(frozen=True, eq=False)
class Curve:
    """Predicted errors against the width.

    Args:
        widths: N, increasing.
        test_error: at each width.
        training_error: at each width.
        infinite_test_error: of infinite width.
        infinite_training_error: of infinite width.
    """

    widths: np.ndarray
    test_error: np.ndarray
    training_error: np.ndarray
    infinite_test_error: float
    infinite_training_error: float


@dataclass(frozen=True)
class SampledPoint:
    """An error of the real network, sampled.

    Args:
        width: N.
        value: mean over the posterior draws.
        standard_error: of the mean.
        kind: "test" or "training".
    """

    width: int
    value: float
    standard_error: float
    kind: str = "test"


def figure_format(path: str | Path) -> str:
    """The format that a figure's file name asks for.

    Args:
        path: ending in .png, .pdf or .svg.

    Raises:
        InputError: another ending.
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise unknown_name("figure format", suffix, FORMATS)
    return suffix


def render(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a file.

    Args:
        figure: from `prediction_figure`.
        kind: "png", "pdf" or "svg".
    """
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, dpi=160)
    return stream.getvalue()


def prediction_figure(
    action: Callable[[np.ndarray], Any] | None,
    minimum: float | None,
    curve: Curve,
    *,
    width: int,
    title: str,
    subtitle: str = "",
    sampled: Sequence[SampledPoint] = (),
) -> Figure:
    """Left, the effective action S(Q) and its minimum; right, the predicted errors against the width.

    Args:
        action: S, of an array of Q; None leaves the left panel out.
        minimum: Q*, where S is smallest.
        curve: predicted errors.
        width: the network's own.
        title: first line above the panels.
        subtitle: second line.
        sampled: errors of the real network, drawn with bars of two standard errors.
    """
    both = action is not None and minimum is not None
    layout = ConstrainedLayoutEngine(w_pad=0.12, wspace=0.06, h_pad=0.08)
    figure = Figure(figsize=(9.6, 4.2) if both else (6.4, 4.2), facecolor="white", layout=layout)
    axes = figure.subplots(1, 2 if both else 1, squeeze=False, width_ratios=(4, 5) if both else (1,))[0]
    if action is not None and minimum is not None:
        _draw_action(axes[0], action, minimum, width)
    _draw_curve(axes[-1], curve, width, sampled)
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def plain(axes: Axes, title: str, *, size: float = 10.5, pad: float = 20) -> None:
    """The look of a panel: two spines, grey ticks, the title on the left.

    Args:
        axes: of the panel.
        title: above it.
        size: of the title's letters, in points.
        pad: between title and panel, in points.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_title(title, fontsize=size, loc="left", pad=pad)


def _draw_action(axes: Axes, action: Callable[[np.ndarray], Any], minimum: float, width: int) -> None:
    low, high = min(minimum, 1.0), max(minimum, 1.0)
    Q = np.geomspace(low / 2.5, high * 2.5, 241)
    S = np.asarray(action(Q), dtype=float)
    S_min, S_one = np.asarray(action(np.array([minimum, 1.0])), dtype=float)
    plain(axes, "Effective action")
    axes.plot(Q, S, color=TEST, lw=2)
    axes.axvline(1.0, color=GREY, lw=1, ls=(0, (4, 3)), zorder=0)
    axes.plot([1.0], [S_one], "o", ms=6, mfc="white", mec=GREY, mew=1.5)
    axes.plot([minimum], [S_min], "o", ms=7.5, color=TEST, mec="white", mew=1.2, zorder=5)
    top = np.nanmax(S) - S_min
    axes.set_ylim(S_min - 0.16 * top, S_min + 1.02 * top)
    # the two labels on the outer sides of their points, so that they cannot meet
    left = minimum <= 1.0
    axes.annotate(
        f"$Q^* = {minimum:.3f}$", (minimum, S_min), xytext=(-4 if left else 4, -14), textcoords="offset points",
        ha="right" if left else "left", va="center", color=TEST, fontsize=10,
    )  # fmt: skip
    axes.annotate(
        "infinite width, $Q = 1$", (1.0, 1.0), xytext=(0, 3), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="center", va="bottom", color=INK, fontsize=9,
    )  # fmt: skip
    axes.set_xscale("log")
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1e3, 1e4) if Q[0] <= t <= Q[-1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("order parameter $Q$")
    axes.set_ylabel("$S(Q)$")


def _draw_curve(axes: Axes, curve: Curve, width: int, sampled: Sequence[SampledPoint]) -> None:
    plain(axes, "Predicted errors")
    end = curve.widths[-1]
    for values, wide, colour, name in (
        (curve.test_error, curve.infinite_test_error, TEST, "test error"),
        (curve.training_error, curve.infinite_training_error, TRAINING, "training error"),
    ):
        axes.axhline(wide, color=colour, lw=1, ls=(0, (4, 3)), alpha=0.75)
        axes.plot(curve.widths, values, color=colour, lw=2, label=name)
    axes.plot([], [], color=GREY, lw=1, ls=(0, (4, 3)), label="infinite width")
    axes.axvline(width, color=GREY, lw=1, zorder=0)
    axes.annotate(
        f"this network, $N = {width}$", (width, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha="center", va="bottom", color=INK, fontsize=9,
    )  # fmt: skip
    for i, point in enumerate(sampled):
        axes.errorbar(
            point.width, point.value, yerr=2 * point.standard_error, fmt="o", ms=6.5, color=SAMPLED, mew=1.4,
            mfc=TEST if point.kind == "test" else TRAINING, capsize=3, lw=1.4, zorder=6,
            label="sampled network, ± 2 s.e." if i == 0 else None,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(curve.widths[0], end)
    values = np.concatenate([curve.test_error, curve.training_error, [p.value for p in sampled]])
    axes.set_ylim(0, 1.12 * float(np.nanmax(values)))
    axes.set_xlabel("width $N$ of the hidden layer")
    axes.set_ylabel("mean squared error, $\\langle (y - f)^2 \\rangle$")
    axes.legend(frameon=False, fontsize=9, loc="best")
