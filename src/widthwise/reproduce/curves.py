"""What the studies share: the examples, a point of theory beside the sampled network, a panel of curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from widthwise.errors import InputError
from widthwise.report import figures
from widthwise.reproduce.rows import Row, measured
from widthwise.reproduce.study import Setup

TEST, TRAINING = "test error", "training error"
# from the narrowest network to the widest
COLOURS = (figures.TRAINING, figures.GREEN, figures.TEST, figures.PURPLE, figures.ORANGE)
GREY, INK = figures.GREY, figures.INK
FOLDER = "--data FOLDER with mnist_01.npz, mnist.npz and cifar10_airplane_automobile.npz, or without it OpenML"


@dataclass(frozen=True)
class Examples:
    """Where examples come from.

    Args:
        words: what to call them.
        name: of `ww.load_data`.
        classes: of `ww.load_data`.
        file: the .npz in the folder that --data names; "" for embedded data.
        file_classes: the classes as that file labels them, where they differ.
    """

    words: str
    name: str
    classes: Any
    file: str = ""
    file_classes: Any = None

    def load(self, setup: Setup, train_size: int, test_size: int) -> Any:
        """The first `train_size` examples and a test set, standardised: a `DataSet`.

        Raises:
            InputError: the file is not in the folder, or holds too little.
        """
        from widthwise.data import load_data

        size: dict[str, Any] = {"train_size": train_size, "test_size": test_size, "seed": setup.seed}
        if not self.file or setup.data is None:
            return load_data(self.name, classes=self.classes, **size)
        path = setup.data if setup.data.name == self.file else setup.data / self.file
        if not path.is_file():
            raise InputError(
                f"--data: expected a folder with {self.file}, got {str(setup.data)!r} without it; put it there (arrays "
                "X_train, y_train, X_test, y_test), or leave --data out to load from OpenML."
            )
        return load_data(path, classes=self.file_classes or self.classes, **size)


DIGITS_01 = Examples("digits 0/1", "digits", (0, 1))
DIGITS_PARITY = Examples("digits odd/even", "digits", "parity")
DIGITS_012 = Examples("digits 0, 1, 2", "digits", (0, 1, 2))
MNIST_01 = Examples("MNIST 0/1", "mnist", (0, 1), "mnist_01.npz")
MNIST_PARITY = Examples("MNIST odd/even", "mnist", "parity", "mnist.npz")
MNIST_012 = Examples("MNIST 0, 1, 2", "mnist", (0, 1, 2), "mnist.npz")
CIFAR = Examples(
    "CIFAR-10 planes/cars", "cifar10", ("airplane", "automobile"), "cifar10_airplane_automobile.npz", (0, 1)
)


def settings(sampler: Any, setup: Setup) -> str:
    """The sampler in words."""
    chains = f"{sampler.chains} chains of {sampler.draws} draws after {sampler.warmup}"
    return f"{sampler.name}, {chains}, seed {setup.seed}"


def points(
    series: str, x: float, finite: Any, wide: Any, data: Any, samples: Any = None, how: str = ""
) -> tuple[Row, Row]:
    """The test and the training error of one network: finite width, infinite width, and sampled.

    Args:
        series, x: as of `Row`.
        finite, wide: posteriors.
        data: (X, y, X_test, y_test), the third as `score` takes it.
        samples: of the network; None where it was not sampled.
        how: the sampler's settings.
    """
    _, _, X_test, y_test = data
    said: dict[str, dict[str, Any]] = {TEST: {}, TRAINING: {}}
    if samples is not None:
        for quantity, name in ((TEST, "generalisation_error"), (TRAINING, "training_error")):
            said[quantity] = measured(samples, name) | {"settings": how}
    totals = [(post.score(X_test, y_test).total, post.training_error.total) for post in (finite, wide)]
    (test, training), (wide_test, wide_training) = totals
    return (
        Row(series, x, TEST, test, wide_test, **said[TEST]),
        Row(series, x, TRAINING, training, wide_training, **said[TRAINING]),
    )


def beside_sampled(rows: Iterable[Row], what: str) -> str:
    """A sentence: how far both theories are from the sampled networks, of the rows that have all three."""
    found = [row for row in rows if row.sampled and row.infinite is not None]
    if not found:
        return f"{what}: nothing was sampled."
    sampled = np.array([row.sampled for row in found], dtype=float)
    finite = 100 * np.abs(np.array([row.theory for row in found]) / sampled - 1.0)
    wide = 100 * np.abs(np.array([row.infinite for row in found], dtype=float) / sampled - 1.0)
    return (
        f"{what}: finite width is nearer to the sampled network than infinite width at {int(np.sum(finite < wide))} of "
        f"{len(found)} points; median distance {np.median(finite):.2g} % against {np.median(wide):.2g} %, "
        f"largest {finite.max():.2g} % against {wide.max():.2g} %."
    )


def chosen(rows: Iterable[Row], *, series: str | None = None, quantity: str = TEST) -> list[Row]:
    """The rows of one curve, in the order of x."""
    kept = [row for row in rows if row.quantity == quantity and series in (None, row.series)]
    return sorted(kept, key=lambda row: row.x)


def names(rows: Iterable[Row]) -> list[str]:
    """The series, in the order in which they come."""
    return list(dict.fromkeys(row.series for row in rows))


def canvas(columns: int, lines: int, title: str, subtitle: str = "", *, height: float = 4.2, width: float = 4.8) -> Any:
    """A figure and its axes (lines, columns)."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, wspace=0.05, h_pad=0.1, hspace=0.04)
    figure = Figure(figsize=(width * columns, height * lines), facecolor="white", layout=layout)
    axes = figure.subplots(lines, columns, squeeze=False)
    figure.suptitle(title + (f"\n{subtitle}" if subtitle else ""), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    return figure, axes


def plain(axes: Any, title: str, x: str, y: str) -> None:
    """The look of a panel."""
    figures.plain(axes, title, pad=8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def curve(axes: Any, rows: Sequence[Row], colour: str, label: str, *, line: Any = "-", thin: bool = False) -> None:
    """Theory as a line, the sampled network as dots with bars of two standard errors."""
    x = [row.x for row in rows]
    axes.plot(x, [row.theory for row in rows], color=colour, lw=1 if thin else 2, ls=line, label=label)
    dots(axes, rows, colour)


def dots(
    axes: Any, rows: Iterable[Row], colour: str, marker: str = "o", filled: bool = True, label: Any = None
) -> None:
    """The sampled network, with bars of two standard errors."""
    there = [row for row in rows if row.sampled is not None]
    if there:
        axes.errorbar(
            [row.x for row in there], [row.sampled for row in there], [2 * (row.standard_error or 0) for row in there],
            fmt=marker, ms=6, color="black", mfc=colour if filled else "white", mec="black" if filled else colour,
            ecolor="black" if filled else colour, mew=1.2, capsize=2.5, lw=1.2, zorder=6, label=label,
        )  # fmt: skip


def wide_line(axes: Any, rows: Sequence[Row], label: str | None = "infinite width", colour: str = GREY) -> None:
    """Infinite width, dashed."""
    axes.plot(
        [row.x for row in rows], [row.infinite for row in rows], color=colour, lw=1.2, ls=(0, (4, 3)), label=label
    )


def legend(axes: Any, *, sampled: bool = True, columns: int = 1) -> None:
    """The legend, with one entry for all sampled points."""
    if sampled:
        axes.errorbar(
            [], [], [], fmt="o", ms=6, color="black", mfc="white", lw=1.2, capsize=2.5, label="sampled ± 2 s.e."
        )
    axes.legend(frameon=False, fontsize=8.5, loc="best", ncols=columns)


def whole_ticks(axes: Any, ticks: Iterable[float]) -> None:
    """Numbers written out on a logarithmic x axis."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axes.set_xscale("log")
    shown = sorted(set(ticks))
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def first(data: Any, P: int) -> Any:
    """The first P training examples of a `DataSet`: training sets of a learning curve contain each other."""
    return replace(data, X=data.X[:P], y=data.y[:P], train_rows=data.train_rows[:P])
