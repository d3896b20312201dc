"""The page and the figure of `make bench-truth`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import error_bars
import numpy as np
from problems import between
from scipy.stats import spearmanr

APPROXIMATIONS = ("infinite", "saddle", "integrated")
_WORDS = {"synthetic": "synthetic", "digits": "digits", "mnist": "MNIST", "cifar": "CIFAR-10", "uci": "UCI tables"}
FAMILIES = tuple(_WORDS)
_COLD = "T ≤ 0.03"
_CANDIDATES = (
    ("constant", ("constant",)),
    ("ρτ and a constant", ("product", "constant")),
    ("max(0, ρτ − ½), 1/N", ("beyond", "width")),
    ("neurons", ("neurons",)),
    ("**neurons, max(0, ρτ − ½), 1/N**", error_bars.SEEN),
    ("\\|ε − ε_∞\\|, max(0, ρτ − ½), 1/N: neurons not looked at", error_bars.UNSEEN),
)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces the page's tables, and its figure.

    Args:
        path: docs/truth.md; truth.csv lies beside it.
        rows: measured.
    """
    for mark, text in tables(rows, path.with_suffix(".csv")).items():
        between(path, mark, text)
    between(path.parent.parent / "README.md", "truth", _headline(path.with_suffix(".csv")))
    _figure(path.with_suffix(".png"), path.with_suffix(".csv"))


def _headline(csv: Path) -> str:
    """What the README says."""
    body = []
    for which in ("test", "training"):
        for words, names in (("the theory's own", error_bars.SEEN), ("the same for all", ("constant",))):
            rows = _known(csv, which)
            found = error_bars.worth(rows, error_bars.left_out(rows, names))
            rank = f"**{found.rank:.2f}**" if names == error_bars.SEEN else f"{found.rank:.2f}"
            body.append((f"{which} error", words, f"{100 * found.coverage:.0f} %", f"{found.sharpness:.1f}", rank))
    table = _lines(
        ("", "bar", "sampled errors inside", "median of bar/deviation", "rank correlation with deviation"), body
    )
    rows = _known(csv, "test")
    cold = [i for i, row in enumerate(rows) if _temperature(row) == _COLD]
    colder = error_bars.worth([rows[i] for i in cold], error_bars.left_out(rows, error_bars.SEEN)[cold])
    families = ", ".join(_WORDS[name] for name in FAMILIES if any(row.family == name for row in rows))
    return "\n".join(
        (
            f"On {len(rows)} sampled networks ({families};",
            "one to three layers, several outputs, patches), the bars of each family of data calibrated on the others:",
            "",
            table,
            "",
            f"Of the cold ones ({_COLD}) {100 * colder.coverage:.0f} % of the test errors are inside:",
            "easy tasks with erf are where the bar is least true.",
            "",
            "![Error bars against true deviations](docs/truth.png)",
            "",
            "`make bench-truth` samples and tries them anew; [docs/truth.md](docs/truth.md) has every network, the",
            "misses, and how well intervals and evidences are calibrated.",
        )
    )


def tables(rows: list[dict[str, Any]], csv: Path) -> dict[str, str]:
    """Every table by its mark on the page."""
    return {
        "worth": _worth(csv),
        "candidates": _candidates(rows),
        "verdicts": _verdicts(rows),
        "families": _by(csv, lambda row: row.family, "left out"),
        "kinds": _by(csv, lambda row: row.group, "networks"),
        "temperatures": _by(csv, _temperature, "temperature"),
        "weights": _weights(csv),
        "misses": _misses(csv),
        "departures": _departures(rows),
        "approximations": _approximations(rows),
        "calibration": _calibration(rows),
        "published": _side_by_side([row for row in rows if row["part"] == "published"]),
        "rows": _side_by_side([row for row in rows if row["part"] == "calibration"]),
    }


def _known(csv: Path, which: str) -> list[error_bars.Row]:
    return [row for row in error_bars.read(csv, which) if "neurons" in row.terms]


def _lines(header: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(cells) + " |" for cells in body])


def _cells(found: error_bars.Worth) -> tuple[str, ...]:
    rank = "–" if np.isnan(found.rank) else f"{found.rank:.2f}"
    return (
        str(found.rows), f"{100 * found.coverage:.0f} %", f"{100 * found.allowing:.0f} %", f"{found.sharpness:.1f}",
        f"{found.medians:.1f}", rank,
    )  # fmt: skip


