"""What finite width adds to the prior and to the posterior, beside Student's t process: a figure and two tables.

    python examples/student_t.py --write docs/student-t.md --figure docs/student-t.png

About a minute on one core, without data from elsewhere. Run with OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter, NullLocator
from scipy import special

import widthwise as ww
from widthwise import prior
from widthwise.prior.tails import conditional_variances
from widthwise.report.figures import GREEN, GREY, PURPLE, TEST, TRAINING, figure_format, plain, render

WIDTHS = (4, 16, 64)
NORMS = (0.25, 1.0, 4.0)
PRECISIONS = (0.5, 2.0)  # λ_0, λ_1
POINT = np.array([[1.0]])  # one input: pre-activations of variance 2
VARIANCE = 1.0 / PRECISIONS[0]
DASHED, DOTTED = (0, (4, 3)), (0, (1, 1.2))
LAWS = {"mixture": (TEST, "-"), "student-t": (TRAINING, DASHED), "gaussian": (GREY, DOTTED)}
NAMES = {"mixture": "scale mixture", "student-t": "t process", "gaussian": "Gaussian process"}
MARKERS = {"erf": "o", "relu": "^"}


def network(activation: str, N: int) -> ww.FullyConnected:
    return ww.FullyConnected([N], activation, PRECISIONS)


def standard(activation: str) -> float:
    """s for which s f has variance 1 at the one input."""
    variance = -2.0 * math.log(prior.characteristic_function(network(activation, 1), POINT, [1.0], law="gaussian"))
    return variance**-0.5


def log_chi(law: str, activation: str, N: int, t: float) -> float:
    """log E exp(i √t f/σ) at the one input, the t law with the same variance σ²."""
    s = math.sqrt(t) * standard(activation)
    if law == "student-t":
        s *= math.sqrt((N - 2) / N)
    return math.log(prior.characteristic_function(network(activation, N), POINT, [s], law=law))


def survival(activation: str, N: int, t: np.ndarray, draws: int) -> np.ndarray:
    """P(|f| > tσ) of the network: its readout is Gaussian given the hidden weights, which are drawn."""
    q = conditional_variances(activation, N, draws, np.random.default_rng([1, N]), VARIANCE)
    q = np.maximum(q * standard(activation) ** 2 / PRECISIONS[1], 1e-300)
    return np.array([special.erfc(each / np.sqrt(2.0 * q)).mean() for each in t])


def kurtosis(law: str, N: int) -> float:
    return {"mixture": 6.0 / N, "student-t": 6.0 / (N - 4) if N > 4 else math.inf, "gaussian": 0.0}[law]


def along_digits(N: int, P: int, draws: int) -> tuple[float, float]:
    """log χ of the erf network along one random direction over P digits, sᵀKs = 4, and its standard error."""
    X = ww.load_data("digits", classes="parity", train_size=P, test_size=10, seed=0).X
    s = np.random.default_rng(0).standard_normal(P) / P
    s *= 2.0 / math.sqrt(-2.0 * math.log(prior.characteristic_function(network("erf", N), X, s, law="gaussian")))
    value, error = prior.characteristic_function(
        network("erf", N), X, s, law="network", draws=draws, standard_error=True
    )
    return math.log(value), error / value


# ---- tables


def line(cells: list[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def tables(draws: int) -> str:
    """Both tables in Markdown."""
    lines = [
        "| N_1 | law of f at one input | excess kurtosis | P(\\|f\\| > 3σ) | P(\\|f\\| > 5σ) | log χ at s²σ² = 4 |",
        "|---|---|---|---|---|---|",
    ]
    t = np.array([3.0, 5.0])
    for N in WIDTHS:
        for activation in MARKERS:
            three, five = survival(activation, N, t, draws)
            chi, excess = log_chi("network", activation, N, 4.0), prior.kurtosis(activation, N, VARIANCE)
            lines.append(
                line([N, f"{activation} network", f"{excess:.3f}", f"{three:.2g}", f"{five:.2g}", f"{chi:.4f}"])
            )
        for law, name in NAMES.items():
            three, five = prior.tail(N, t, law)
            excess = kurtosis(law, N)
            cell = "∞" if math.isinf(excess) else f"{excess:.3f}"
            lines.append(line([N, name, cell, f"{three:.2g}", f"{five:.2g}", f"{log_chi(law, 'erf', N, 4.0):.4f}"]))
        value, error = along_digits(N, 32, draws // 4)
        lines.append(line([N, "erf network, 32 digits, along s", "", "", "", f"{value:.4f} ± {error:.4f}"]))
    lines += [
        "",
        "| α = P/N_1 | s | network, Q* | network, ⟨Q⟩ | t, shape | t, covariance |",
        "|---|---|---|---|---|---|",
    ]
    for alpha in (0.25, 1.0, 4.0):
        found = prior.scale_factors(alpha, np.array(NORMS), width=16)
        for i, s in enumerate(NORMS):
            factors = (found.saddle[i], found.integrated[i], found.t_shape[i], found.t_covariance[i])
            lines.append(line([f"{alpha:g}", f"{s:g}", *(f"{factor:.3f}" for factor in factors)]))
    return "\n".join(lines) + "\n"


# ---- figure


def panel(axes: Any, title: str, x: str, y: str) -> None:
    plain(axes, title, pad=8)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def ticks(axes: Any, at: tuple[float, ...], which: str = "x") -> None:
    """A logarithmic axis with numbers written out."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_ticks(at, [f"{tick:g}" for tick in at])
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def draw_tails(axes: Any, N: int, draws: int, first: bool) -> None:
    panel(axes, f"Tails of $f$ at one input, $N_1 = {N}$", "$t$", "$P(|f| > t\\,\\sigma)$")
    t, dots = np.linspace(0.0, 6.0, 49), np.linspace(0.5, 6.0, 12)
    for law, (colour, style) in LAWS.items():
        axes.plot(t, prior.tail(N, t, law), color=colour, ls=style, lw=1.8, label=NAMES[law])
    for activation, marker in MARKERS.items():
        seen = survival(activation, N, dots, draws)
        axes.plot(dots, seen, marker, ms=5, mfc="white", mec="black", label=f"{activation} network")
    axes.set_yscale("log")
    axes.set_ylim(1e-8, 1.5)
    if first:
        axes.legend(frameon=False, fontsize=8.5, loc="lower left")


