"""Rows of a measurement as a csv file beside its page, and back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def elsewhere(path: Path, rows: list[Row]) -> list[Row]:
    """The rows of an earlier run that this one did not make, as where its data are not at hand: they stay as they are.

    Args:
        path: of the earlier run's csv file; it may be missing.
        rows: of this run, with a `name`.
    """
    if not path.is_file():
        return []
    measured = {row["name"] for row in rows}
    with path.open(newline="") as file:
        kept = [line for line in csv.DictReader(file) if line["name"] not in measured]
    return [{name: _value(text) for name, text in line.items()} for line in kept]


def as_csv(rows: list[Row]) -> bytes:
    """One line each, seven digits; what a row lacks is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{v:.7g}" if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    return text.getvalue().encode()


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None