_WORTH = ("rows", "inside", "inside ± 2 s.e.", "median of bar/Δ", "median bar/median Δ", "rank correlation")


def _worth(csv: Path) -> str:
    body = []
    for which in ("test", "training"):
        for words, names in _CANDIDATES:
            rows = error_bars.read(csv, which) if names == error_bars.UNSEEN else _known(csv, which)
            body.append((which, words, *_cells(error_bars.worth(rows, error_bars.left_out(rows, names)))))
    return _lines(("error", "bar made of", *_WORTH), body)


def _by(csv: Path, key: Any, title: str) -> str:
    body = []
    for which in ("test", "training"):
        rows = _known(csv, which)
        bar = error_bars.left_out(rows, error_bars.SEEN)
        keys = [key(row) for row in rows]
        for name in dict.fromkeys(keys):
            own = [i for i, k in enumerate(keys) if k == name]
            body.append((which, name, *_cells(error_bars.worth([rows[i] for i in own], bar[own]))))
    return _lines(("error", title, *_WORTH), body)


def _temperature(row: error_bars.Row) -> str:
    T = float(row.name.rsplit("T ", 1)[1])
    return _COLD if T <= 0.03 else "T = 0.1" if T < 0.5 else "T = 1"


def _weights(csv: Path) -> str:
    body = []
    for which in ("test", "training"):
        for words, names in (("looked at", error_bars.SEEN), ("not looked at", error_bars.UNSEEN)):
            rows = _known(csv, which) if names == error_bars.SEEN else error_bars.read(csv, which)
            found = error_bars.fit(rows, names)
            body.append((which, words, *(f"{found[n]:.3f}" if n in found else "–" for n in _TERMS)))
    return _lines(("error", "the neurons are", *_TERMS), body)


_TERMS = ("neurons", "beyond", "width", "finite")


def _misses(csv: Path) -> str:
    rows = _known(csv, "test")
    bar = error_bars.left_out(rows, error_bars.SEEN)
    missed = [(row, one) for row, one in zip(rows, bar) if abs(row.deviation) > one + 2 * row.standard_error]
    missed.sort(key=lambda pair: -abs(pair[0].deviation) / pair[1])
    body = [
        (
            row.name,
            f"{100 * row.deviation:+.1f} ± {100 * row.standard_error:.1f} %",
            f"{100 * one:.1f} %",
            f"{row.product:.2f}",
        )
        for row, one in missed
    ]
    return _lines(("network", "predicted − sampled", "bar", "ρτ"), body) if body else "None."


def _departures(rows: list[dict[str, Any]]) -> str:
    """The neurons' first-order departure beside what is seen, where both are resolved, by load."""
    body = []
    known = [row for row in rows if row.get("test_neurons") is not None and row["status"] == "mixed"]
    edges = (("up to ½", 0.0, 0.5), ("up to 1", 0.5, 1.0), ("up to 2", 1.0, 2.0), ("4", 2.0, np.inf))
    for which in ("test", "training"):
        for words, low, high in edges:
            seen, told = [], []
            for row in known:
                if not low < row["P"] / row["narrowest"] <= high:
                    continue
                Delta = row[f"{which}_sampled"] - row[f"{which}_integrated"]
                delta = row[f"{which}_departure"]
                if abs(Delta) > 3 * row[f"{which}_standard_error"] and abs(delta) > 2 * row[f"{which}_noise"]:
                    seen.append(Delta)
                    told.append(delta)
            if seen:
                ratio = np.array(told) / np.array(seen)
                low_quartile, middle, high_quartile = np.quantile(ratio, (0.25, 0.5, 0.75))
                spread = f"{middle:.2f} ({low_quartile:.2f} to {high_quartile:.2f})"
                body.append((which, words, str(len(seen)), f"{int(np.sum(ratio > 0))}", spread))
    return _lines(("error", "load", "resolved", "of the right sign", "told/seen: median (quartiles)"), body)


