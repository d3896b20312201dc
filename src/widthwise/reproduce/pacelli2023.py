"""`pacelli2023-fig1`: learning curves of one-hidden-layer networks, finite against infinite width against sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from widthwise.reproduce import curves
from widthwise.reproduce.curves import CIFAR, DIGITS_01, DIGITS_PARITY, FOLDER, MNIST_01, Examples
from widthwise.reproduce.rows import Reproduction, Row
from widthwise.reproduce.study import Setup, Study


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Args:
        sources: the data sets.
        activations: of the networks.
        widths: N_1.
        train_sizes: P of the theory's curves.
        sampled_sizes: P at which networks are sampled, among them.
        sampled_widths: N_1 of those.
        test_size: test examples.
        temperature: T.
        chains, draws, warmup: of CollapsedHMC.
    """

    sources: tuple[Examples, ...] = (DIGITS_01, DIGITS_PARITY)
    activations: tuple[str, ...] = ("erf", "relu")
    widths: tuple[int, ...] = (16, 64, 256)
    train_sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    sampled_sizes: tuple[int, ...] = (16, 64)
    sampled_widths: tuple[int, ...] = (16, 64)
    test_size: int = 100
    temperature: float = 0.1
    chains: int = 4
    draws: int = 250
    warmup: int = 120


QUICK = Sizes()
FULL = Sizes(
    sources=(MNIST_01, CIFAR), widths=(32, 128, 512), train_sizes=(8, 16, 32, 64, 128, 256, 512, 1000),
    sampled_sizes=(32, 64, 128), sampled_widths=(32, 128), test_size=500, draws=400, warmup=200,
)  # fmt: skip


def run(setup: Setup) -> Reproduction:
    """The curves, at the size that was asked for."""
    return compute(setup, FULL if setup.full else QUICK)


def compute(setup: Setup, sizes: Sizes) -> Reproduction:
    """ε_g and ε_t against P, each training set containing the smaller ones."""
    rows: list[Row] = []
    for source in sizes.sources:
        data = source.load(setup, max(sizes.train_sizes), sizes.test_size)
        for activation in sizes.activations:
            for P in sizes.train_sizes:
                rows += _at(setup, sizes, f"{source.words}, {activation}", activation, curves.first(data, P))
    notes = [
        curves.beside_sampled([row for row in rows if row.quantity == q], q) for q in (curves.TEST, curves.TRAINING)
    ]
    notes.append("The publication shows curves, not numbers, so no published column; seeds and temperature are ours.")
    about = {
        "x": "P", "data": ", ".join(source.words for source in sizes.sources), "temperature": sizes.temperature,
        "test examples": sizes.test_size, "labels": "±1", "weight precisions": 1.0,
    }  # fmt: skip
    return Reproduction(STUDY.name, STUDY.title, tuple(rows), tuple(notes), 0.0, about)


def _at(setup: Setup, sizes: Sizes, panel: str, activation: str, data: Any) -> list[Row]:
    """All widths on one training set: one spectrum."""
    from widthwise.networks import FullyConnected
    from widthwise.posterior import infer, prepare
    from widthwise.sampling import CollapsedHMC

    P, T = len(data.y), sizes.temperature
    rows: list[Row] = []
    prepared = prepare(FullyConnected(widths=(sizes.widths[0],), activation=activation), data.X)
    test = (data.X, data.y, prepared.at(data.X_test), data.y_test)
    wide = infer(prepared, data.y, temperature=T, approximation="infinite")
    sampler = CollapsedHMC(chains=sizes.chains, draws=sizes.draws, warmup=sizes.warmup)
    for N in sizes.widths:
        samples = None
        if P in sizes.sampled_sizes and N in sizes.sampled_widths:
            setup.say(f"{panel}, N = {N}, P = {P}: sampling")
            network = FullyConnected(widths=(N,), activation=activation)
            samples = setup.sample(network, *data, temperature=T, sampler=sampler)
        finite = infer(prepared, data.y, temperature=T, widths=[N])
        how = curves.settings(sampler, setup)
        rows += curves.points(f"{panel}, N = {N}", P, finite, wide, test, samples, how)
    return rows


def figure(found: Reproduction) -> Any:
    """A panel for each data set and activation: ε_g against P."""
    panels = list(dict.fromkeys(name.rpartition(", ")[0] for name in curves.names(found.rows)))
    columns = min(len(panels), 2)
    subtitle = f"test error, temperature {found.setup['temperature']:g}: theory (lines) and sampled networks (dots)"
    drawn, grid = curves.canvas(columns, -(-len(panels) // columns), found.title, subtitle, height=3.4)
    for axes, panel in zip(grid.flat, panels):
        series = [name for name in curves.names(found.rows) if name.rpartition(", ")[0] == panel]
        curves.plain(axes, panel, "training examples $P$", "$\\langle (y - f)^2 \\rangle$")
        for name, colour in zip(series, curves.COLOURS):
            curves.curve(axes, curves.chosen(found.rows, series=name), colour, f"$N_1 = {name.rpartition('= ')[2]}$")
        rows = curves.chosen(found.rows, series=series[0])
        curves.wide_line(axes, rows)
        curves.whole_ticks(axes, (row.x for row in rows))
        axes.set_ylim(bottom=0)
        if axes is grid.flat[0]:
            curves.legend(axes)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    return drawn


STUDY = Study(
    name="pacelli2023-fig1",
    title="learning curves of one hidden layer: finite, infinite, sampled",
    source="Pacelli, Ariosto, Pastore, Ginelli, Gherardi, Rotondo, Nat. Mach. Intell. 5, 1497 (2023), arXiv 2209.04882",
    needs=FOLDER,
    run=run,
    figure=figure,
    minutes=("3", "7"),
)
