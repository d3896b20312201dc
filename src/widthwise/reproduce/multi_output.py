"""`multi-output`: three outputs share hidden units, so finite width correlates them: errors and covariances."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.reproduce import curves
from widthwise.reproduce.curves import DIGITS_012, FOLDER, MNIST_012, Examples
from widthwise.reproduce.rows import Reproduction, Row, of_chains
from widthwise.reproduce.study import Setup, Study

SADDLE, INTEGRATED = "saddle", "integrated"


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Args:
        source: the data set; its classes are the outputs.
        activation: of the network.
        widths: N_1.
        sampled_widths: of the networks that are sampled, among them.
        train_size, test_size: P, and test examples.
        temperature: T.
        chains, draws, warmup: of CollapsedHMC.
    """

    source: Examples = DIGITS_012
    activation: str = "erf"
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)
    sampled_widths: tuple[int, ...] = (16, 64, 256)
    train_size: int = 64
    test_size: int = 100
    temperature: float = 0.1
    chains: int = 4
    draws: int = 500
    warmup: int = 150


QUICK = Sizes()
FULL = Sizes(
    source=MNIST_012, sampled_widths=(16, 32, 64, 128, 256), train_size=128, test_size=500, draws=800, chains=6
)


def run(setup: Setup) -> Reproduction:
    """The errors and covariances, at the size that was asked for."""
    return compute(setup, FULL if setup.full else QUICK)


def compute(setup: Setup, sizes: Sizes) -> Reproduction:
    """Errors and the covariances between outputs, averaged over the test points, against the width."""
    from widthwise.networks import FullyConnected
    from widthwise.posterior import infer
    from widthwise.sampling import CollapsedHMC

    data = sizes.source.load(setup, sizes.train_size, sizes.test_size)
    sampler = CollapsedHMC(chains=sizes.chains, draws=sizes.draws, warmup=sizes.warmup)
    how, T = curves.settings(sampler, setup), sizes.temperature
    rows: list[Row] = []
    for N in sizes.widths:
        network, samples = FullyConnected(widths=(N,), activation=sizes.activation), None
        wide = infer(network, data.X, data.y, temperature=T, approximation="infinite")
        if N in sizes.sampled_widths:
            setup.say(f"N = {N}: sampling")
            samples = setup.sample(network, *data, temperature=T, sampler=sampler)
        for name in (SADDLE, INTEGRATED):
            finite = infer(network, data.X, data.y, temperature=T, approximation=name)
            rows += curves.points(name, N, finite, wide, data, samples, how)
            between = finite.predict(data.X_test).output_covariance.mean(axis=0)
            rows += _covariances(name, N, between, samples, how)
    notes = [
        curves.beside_sampled([row for row in rows if row.quantity == q and row.series == name], f"{name}, {q}")
        for name in (SADDLE, INTEGRATED)
        for q in (curves.TEST, curves.TRAINING)
    ]
    notes.append(
        "Infinite width, and any theory whose order parameter is one number, has independent outputs: covariance 0."
    )
    about = {
        "x": "N_1", "data": sizes.source.words, "P": sizes.train_size, "test examples": sizes.test_size,
        "temperature": T, "activation": sizes.activation, "labels": "one-hot", "weight precisions": 1.0,
    }  # fmt: skip
    return Reproduction(STUDY.name, STUDY.title, tuple(rows), tuple(notes), 0.0, about)


def _covariances(series: str, N: int, between: Float[np.ndarray, "D D"], samples: Any, how: str) -> list[Row]:
    """One row for each pair of outputs."""
    rows = []
    for d, e in combinations(range(len(between)), 2):
        sampled: dict[str, Any] = {} if samples is None else sampled_covariance(samples, d, e) | {"settings": how}
        rows.append(Row(series, N, f"covariance of outputs {d} and {e}", float(between[d, e]), 0.0, **sampled))
    return rows


def sampled_covariance(samples: Any, d: int, e: int) -> dict[str, Any]:
    """cov(f_d, f_e) of the sampled network, averaged over the test points: what a `Row` says of it.

    Given the hidden weights the readouts are independent, so the covariance is that of the conditional means.

    Args:
        samples: from `ww.sample` with `CollapsedHMC`.
        d, e: two different outputs.
    """
    from widthwise.sampling.estimates import estimate

    f = samples.test_mean
    shift = f - f.mean(axis=(0, 1))
    return of_chains(samples, estimate((shift[..., d] * shift[..., e]).mean(axis=2)))


def figure(found: Reproduction) -> Any:
    """Left, the errors against the width; right, the covariances between the outputs."""
    about = found.setup
    subtitle = (
        f"{about['data']}, one-hot, P = {about['P']}, T = {about['temperature']:g}, {about['activation']}: "
        "theory (lines) and sampled networks (dots)"
    )
    drawn, grid = curves.canvas(2, 1, found.title, subtitle)
    left, right = grid[0]
    curves.plain(left, "Errors, summed over the outputs", "width $N_1$", "$\\langle |y - f|^2 \\rangle$")
    for quantity, colour in ((curves.TEST, curves.COLOURS[2]), (curves.TRAINING, curves.COLOURS[0])):
        rows = curves.chosen(found.rows, series=SADDLE, quantity=quantity)
        curves.curve(left, rows, colour, quantity)
        curves.wide_line(left, rows, None, colour)
        more = curves.chosen(found.rows, series=INTEGRATED, quantity=quantity)
        left.plot([r.x for r in more], [r.theory for r in more], color=colour, lw=1, ls=(0, (1, 1.2)))
    left.plot([], [], color=curves.GREY, lw=1, ls=(0, (1, 1.2)), label="integrated over $Q$")
    left.plot([], [], color=curves.GREY, lw=1.2, ls=(0, (4, 3)), label="infinite width")
    left.set_ylim(bottom=0)
    curves.legend(left)
    curves.plain(right, "Covariance of two outputs, mean over test points", "width $N_1$", "cov$(f_d, f_e)$")
    pairs = [q for q in dict.fromkeys(row.quantity for row in found.rows) if q.startswith("cov")]
    for quantity, colour in zip(pairs, curves.COLOURS):
        rows = curves.chosen(found.rows, series=SADDLE, quantity=quantity)
        curves.curve(right, rows, colour, quantity.removeprefix("covariance of "))
        more = curves.chosen(found.rows, series=INTEGRATED, quantity=quantity)
        right.plot([r.x for r in more], [r.theory for r in more], color=colour, lw=1, ls=(0, (1, 1.2)))
    right.axhline(0, color=curves.GREY, lw=1.2, ls=(0, (4, 3)), label="infinite width")
    curves.legend(right)
    for axes in (left, right):
        curves.whole_ticks(axes, (row.x for row in found.rows))
    return drawn


STUDY = Study(
    name="multi-output",
    title="three outputs: errors and the correlations that finite width makes",
    source="Baglioni, Giambagli, Vezzani, Burioni, Rotondo, Pacelli, arXiv 2412.15911",
    needs=FOLDER,
    run=run,
    figure=figure,
    minutes=("2", "5"),
)
