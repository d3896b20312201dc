"""`student-t`: what finite width adds at leading order, beside Student's t process: one scale of the posterior.

K_posterior = c (k** − k*ᵀK⁻¹k*) at T → 0, mean unchanged; s = yᵀK⁻¹y/P, α = P/N_1
network     c = Q* = [(1 − α) + √((1 − α)² + 4αs)]/2, and ⟨Q⟩ of a generalised inverse Gaussian at finite N_1
t process   c = (ν + Ps)/(ν + P) of its shape matrix, (ν − 2 + Ps)/(ν − 2 + P) of its covariance; here ν = N_1
                                    [Pacelli et al. 2023, arXiv 2209.04882; Ariosto 2025, arXiv 2501.19281]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from widthwise.prior.scale import integrated_factor, saddle_factor, t_factor
from widthwise.prior.tails import conditional_variances, tail
from widthwise.reproduce import curves
from widthwise.reproduce.curves import DIGITS_PARITY, FOLDER, MNIST_PARITY, Examples
from widthwise.reproduce.rows import Reproduction, Row, of_chains
from widthwise.reproduce.study import Setup, Study

FACTOR = "variance / infinite width's at load x"
KURTOSIS = "excess kurtosis of f at N_1 = x"
TAIL = "probability beyond x sigma"


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Args:
        source: the data set.
        activations: of the networks.
        norms: s = yᵀK⁻¹y/P, set by the readout's precision.
        widths: N_1 of the posterior's factor.
        train_size, test_size: P ≤ N_0, and test examples.
        input_precision: λ_0.
        coldness: T over the smallest eigenvalue of K.
        prior_widths: N_1 of the prior's law.
        prior_draws: of it.
        thresholds: of its tails, in standard deviations.
        chains, draws, warmup: of CollapsedHMC; chains = 0 samples nothing.
    """

    source: Examples = DIGITS_PARITY
    activations: tuple[str, ...] = ("identity", "erf")
    norms: tuple[float, ...] = (0.25, 1.0, 4.0)
    widths: tuple[int, ...] = (8, 16, 32, 64)
    train_size: int = 16
    test_size: int = 50
    input_precision: float = 2.0
    coldness: float = 0.01
    prior_widths: tuple[int, ...] = (4, 16, 64)
    prior_draws: int = 200_000
    thresholds: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)
    chains: int = 4
    draws: int = 300
    warmup: int = 150


QUICK = Sizes()
FULL = Sizes(
    source=MNIST_PARITY, widths=(16, 32, 64, 128), train_size=32, test_size=200, prior_draws=1_000_000, chains=6,
    draws=800, warmup=300,
)  # fmt: skip


def run(setup: Setup) -> Reproduction:
    """Factors and prior laws, at the size that was asked for."""
    return compute(setup, FULL if setup.full else QUICK)


def compute(setup: Setup, sizes: Sizes) -> Reproduction:
    """The posterior's variance factor against the load; the prior's kurtosis and tails against the width."""
    data = sizes.source.load(setup, sizes.train_size, sizes.test_size)
    rows: list[Row] = []
    for activation in sizes.activations:
        for s in sizes.norms:
            rows += _factors(setup, sizes, activation, s, data)
    for s in sizes.norms:
        rows += _t_process(sizes, s)
    for activation in dict.fromkeys((*sizes.activations, "relu")):
        for N in sizes.prior_widths:
            rows += _prior(setup, sizes, activation, N)
    P = sizes.train_size
    about = {
        "x": "x", "data": sizes.source.words, "P": P, "test examples": sizes.test_size,
        "temperature": f"{sizes.coldness:g} of the smallest eigenvalue of K",
        "weight precisions": f"{sizes.input_precision:g}, and the readout's so that s is as wanted",
        "prior": f"{sizes.prior_draws} draws at one input, pre-activations of variance 1",
    }  # fmt: skip
    return Reproduction(STUDY.name, STUDY.title, tuple(rows), _notes(rows), 0.0, about)


def _notes(rows: list[Row]) -> tuple[str, ...]:
    notes = []
    factors = [row for row in rows if row.quantity == FACTOR and row.sampled]
    for activation in dict.fromkeys(row.series.split(", ")[0] for row in factors):
        of = [row for row in factors if row.series.startswith(f"{activation}, ")]
        notes.append(curves.beside_sampled(of, f"variance factor, {activation}"))
    notes += [
        "At s = 1 every factor is 1 at T = 0; s < 1 narrows the posterior, s > 1 widens it; the mean does not change.",
        "In the prior the scale mixture is the law of f at a point for the identity alone: another activation has the "
        "kurtosis 3 (E[φ⁴]/E[φ²]² − 1)/N_1 in place of 6/N_1, smaller for erf, larger for relu.",
    ]
    return tuple(notes)