def draw_kurtosis(axes: Any) -> None:
    panel(axes, "Excess kurtosis of $f$ at one input", "width $N_1$", "excess kurtosis")
    N = np.geomspace(3.0, 300.0, 80)
    axes.plot(N, 6.0 / N, color=TEST, lw=1.8, label="scale mixture, $6/N_1$")
    wide = N[N > 4.2]
    axes.plot(wide, 6.0 / (wide - 4.0), color=TRAINING, ls=DASHED, lw=1.8, label="t process, $6/(N_1 - 4)$")
    for activation, marker in MARKERS.items():
        of = [prior.kurtosis(activation, n, VARIANCE) for n in (4, 16, 64, 256)]
        axes.plot((4, 16, 64, 256), of, marker, ms=5, mfc="white", mec="black", label=f"{activation} network")
    ticks(axes, (4, 16, 64, 256))
    axes.set_yscale("log")
    axes.set_ylim(3e-3, 40.0)
    axes.legend(frameon=False, fontsize=8.5)


def draw_characteristic(axes: Any) -> None:
    panel(axes, "Characteristic function, one input, $N_1 = 4$", "$s\\,\\sigma$", "$\\chi(s)$")
    u = np.linspace(0.0, 6.0, 61)
    for law, (colour, style) in LAWS.items():
        axes.plot(u, [math.exp(log_chi(law, "erf", 4, x * x)) for x in u], color=colour, ls=style, lw=1.8)
    for activation, marker in MARKERS.items():
        chi = [math.exp(log_chi("network", activation, 4, x * x)) for x in u[4::4]]
        axes.plot(u[4::4], chi, marker, ms=5, mfc="white", mec="black")
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 1.5)


def draw_gap(axes: Any, draws: int) -> None:
    panel(
        axes,
        "Distance to the erf network at $s^\\top K s = 4$",
        "width $N_1$",
        "$|\\log \\chi - \\log \\chi_{network}|$",
    )
    widths = (4, 8, 16, 32, 64, 128, 256)
    for law, (colour, style) in LAWS.items():
        gap = [abs(log_chi(law, "erf", N, 4.0) - log_chi("network", "erf", N, 4.0)) for N in widths]
        axes.plot(widths, gap, color=colour, ls=style, lw=1.8, label=f"{NAMES[law]}, one input")
    for law, marker in (("mixture", "s"), ("gaussian", "D")):
        for N in WIDTHS:
            value, error = along_digits(N, 32, draws)
            gap = abs(value - (-2.0 if law == "gaussian" else -0.5 * N * math.log1p(4.0 / N)))
            axes.errorbar(N, gap, 2 * error, fmt=marker, ms=5, color=LAWS[law][0], mfc="white", lw=1.2, capsize=2.5,
                          label=f"{NAMES[law]}, 32 digits ± 2 s.e." if WIDTHS[0] == N else None)  # fmt: skip
    ticks(axes, (4, 16, 64, 256))
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)


