"""The weights of the theory's error bar, found from sampled networks, and what a bar is worth on data left out.

    bar = Σ_k w_k x_k,   w ≥ 0 minimises the mean of ρ_q(log|Δ| − log bar),   ρ_q(u) = max(q u, (q − 1) u),   q = 0.97

Δ is predicted less sampled error. Quantile regression (Koenker & Bassett 1978, Econometrica 46, 33) of a logarithm: the
bar covers a share q of what it was fitted to, and is as small as it can be, in proportion.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.stats import spearmanr

LEVEL = 0.97  # of what a bar is fitted to; of data left out it then covers 95 %
SEEN, UNSEEN = ("neurons", "beyond", "width"), ("beyond", "width", "finite")
BEYOND = 0.5  # ρτ from which neurons specialise
_SOFT = 0.02  # over how much of log|Δ| the corner of ρ is rounded
_STARTS = 8


@dataclass(frozen=True)
class Row:
    """A prediction beside the sampled network; all but the names in units of the predicted error.

    Args:
        family: what is left out together.
        name: of the case, in words.
        deviation: predicted less sampled.
        standard_error: of the sampled one.
        terms: x_k by name.
        product: ρτ.
        group: what kind of network, in words.
    """

    family: str
    name: str
    deviation: float
    standard_error: float
    terms: dict[str, float]
    product: float
    group: str


def read(path: Path, which: str) -> list[Row]:
    """The rows of docs/truth.csv whose chains mixed.

    Args:
        path: of the file.
        which: "test" or "training".
    """
    rows = []
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            if line["status"] != "mixed" or line["part"] != "calibration":
                continue
            error = float(line[f"{which}_predicted"])
            shift = abs(1.0 - float(line[f"{which}_infinite"]) / error)
            terms = {
                "beyond": max(0.0, float(line["product"]) - BEYOND),
                "width": 1.0 / float(line["narrowest"]),
                "finite": shift,
                "product": float(line["product"]),
            }
            if line[f"{which}_neurons"]:
                departure = float(line[f"{which}_neurons"]) / error
                terms["neurons"] = departure / (1.0 + 2.0 * departure)
            rows.append(
                Row(
                    line["family"],
                    line["name"],
                    1.0 - float(line[f"{which}_sampled"]) / error,
                    float(line[f"{which}_standard_error"]) / error,
                    terms,
                    terms["product"],
                    _group(line),
                )
            )
    return rows


def _group(line: dict[str, str]) -> str:
    """One layer of one output by its ρτ, several by their number."""
    if line["kind"] == "convolutional":
        return "patches"
    if int(line["outputs"]) > 1:
        return f"{line['outputs']} outputs"
    depth = line["widths"].count("-") + 1
    if depth > 1:
        return f"{depth} layers, {line['activation']}"
    product = float(line["product"])
    where = "ρτ < 0.1" if product < 0.1 else "0.1 to 0.5" if product < 0.5 else "≥ 0.5"
    return f"one layer, {line['activation']}, {where}"


def fit(rows: Sequence[Row], names: Sequence[str], level: float = LEVEL) -> dict[str, float]:
    """The weights of the terms named.

    Args:
        rows: that have all of them.
        names: of terms; "constant" is 1 for every row.
        level: q.
    """
    x = _terms(rows, names)
    # a deviation below its own sampling error is not known to be that small
    logs = np.log([max(abs(row.deviation), 0.5 * row.standard_error) for row in rows])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        own = x * np.exp(w)
        bar = own.sum(axis=1) + 1e-12
        u = logs - np.log(bar)
        value = level * u + _SOFT * np.logaddexp(0.0, -u / _SOFT)
        slope = level - 1.0 / (1.0 + np.exp(np.clip(u / _SOFT, -50, 50)))
        return float(value.mean()), -(slope[:, None] * own / bar[:, None]).mean(axis=0)

    rng = np.random.default_rng(0)
    ends = (
        minimize(loss, rng.normal(-1.0, 1.5, len(names)), jac=True, method="L-BFGS-B", bounds=[(-9, 6)] * len(names))
        for _ in range(_STARTS)
    )
    found = np.exp(min(ends, key=lambda end: end.fun).x)
    return {name: float(w) if w > 1e-3 else 0.0 for name, w in zip(names, found)}


def bars(rows: Sequence[Row], weights: dict[str, float]) -> np.ndarray:
    """Half-widths in units of the predicted error."""
    return _terms(rows, tuple(weights)) @ np.array(list(weights.values()))


def _terms(rows: Sequence[Row], names: Sequence[str]) -> np.ndarray:
    return np.array([[1.0 if name == "constant" else row.terms[name] for name in names] for row in rows])


def left_out(rows: Sequence[Row], names: Sequence[str]) -> np.ndarray:
    """Each family's bars, from weights that the other families gave."""
    out = np.empty(len(rows))
    for family in sorted({row.family for row in rows}):
        own = np.array([row.family == family for row in rows])
        weights = fit([row for row in rows if row.family != family], names)
        out[own] = bars([row for row in rows if row.family == family], weights)
    return out


@dataclass(frozen=True)
class Worth:
    """What bars are worth.

    Args:
        rows: how many.
        coverage: share of deviations inside.
        allowing: the same with two standard errors of the sampled number allowed for.
        sharpness: median of bar over deviation.
        medians: median bar over median deviation.
        rank: Spearman's correlation of bar and deviation; NaN of a constant bar.
    """

    rows: int
    coverage: float
    allowing: float
    sharpness: float
    medians: float
    rank: float


def worth(rows: Sequence[Row], bar: np.ndarray) -> Worth:
    """Coverage, sharpness and rank correlation."""
    deviation = np.abs([row.deviation for row in rows])
    error = np.array([row.standard_error for row in rows])
    constant = float(np.ptp(bar)) < 1e-12
    return Worth(
        rows=len(rows),
        coverage=float(np.mean(deviation <= bar)),
        allowing=float(np.mean(deviation <= bar + 2.0 * error)),
        sharpness=float(np.median(bar / np.maximum(deviation, 1e-12))),
        medians=float(np.median(bar) / np.median(deviation)),
        rank=float("nan") if constant else float(spearmanr(bar, deviation)[0]),
    )
