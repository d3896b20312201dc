"""The phase table, the story and their figures show what they were given."""

from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from widthwise.probes import Teacher
from widthwise.probes.experiment import Recipe, Run
from widthwise.probes.phase import PhaseDiagram
from widthwise.probes.probe import Probe
from widthwise.probes.report import Report
from widthwise.probes.story import Story
from widthwise.probes.student import Student
from widthwise.report.figures import render
from widthwise.report.probe_figures import phase_figure, story_figure
from widthwise.report.probes import phase_table, report_table, story_table

NONE = Probe.missing("not asked for")


def report(q=0.5, n90=0, m=1.0, error=0.5, kurtosis=0.1, **sizes):
    names = dict.fromkeys(
        ("overlap_excess", "off_overlap", "subspace", "participation", "cka", "negentropy", "shuffled_r2"), NONE
    )
    values = {
        "overlap": Probe(q, None, 0.3, 0.05),
        "n90": Probe(n90),
        "memorisation": Probe(m),
        "test_error": Probe(error),
    }
    values |= {"kurtosis": NONE if kurtosis is None else Probe(kurtosis), "training_error": Probe(1e-20)}
    return Report(**names, **values, **{"inputs": 10, "teacher_units": 2, "width": 2, "parameters": 22} | sizes)


def diagram(cells, sizes=(0.5, 1.0, 2.0), units=(2,)):
    runs = tuple(tuple(tuple(Run(s, r, "converged", 0, 9, 0.1) for s, r in enumerate(c)) for c in row) for row in cells)
    P = np.array([[round(10 * N1 * size) for size in sizes] for N1 in units])
    return PhaseDiagram(
        "2 erf units", 10, 2, sizes, tuple(N / 2 for N in units), P, units, "erf", Recipe(noise=0.1), runs
    )


@pytest.fixture
def phases():
    few = [report(q=0.4 + 0.01 * s) for s in range(5)]
    found = [report(q=1.0, n90=2, m=0.7, error=1e-20, kurtosis=None) for _ in range(5)]
    many = [report(q=1.0, n90=2, m=0.3, error=1e-20, kurtosis=None) for _ in range(4)] + [report()]
    return diagram([[few, found, many]])


def text(table, width=100):
    stream = StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def line(printed, start):
    [found] = [row for row in printed.splitlines() if row.strip().startswith(start)]
    return found.split()


def test_every_cell_has_its_verdict_and_medians(phases):
    printed = text(phase_table(phases))
    cells = [" ".join(row.split()) for row in printed.splitlines() if row.strip().startswith("2 ")]
    assert cells == [
        "2 10 0.5 memorised 5/5 0.420 0 1.000 0 0.500 0.100",
        "2 20 1 partial 5/5 1.000 2 0.700 0 0 –",
        "2 40 2 collapsed 4/5 1.000 2 0.300 0 0 0.100",
    ]
    said = " ".join(printed.split())
    assert (
        "at P = 10 it knows its examples by heart and is wrong elsewhere; from P = 20 it has found its teacher" in said
    )
    assert "from P = 40 it has become its teacher." in said
    assert "label noise 0.1" in said


def test_a_student_narrower_than_its_teacher_is_said_to_be(rng):
    narrow = [report(width=1, copy_average=0.354) for _ in range(5)]
    assert "would overlap 0.354" in text(phase_table(diagram([[narrow]], sizes=(1.0,), units=(1,))))


def test_a_report_is_a_table_that_fits():
    printed = text(report_table(report(), name="one"))
    assert "overlap q" in printed
    assert "+4.0" in printed  # (0.5 − 0.3)/0.05
    assert "CKA" not in printed  # what has no value is left out
    assert max(map(len, printed.splitlines())) <= 100


def test_the_figure_has_its_panels_lines_and_dots(phases):
    path = SimpleNamespace(
        steps=(1, 10, 100),
        examples=40,
        width=2,
        values=lambda name: {"overlap": (0.3, None, 1.0)}.get(name, (1, 0.1, 0)),
    )
    figure = phase_figure(phases, path, title="A title", subtitle="below")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(figure.axes) == 6
    assert "Overlap" in titles[1]
    dots, medians = figure.axes[1].lines[:2]
    assert len(dots.get_ydata()) == 15
    np.testing.assert_allclose(medians.get_ydata(), [0.42, 1.0, 1.0])
    np.testing.assert_allclose(figure.axes[4].lines[1].get_ydata(), [0.0, 0.0, 0.8])
    np.testing.assert_allclose(figure.axes[5].lines[2].get_ydata(), [0.3, np.nan, 1.0])
    assert render(figure, "png").startswith(b"\x89PNG")
    assert render(phase_figure(phases, title="without"), "svg")


def test_the_story_has_theory_beside_student():
    theory = {"Q": 2.0, "alignment_before": 0.1, "alignment_after": 0.4, "participation": None,
              "memorisation": 0.9, "training_error": 0.01, "test_error": 0.3}  # fmt: skip
    student = {**theory, "Q": None, "participation": 3.2, "alignment_after": 0.55, "training_error": 1e-24}
    trained = Student(np.ones((2, 10)), np.ones(2))
    told = Story(theory, student, report(), 0.02, "outside", 60, "erf network, hidden width 6", trained)
    shuffled = Story({**theory, "test_error": 2.5}, student, report(), 0.02, "sound", 60, "erf network", trained)
    stories = {"true labels": told, "shuffled labels": shuffled}
    printed = text(story_table(stories, name="digits"))
    assert line(printed, "alignment with the targets, after")[-4:] == ["0.400", "0.550", "0.400", "0.550"]
    assert line(printed, "order parameter Q")[-4:] == ["2.000", "–", "2.000", "–"]
    assert line(printed, "training error")[-4:] == ["0.010", "0", "0.010", "0"]
    assert "true labels outside, shuffled labels sound" in " ".join(printed.split())
    figure = story_figure(stories, title="A title")
    theirs, own = figure.axes[0].lines[:2]
    np.testing.assert_allclose(theirs.get_ydata(), [0.1, 0.4, 0.9, 0.01, 0.3])
    np.testing.assert_allclose(own.get_ydata(), [0.1, 0.55, 0.9, 0.0, 0.3], atol=1e-12)
    assert render(figure, "pdf").startswith(b"%PDF")


def test_it_is_of_a_real_diagram_too():
    from widthwise.probes import phase_diagram

    teacher = Teacher.linear(4)
    found = phase_diagram(
        teacher, sizes=(4.0,), widths=(1.0,), seeds=5, repeats=0, fresh=100, nulls=20, activation="identity"
    )
    assert "partial" in text(phase_table(found))
