"""The page and the figure of `make bench-probes`: verdicts are counted here, on the raw numbers of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from problems import between

Row = dict[str, Any]
ZERO = 1e-15  # relative training error of an optimiser at zero loss
WORDS = ("memorised", "partial", "collapsed")
VARIANTS = {
    ("gauss-newton", 0.0): "no noise, Gauss–Newton",
    ("gauss-newton", 0.05): "noise 0.05, Gauss–Newton",
    ("adam", 0.05): "noise 0.05, Adam",
}


def write(path: Path, rows: list[Row]) -> None:
    """Replaces the page's tables, and its figure.

    Args:
        path: docs/probes.md.
        rows: measured.
    """
    for mark, text in tables(rows).items():
        between(path, mark, text)
    _figure(path.with_suffix(".png"), rows)


def tables(rows: list[Row]) -> dict[str, str]:
    """Every table by its mark on the page."""
    return {
        "headline": _headline(rows),
        "transition": _transition(rows),
        "labelled": _labelled(rows),
        "misses": _misses(rows),
        "between": _between(rows),
        "infinite": _infinite(rows),
        "story": _story(rows),
        "real": _real(rows),
    }


def summary(rows: list[Row]) -> str:
    """What a run without --write prints."""
    return "\n\n".join([_headline(rows), _transition(rows), _labelled(rows)])


def of(rows: list[Row], part: str, **wanted: Any) -> list[Row]:
    """Rows of one part with these values."""
    return [row for row in rows if row["part"] == part and all(row.get(k) == v for k, v in wanted.items())]


def median(rows: list[Row], name: str) -> float:
    """Over the rows that have it; NaN where none has."""
    known = [float(row[name]) for row in rows if row.get(name) is not None]
    return float(np.median(known)) if known else math.nan


def judged(rows: list[Row]) -> list[Row]:
    """Labelled runs whose label holds: those that must collapse reached zero training error."""
    return [row for row in of(rows, "labelled") if row["must"] == "memorised" or row["training_error"] < ZERO]


def _sizes(rows: list[Row]) -> list[int]:
    return sorted({int(row["P"]) for row in rows})


def _headline(rows: list[Row]) -> str:
    runs = judged(rows)
    right = [row["word"] == row["must"] for row in runs]
    share = {word: [row["word"] == word for row in runs if row["must"] == word] for word in ("collapsed", "memorised")}
    noiseless = of(rows, "transition", method="gauss-newton", noise=0.0)
    few = [row for row in noiseless if row["P"] <= row["N0"] * row["N1"]]
    many = [row for row in noiseless if row["P"] >= 2 * row["N0"] * row["N1"]]
    adam = of(rows, "transition", method="adam")
    kurtosis = [
        [row for row in adam if (row["P"] >= 240) == late and (late or row["P"] <= 120)] for late in (False, True)
    ]
    copies = [row for row in of(rows, "infinite", activation="erf") if row.get("copy_loss") is not None]
    worst = max((abs(float(row["loss"]) - float(row["copy_loss"])) for row in copies), default=math.nan)
    error, overlap = median(few, "test_error"), median(few, "overlap")
    found = sum(row["overlap"] > 0.95 for row in many)
    flat, peaked = (median(own, "kurtosis") for own in kurtosis)
    collapsed, memorised = (f"{sum(own)} of {len(own)}" for own in share.values())
    return "\n".join(
        [
            f"- **The transition is there.** No noise, {len(few)} runs at P ≤ N0 N1: training error zero, median test "
            f"error {error:.2f} of the target's power, overlap {overlap:.2f}; {len(many)} runs at P ≥ 2 N0 N1: overlap "
            f"above 0.95 in {found}, median test error {median(many, 'test_error'):.0e}.",
            f"- **The error stops being Gaussian.** Label noise 0.05, Adam: median excess kurtosis {flat:.2f} at "
            f"P ≤ N0 N1, {peaked:.2f} from 2 N0 N1 on.",
            f"- **The verdict** is right in {sum(right)} of {len(right)} runs labelled by construction "
            f"({100 * np.mean(right):.1f} %): {collapsed} that must collapse, {memorised} that must memorise.",
            f"- **At P = ∞** the best of 20 restarts of an erf student and the copy-average closed form differ by at "
            f"most {worst:.0e} of the target's power, at every width up to M.",
        ]
    )


def _transition(rows: list[Row]) -> str:
    body = []
    for (method, noise), words in VARIANTS.items():
        own = of(rows, "transition", method=method, noise=noise)
        for P in _sizes(own):
            cell = [row for row in own if row["P"] == P]
            counts = " / ".join(str(sum(row["word"] == word for row in cell)) for word in WORDS)
            body.append(
                (
                    words, f"{P / 120:g}", str(len(cell)), _small(median(cell, "training_error")),
                    _small(median(cell, "test_error")), f"{median(cell, 'overlap'):.3f}", f"{median(cell, 'n90'):g}",
                    f"{median(cell, 'participation'):.2f}", _known(median(cell, "kurtosis")),
                    f"{median(cell, 'memorisation'):.2f}", f"{min(1.0, 126 / P):.2f}",
                    _known(median(cell, "shuffled_r2")), counts,
                )
            )  # fmt: skip
    head = ("students", "P/(N0 N1)", "seeds", "ε_t/T_y", "ε_g/T_y", "overlap", "found", "features", "kurtosis", "m",
            "p/P", "R² permuted", "memorised / partial / collapsed")  # fmt: skip
    return _lines(head, body)


def _network(row: Row) -> str:
    return f"{row['activation']} {row['N0']}-{row['M']}, width {row['N1']}"


def _labelled(rows: list[Row]) -> str:
    runs, body = judged(rows), []
    for name in dict.fromkeys(_network(row) for row in runs):
        cells = [name, str(next(row["p"] for row in runs if _network(row) == name))]
        for must, shuffled in (("collapsed", 0.0), ("memorised", 0.0), ("memorised", 1.0)):
            own = [row for row in runs if _network(row) == name and row["must"] == must and row["shuffled"] == shuffled]
            cells.append(f"{sum(row['word'] == must for row in own)} of {len(own)}")
        body.append(tuple(cells))
    totals = ["**all**", ""]
    for must, shuffled in (("collapsed", 0.0), ("memorised", 0.0), ("memorised", 1.0)):
        own = [row for row in runs if row["must"] == must and row["shuffled"] == shuffled]
        totals.append(f"**{sum(row['word'] == must for row in own)} of {len(own)}**")
    head = (
        "teacher, student",
        "p",
        "must collapse, P = 4p, 6p",
        "must memorise, P = p/4, 0.45p",
        "shuffled, P = p/4, 3p/4",
    )
    left = len(of(rows, "labelled")) - len(runs)
    note = (
        f"\n\n{left} runs that had to collapse did not reach zero training error and are not counted." if left else ""
    )
    return _lines(head, [*body, tuple(totals)]) + note


def _misses(rows: list[Row]) -> str:
    body = [
        (
            _network(row), f"{row['P'] / row['p']:.2f}", "yes" if row["shuffled"] else "no", row["must"], row["word"],
            f"{row['overlap']:.3f}", f"{row['memorisation']:.2f}", _small(row["training_error"]),
            _small(row["test_error"]),
        )
        for row in judged(rows)
        if row["word"] != row["must"]
    ]  # fmt: skip
    head = ("teacher, student", "P/p", "shuffled", "must", "verdict", "overlap", "m", "ε_t/T_y", "ε_g/T_y")
    return _lines(head, body) if body else "None."


def _curve(rows: list[Row], shuffled: float) -> Iterator[tuple[str, list[tuple[float, list[Row]]]]]:
    """Of each network of the curve: P/p with its runs, labelled ones included."""
    part = "shuffled" if shuffled else "between"
    for name in dict.fromkeys(_network(row) for row in of(rows, part)):
        own = [row for row in of(rows, part) + of(rows, "labelled", shuffled=shuffled) if _network(row) == name]
        yield name, [(P / own[0]["p"], [row for row in own if row["P"] == P]) for P in _sizes(own)]


def _between(rows: list[Row]) -> str:
    body = []
    for shuffled, words in ((0.0, "true"), (1.0, "shuffled")):
        for name, cells in _curve(rows, shuffled):
            for ratio, runs in cells:
                counts = " / ".join(str(sum(row["word"] == word for row in runs)) for word in WORDS)
                body.append(
                    (name, words, f"{ratio:.2f}", f"{median(runs, 'overlap'):.3f}",
                     f"{median(runs, 'memorisation'):.2f}", _small(median(runs, "training_error")),
                     _small(median(runs, "test_error")), counts)
                )  # fmt: skip
    head = (
        "teacher, student",
        "labels",
        "P/p",
        "overlap",
        "m",
        "ε_t/T_y",
        "ε_g/T_y",
        "memorised / partial / collapsed",
    )
    return _lines(head, body)


def _infinite(rows: list[Row]) -> str:
    body = []
    for row in sorted(of(rows, "infinite"), key=lambda row: (row["activation"], row["M"], row["N1"])):
        copies = row.get("copy_loss") is not None
        body.append(
            (
                f"{row['activation']}, M = {row['M']}", str(row["N1"]), f"{row['loss']:.6f}",
                f"{row['copy_loss']:.6f}" if copies else "–", f"{row['overlap']:.4f}",
                f"{row['copy_overlap']:.4f}" if copies else "–",
                ("yes" if row["copy_critical"] else "no") if copies else "–", f"{100 * row['fraction']:.0f} %",
            )
        )  # fmt: skip
    head = (
        "teacher",
        "N1",
        "best loss/T_y",
        "copy-average",
        "overlap",
        "copy-average",
        "critical point",
        "restarts at the best",
    )
    return _lines(head, body)


_TOLD = {
    "Q": "Q",
    "alignment_before": "alignment before",
    "alignment_after": "after",
    "memorisation": "m",
    "training_error": "ε_t/T_y",
    "test_error": "ε_g/T_y",
}


def _told(runs: list[Row]) -> tuple[str, ...]:
    """Medians, theory / student."""
    cells = []
    for name in _TOLD:
        pair = [median(runs, f"{side}_{name}") for side in ("theory", "student")]
        show: Callable[[float], str] = _small if "error" in name else _known
        cells.append(show(pair[0]) if name == "Q" else f"{show(pair[0])} / {show(pair[1])}")
    return tuple(cells)


def _story(rows: list[Row]) -> str:
    body = []
    for N1 in sorted({row["N1"] for row in of(rows, "story")}):
        for P in _sizes(of(rows, "story", N1=N1)):
            runs = of(rows, "story", N1=N1, P=P)
            words = "/".join(dict.fromkeys(row["validity"] for row in runs))
            features, overlap = f"{median(runs, 'student_participation'):.1f}", f"{median(runs, 'overlap'):.2f}"
            drawn = of(rows, "sampled", N1=N1, P=P)
            truth = (_known(median(drawn, "alignment_after")), _small(median(drawn, "test_error")))
            body.append((f"{N1}", f"{P}", f"{P / runs[0]['p']:.2f}", *_told(runs), features, overlap, words, *truth))
    head = ("N1", "P", "P/p", *_TOLD.values(), "features", "overlap", "theory says it is", "sampled: after", "ε_g/T_y")
    return _lines(head, body)


def _real(rows: list[Row]) -> str:
    body = []
    for data in dict.fromkeys(row["data"] for row in of(rows, "real")):
        for P in _sizes(of(rows, "real", data=data)):
            for shuffled, words in ((0.0, "true"), (1.0, "shuffled")):
                runs = of(rows, "real", data=data, P=P, shuffled=shuffled)
                if runs:
                    features = f"{median(runs, 'student_participation'):.1f}"
                    known = _known(median(runs, "shuffled_r2"))
                    ratio = f"{P / runs[0]['p']:.2f}"
                    body.append((data, words, str(P), ratio, str(len(runs)), *_told(runs), features, known))
    return _lines(("data", "labels", "P", "P/p", "seeds", *_TOLD.values(), "features", "R² permuted"), body)


def _small(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.0e}" if 0.0 < abs(value) < 1e-3 else f"{value:.3f}"


def _known(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _lines(header: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(cells) + " |" for cells in body])


BLUE, RED, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A7A7A"
_COLOURS = dict(zip(VARIANTS, (BLUE, PURPLE, RED)))


def _figure(path: Path, rows: list[Row]) -> None:
    """The transition above; the verdict's curve, infinite data, the story and real data below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(17, 8.2), layout="constrained")
    for ax, (probe, words) in zip(
        axes[0],
        {"test_error": "test error/T_y", "overlap": "overlap", "memorisation": "memorisation m",
         "kurtosis": "excess kurtosis of the error"}.items(),
    ):  # fmt: skip
        _draw_transition(ax, rows, probe)
        ax.set_title(words, loc="left", fontsize=10.5)
        ax.set(xscale="log", xlabel="P/(N0 N1)")
        ax.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        ax.minorticks_off()
    axes[0, 0].legend(frameon=False, fontsize=8.5)
    _draw_verdicts(axes[1, 0], rows)
    _draw_infinite(axes[1, 1], rows)
    _draw_story(axes[1, 2], rows)
    _draw_real(axes[1, 3], rows)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_transition(ax: Any, rows: list[Row], probe: str) -> None:
    for number, (variant, words) in enumerate(VARIANTS.items()):
        own = of(rows, "transition", method=variant[0], noise=variant[1])
        known = [row for row in own if row.get(probe) is not None]
        floor = 1e-6 if probe == "test_error" else -math.inf
        x = np.array([row["P"] / 120 for row in known]) * (1 + 0.02 * (number - 1))
        y = np.array([max(row[probe], floor) for row in known])
        ax.plot(x, y, "o", ms=3.5, mew=0, alpha=0.3, color=_COLOURS[variant])
        sizes = [P for P in _sizes(own) if sum(row["P"] == P for row in known) >= 4]
        medians = [max(median([row for row in known if row["P"] == P], probe), floor) for P in sizes]
        ax.plot(np.array(sizes) / 120, medians, "-", lw=2, color=_COLOURS[variant], label=words)
    if probe == "test_error":
        ax.set_yscale("log")
    if probe == "overlap":
        null = median(of(rows, "transition"), "overlap_null")
        ax.axhline(null, color=GREY, ls="--", lw=1)
        ax.annotate("a random student", (4, null), xytext=(0, 4), textcoords="offset points", ha="right", fontsize=8.5)
        ax.set_ylim(0, 1.04)
    if probe == "memorisation":
        grid = np.geomspace(0.5, 4, 100)
        ax.plot(grid, np.minimum(1, 1.05 / grid), "--", lw=1, color=GREY, label="p/P")
        ax.legend(frameon=False, fontsize=8.5)
        ax.set_ylim(0, 1.05)
    if probe == "kurtosis":
        ax.axhline(0, color=GREY, ls="--", lw=1)
        ax.set_ylim(-0.5, 2.6)


