"""The page and the figure of `make bench-gap`: verdicts are passed here, on the raw numbers of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from gap_bounds import Gap, Row, by_norms, gap, gaps, vapnik_chervonenkis
from problems import between

PROTOCOLS = {
    "network": "trained network",
    "frozen_squares": "random trunk, least squares",
    "frozen_ridge": "random trunk, ridge",
    "refit_squares": "trained trunk, fresh least squares",
    "refit_ridge": "trained trunk, fresh ridge",
    "refit_press": "the same, fresh least squares, left out",
}
VERDICTS = ("held", "inconclusive", "violated", "vacuous")
TASKS = (
    "linear teacher, noise", "deep teacher", "digits odd/even", "digits shuffled", "MNIST odd/even", "MNIST shuffled",
    "CIFAR-10",
)  # fmt: skip
LOADS = ((2.0, 4.0), (4.0, 10.0), (10.0, 30.0), (30.0, 100.0), (100.0, math.inf))


def write(path: Path, rows: list[Row]) -> None:
    """Replaces the page's tables, and its figure.

    Args:
        path: docs/gap.md; the README beside its folder gets the headline.
        rows: measured.
    """
    found = tables(rows)
    for mark, text in found.items():
        between(path, mark, text)
    between(path.parent.parent / "README.md", "gap", found["headline"])
    _figure(path.with_suffix(".png"), rows)


def tables(rows: list[Row]) -> dict[str, str]:
    """Every table by its mark on the page."""
    return {
        "headline": _headline(rows),
        "verdicts": _verdicts(rows),
        "tasks": _by_task(rows),
        "loads": _by_load(rows),
        "control": _control(rows),
        "refit": _reduction(rows),
        "memorisation": _identity(rows),
        "readouts": _readouts(rows),
        "classical": _classical(rows),
        "exceptions": _exceptions(rows),
        "architectures": _architectures(rows),
    }


def summary(rows: list[Row]) -> str:
    """What a run without --write prints."""
    return _verdicts(rows) + "\n\n" + _control(rows)


def _headline(rows: list[Row]) -> str:
    """The statements, each with how often it held."""

    def asked(protocol: str, keep: Callable[[Row], bool] = lambda row: True) -> list[Gap]:
        return [one for _, one in gaps(rows, protocol, keep) if one.verdict != "vacuous"]

    def exceed(found: list[Gap]) -> str:
        if not found:
            return "none"
        many = sum(one.verdict == "violated" for one in found)
        return f"{many} of {len(found)}, {np.median([one.value / one.bound for one in found]):.2f}"

    def shuffled(row: Row) -> bool:
        return "shuffled" in row["task"]

    network, noise = asked("network"), asked("network", shuffled)
    squares, ridge = asked("frozen_squares"), asked("frozen_ridge")
    refit, refit_ridge = asked("refit_squares"), asked("refit_ridge")
    wrong = [one for one in (*squares, *refit) if one.verdict == "violated"]
    others = [one for one in wrong if one.sharp is None or one.sharp <= one.bound]
    foretold, late = len(wrong) - len(others), sum(one.P >= 1000 for one in others)
    known = [(one.ratio, 1.0 - (1.0 - one.m) ** 2) for _, one in gaps(rows, "network") if one.m is not None]
    open_ = [(a, b) for a, b in known if b < 0.98]
    off = np.median([abs(a - b) for a, b in open_]) if open_ else math.nan
    lines = (
        f"{len(rows)} networks were trained; below, the runs with P > 2 N_eff, where the bound says something:",
        "how many exceed it by two standard errors, and the median of gap over bound.",
        "",
        f"- **The network as trained**: {exceed(network)}; with shuffled labels {exceed(noise)}.",
        f"- **A readout on the random trunk**: with a ridge {exceed(ridge)}; by least squares {exceed(squares)}.",
        "- **The readout refitted to the trained trunk on fresh examples**:",
        f"  with a ridge {exceed(refit_ridge)}; by least squares {exceed(refit)}.",
        f"- Of the {len(wrong)} readouts by least squares that exceed it the sharp form foretells {foretold};",
        f"  {late} of the others have P ≥ 1000.",
        f"- **gap/ε_g = 1 − (1 − m)² of whole networks**: {len(known)} measured; in the {len(open_)} where the right",
        f"  side is below 0.98 the two differ by {off:.3f} in the median.",
    )
    return "\n".join(lines)


def _verdicts(rows: list[Row]) -> str:
    """Every protocol: how often the bound held."""
    body = []
    for protocol, words in PROTOCOLS.items():
        found = [one for _, one in gaps(rows, protocol)]
        body.append((words, *_counts(found)))
    return _lines(("gap of", "runs", *VERDICTS, "of these foretold", "median gap/bound", "worst"), body)


def _counts(found: list[Gap]) -> tuple[str, ...]:
    """Of each verdict, how many; of the violations those where the sharp form is above the bound as well."""
    many = [sum(one.verdict == verdict for one in found) for verdict in VERDICTS]
    foretold = sum(one.verdict == "violated" and one.sharp is not None and one.sharp > one.bound for one in found)
    asked = [one.value / one.bound for one in found if one.verdict != "vacuous"]
    middle, worst = (f"{np.median(asked):.2f}", f"{max(asked):.3g}") if asked else ("–", "–")
    return str(len(found)), *map(str, many), str(foretold), middle, worst


def _by_task(rows: list[Row]) -> str:
    body = []
    for task in TASKS:
        for protocol in ("network", "frozen_squares", "refit_squares", "refit_ridge", "refit_press"):
            found = [one for _, one in gaps(rows, protocol, lambda row, task=task: row["task"] == task)]
            if found:
                body.append((task, PROTOCOLS[protocol], *_counts(found)))
    return _lines(("task", "gap of", "runs", *VERDICTS, "of these foretold", "median gap/bound", "worst"), body)


def _by_load(rows: list[Row]) -> str:
    """Median gap over bound, and violations, where P/N_eff lies between."""
    body = []
    for protocol, words in PROTOCOLS.items():
        cells = []
        for low, high in LOADS:
            own = [one for _, one in gaps(rows, protocol) if low < one.P / one.size <= high]
            wrong = sum(one.verdict == "violated" for one in own)
            cells.append(f"{np.median([one.value / one.bound for one in own]):.2f}; {wrong}/{len(own)}" if own else "–")
        body.append((words, *cells))
    return _lines(("gap of", *(f"{low:g}–{high:g}" if high < math.inf else f"> {low:g}" for low, high in LOADS)), body)


def _control(rows: list[Row]) -> str:
    """Convolutional networks on shuffled labels, where the bound is not vacuous."""
    body = []
    for row, own in gaps(rows, "network", lambda row: row["kind"] == "convolutional" and "shuffled" in row["task"]):
        refit = gap(row, "refit_squares")
        if own.verdict == "vacuous" or refit is None:
            continue
        body.append(
            (
                row["task"], row["architecture"], str(own.P), str(row.get("said") or "–"), _value(own),
                f"{own.bound:.4f}", own.verdict, _value(refit), f"{refit.bound:.4f}", refit.verdict,
                *(f"{own.value / max(one.value, one.error):.1f}" for one in (refit, gap(row, "refit_ridge")) if one),
            )
        )  # fmt: skip
    asked = ("task", "network", "P", "`last_layer` says", "gap/T_y", "2N/P", "")
    names = (*asked, "refit gap/T_y", "2N/P₂", "", "times lower", "by ridge")
    return _lines(names, body)


def _value(one: Gap) -> str:
    return f"{one.value:.4f} ± {one.error:.4f}" if one.value < 100 else f"{one.value:.2g} ± {one.error:.2g}"


def _reduction(rows: list[Row]) -> str:
    """How many times lower the gap is after the refit, in runs where the bound is not vacuous before and after."""
    body = []
    for task in TASKS:
        for protocol in ("refit_squares", "refit_ridge"):
            factors = []
            for row, own in gaps(rows, "network", lambda row, task=task: row["task"] == task):
                refit = gap(row, protocol)
                if refit is not None and "vacuous" not in (own.verdict, refit.verdict):
                    factors.append(own.value / max(refit.value, refit.error))
            if factors:
                quarters = (f"{q:.1f}" for q in np.quantile(factors, (0.25, 0.5, 0.75)))
                fourfold = f"{100 * np.mean(np.array(factors) >= 4):.0f} %"
                body.append((task, PROTOCOLS[protocol], str(len(factors)), *quarters, fourfold))
    return _lines(("task", "refit", "runs", "lower quarter", "median", "upper quarter", "fourfold or more"), body)


def _identity(rows: list[Row]) -> str:
    """gap/ε_g of whole networks beside 1 − (1 − m)², by m."""
    body = []
    known = [(row, one) for row, one in gaps(rows, "network") if one.m is not None]
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 0.99), (0.99, 1.01)):
        own = [(row, one) for row, one in known if low <= one.m < high]
        if not own:
            continue
        said = np.array([1.0 - (1.0 - one.m) ** 2 for _, one in own])
        measured = np.array([one.ratio for _, one in own])
        errors = np.array([math.hypot(one.ratio_error, 2 * (1 - one.m) * float(row["m_error"])) for row, one in own])
        inside = np.abs(said - measured) <= np.maximum(2.0 * errors, 0.05)
        loads = np.median([one.P / row["parameters"] for row, one in own])
        body.append(
            (
                f"{low:g} – {min(high, 1):g}", str(len(own)), f"{loads:.2g}", f"{np.median(said):.3f}",
                f"{np.median(measured):.3f}", f"{np.median(measured - said):+.3f}",
                f"{np.median(np.abs(measured - said)):.3f}", f"{100 * inside.mean():.0f} %",
            )
        )  # fmt: skip
    names = ("m", "networks", "P/p", "1 − (1 − m)²", "gap/ε_g", "difference", "|difference|", "within 2 s.e. or 0.05")
    return _lines(names, body)


def _readouts(rows: list[Row]) -> str:
    """The same of readouts, whose m is tr H/P, by task; and τ."""
    body = []
    for protocol in ("frozen_squares", "frozen_ridge", "refit_squares", "refit_ridge"):
        own = [(row, one) for row, one in gaps(rows, protocol) if one.sharp is not None and one.verdict != "vacuous"]
        if not own:
            continue
        off = np.array([one.ratio - (1.0 - (1.0 - one.m) ** 2) for _, one in own])
        inside = np.abs(off) <= [2.0 * one.ratio_error for _, one in own]
        taus = [float(row[f"{protocol}_tau"]) for row, _ in own if row[f"{protocol}_tau"] is not None]
        body.append(
            (
                PROTOCOLS[protocol], str(len(own)), f"{np.median(off):+.4f}", f"{np.median(np.abs(off)):.4f}",
                f"{100 * inside.mean():.0f} %",
                " / ".join(f"{q:.2f}" for q in np.quantile(taus, (0.1, 0.5, 0.9))) if taus else "–",
            )
        )  # fmt: skip
    return _lines(
        ("gap of", "runs", "median of gap/ε_g − (1 − (1 − m)²)", "of its size", "within 2 s.e.", "τ: 10, 50, 90 %"),
        body,
    )


def _classical(rows: list[Row]) -> str:
    """Every bound of the trained network: over the gap, how often vacuous, how often below the gap."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for row, own in gaps(rows, "network"):
        P, p = float(row["P"]), float(row["parameters"])
        norms = by_norms(row)
        values = {
            "2N_eff/P, last layer": (own.bound, own.value, own.error),
            "2p/P, parameters counted": (2.0 * p / P, own.value, own.error),
            "product of norms (Rademacher)": None if norms is None else (norms, own.value, own.error),
        }
        if row.get("wrong_g") is not None:
            t, g = float(row["wrong_t"]), float(row["wrong_g"])
            error = math.sqrt(t * (1 - t) / P + g * (1 - g) / float(row["test"]))
            values["VC dimension, wrong signs"] = (vapnik_chervonenkis(p, float(row["depth"]), P), g - t, error)
        for name, value in values.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    body = []
    for name, entries in found.items():
        bounds, measured, errors = map(np.array, zip(*entries))
        sized = measured > 2.0 * errors
        says = bounds < 1.0
        wrong = says & (measured - 2.0 * errors > bounds)
        body.append(
            (
                name, str(len(entries)), f"{np.median(bounds):.3g}", f"{np.median((bounds / measured)[sized]):.3g}",
                f"{100 * np.mean(~says):.0f} %", str(int(wrong.sum())),
            )
        )  # fmt: skip
    return _lines(("bound", "networks", "median", "median of bound/gap", "vacuous (≥ 1)", "below the gap"), body)