def _factors(setup: Setup, sizes: Sizes, activation: str, s: float, data: Any) -> list[Row]:
    """The posterior's variance over infinite width's: theory and sampled."""
    from widthwise.networks import FullyConnected
    from widthwise.posterior import infer, prepare
    from widthwise.sampling import CollapsedHMC

    P, sampler = len(data.y), CollapsedHMC(draws=sizes.draws, warmup=sizes.warmup, chains=max(sizes.chains, 1))
    unit = FullyConnected(widths=(1,), activation=activation, weight_precisions=(sizes.input_precision, 1.0))
    system = prepare(unit, data.X).system
    k, coordinates = system.k, system.U.T @ data.y
    precision = s / float(np.sum(coordinates**2 / k) / P)
    T = sizes.coldness * float(k.min()) / precision
    rows = []
    for N in sizes.widths:
        network = FullyConnected(
            widths=(N,), activation=activation, weight_precisions=(sizes.input_precision, precision)
        )
        finite, wide = (
            infer(network, data.X, data.y, temperature=T, approximation=name).score(data.X_test, data.y_test).variance
            for name in ("integrated", "infinite")
        )
        sampled: dict[str, Any] = {}
        if sizes.chains:
            setup.say(f"{activation}, s = {s:g}, N = {N}: sampling")
            samples = setup.sample(network, *data, temperature=T, sampler=sampler)
            sampled = of_chains(samples, samples.generalisation_error.variance)
            sampled |= {name: sampled[name] / wide for name in ("sampled", "standard_error")}
            sampled["settings"] = curves.settings(sampler, setup)
        rows.append(Row(f"{activation}, s = {s:g}", P / N, FACTOR, finite / wide, 1.0, **sampled))
    return rows


def _t_process(sizes: Sizes, s: float) -> list[Row]:
    """The same factor of Student's t process with ν = N_1, in both parametrisations."""
    P, rows = sizes.train_size, []
    for N in sizes.widths:
        rows.append(Row(f"t process by its shape, s = {s:g}", P / N, FACTOR, t_factor(N, P, s), 1.0))
        if N > 2:  # else it has no covariance
            rows.append(Row(f"t process by its covariance, s = {s:g}", P / N, FACTOR, t_factor(N - 2, P, s), 1.0))
    return rows


def _prior(setup: Setup, sizes: Sizes, activation: str, N: int) -> list[Row]:
    """Kurtosis and tails of f at one point: the scale mixture's beside the network's, drawn."""
    q = conditional_variances(activation, N, sizes.prior_draws, np.random.default_rng([setup.seed, N]))
    batches = np.array_split(q / q.mean(), 50)
    series = f"{activation}, N = {N}"
    how = f"{sizes.prior_draws} draws of the prior's hidden weights, seed {setup.seed}"

    def row(x: float, quantity: str, theory: float, infinite: float, values: Float[np.ndarray, " batches"]) -> Row:
        error = float(values.std(ddof=1) / np.sqrt(len(values)))
        return Row(
            series, x, quantity, theory, infinite, sampled=float(values.mean()), standard_error=error, settings=how
        )

    # the readout is Gaussian given the hidden weights: its average is taken in closed form
    kurtosis = np.array([3.0 * (np.mean(b**2) / np.mean(b) ** 2 - 1.0) for b in batches])
    rows = [row(N, KURTOSIS, 6.0 / N, 0.0, kurtosis)]
    for t, theory in zip(sizes.thresholds, tail(N, sizes.thresholds)):
        tails = np.array([special.erfc(t / np.sqrt(2.0 * np.maximum(b, 1e-300))).mean() for b in batches])
        rows.append(row(t, TAIL, float(theory), 2.0 * float(stats.norm.sf(t)), tails))
    return rows


def figure(found: Reproduction) -> Any:
    """The posterior's factor against the load; the prior's tails; its kurtosis."""
    subtitle = f"posterior: {found.setup['data']}, P = {found.setup['P']}, T → 0; prior: f at one input"
    drawn, grid = curves.canvas(3, 1, found.title, subtitle, width=4.6, height=4.4)
    _draw_factors(grid[0, 0], found)
    _draw_tails(grid[0, 1], found)
    _draw_kurtosis(grid[0, 2], found)
    return drawn