def _draw_verdicts(ax: Any, rows: list[Row]) -> None:
    """Shares over P/p: dashed memorised, solid collapsed."""
    for colour, (name, cells) in zip((BLUE, RED, GREEN, PURPLE), _curve(rows, 0.0)):
        x = [ratio for ratio, _ in cells]
        for word, style in (("memorised", "--"), ("collapsed", "-")):
            y = [np.mean([row["word"] == word for row in runs]) for _, runs in cells]
            ax.plot(x, y, style, marker="o", ms=4, color=colour, mfc=colour if style == "-" else "white",
                    label=name if style == "-" else None)  # fmt: skip
    ax.set(xscale="log", xlabel="P/p", ylim=(-0.04, 1.06))
    ax.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.set_title("share of runs: memorised (dashed), collapsed (solid)", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5, loc="center left")


def _draw_infinite(ax: Any, rows: list[Row]) -> None:
    for (activation, M), colour in zip((("erf", 3), ("erf", 5), ("relu", 3), ("relu", 5)), (BLUE, GREEN, RED, PURPLE)):
        own = sorted(of(rows, "infinite", activation=activation, M=M), key=lambda row: row["N1"])
        x = [row["N1"] / M for row in own]
        ax.plot(x, [row["loss"] for row in own], "o-", ms=5, color=colour, label=f"{activation}, M = {M}: best")
        copies = [(row["N1"] / M, row["copy_loss"]) for row in own if row.get("copy_loss") is not None]
        ax.plot(*zip(*copies), "s", ms=9, mfc="none", mec=colour)
    ax.plot([], [], "s", ms=9, mfc="none", mec=GREY, label="copies and one average")
    ax.set(xlabel="N1/M", ylim=(-0.01, None))
    ax.set_title("infinite data: loss/T_y", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5)