def _candidates(rows: list[dict[str, Any]]) -> str:
    """What each quantity that needs no sampling says alone of the deviation's size."""
    known = [row for row in rows if row["status"] == "mixed" and row["part"] == "calibration"]
    quantities = {
        "ρτ": lambda row, which: row["product"],
        "τ": lambda row, which: row["tau"],
        "ρ": lambda row, which: row["rho"],
        "load P/N": lambda row, which: row["P"] / row["narrowest"],
        "\\|saddle − integrated\\|/ε": lambda row, which: (
            None
            if row.get(f"{which}_saddle") is None
            else abs(row[f"{which}_saddle"] - row[f"{which}_integrated"]) / row[f"{which}_predicted"]
        ),
        "\\|ε − ε_∞\\|/ε": lambda row, which: abs(1 - row[f"{which}_infinite"] / row[f"{which}_predicted"]),
        "kurtosis along the dual vector": lambda row, which: row["kurtosis"] and abs(row["kurtosis"]),
        "the same in nats": lambda row, which: row["nats"] and abs(row["nats"]),
        "effective rank of K/P": lambda row, which: row["effective_rank"],
        "**neurons**, (\\|δbias\\| + \\|δvar\\|)/ε": lambda row, which: (
            row[f"{which}_neurons"] / row[f"{which}_predicted"]
        ),
        "neurons, \\|δbias + δvar\\|/ε": lambda row, which: abs(row[f"{which}_departure"]) / row[f"{which}_predicted"],
    }
    body = []
    for words, quantity in quantities.items():
        cells = [words]
        for which in ("test", "training"):
            pairs = [
                (value, abs(1 - row[f"{which}_sampled"] / row[f"{which}_predicted"]))
                for row in known
                if (value := quantity(row, which)) is not None
            ]
            cells.append(f"{spearmanr(*zip(*pairs))[0]:+.2f}")
        body.append((*cells, str(len(pairs))))
    return _lines(("alone", "test error", "training error", "networks"), body)


def _verdicts(rows: list[dict[str, Any]]) -> str:
    """What the deviations were where `validity` said sound, doubtful or outside."""
    body = []
    known = [row for row in rows if row["status"] == "mixed" and row["part"] == "calibration"]
    for verdict in ("sound", "doubtful", "outside"):
        own = [row for row in known if row["verdict"] == verdict]
        cells = [verdict, str(len(own))]
        for which in ("test", "training"):
            off = np.abs([row[f"{which}_predicted"] / row[f"{which}_sampled"] - 1.0 for row in own])
            cells += [f"{100 * q:.1f} %" for q in (*np.quantile(off, (0.5, 0.9)), off.max())]
        body.append(tuple(cells))
    names = [f"{which}: {what}" for which in ("test", "training") for what in ("median", "nine in ten", "worst")]
    return _lines(("verdict", "networks", *names), body)


def _percent(value: float, error: float) -> str:
    return f"{100 * value:+.1f} ± {100 * error:.1f} %"


def _off(row: dict[str, Any], name: str, which: str) -> float | None:
    value = row.get(f"{which}_{name}")
    return None if value is None else float(value) / row[f"{which}_sampled"] - 1.0


def _approximations(rows: list[dict[str, Any]]) -> str:
    """Median absolute deviation of every approximation, by family: ε_g, ε_t, and the mean predictor's distance."""
    body = []
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family and row["status"] == "mixed"]
        if not own:
            continue
        cells = [family, str(len(own))]
        for which in ("test", "training"):
            for name in APPROXIMATIONS:
                values = [abs(v) for row in own if (v := _off(row, name, which)) is not None]
                cells.append(f"{100 * float(np.median(values)):.2f} %")
        for name in APPROXIMATIONS:
            values = [row[f"{name}_distance"] for row in own if row.get(f"{name}_distance") is not None]
            cells.append(f"{float(np.median(values)):.4f}")
        body.append(tuple(cells))
    names = [f"{what} {name}" for what in ("ε_g", "ε_t", "‖Δ⟨f⟩‖") for name in ("∞", "saddle", "integrated")]
    return _lines(("data", "rows", *names), body)