def _exceptions(rows: list[Row]) -> str:
    """Readouts of quenched features whose gap exceeded the bound although the sharp form did not."""
    body = []
    for protocol in ("frozen_squares", "frozen_ridge", "refit_squares", "refit_ridge"):
        for row, one in gaps(rows, protocol):
            if one.verdict != "violated" or (one.sharp is not None and one.sharp > one.bound):
                continue
            tau = row[f"{protocol}_tau"]
            body.append(
                (
                    row["name"], PROTOCOLS[protocol], str(one.P), str(one.size), _value(one), f"{one.bound:.4f}",
                    "–" if one.sharp is None else f"{one.sharp:.4f}", "–" if tau is None else f"{float(tau):.2f}",
                )
            )  # fmt: skip
    if not body:
        return "None."
    return _lines(("run", "gap of", "P", "N_eff", "gap/T_y", "2N/P", "sharp form", "τ"), body)


def _architectures(rows: list[Row]) -> str:
    body = []
    for name in dict.fromkeys(row["architecture"] for row in rows):
        own = [row for row in rows if row["architecture"] == name]
        p = sorted({int(row["parameters"]) for row in own})
        fitted = np.mean([row["status"] == "converged" for row in own])
        violated = sum(one.verdict == "violated" for _, one in gaps(own, "network"))
        asked = sum(one.verdict != "vacuous" for _, one in gaps(own, "network"))
        ends = f"{p[0]} – {p[-1]}" if len(p) > 1 else str(p[0])
        cells = str(own[0]["N_out"]), ends, str(len(own)), f"{100 * fitted:.0f} %", f"{violated} of {asked}"
        body.append((name, *cells))
    return _lines(("network", "N_out", "p", "runs", "training error below 10⁻⁴", "violated, trained"), body)


