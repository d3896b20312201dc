"""The last layer's report as a plain text table."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from widthwise.bound.last_layer import LastLayerReport
    from widthwise.bound.refit import ReadoutBound

WIDTH = 100
_HOLDS = {True: "below the bound", False: "above the bound", None: "undecided"}

Line = tuple[str, str]


def lines(report: LastLayerReport) -> list[Line]:
    """The network's rows: what, how much."""
    rows = [
        ("status", str(report.status)),
        ("training examples P", str(report.P)),
        ("features N_out", str(report.features)),
        ("effective size N_eff", str(report.effective_size)),
        ("2 N_eff/P, of the target power", f"{report.asymptotic_bound:.4g}"),
        ("target power T_y", f"{report.target_power:.4g}"),
        ("training error", str(report.training_error)),
    ]
    if report.gap is not None:
        rows += [
            ("test error", str(report.generalisation_error)),
            ("gap/T_y", f"{report.relative_gap}, {_HOLDS[report.holds]}"),
        ]
    if report.in_sample is not None:
        rows += [("error left out (PRESS)", str(report.in_sample.press)), ("τ", _known(report.in_sample.tau))]
    return rows


def refit_lines(bound: ReadoutBound) -> list[Line]:
    """The refitted readout's rows."""
    return [
        ("status", str(bound.status)),
        ("fresh examples P", str(bound.P)),
        ("effective size N_eff", str(bound.effective_size)),
        ("2 N_eff/P, of the target power", f"{bound.asymptotic_bound:.4g}"),
        ("memorisation m", f"{bound.memorisation:.4g}"),
        ("training error", f"{bound.training_error:.4g}"),
        ("error left out (PRESS)", str(bound.press)),
        ("error by GCV", f"{bound.gcv:.4g}"),
        ("gap/T_y", f"{bound.relative_gap}, {_HOLDS[bound.holds]}"),
        ("gap/test error", f"{bound.ratio}; 1 − (1 − m)² = {bound.predicted_ratio:.4g}"),
        ("τ", _known(bound.tau)),
    ]


def report(report: LastLayerReport) -> str:
    """Both tables with their reasons."""
    parts = [*_table("The network", lines(report)), *_wrapped(report.reason)]
    if report.readout_bound is not None:
        parts += ["", *_table("The readout, refitted on fresh examples", refit_lines(report.readout_bound))]
        parts += _wrapped(report.readout_bound.reason)
    return "\n".join(parts)


def _known(value: Any) -> str:
    return "–" if value is None else str(value)


def _table(title: str, rows: list[Line]) -> list[str]:
    wide = max(len(name) for name, _ in rows)
    return [title, *(f"  {name.ljust(wide)}  {value}" for name, value in rows)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")
