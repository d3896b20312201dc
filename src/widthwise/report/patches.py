"""Local kernel renormalisation as a figure: how far each patch, and each pair of patches, moved from infinite width."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine

from widthwise.errors import InputError
from widthwise.report.figures import INK

_COLOURS = "RdBu_r"  # blue below, red above: told apart by the colour-blind too
_WRITTEN = 36  # as many patches as have room for their number


def _symmetric_range(values: np.ndarray, centre: float) -> Normalize:
    """Colours as far below the centre as above it; of some width even where nothing moved."""
    reach = float(np.abs(values - centre).max(initial=0.0)) or 0.1
    return Normalize(centre - reach, centre + reach)


def _plain(axes: Axes, title: str) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.set_title(title, fontsize=10.5, loc="left", pad=8)


def _numbers(values: np.ndarray, what: str, axis: int) -> tuple[range, list[str]]:
    """A few ticks along one axis."""
    ticks = range(0, values.shape[axis], max(1, -(-values.shape[axis] // 8)))
    return ticks, [f"{what}{i}" for i in ticks]


def renormalisation_figure(
    Q: np.ndarray, grid: tuple[int, int], *, title: str, subtitle: str = "", infinite: np.ndarray | None = None
) -> Figure:
    """Left, Q_ii where the patches lie in the image; right, Q − Q_∞: its off-diagonal is the local renormalisation.

    Both in units of infinite width, which is the identity for one layer: Q_ii/Q_∞,ii, and Q_ij − Q_∞,ij.

    Args:
        Q: the order parameter (n, n); infinite width is the identity.
        grid: (rows, columns) of patches, n of them; patch i sits at row i // columns.
        title: first line above the panels.
        subtitle: second line.
        infinite: Q_∞ (n, n), of several layers; by default the identity.

    Raises:
        InputError: Q is not a finite square matrix of as many rows as the grid has patches.
    """
    Q = np.asarray(Q, dtype=float)
    rows, columns = grid
    if Q.shape != (rows * columns, rows * columns) or not np.isfinite(Q).all():
        raise InputError(
            f"order parameter: expected finite numbers of shape {(rows * columns,) * 2} for {rows}x{columns} patches, "
            f"got shape {Q.shape}; pass the posterior's own Q and grid, one output at a time."
        )
    layout = ConstrainedLayoutEngine(w_pad=0.1, wspace=0.05, h_pad=0.08)
    figure = Figure(figsize=(9.6, 4.2), facecolor="white", layout=layout)
    left, right = figure.subplots(1, 2)
    wide = np.eye(len(Q)) if infinite is None else np.asarray(infinite, dtype=float)
    unseen = wide.diagonal() <= 0.0  # a position that no patch above sees
    ratio = np.where(unseen, 1.0, Q.diagonal() / np.where(unseen, 1.0, wide.diagonal()))
    _draw_diagonal(left, ratio.reshape(rows, columns), deep=infinite is not None)
    _draw_matrix(right, Q - wide, columns, deep=infinite is not None)
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure


def over_outputs(posterior: Any, Q: np.ndarray) -> np.ndarray:
    """A matrix over patches and outputs as one over the patches (n, n): the mean over the outputs.

    Args:
        posterior: of a convolutional network.
        Q: its order parameter, or that of infinite width (n D, n D).
    """
    D = 1 if posterior.targets.ndim == 1 else posterior.targets.shape[1]
    n = len(Q) // D
    return np.asarray(np.einsum("idjd->ij", Q.reshape(n, D, n, D)) / D)


def _draw_diagonal(axes: Axes, diagonal: np.ndarray, *, deep: bool) -> None:
    _plain(axes, "Each patch, where it lies in the image: " + ("$Q_{ii}/Q^\\infty_{ii}$" if deep else "$Q_{ii}$"))
    colours = _symmetric_range(diagonal, 1.0)
    image = axes.imshow(diagonal, cmap=_COLOURS, norm=colours)
    axes.set_xticks(*_numbers(diagonal, "", 1))
    axes.set_yticks(*_numbers(diagonal, "", 0))
    axes.set_xlabel("column of patches")
    axes.set_ylabel("row of patches")
    if diagonal.size <= _WRITTEN:
        for (row, column), value in np.ndenumerate(diagonal):
            dark = abs(float(colours(value)) - 0.5) > 0.35
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8.5, color="w" if dark else "k")
    _colour_bar(axes, image, "infinite width: 1")


def _draw_matrix(axes: Axes, moved: np.ndarray, columns: int, *, deep: bool) -> None:
    _plain(axes, "Pairs of patches: " + ("$Q_{ij} - Q^\\infty_{ij}$" if deep else "$Q_{ij} - \\delta_{ij}$"))
    apart = moved[~np.eye(len(moved), dtype=bool)]
    # the pairs set the colours: a diagonal that moved further is drawn at their end
    image = axes.imshow(moved, cmap=_COLOURS, norm=_symmetric_range(apart if apart.any() else moved, 0.0))
    axes.set_xticks(*_numbers(moved, "", 1))
    axes.set_yticks(*_numbers(moved, "", 0))
    if columns < len(moved):
        for edge in np.arange(columns, len(moved), columns) - 0.5:  # where a row of patches ends
            axes.axhline(edge, color=INK, lw=0.4, alpha=0.5)
            axes.axvline(edge, color=INK, lw=0.4, alpha=0.5)
    axes.set_xlabel("patch $j$, row by row")
    axes.set_ylabel("patch $i$")
    _colour_bar(axes, image, "infinite width: 0")


def _colour_bar(axes: Axes, image: AxesImage, label: str) -> None:
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.85, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)
    bar.set_label(label, fontsize=9, color=INK)