def _lines(header: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(out + ["| " + " | ".join(cells) + " |" for cells in body])


_DRAWN = {
    "network": ("#D55E00", "o", "trained network"),
    "frozen_squares": ("#0072B2", "s", "random trunk, least squares"),
    "refit_squares": ("#009E73", "^", "trained trunk, readout refitted on fresh points"),
}


def _figure(path: Path, rows: list[Row]) -> None:
    """Gap against P/N_eff, a panel for each task, beside 2N_eff/P; and the identity of the whole networks."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(2, 4, figsize=(15, 7.4), layout="constrained")
    low, high = 1e-3, 20.0
    for ax, task in zip(axes.flat, TASKS):
        for protocol, (colour, marker, words) in _DRAWN.items():
            found = [one for _, one in gaps(rows, protocol, lambda row, task=task: row["task"] == task)]
            for seen, face in ((False, "none"), (True, colour)):
                own = [one for one in found if (one.verdict != "vacuous") == seen]
                x, y = [one.P / one.size for one in own], np.clip([one.value for one in own], low, high)
                ax.plot(x, y, marker, ms=4.5, mfc=face, mec=colour, alpha=0.8, label=words if seen else None)
        x = np.array([1.0, 1500.0])
        ax.plot(x, 2.0 / x, color="black", lw=1.2, label="2N_eff/P")
        ax.axvspan(0.7, 2.0, color="#eeeeee", zorder=0)
        ax.set(xscale="log", yscale="log", xlim=(0.7, 1500), ylim=(0.7 * low, 1.4 * high))
        ax.set_title(task, loc="left", fontsize=10)
    for ax in axes[1]:
        ax.set_xlabel("P/N_eff")
    for ax in axes[:, 0]:
        ax.set_ylabel("gap/T_y")
    ax = axes[1, 3]
    for kind, marker in (("fully connected", "o"), ("convolutional", "D")):
        known = [
            one for _, one in gaps(rows, "network", lambda row, kind=kind: row["kind"] == kind) if one.m is not None
        ]
        said = [1.0 - (1.0 - one.m) ** 2 for one in known]
        ax.plot(said, [one.ratio for one in known], marker, ms=4.5, color=_DRAWN["network"][0], alpha=0.5, label=kind)
    ax.plot([0, 1], [0, 1], color="black", lw=1.2)
    ax.set(xlabel="1 − (1 − m)²", ylabel="gap/ε_g", xlim=(-0.02, 1.03), ylim=(-0.05, 1.03))
    ax.set_title("the whole trained network, m measured", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
    handles, words = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, words, frameon=False, fontsize=9, loc="outside upper center", ncols=4)
    drawn.savefig(path, dpi=120)
    plt.close(drawn)
