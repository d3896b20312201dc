"""The phase diagram and the story as tables: what a person can read without the paper. Figures: probe_figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_STYLE = {"collapsed": "green", "memorised": "red", "partial": "yellow"}
_COLUMNS = {
    "overlap": "overlap",
    "n90": "found",
    "memorisation": "m",
    "training_error": "training",
    "test_error": "test",
    "kurtosis": "kurtosis",
}
_FOUND, _REMEMBERED = 0.95, 0.9  # overlap and m beyond which a partial verdict is worded


def phase_table(diagram: Any) -> RenderableType:
    """Every cell of the diagram: verdict, seeds that agree, medians; and where the verdict changes, in words.

    Args:
        diagram: from `probes.phase_diagram`.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("N1", "P", "P/(N0 N1)", "verdict", *_COLUMNS.values()):
        table.add_column(title, justify="left" if title == "verdict" else "right", no_wrap=True)
    medians, verdicts = {name: diagram.median(name) for name in _COLUMNS}, diagram.verdicts
    for i, N1 in enumerate(diagram.units):
        for j, size in enumerate(diagram.sizes):
            said = verdicts[i][j]
            agree = round(said.fractions[said.word] * said.seeds)
            word = Text.assemble((said.word, _STYLE[said.word]), (f" {agree}/{said.seeds}", "dim"))
            cells = [_number(medians[name][i, j], name) for name in _COLUMNS]
            last = j == len(diagram.sizes) - 1
            table.add_row(str(N1), str(diagram.examples[i, j]), f"{size:g}", word, *cells, end_section=last)
    notes = Padding(Group(*map(Text, _sentences(diagram, verdicts)), _NOTE), (0, 0, 1, 0))
    return Group(_heading(diagram), table, notes)


_NOTE = Text(
    "Medians over the seeds; n/N after a verdict: seeds that alone would have it. overlap, found: with the teacher's "
    "units, and how many; m: memorisation, 1 by rote; errors in units of the target's power; kurtosis: of the error on "
    "fresh inputs, – where nothing is left of it.",
    style="dim",
)


def _heading(diagram: Any) -> RenderableType:
    recipe = diagram.recipe
    how = [f"{diagram.activation} students by {recipe.method}", f"at most {recipe.restarts} restarts"]
    how += [f"{diagram.seeds} seeds"]
    how += [f"label noise {recipe.noise:g}"] if recipe.noise else []
    how += [f"{recipe.shuffled:.0%} of the labels shuffled"] if recipe.shuffled else []
    return Padding(Text.assemble("teacher: ", (diagram.teacher, "bold"), f"\n{', '.join(how)}"), (1, 0, 0, 0))


def _sentences(diagram: Any, verdicts: Any) -> list[str]:
    """Of each width, what becomes of it as the examples grow."""
    lines = []
    for i, N1 in enumerate(diagram.units):
        parts: list[str] = []
        before = ""
        for j in np.argsort(diagram.sizes):
            said = _words(verdicts[i][j])
            if said != before:
                parts.append(f"{'from' if parts else 'at'} P = {diagram.examples[i, j]} it {said}")
            before = said
        lines.append(f"Width {N1}: {'; '.join(parts)}.")
        narrow = verdicts[i][-1].evidence.get("copy_average")
        if narrow is not None:
            lines.append(f"It is narrower than its teacher: copies and one average would overlap {narrow:.3f}.")
    return lines


def _words(said: Any) -> str:
    """A verdict as the end of a sentence."""
    if said.word == "collapsed":
        return "has become its teacher"
    if said.word == "memorised":
        return "knows its examples by heart and is wrong elsewhere"
    q, m = said.evidence["overlap"], said.evidence["memorisation"]
    if q is not None and q > _FOUND:
        return "has found its teacher, but would still follow much of a change of its labels"
    if m is not None and m > _REMEMBERED:
        return "fits its examples by heart, and is not far off elsewhere"
    return "is neither its teacher nor a list of its examples"


def report_table(report: Any, *, name: str) -> RenderableType:
    """One student's probes: value, what chance gives, how many deviations that is away, in words.

    Args:
        report: from `probes.report`.
        name: which student it is.
    """
    from widthwise.probes.table import WORDS

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for title in (name, "value", "by chance", "effect"):
        table.add_column(title, justify="left" if title == name else "right", no_wrap=True)
    table.add_column("in words", style="dim")
    for key, probe in report.probes.items():
        words, meaning = WORDS[key]
        if probe.value is not None:
            null = "" if probe.null_mean is None else f"{probe.null_mean:.3f} ± {probe.null_deviation or 0.0:.3f}"
            effect = "" if probe.effect is None else f"{probe.effect:+.1f}"
            table.add_row(words, _number(probe.value, key), null, effect, meaning)
    return table


def story_table(stories: Mapping[str, Any], *, name: str) -> RenderableType:
    """Theory and student side by side, for each of a few tasks such as true and shuffled labels.

    Args:
        stories: title ↦ `probes.story`.
        name: what the data are.
    """
    from widthwise.probes.story import LINES

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for title in stories:
        table.add_column(f"{title}\ntheory", justify="right", no_wrap=True, style="dim")
        table.add_column("\nstudent", justify="right", no_wrap=True, style="bold")
    for line, (words, _) in LINES.items():
        values = [getattr(told, side)[line] for told in stories.values() for side in ("theory", "student")]
        if any(value is not None for value in values):
            table.add_row(words, *(_number(math.nan if v is None else v, line) for v in values))
    shuffled = [told.report.shuffled_r2.value for told in stories.values()]
    if any(value is not None for value in shuffled):
        cells = [cell for value in shuffled for cell in ("–", _number(math.nan if value is None else value, ""))]
        table.add_row("R² on permuted labels", *cells)
    first = next(iter(stories.values()))
    validity = ", ".join(f"{title} {told.validity}" for title, told in stories.items())
    heading = Text.assemble((name, "bold"), f"\n{first.network}, P = {first.examples}, p = {first.report.parameters}")
    notes = Text(
        f"Theory: the posterior at temperature {first.temperature:g} (its own judgement: {validity}); student: trained "
        "to the least training error. Errors in units of the target's power; alignment 1: the layer knows only the "
        "labels; m 1: by rote.",
        style="dim",
    )
    return Group(Padding(heading, (1, 0, 0, 0)), table, Padding(notes, (0, 0, 1, 0)))


def _number(value: Any, name: str) -> str:
    number = float(value)
    if not math.isfinite(number):
        return "–"
    if name == "n90":
        return f"{number:g}"
    if "error" in name and abs(number) < 1e-12:
        return "0"
    if name == "off_overlap" and abs(number) < 1e-9:
        return "0.000"
    return f"{number:.1e}" if 0 < abs(number) < 1e-3 and "error" in name else f"{np.round(number, 3):.3f}"
