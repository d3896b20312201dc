"""`convolution`: shared weights on patches; errors against the channels, and which patches the network combines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.reproduce import curves
from widthwise.reproduce.curves import DIGITS_PARITY, FOLDER, MNIST_PARITY, TEST, TRAINING, Examples
from widthwise.reproduce.rows import Reproduction, Row
from widthwise.reproduce.study import Setup, Study

THEORY_ERROR = "Monte-Carlo error of the theory's "
SERIES = "integrated"


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Args:
        source: the data set, of square images of one channel.
        activation: of the network.
        patch: side of a patch; patches do not overlap.
        channels: N_c.
        sampled_channels: of the networks that are sampled, among them.
        train_size, test_size: P, and test examples.
        temperature: T.
        nodes: order parameters that a prediction averages over.
        theory_draws: of each of the theory's chains.
        chains, draws, warmup: of CollapsedHMC.
    """

    source: Examples = DIGITS_PARITY
    activation: str = "erf"
    patch: int = 4
    channels: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128)
    sampled_channels: tuple[int, ...] = (4, 16, 64)
    train_size: int = 64
    test_size: int = 100
    temperature: float = 0.1
    nodes: int = 512
    theory_draws: int = 500
    chains: int = 4
    draws: int = 400
    warmup: int = 150


QUICK = Sizes()
FULL = Sizes(
    source=MNIST_PARITY, channels=(4, 8, 16, 32, 64), sampled_channels=(4, 16, 64), test_size=200, nodes=256,
)  # fmt: skip


@dataclass(frozen=True)
class OrderParameter:
    """⟨Q⟩ (n, n) of the network that the heat map shows.

    Args:
        channels: N_c of it.
        grid: (rows, columns) of patches.
        values: ⟨Q⟩; infinite width is the identity.
    """

    channels: int
    grid: tuple[int, int]
    values: Float[np.ndarray, "n n"] = field(repr=False)

    def __str__(self) -> str:
        apart = ~np.eye(len(self.values), dtype=bool)
        off = float(np.abs(self.values[apart]).max(initial=0.0))
        low, high = self.values.diagonal().min(), self.values.diagonal().max()
        return f"of {self.channels} channels: diagonal {low:.2f} to {high:.2f}, largest off it {off:.2f}"


def run(setup: Setup) -> Reproduction:
    """The errors, at the size that was asked for."""
    return compute(setup, FULL if setup.full else QUICK)


def compute(setup: Setup, sizes: Sizes) -> Reproduction:
    """ε_g and ε_t against the channels, with the order parameter of the narrowest sampled network."""
    from widthwise.actions import MonteCarlo
    from widthwise.networks import Convolutional
    from widthwise.posterior import infer
    from widthwise.sampling import CollapsedHMC

    data = _images(sizes.source.load(setup, sizes.train_size, sizes.test_size))
    sampler, T = CollapsedHMC(chains=sizes.chains, draws=sizes.draws, warmup=sizes.warmup), sizes.temperature
    integral = MonteCarlo(draws=sizes.theory_draws, nodes=sizes.nodes, seed=setup.seed)
    how = curves.settings(sampler, setup)
    rows: list[Row] = []
    shown: OrderParameter | None = None
    for N in sizes.channels:
        network, samples = (
            Convolutional(channels=N, patch=(sizes.patch, sizes.patch), activation=sizes.activation),
            None,
        )
        setup.say(f"{N} channels: integrating" + (", sampling" if N in sizes.sampled_channels else ""))
        wide = infer(network, data.X, data.y, temperature=T, approximation="infinite")
        finite = infer(network, data.X, data.y, temperature=T, approximation="integrated", monte_carlo=integral)
        if N in sizes.sampled_channels:
            samples = setup.sample(network, *data, temperature=T, sampler=sampler)
        rows += curves.points(SERIES, N, finite, wide, data, samples, how)
        for quantity, of in ((TEST, finite.score(data.X_test, data.y_test)), (TRAINING, finite.training_error)):
            rows.append(Row(SERIES, N, THEORY_ERROR + quantity, float(of.monte_carlo_error or 0.0)))
        if shown is None and (samples is not None or not sizes.sampled_channels):
            grid = network.patches(*data.X.shape[1:3]).grid
            shown = OrderParameter(N, grid, np.asarray(finite.order_parameters["Q"]))
    notes = [curves.beside_sampled([row for row in rows if row.quantity == q], q) for q in (TEST, TRAINING)]
    notes.append("z counts the sampled network's error alone; the theory's own Monte-Carlo error has rows of its own.")
    about = {
        "x": "channels", "data": sizes.source.words, "P": sizes.train_size, "test examples": sizes.test_size,
        "temperature": T, "activation": sizes.activation, "patch": sizes.patch, "labels": "±1",
        "weight precisions": 1.0, "order parameter": shown,
    }  # fmt: skip
    return Reproduction(STUDY.name, STUDY.title, tuple(rows), tuple(notes), 0.0, about)


