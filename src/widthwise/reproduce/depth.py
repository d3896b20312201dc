"""`depth`: error against depth and width, erf and relu; where the closures of the kernel part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from widthwise.errors import NumericalError
from widthwise.reproduce import curves
from widthwise.reproduce.curves import DIGITS_PARITY, FOLDER, MNIST_PARITY, Examples
from widthwise.reproduce.rows import Reproduction, Row
from widthwise.reproduce.study import Setup, Study


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Args:
        source: the data set.
        activations: of the networks.
        depths: numbers of hidden layers.
        widths: of all layers.
        sampled_widths: of the networks that are sampled, among them.
        train_size, test_size: P, and test examples.
        temperature: T.
        weight_precision: λ of every layer.
        chains, draws, warmup: of CollapsedHMC.
    """

    source: Examples = DIGITS_PARITY
    activations: tuple[str, ...] = ("erf", "relu")
    depths: tuple[int, ...] = (1, 2, 3, 4)
    widths: tuple[int, ...] = (32, 64, 256)
    sampled_widths: tuple[int, ...] = (32, 64)
    train_size: int = 40
    test_size: int = 100
    temperature: float = 0.1
    weight_precision: float = 1.0
    chains: int = 4
    draws: int = 200
    warmup: int = 100


QUICK = Sizes()
FULL = Sizes(
    source=MNIST_PARITY, widths=(32, 64, 128, 256), sampled_widths=(32, 64, 128), train_size=64, test_size=500,
    draws=500, warmup=200,
)  # fmt: skip


def run(setup: Setup) -> Reproduction:
    """The errors, at the size that was asked for."""
    return compute(setup, FULL if setup.full else QUICK)


def compute(setup: Setup, sizes: Sizes) -> Reproduction:
    """ε_g and ε_t against depth, for each activation, width and closure."""
    rows: list[Row] = []
    notes: list[str] = []
    data = sizes.source.load(setup, sizes.train_size, sizes.test_size)
    for activation in sizes.activations:
        for depth in sizes.depths:
            for N in sizes.widths:
                rows += _at(setup, sizes, activation, depth, N, data, notes)
    for closure in dict.fromkeys(name.split(", ")[2] for name in curves.names(rows)):
        for quantity in (curves.TEST, curves.TRAINING):
            of = [r for r in rows if r.series.endswith(closure) and r.quantity == quantity and r.x > 1]
            if any(row.sampled is not None for row in of):
                notes.append(curves.beside_sampled(of, f"{closure}, two layers and more, {quantity}"))
    about = {
        "x": "hidden layers", "data": sizes.source.words, "P": sizes.train_size, "test examples": sizes.test_size,
        "temperature": sizes.temperature, "weight precisions": sizes.weight_precision, "labels": "±1",
    }  # fmt: skip
    return Reproduction(STUDY.name, STUDY.title, tuple(rows), tuple(notes), 0.0, about)


def _at(setup: Setup, sizes: Sizes, activation: str, depth: int, N: int, data: Any, notes: list[str]) -> list[Row]:
    """One network: every closure that differs there, and the sampled chains beside each."""
    from widthwise.networks import FullyConnected
    from widthwise.posterior import infer
    from widthwise.sampling import CollapsedHMC

    network = FullyConnected(
        widths=(N,) * depth, activation=activation, weight_precisions=sizes.weight_precision, closure="global"
    )
    how: dict[str, Any] = {"temperature": sizes.temperature}
    wide = infer(network, data.X, data.y, approximation="infinite", **how)
    samples, sampler = None, CollapsedHMC(chains=sizes.chains, draws=sizes.draws, warmup=sizes.warmup)
    if N in sizes.sampled_widths:
        setup.say(f"{activation}, {depth} layers of {N}: sampling")
        samples = setup.sample(network, *data, sampler=sampler, **how)
    alike = depth == 1 or network.phi.homogeneous
    rows: list[Row] = []
    for closure in ("global",) if alike else ("global", "nested", "linearised"):
        series = f"{activation}, N = {N}, {closure}"
        try:
            finite = infer(replace(network, closure=closure), data.X, data.y, **how)
            rows += curves.points(series, depth, finite, wide, data, samples, curves.settings(sampler, setup))
        except NumericalError as error:  # a closure outside its domain leaves a gap, not a guess
            notes.append(f"{series}, {depth} layers: no prediction ({error}).")
    return rows