def _calibration(rows: list[dict[str, Any]]) -> str:
    """Coverage of the 90 % interval, likelihood and evidence, by family."""
    body = []
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family and row["status"] == "mixed" and row["outputs"] == 1]
        if not own:
            continue
        cells = [family, str(len(own))]
        for part in ("coverage", "data"):
            for name in APPROXIMATIONS:
                values = [row[f"{name}_{part}"] for row in own if row.get(f"{name}_{part}") is not None]
                cells.append(f"{100 * float(np.mean(values)):.1f} %")
        for name in APPROXIMATIONS:
            values = [row[f"{name}_nll"] - row["sampled_nll"] for row in own if row.get(f"{name}_nll") is not None]
            cells.append(f"{float(np.median(values)):+.4f}")
        gains = [row["log_evidence_gain"] for row in own if row["log_evidence_gain"] is not None]
        cells.append(f"{float(np.median(gains)):+.1f} ({100 * np.mean(np.array(gains) > 0):.0f} %)")
        body.append(tuple(cells))
    names = [f"{what} {name}" for what in ("f inside,", "y inside,", "ΔNLL,") for name in ("∞", "saddle", "integrated")]
    return _lines(("data", "rows", *names, "evidence gain, nats (share > 0)"), body)


def _side_by_side(rows: list[dict[str, Any]]) -> str:
    body = []
    for row in rows:
        cells = [row["task"], row["activation"], str(row["P"]), str(row["widths"]), f"{row['temperature']:g}"]
        cells.append(f"{row['product']:.2f} {row['verdict']}")
        for which in ("test", "training"):
            note = "" if row["status"] == "mixed" else " (not mixed)"
            cells.append(f"{row[f'{which}_sampled']:.4f} ± {row[f'{which}_standard_error']:.4f}{note}")
            for name in APPROXIMATIONS:
                off = _off(row, name, which)
                cells.append("–" if off is None else f"{100 * off:+.2f} %")
        cells += ["–" if row.get(f"{n}_distance") is None else f"{row[f'{n}_distance']:.3f}" for n in APPROXIMATIONS]
        body.append(tuple(cells))
    three = ("∞", "saddle", "int.")
    header = ("data", "φ", "P", "N", "T", "ρτ", "ε_g", *three, "ε_t", *three, *(f"‖Δ⟨f⟩‖ {n}" for n in three))
    return _lines(header, body) if body else "None at hand."


def summary(rows: list[dict[str, Any]]) -> str:
    """What a run without --write prints."""
    return _approximations(rows) + "\n\n" + _calibration(rows)


_COLOURS = {"synthetic": "#0072B2", "digits": "#D55E00", "mnist": "#009E73", "cifar": "#CC79A7", "uci": "#E69F00"}


def _figure(path: Path, csv: Path) -> None:
    """Bars against deviations, each family's from the others; and how they are distributed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained")
    for ax, which in zip(axes, ("test", "training")):
        rows = _known(csv, which)
        bar = error_bars.left_out(rows, error_bars.SEEN)
        deviation = np.abs([row.deviation for row in rows])
        family = np.array([row.family for row in rows])
        for name in FAMILIES:
            own = family == name
            ax.plot(bar[own], np.maximum(deviation[own], 2e-5), "o", ms=4, color=_COLOURS[name], alpha=0.75, label=name)
        ends = np.array([0.7 * bar.min(), 1.4 * bar.max()])
        ax.plot(ends, ends, color="black", lw=1)
        ax.plot(ends, ends / 2, color="black", lw=0.8, ls=":")
        ax.set(xscale="log", yscale="log", xlabel="the theory's own error bar / ε", ylabel="|predicted − sampled| / ε")
        found = error_bars.worth(rows, bar)
        words = f"{which} error: {100 * found.coverage:.0f} % inside, rank correlation {found.rank:.2f}"
        ax.set_title(words, loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    ax = axes[2]
    rows = _known(csv, "test")
    deviation = np.abs([row.deviation for row in rows])
    for words, names, style in (
        ("constant", ("constant",), ":"), ("ρτ and a constant", ("product", "constant"), "--"),
        ("neurons, beyond, width", error_bars.SEEN, "-"),
    ):  # fmt: skip
        ratio = np.sort(error_bars.left_out(rows, names) / np.maximum(deviation, 1e-5))
        ax.plot(ratio, np.linspace(0, 1, len(ratio)), style, color="black" if style == "-" else "#666666", label=words)
    ax.axvline(1.0, color="#999999", lw=0.8)
    ax.set(xscale="log", xlim=(0.2, 200), xlabel="bar / deviation", ylabel="share of networks")
    ax.set_title("sharper to the left, safe right of 1", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    drawn.savefig(path, dpi=140)
    plt.close(drawn)
