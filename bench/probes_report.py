"""The page and the figure of `make bench-probes`: verdicts are counted here, on the raw numbers of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from probes_figure import draw
from probes_rows import VARIANTS, Row, curve, judged, median, network_of, of, sizes_of
from problems import between

WORDS = ("memorised", "partial", "collapsed")


def write(path: Path, rows: list[Row]) -> None:
    """Replaces the page's tables, and its figure.

    Args:
        path: docs/probes.md.
        rows: measured.
    """
    for mark, text in tables(rows).items():
        between(path, mark, text)
    draw(path.with_suffix(".png"), rows)


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
        for P in sizes_of(own):
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


def _labelled(rows: list[Row]) -> str:
    runs, body = judged(rows), []
    for name in dict.fromkeys(network_of(row) for row in runs):
        cells = [name, str(next(row["p"] for row in runs if network_of(row) == name))]
        for must, shuffled in (("collapsed", 0.0), ("memorised", 0.0), ("memorised", 1.0)):
            own = [
                row for row in runs if network_of(row) == name and row["must"] == must and row["shuffled"] == shuffled
            ]
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
            network_of(row), f"{row['P'] / row['p']:.2f}", "yes" if row["shuffled"] else "no", row["must"], row["word"],
            f"{row['overlap']:.3f}", f"{row['memorisation']:.2f}", _small(row["training_error"]),
            _small(row["test_error"]),
        )
        for row in judged(rows)
        if row["word"] != row["must"]
    ]  # fmt: skip
    head = ("teacher, student", "P/p", "shuffled", "must", "verdict", "overlap", "m", "ε_t/T_y", "ε_g/T_y")
    return _lines(head, body) if body else "None."


def _between(rows: list[Row]) -> str:
    body = []
    for shuffled, words in ((0.0, "true"), (1.0, "shuffled")):
        for name, cells in curve(rows, shuffled):
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
        for P in sizes_of(of(rows, "story", N1=N1)):
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
        for P in sizes_of(of(rows, "real", data=data)):
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
