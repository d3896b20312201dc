"""examples/student_t.py: its table is what the page says, its figure has what the page describes."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("student_t_example", ROOT / "examples" / "student_t.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(table):
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines() if line]


def test_the_page_has_the_tables_of_the_example(example):
    new, old = cells(example.tables(20_000)), cells((ROOT / "docs" / "student-t.md").read_text().split("-->\n")[1])
    assert len(new) == len(old)
    for one, other in zip(new, old):
        drawn = "network" in one[1]
        if not (drawn or "32 digits" in one[1]):
            assert one == other
        elif "32 digits" not in one[1]:
            assert one[:3] == other[:3]
            assert one[5] == other[5]
            assert float(one[3]) == pytest.approx(float(other[3]), rel=0.15)


@pytest.mark.slow
def test_the_figure_has_nine_panels(example):
    drawn = example.figure(2_000)
    assert len(drawn.axes) == 9
    assert all(axes.get_title(loc="left") for axes in drawn.axes)
