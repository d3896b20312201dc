"""Rows of `make bench-probes`, chosen and judged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Row = dict[str, Any]
ZERO = 1e-15  # relative training error of an optimiser at zero loss
VARIANTS = {
    ("gauss-newton", 0.0): "no noise, Gauss–Newton",
    ("gauss-newton", 0.05): "noise 0.05, Gauss–Newton",
    ("adam", 0.05): "noise 0.05, Adam",
}


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


def sizes_of(rows: list[Row]) -> list[int]:
    return sorted({int(row["P"]) for row in rows})


def network_of(row: Row) -> str:
    return f"{row['activation']} {row['N0']}-{row['M']}, width {row['N1']}"


def curve(rows: list[Row], shuffled: float) -> Iterator[tuple[str, list[tuple[float, list[Row]]]]]:
    """Of each network of the curve: P/p with its runs, labelled ones included."""
    part = "shuffled" if shuffled else "between"
    for name in dict.fromkeys(network_of(row) for row in of(rows, part)):
        own = [row for row in of(rows, part) + of(rows, "labelled", shuffled=shuffled) if network_of(row) == name]
        yield name, [(P / own[0]["p"], [row for row in own if row["P"] == P]) for P in sizes_of(own)]
