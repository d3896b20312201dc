"""The last layer's report in words: the network beside its refitted readouts, cell by cell, and as plain text."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widthwise.bound.last_layer import LastLayerReport

WIDTH = 100
LABELS = {
    "P": "examples P",
    "size": "effective size N_eff",
    "training": "training error",
    "test": "test error",
    "gap": "gap, of the target power",
    "bound": "  the bound 2 N_eff/P",
    "holds": "  the gap lies",
    "m": "memorisation m",
    "ratio": "gap, of the test error",
    "predicted": "  predicted 1 − (1 − m)²",
    "twice": "  its limit 2m",
    "gcv": "test error by GCV",
    "tau": "τ, 1 if Gaussian",
    "status": "status",
}
_HOLDS = {True: "below", False: "above", None: "undecided"}


def columns(report: LastLayerReport) -> dict[str, dict[str, str]]:
    """Cells by the keys of `LABELS`, of the network and of each readout refitted."""
    found = {
        "network": {
            "P": str(report.P),
            "size": str(report.effective_size),
            "training": str(report.training_error),
            "test": _known(report.generalisation_error),
            "gap": _known(report.relative_gap),
            "bound": f"{report.asymptotic_bound:.4g}",
            "holds": "" if report.relative_gap is None else _HOLDS[report.holds],
            "status": words(report.status),
        }
    }
    if report.in_sample is not None:
        fit = report.in_sample
        relative, bound = fit.gap / report.target_power, 2 * fit.effective_size / fit.P
        own = _refit(fit, relative, bound, fit.ratio.below(2 * fit.memorisation))
        found["refitted in-sample"] = own | {"holds": _HOLDS[relative.below(bound)]}
    if report.readout_bound is not None:
        again = report.readout_bound
        own = _refit(again, again.relative_gap, again.asymptotic_bound, again.within_twice_m)
        found["refitted on fresh"] = own | {"holds": _HOLDS[again.holds], "status": words(again.status)}
    return found


def heading(report: LastLayerReport) -> str:
    """What the layer is, and what it was trained on."""
    lost = report.features + 1 - report.effective_size
    fewer = report.effective_size < report.P  # otherwise it is the examples that are few
    rank = f", {lost} of them dead or linear in others" if lost > 0 and fewer else ""
    trunk = "trained on these examples" if report.trunk_trained else "fixed beforehand"
    return (
        f"a last layer of {report.features} features{rank}\n"
        f"{report.P} training examples, variance of the targets {report.target_power:.4g}, trunk {trunk}"
    )


def said(report: LastLayerReport) -> list[tuple[str, str, str]]:
    """Column, status and reason, of those that have one."""
    found = [("network", str(report.status), report.reason)]
    if report.readout_bound is not None:
        found.append(("refitted on fresh", str(report.readout_bound.status), report.readout_bound.reason))
    return found


def notes(report: LastLayerReport) -> str:
    """What the numbers are."""
    fit = report.readout_bound or report.in_sample
    first = "Errors are mean squares; ± is one standard error."
    if fit is None:
        return first
    with_ridge = f", ridge {fit.ridge:g}" if fit.ridge else ""
    return f"{first} Refitted readouts{with_ridge}: the test error is that of leaving one out (PRESS)."


def plain(report: LastLayerReport) -> str:
    """All of it, without a terminal's means."""
    found = columns(report)
    rows = [
        ["", *found],
        *([label, *(cells.get(key, "") for cells in found.values())] for key, label in LABELS.items()),
    ]
    rows = [row for row in rows if any(row[1:])]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(wide[0]), *(cell.rjust(w) for cell, w in zip(row[1:], wide[1:]))]).rstrip()
        for row in rows
    ]
    reasons = [f"{column}: {words(status)}. {reason}" for column, status, reason in said(report)]
    wrapped = [line for text in (*reasons, notes(report)) for line in textwrap.wrap(text, WIDTH)]
    return "\n".join([heading(report), "", *lines, "", *wrapped])


def words(status: Any) -> str:
    """A status as it is read."""
    return str(status).replace("_", " ")


def _refit(fit: Any, relative: Any, bound: float, twice: bool | None) -> dict[str, str]:
    return {
        "P": str(fit.P),
        "size": str(fit.effective_size),
        "training": f"{fit.training_error:.4g}",
        "test": str(fit.press),
        "gap": str(relative),
        "bound": f"{bound:.4g}",
        "m": f"{fit.memorisation:.4g}",
        "ratio": str(fit.ratio),
        "predicted": f"{fit.predicted_ratio:.4g}",
        "twice": f"{_HOLDS[twice]} {2 * fit.memorisation:.4g}",
        "gcv": f"{fit.gcv:.4g}" if math.isfinite(fit.gcv) else "–",
        "tau": _known(fit.tau),
    }


def _known(value: Any) -> str:
    return "–" if value is None else str(value)
