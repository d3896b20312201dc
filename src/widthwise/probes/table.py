"""A report, and a verdict, as plain text that a person can read without the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from widthwise.bound.measurement import Measurement

if TYPE_CHECKING:
    from widthwise.probes.probe import Probe
    from widthwise.probes.report import Report

# name: how it is called, what its ends mean
WORDS = {
    "overlap": ("overlap q", "1: every teacher's unit has a student's unit of its own direction"),
    "overlap_excess": ("overlap above chance", "0: as a random student; 1: full overlap"),
    "off_overlap": ("off-overlap", "cosine with teacher's units that are not one's own; small: clean copies"),
    "n90": ("units found", "teacher's units followed to |cosine| > 0.9"),
    "subspace": ("subspace", "1: reads the teacher's directions only; M/N0: random ones"),
    "participation": ("features learnt", "effective number of first-layer features; collapsed: about M"),
    "cka": ("likeness (CKA)", "of the hidden layers; 1: the same up to a rotation"),
    "kurtosis": ("error's excess kurtosis", "0: Gaussian error; clearly above: broken by collapse"),
    "negentropy": ("error's negentropy", "0: Gaussian error; in nats"),
    "memorisation": ("memorisation m", "response to label noise; 1: by rote, p/P: no more than it must"),
    "shuffled_r2": ("R² on shuffled labels", "1: could learn anything by heart; 0: nothing"),
    "test_error": ("test error ε_g/T_y", "0: right everywhere; 1: as good as answering 0"),
    "training_error": ("training error ε_t/T_y", "0: every label fitted"),
}


def text(report: Report) -> str:
    """The table: probe, value, random student, effect, in words; what is missing below, with the reason."""
    head = ("probe", "value", "by chance", "effect", "in words")
    rows = [head, *(_row(name, probe) for name, probe in report.probes.items() if probe.value is not None)]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [_sizes(report)]
    lines += ["  ".join((*(cell.ljust(w) for cell, w in zip(row, widths)), row[4])).rstrip() for row in rows]
    if report.copy_average is not None:
        lines.append(
            f"Narrower than its teacher: N1 − 1 copies and one average would overlap {report.copy_average:.4g}."
        )
    lines += [f"{WORDS[name][0]}: –  ({p.reason})" for name, p in report.probes.items() if p.value is None]
    return "\n".join(lines)


def _row(name: str, probe: Probe) -> tuple[str, str, str, str, str]:
    words, meaning = WORDS[name]
    value = str(Measurement(probe.value or 0.0, probe.standard_error or 0.0))
    null = "" if probe.null_mean is None else str(Measurement(probe.null_mean, probe.null_deviation or 0.0))
    return words, value, null, "" if probe.effect is None else f"{probe.effect:+.1f}", meaning


def _sizes(report: Report) -> str:
    known = {
        "N0": report.inputs,
        "M": report.teacher_units,
        "N1": report.width,
        "P": report.examples,
        "p": report.parameters,
    }
    sizes = [f"{name} = {value}" for name, value in known.items() if value is not None]
    return "  ".join(["student", *sizes, *([f"{report.fresh} fresh inputs"] if report.fresh else [])])
