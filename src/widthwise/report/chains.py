"""The chains as a figure: their traces, and whether their ranks are spread alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from scipy.stats import hypergeom, rankdata

from widthwise.errors import InputError
from widthwise.report.figures import GREEN, GREY, INK, ORANGE, PURPLE, SAMPLED, SKY, TEST, TRAINING, plain

# Okabe and Ito's colours without the yellow: one for each chain, over again beyond seven
CHAINS = (TEST, TRAINING, GREEN, PURPLE, ORANGE, SKY, SAMPLED)
_LABELS = {
    "log_likelihood": "Log likelihood",
    "training_error": "Training error",
    "generalisation_error": "Test error",
}
_BAND = 0.95
_BINS = 20
_HEIGHT = 0.45  # of the expected count, in units from one chain's histogram to the next


def chains_figure(samples: Any, *, title: str = "", subtitle: str = "") -> Figure:
    """Left, the trace of every chain; right, how its ranks among all draws are spread: evenly when the chains agree.

    A row for each of the log likelihood, the training and the test error. The band holds 95 % of the bins if draws are
    independent; correlated ones scatter more.   [Vehtari et al. 2021, arXiv 1903.08008, section 4.4]

    Args:
        samples: from `ww.sample`. Of anything else are needed `series()`, names to arrays (chains, draws); `estimates`,
            the same names to what has `rhat`, `ess` and `ess_tail`; `dropped` (chains, b), the log likelihood of the
            draws that were cut off; `diagnostics.problems`.
        title: first line above the panels; by default what the samples are.
        subtitle: second line; by default what speaks against the chains.

    Raises:
        InputError: fewer than two draws, or some that are not finite.
    """
    series = {name: _checked(name, values) for name, values in samples.series().items()}
    layout = ConstrainedLayoutEngine(w_pad=0.1, wspace=0.04, h_pad=0.08, hspace=0.04)
    figure = Figure(figsize=(9.6, 0.9 + 2.5 * len(series)), facecolor="white", layout=layout)
    panels = figure.subplots(len(series), 2, squeeze=False, width_ratios=(3, 2))
    dropped = np.asarray(samples.dropped, dtype=float)
    for (left, right), (name, values) in zip(panels, series.items()):
        plain(left, _LABELS.get(name, name.replace("_", " ")), size=10, pad=7)
        _draw_traces(left, values, dropped, dropped if name == "log_likelihood" else None)
        plain(right, _quality(samples.estimates[name]), size=10, pad=7)
        _draw_ranks(right, values)
    panels[-1, 0].set_xlabel("draw")
    panels[-1, 1].set_xlabel("rank among the draws of all chains")
    title, subtitle = title or repr(samples), subtitle or "; ".join(samples.diagnostics.problems)
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def _checked(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    unfit = int(np.sum(~np.isfinite(array)))
    if array.ndim != 2 or len(array) == 0 or array.shape[1] < 2 or unfit:
        raise InputError(
            f"{name}: expected finite numbers of shape (chains, draws), two draws or more, got shape {array.shape} "
            f"with {unfit} not finite; sample again."
        )
    return array


def _quality(found: Any) -> str:
    return f"R-hat {found.rhat:.3f}, ESS {found.ess:.0f} bulk, {found.ess_tail:.0f} tail"


def _draw_traces(axes: Axes, values: np.ndarray, dropped: np.ndarray, before: np.ndarray | None) -> None:
    """The kept draws, after the dropped ones: shaded, and drawn where they are known."""
    b, S = dropped.shape[1], values.shape[1]
    for c, chain in enumerate(values):
        colour = CHAINS[c % len(CHAINS)]
        axes.plot(np.arange(b, b + S), chain, color=colour, lw=0.6, alpha=0.8)
        if before is not None and b:
            axes.plot(np.arange(b + 1), [*before[c], chain[0]], color=colour, lw=0.6, alpha=0.45)
    axes.set_xlim(0, b + S - 1)
    low, high = values.min(), values.max()
    room = 0.06 * (high - low) or 0.5
    axes.set_ylim(low - room, high + room)  # the way there may lie far outside
    if b:
        axes.axvspan(0, b, color=GREY, alpha=0.15, lw=0)
        axes.annotate(
            "dropped", (b / 2, 1.0), xycoords=("data", "axes fraction"), xytext=(0, -4), textcoords="offset points",
            ha="center", va="top", color=INK, fontsize=8.5, rotation=90 if b < 0.12 * (b + S) else 0,
        )  # fmt: skip


def _draw_ranks(axes: Axes, values: np.ndarray) -> None:
    """A histogram of each chain's ranks over the band of even ones; a single chain is cut in two."""
    names = [str(c + 1) for c in range(len(values))]
    if len(values) == 1:
        half = values.shape[1] // 2
        values, names = np.stack([values[0, :half], values[0, -half:]]), ["first half", "second half"]
    C, S = values.shape
    ranks = rankdata(values).reshape(C, S)
    bins = int(np.clip(S // 10, 2, _BINS))
    edges = np.linspace(0.5, values.size + 0.5, bins + 1)
    expected = S / bins
    band = hypergeom(values.size, round(values.size / bins), S).ppf([(1 - _BAND) / 2, (1 + _BAND) / 2])
    low, high = _HEIGHT * band / expected
    for c, chain in enumerate(ranks):
        colour, base = CHAINS[c % len(CHAINS)], float(C - 1 - c)
        counts = np.histogram(chain, edges)[0]
        heights = np.minimum(_HEIGHT * counts / expected, 0.94)  # a taller one would run into the next chain's
        axes.fill_between(edges[[0, -1]], base + low, base + high, color=GREY, alpha=0.25, lw=0)
        axes.stairs(base + heights, edges, baseline=base, fill=True, color=colour, alpha=0.35, lw=0)
        axes.stairs(base + heights, edges, baseline=base, color=colour, lw=1.0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(-0.05, C)
    axes.set_yticks([C - 1 - c + _HEIGHT for c in range(C)], names)
    axes.set_ylabel("chain" if len(names[0]) < 3 else "")
    axes.tick_params(axis="y", length=0)
