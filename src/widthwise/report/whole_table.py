"""A table whose cells are never cut: columns that a narrow terminal has no room for follow below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

_GAP = 2
_DIVIDER, _EDGES = 1, 2  # blanks of the box


@dataclass(frozen=True)
class Column:
    """A column of values.

    Args:
        title: its heading.
        cells: one per row; "" where it has nothing to say.
        style: of all of them.
    """

    title: str
    cells: Sequence[str | Text]
    style: str = ""

    @property
    def width(self) -> int:
        """Of its widest cell."""
        return max(_width(cell) for cell in (self.title, *self.cells))


@dataclass(frozen=True)
class WholeTable:
    """Labels on the left, columns of values on the right; as many columns side by side as fit.

    Args:
        labels: of the rows; those that begin with blanks are dim.
        columns: left to right.
    """

    labels: Sequence[str]
    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """One table, or several below each other, each with its own columns and the rows that these fill."""
        for columns in self._groups(options.max_width):
            yield self._table(columns)

    def _groups(self, room: int) -> list[list[Column]]:
        groups: list[list[Column]] = []
        for column in self.columns:
            if groups and self._width([*groups[-1], column]) <= room:
                groups[-1].append(column)
            else:
                groups.append([column])
        return groups

    def _width(self, columns: Sequence[Column]) -> int:
        return max(map(cell_len, self.labels)) + sum(_GAP + _DIVIDER + column.width for column in columns) + _EDGES

    def _table(self, columns: Sequence[Column]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP, 0, 0))
        table.add_column("", overflow="fold")
        for column in columns:
            table.add_column(column.title, justify="right", overflow="fold", style=column.style)
        for i, label in enumerate(self.labels):
            cells = [column.cells[i] for column in columns]
            if any(_width(cell) for cell in cells):
                table.add_row(label, *cells, style="dim" if label.startswith("  ") else "")
        return table


def _width(cell: str | Text) -> int:
    return max((cell_len(line) for line in str(cell).split("\n")), default=0)