def draw_factors(axes: Any, which: str) -> None:
    shape = which == "shape"
    panel(axes, f"Posterior variance factor, t by its {which}", "load $\\alpha = P/N_1$", "factor")
    alpha = np.geomspace(0.05, 4.0, 61)
    for s, colour in zip(NORMS, (TEST, GREEN, TRAINING)):
        found = prior.scale_factors(alpha, s, width=16)
        axes.plot(alpha, found.integrated, color=colour, lw=2.2, label=f"$s = {s:g}$")
        axes.plot(alpha, found.saddle, color=colour, lw=1.2, ls=DOTTED)
        axes.plot(alpha, found.t_shape if shape else found.t_covariance, color=colour, lw=1.4, ls=DASHED)
    axes.plot([], [], color=GREY, lw=2.2, label="network, ⟨Q⟩, $N_1 = 16$")
    axes.plot([], [], color=GREY, lw=1.2, ls=DOTTED, label="network, $Q^*$")
    formula = "$(\\nu + Ps)/(\\nu + P)$" if shape else "$(\\nu - 2 + Ps)/(\\nu - 2 + P)$"
    axes.plot([], [], color=GREY, lw=1.4, ls=DASHED, label=f"t, {formula}, $\\nu = N_1$")
    ticks(axes, (0.05, 0.2, 1, 4))
    ticks(axes, (0.25, 0.5, 1, 2, 4), "y")
    axes.set_ylim(0.2, 16.0)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_excess(axes: Any) -> None:
    panel(axes, "t process over network, at leading order", "load $\\alpha = P/N_1$", "factor of t / $Q^*$ − 1")
    alpha = np.geomspace(0.05, 4.0, 61)
    for s, colour in zip((*NORMS, 2.0), (TEST, GREEN, TRAINING, PURPLE)):
        found = prior.scale_factors(alpha, s)
        axes.plot(alpha, found.t_shape / found.saddle - 1.0, color=colour, lw=1.8, label=f"$s = {s:g}$")
    ticks(axes, (0.05, 0.2, 1, 4))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f} %" if value else "0")
    axes.legend(frameon=False, fontsize=8.5)


def figure(draws: int) -> Figure:
    """Rows: tails; kurtosis and characteristic function; what the data make of it."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, wspace=0.05, h_pad=0.1, hspace=0.04)
    drawn = Figure(figsize=(13.2, 11.4), facecolor="white", layout=layout)
    grid = drawn.subplots(3, 3)
    for axes, N in zip(grid[0], WIDTHS):
        draw_tails(axes, N, draws, WIDTHS[0] == N)
    draw_kurtosis(grid[1, 0])
    draw_characteristic(grid[1, 1])
    draw_gap(grid[1, 2], draws)
    draw_factors(grid[2, 0], "shape")
    draw_factors(grid[2, 1], "covariance")
    draw_excess(grid[2, 2])
    title = "A finite network, its scale mixture, Student's t process and the Gaussian process"
    drawn.suptitle(title, fontsize=12, x=0.012, ha="left")
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400_000, help="of the hidden weights, for the networks' tails")
    parser.add_argument("--write", type=Path, help="page whose tables, after its marker <!-- table -->, are replaced")
    parser.add_argument("--figure", type=Path, help=".png, .pdf or .svg")
    given = parser.parse_args()
    table = tables(given.draws)
    print(table)
    if given.write is not None:
        head, marker, _ = given.write.read_text().partition("<!-- table -->\n")
        if not marker:
            parser.error(f"{given.write}: expected a line <!-- table -->, got none; add it.")
        given.write.write_text(f"{head}{marker}\n{table}")
    if given.figure is not None:
        given.figure.write_bytes(render(figure(given.draws), figure_format(given.figure)))


if __name__ == "__main__":
    main()
