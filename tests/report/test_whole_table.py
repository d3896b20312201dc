"""No cell is cut: columns that do not fit follow below, and of too wide a one the lines are folded."""

import io

import pytest
from rich.console import Console

from widthwise.report.whole_table import Column, WholeTable

TABLE = WholeTable(
    ["test error", "  bias", "τ"],
    [Column("first", ["0.123 ± 0.004", "1", "2"]), Column("second", ["7", "", ""]), Column("third", ["", "8", "9"])],
)


def lines(width, table=TABLE):
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return [line.split() for line in file.getvalue().splitlines() if line.strip()]


def test_side_by_side_where_there_is_room():
    assert [row[0] for row in lines(80)] == ["first", "─" * 43, "test", "bias", "τ"]
    assert lines(80)[2][2:] == ["0.123", "±", "0.004", "7"]


@pytest.mark.parametrize("width", range(28, 47))
def test_below_each_other_where_there_is_not(width):
    said = lines(width)
    assert next(row for row in said if "±" in row)[2:5] == ["0.123", "±", "0.004"]
    assert sum(row[0] == "test" for row in said) == (2 if width < 37 else 1)
    assert ["bias", "8"] in said or ["bias", "1", "8"] in said
    assert all("…" not in word for row in said for word in row)


def test_rows_that_say_nothing_are_left_out():
    assert [row for row in lines(40) if row[0] == "test"] == [["test", "error", "0.123", "±", "0.004", "7"]]
    assert lines(40)[-2:] == [["bias", "8"], ["τ", "9"]]


@pytest.mark.parametrize("width", [8, 12, 20])
def test_a_column_wider_than_the_terminal_is_folded(width):
    one = WholeTable(["a"], [Column("x", ["1234567890123456789012345"])])
    digits = "".join(word for row in lines(width, one) for word in row if word.isdigit())
    assert digits == "1234567890123456789012345"