def figure(found: Reproduction) -> Any:
    """For each activation, above ε_g against depth, below the distance of each closure from the sampled network."""
    activations = list(dict.fromkeys(name.split(", ")[0] for name in curves.names(found.rows)))
    about = found.setup
    subtitle = f"{about['data']}, P = {about['P']}, T = {about['temperature']:g}; lines theory, dots sampled networks"
    drawn, grid = curves.canvas(len(activations), 2, found.title, subtitle, height=3.4)
    for column, activation in zip(grid.T, activations):
        _draw_errors(column[0], found, activation)
        _draw_distances(column[1], found, activation)
    return drawn


def _widths(found: Reproduction, activation: str) -> list[str]:
    return list(dict.fromkeys(n.split(", ")[1] for n in curves.names(found.rows) if n.startswith(f"{activation}, ")))


_LINES: dict[str, Any] = {"nested": (0, (1, 1.2)), "linearised": (0, (5, 1.5, 1, 1.5))}


def _draw_errors(axes: Any, found: Reproduction, activation: str) -> None:
    curves.plain(axes, activation, "hidden layers", "test error")
    for width, colour in zip(_widths(found, activation), curves.COLOURS):
        rows = curves.chosen(found.rows, series=f"{activation}, {width}, global")
        curves.curve(axes, rows, colour, f"${width}$")
        for closure, line in _LINES.items():
            other = curves.chosen(found.rows, series=f"{activation}, {width}, {closure}")
            if other:  # they part from `global` at the first layer
                one = [row for row in rows if row.x < other[0].x][-1:]
                thin = [(row.x, row.theory) for row in (*one, *other)]
                axes.plot(*zip(*thin), color=colour, lw=1, ls=line)
    curves.wide_line(axes, curves.chosen(found.rows, series=f"{activation}, {width}, global"))
    axes.set_xticks(sorted({row.x for row in found.rows}))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.35 * (high - low))  # room for the legend
    for closure, line in _LINES.items():
        if f"{activation}, {width}, {closure}" in curves.names(found.rows):
            axes.plot([], [], color=curves.GREY, lw=1, ls=line, label=closure)
    curves.legend(axes, columns=2)


def _draw_distances(axes: Any, found: Reproduction, activation: str) -> None:
    curves.plain(axes, "theory beside the sampled network", "hidden layers", "theory / sampled − 1   (%)")
    axes.axhline(0, color=curves.GREY, lw=1, zorder=0)
    markers = {"global": "o", "nested": "v", "linearised": "D"}
    for width, colour in zip(_widths(found, activation), curves.COLOURS):
        for closure, marker in markers.items():
            rows = curves.chosen(found.rows, series=f"{activation}, {width}, {closure}")
            rows = [row for row in rows if row.sampled]
            if rows:
                y = [100 * (row.theory / (row.sampled or 1) - 1) for row in rows]
                error = [200 * (row.standard_error or 0) / (row.sampled or 1) for row in rows]
                solid = closure == "global"
                axes.errorbar(
                    [row.x for row in rows], y, error, fmt=marker, ms=6 if solid else 4.5, color=colour, lw=1.2,
                    mfc=colour if solid else "white", capsize=2.5, ls="-" if solid else _LINES[closure],
                )  # fmt: skip
        wide = [r for r in curves.chosen(found.rows, series=f"{activation}, {width}, global") if r.sampled]
        if wide:
            y = [100 * ((row.infinite or 0) / (row.sampled or 1) - 1) for row in wide]
            axes.plot([row.x for row in wide], y, "x", color=colour, ms=6, mew=1.5)
    shown = [c for c in markers if any(n.startswith(activation) and n.endswith(c) for n in curves.names(found.rows))]
    for closure in shown:
        filled = "black" if closure == "global" else "white"
        axes.plot([], [], markers[closure], color="black", mfc=filled, ms=5, label=closure)
    axes.plot([], [], "x", color="black", label="infinite width")
    axes.set_xticks(sorted({row.x for row in found.rows}))
    axes.legend(frameon=False, fontsize=8.5, loc="best")


STUDY = Study(
    name="depth",
    title="test error against depth and width: erf and relu",
    source="Pacelli et al. 2023, arXiv 2209.04882 (nested); Baglioni et al. 2026, arXiv 2605.29684 (linearised)",
    needs=FOLDER,
    run=run,
    figure=figure,
    minutes=("3", "17"),
)