def _images(data: Any) -> Any:
    """Rows of square images as images."""
    side = round(np.sqrt(data.X.shape[1]))
    if side * side != data.X.shape[1]:
        raise InputError(f"convolution: expected square images of one channel, got rows of {data.X.shape[1]} numbers.")
    return replace(data, X=data.X.reshape(-1, side, side), X_test=data.X_test.reshape(-1, side, side))


def figure(found: Reproduction) -> Any:
    """The errors against the channels, and Q − 1: off its diagonal the local renormalisation."""
    about = found.setup
    subtitle = (
        f"{about['data']}, {about['patch']}x{about['patch']} patches, P = {about['P']}, T = {about['temperature']:g}, "
        f"{about['activation']}: theory (lines, ± 2 of its own errors) and sampled networks (dots)"
    )
    drawn, grid = curves.canvas(3, 1, found.title, subtitle, width=4.2)
    for axes, quantity, colour in zip(grid[0], (TEST, TRAINING), (curves.COLOURS[2], curves.COLOURS[0])):
        curves.plain(axes, quantity, "channels $N_c$", "$\\langle (y - f)^2 \\rangle$")
        rows = curves.chosen(found.rows, quantity=quantity)
        own = np.array([row.theory for row in curves.chosen(found.rows, quantity=THEORY_ERROR + quantity)])
        x, theory = [row.x for row in rows], np.array([row.theory for row in rows])
        axes.fill_between(x, theory - 2 * own, theory + 2 * own, color=colour, alpha=0.25, lw=0)
        curves.curve(axes, rows, colour, "integrated theory")
        curves.wide_line(axes, rows)
        curves.whole_ticks(axes, x)
        curves.legend(axes)
    _draw_order_parameter(grid[0, 2], about["order parameter"])
    return drawn


def _draw_order_parameter(axes: Any, shown: OrderParameter) -> None:
    moved = shown.values - np.eye(len(shown.values))
    reach = float(np.abs(moved).max()) or 0.1
    image = axes.imshow(moved, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes.set_title(f"$Q_{{ij}} - \\delta_{{ij}}$ at {shown.channels} channels", fontsize=10.5, loc="left", pad=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=curves.INK, labelsize=9, length=0)
    rows, columns = shown.grid
    step = columns if rows > 4 else 1
    ticks = range(0, rows * columns, step)
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_xlabel(f"patch, by rows of the {rows}x{columns} grid")
    if len(moved) <= 6:
        for i, j in np.ndindex(moved.shape):
            colour = "white" if abs(moved[i, j]) > 0.6 * reach else "black"
            axes.text(j, i, f"{moved[i, j]:+.2f}", ha="center", va="center", color=colour, size=9)
    axes.figure.colorbar(image, ax=axes, shrink=0.85)


STUDY = Study(
    name="convolution",
    title="convolutional networks: errors against channels, and local renormalisation",
    source="Aiudi, Pacelli et al., Nat. Commun. (2025), arXiv 2307.11807",
    needs=FOLDER,
    run=run,
    figure=figure,
    minutes=("2", "7"),
)