def _draw_factors(axes: Any, found: Reproduction) -> None:
    curves.plain(axes, "Posterior variance / infinite width's", "load $\\alpha = P/N_1$", "factor")
    rows, P = [row for row in found.rows if row.quantity == FACTOR], found.setup["P"]
    activations = list(dict.fromkeys(n.split(", ")[0] for n in curves.names(rows) if not n.startswith("t ")))
    norms = list(dict.fromkeys(row.series.split("= ")[1] for row in rows))
    alpha = np.geomspace(0.7 * min(r.x for r in rows), 1.4 * max(r.x for r in rows), 101)
    for norm, colour in zip(norms, curves.COLOURS):
        s = float(norm)
        axes.plot(alpha, [integrated_factor(P / a, P, s) for a in alpha], color=colour, lw=2, label=f"$s = {s:g}$")
        axes.plot(alpha, saddle_factor(alpha, s), color=colour, lw=1, ls=(0, (1, 1.2)))
        axes.plot(alpha, [t_factor(P / a, P, s) for a in alpha], color=colour, lw=1.2, ls=(0, (4, 3)))
        two = alpha[alpha < P / 2.5]
        axes.plot(two, [t_factor(P / a - 2, P, s) for a in two], color=colour, lw=1, ls=(0, (5, 1.5, 1, 1.5)))
        for activation, marker in zip(activations, "os^"):
            points = curves.chosen(rows, series=f"{activation}, s = {norm}", quantity=FACTOR)
            curves.dots(axes, points, colour, marker, filled=activation == "identity")
    grey = {"color": curves.GREY}
    axes.plot([], [], lw=2, label="network, ⟨Q⟩", **grey)
    axes.plot([], [], lw=1, ls=(0, (1, 1.2)), label="network, saddle $Q^*$", **grey)
    axes.plot([], [], lw=1.2, ls=(0, (4, 3)), label="t process, shape, $\\nu = N_1$", **grey)
    axes.plot([], [], lw=1, ls=(0, (5, 1.5, 1, 1.5)), label="t process, covariance", **grey)
    for activation, marker in zip(activations, "os^"):
        filled = "black" if activation == "identity" else "white"
        axes.plot([], [], marker, color="black", mfc=filled, ms=5.5, label=f"{activation}, sampled ± 2 s.e.")
    curves.whole_ticks(axes, (row.x for row in rows))
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.09)  # room for the legend
    ticks = (0.25, 0.5, 1, 2, 4)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.minorticks_off()
    axes.legend(frameon=False, fontsize=8, loc="lower left", ncols=2)


def _draw_tails(axes: Any, found: Reproduction) -> None:
    curves.plain(axes, "Prior: tails of $f$ at one input", "$t$", "$P(|f| > t\\,\\sigma)$")
    rows = [row for row in found.rows if row.quantity == TAIL]
    activations = list(dict.fromkeys(row.series.split(", ")[0] for row in rows))
    t = np.linspace(0.5, max(row.x for row in rows) + 0.3, 40)
    for N, colour in zip(dict.fromkeys(int(row.series.split("= ")[1]) for row in rows), curves.COLOURS):
        axes.plot(t, tail(N, t), color=colour, lw=2, label=f"scale mixture, $N_1 = {N}$")
        if N > 2:  # of the same variance
            axes.plot(t, tail(N, t, "student-t"), color=colour, lw=1.2, ls=(0, (4, 3)))
        for activation, marker in zip(activations, "os^"):
            points = curves.chosen(rows, series=f"{activation}, N = {N}", quantity=TAIL)
            curves.dots(axes, points, colour, marker, filled=activation == "identity")
    axes.plot(t, 2 * stats.norm.sf(t), color=curves.GREY, lw=1.2, label="Gaussian")
    axes.plot([], [], color=curves.GREY, lw=1.2, ls=(0, (4, 3)), label="Student's t, $\\nu = N_1$")
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-7)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def _draw_kurtosis(axes: Any, found: Reproduction) -> None:
    curves.plain(axes, "Prior: excess kurtosis of $f$ at one input", "width $N_1$", "excess kurtosis")
    rows = [row for row in found.rows if row.quantity == KURTOSIS]
    N = np.geomspace(0.8 * min(r.x for r in rows), 1.25 * max(r.x for r in rows), 60)
    axes.plot(N, 6 / N, color=curves.COLOURS[2], lw=2, label="scale mixture, $6/N_1$")
    wide = N[N > 4.4]
    axes.plot(
        wide, 6 / (wide - 4), color=curves.COLOURS[2], lw=1.2, ls=(0, (4, 3)), label="Student's t, $6/(\\nu - 4)$"
    )
    for activation, marker in zip(dict.fromkeys(row.series.split(", ")[0] for row in rows), "os^"):
        points = [row for row in rows if row.series.startswith(f"{activation}, ")]
        filled = activation == "identity"
        curves.dots(axes, points, curves.COLOURS[2], marker, filled=filled, label=f"{activation}, drawn")
    curves.whole_ticks(axes, (row.x for row in rows))
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8, loc="best")


STUDY = Study(
    name="student-t",
    title="what finite width adds at leading order, beside Student's t process",
    source="Pacelli et al. 2023, arXiv 2209.04882; Ariosto 2025, arXiv 2501.19281",
    needs=FOLDER,
    run=run,
    figure=figure,
    minutes=("2", "5"),
)
