"""Collapsed to its teacher, or memorised? One word over several seeds, with what it rests on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from widthwise.errors import DataWarning, InputError
from widthwise.probes.report import Report

Word = Literal["collapsed", "memorised", "partial"]

SEEDS = 5
COLLAPSED_OVERLAP = 0.95  # q above
COLLAPSED_MEMORY = 0.5  # m below
MEMORISED_MEMORY = 0.9  # m above
MEMORISED_ERROR = 0.1  # ε_g/T_y above

_MEDIANS = (
    "overlap",
    "n90",
    "subspace",
    "participation",
    "kurtosis",
    "memorisation",
    "shuffled_r2",
    "test_error",
    "training_error",
)


@dataclass(frozen=True)
class Verdict:
    """What became of students of one task.

    Args:
        word: "collapsed", "memorised" or "partial", by the medians.
        evidence: the median of each probe over the reports that have it, None where none has; `copy_average`, the
            overlap of copies and one average, None where N1 ≥ M.
        fractions: of the seeds that each word would fit, one by one.
        reason: in words.
        seeds: how many reports.
    """

    word: Word
    evidence: dict[str, float | None]
    fractions: dict[str, float]
    reason: str
    seeds: int

    def records(self) -> dict[str, Any]:
        """As plain values, for files."""
        return {**vars(self), "evidence": dict(self.evidence), "fractions": dict(self.fractions)}

    def __str__(self) -> str:
        count = "1 seed" if self.seeds == 1 else f"{self.seeds} seeds"
        each = ", ".join(f"{share:.0%} {word}" for word, share in self.fractions.items() if share)
        known = [f"{name} {value:.3g}" for name, value in self.evidence.items() if value is not None]
        return "\n".join([f"{self.word} ({count}: {each})", self.reason, f"medians: {', '.join(known)}"])


def verdict(reports: Any) -> Verdict:
    """What became of the students of one task, trained from several seeds: one word, by medians.

        collapsed   q > 0.95, n90 = min(M, N1) and m < 0.5
        memorised   m > 0.9 and ε_g/T_y > 0.1
        partial     anything else, and whatever is not known well enough to say

    A student narrower than its teacher cannot have q > 0.95 of 20 units or fewer: it is at best partial, and its
    overlap is to be read beside that of copies and one average, (N1 − 1 + 1/√(M − N1 + 1))/M. Without a teacher
    nothing can be said to have collapsed; memorised needs m and a test error.

    Args:
        reports: of one task and size; five at least, since single students get stuck.

    Returns:
        A `Verdict`.

    Warns:
        DataWarning: fewer than five.

    Raises:
        InputError: none, or of different sizes.
    """
    if not isinstance(reports, Report | Iterable):
        raise InputError(f"reports: expected a list of ww.probes.report's results, got {type(reports).__name__}.")
    seeds = [reports] if isinstance(reports, Report) else list(reports)
    for entry in seeds:
        if not isinstance(entry, Report):
            raise InputError(f"reports: expected the results of ww.probes.report, got {type(entry).__name__}.")
    if not seeds:
        raise InputError("reports: expected one for each seed, got none; pass [ww.probes.report(…), …].")
    sizes = {(r.inputs, r.teacher_units, r.width, r.examples) for r in seeds}
    if len(sizes) > 1:
        shown = " and ".join(map(str, sorted(sizes, key=str)[:2]))
        raise InputError(f"reports: expected one task and size, got (N0, M, N1, P) = {shown}; judge each apart.")
    if len(seeds) < SEEDS:
        warnings.warn(
            f"reports: expected {SEEDS} seeds or more, got {len(seeds)}; one stuck student can decide: train more.",
            DataWarning,
            stacklevel=2,
        )
    evidence = {name: _median([getattr(r, name).value for r in seeds]) for name in _MEDIANS}
    first = seeds[0]
    word = judge(evidence, first)
    each = [judge({name: getattr(r, name).value for name in _MEDIANS}, r) for r in seeds]
    fractions = {name: each.count(name) / len(each) for name in ("collapsed", "memorised", "partial")}
    evidence["copy_average"] = first.copy_average
    return Verdict(word, evidence, fractions, _reason(word, evidence, first), len(seeds))


def judge(evidence: dict[str, float | None], sizes: Report) -> Word:
    """The word for these numbers.

    Args:
        evidence: probes by name, None for what is unknown.
        sizes: a report with M and N1.
    """
    q, n90, m, error = (_number(evidence[name]) for name in ("overlap", "n90", "memorisation", "test_error"))
    wanted = math.nan if sizes.teacher_units is None or sizes.width is None else min(sizes.teacher_units, sizes.width)
    if q > COLLAPSED_OVERLAP and n90 == wanted and m < COLLAPSED_MEMORY:
        return "collapsed"
    return "memorised" if m > MEMORISED_MEMORY and error > MEMORISED_ERROR else "partial"


def _reason(word: Word, evidence: dict[str, float | None], sizes: Report) -> str:
    q, n90, m, error = (evidence[name] for name in ("overlap", "n90", "memorisation", "test_error"))
    said = []
    if q is None:
        said.append("There are no teacher's units to compare with, so that it cannot be said to have collapsed.")
    else:
        M, N1 = sizes.teacher_units or 0, sizes.width or 0
        said.append(f"Overlap {q:.3g}, {n90:g} of {min(M, N1)} units found.")
        if sizes.copy_average is not None:
            said.append(
                f"With {N1} units for the teacher's {M} it cannot copy all; {_copies(N1 - 1)} would "
                f"overlap {sizes.copy_average:.3g}."
            )
    said.append("m is not known: neither word can be given." if m is None else f"m = {m:.3g}{_meaning(m)}.")
    if error is None:
        said.append("The test error is not known, so that it cannot be said to have memorised.")
    else:
        said.append(f"Test error {error:.3g} of the target's power.")
    if word == "partial" and m is not None and (q is not None or error is not None):
        said.append("Neither all of 'collapsed' nor all of 'memorised' holds.")
    return " ".join(said)


def _copies(n: int) -> str:
    return "one average" if n == 0 else f"{n} {'copy' if n == 1 else 'copies'} and one average"


def _meaning(m: float) -> str:
    if m > MEMORISED_MEMORY:
        return ", it follows its labels by rote"
    return ", it ignores most of a change of its labels" if m < COLLAPSED_MEMORY else ""


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