def _draw_story(ax: Any, rows: list[Row]) -> None:
    floor = 1e-4
    for N1, colour in ((6, BLUE), (60, RED)):
        own = of(rows, "story", N1=N1)
        for side, style in (("theory", "--"), ("student", "-")):
            y = [median([row for row in own if row["P"] == P], f"{side}_test_error") for P in _sizes(own)]
            ax.plot(_sizes(own), np.maximum(y, floor), style, marker="o", ms=5, color=colour,
                    mfc=colour if side == "student" else "white", label=f"N1 = {N1}, {side}")  # fmt: skip
    drawn = sorted(of(rows, "sampled"), key=lambda row: row["P"])
    points = [[row[name] for row in drawn] for name in ("P", "test_error")]
    ax.plot(*points, "D", ms=6, mfc="none", color="black", label="N1 = 60, posterior sampled")
    ax.set(xscale="log", yscale="log", xlabel="P", ylim=(0.6 * floor, 2.0))
    ax.set_xticks([60, 120, 240, 480], ["60", "120", "240", "480"])
    ax.xaxis.minorticks_off()
    ax.set_title("one task, three ways: test error/T_y", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5, loc="lower left")


def _draw_real(ax: Any, rows: list[Row]) -> None:
    for data, colour in (("digits", BLUE), ("MNIST", RED)):
        for shuffled, style in ((0.0, "-"), (1.0, "--")):
            own = of(rows, "real", data=data, shuffled=shuffled)
            y = [median([row for row in own if row["P"] == P], "student_alignment_after") for P in _sizes(own)]
            ax.plot(_sizes(own), y, style, marker="o", ms=5, color=colour, mfc="white" if shuffled else colour,
                    label=f"{data}, {'shuffled' if shuffled else 'true'}")  # fmt: skip
    ax.set(xscale="log", xlabel="P", ylim=(0, None))
    ax.set_xticks([150, 500, 1500], ["150", "500", "1500"])
    ax.minorticks_off()
    ax.set_title("real data: alignment of the students' hidden layer", loc="left", fontsize=10.5)
    ax.legend(frameon=False, fontsize=8.5)
