"""The table and the figures of a phase diagram show what they were given."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from widthwise.posterior.phase_diagram import PhaseDiagram, PhasePoint
from widthwise.report.figures import render
from widthwise.report.phases import diagram_figure, diagram_table, neuron_figure


def point(N, T, m, *, separated=True, stable=1, phases=1, status="converged", test=0.8, saturated=False):
    return PhasePoint(
        N, T, 64 / N, 0.3 * m + 0.1 * 64 / N, m, m / N, 7.5, 0.6, separated, saturated, stable, phases, 2.5, 0.1, 0.1,
        0.08, None if test is None else 1.05 * test, test, status,
    )  # fmt: skip


def diagram(**changes):
    return PhaseDiagram(
        "erf network, hidden width N", 64, (32, 8), (0.1, 1.0),
        (
            (point(32, 0.1, 1.0, phases=2, **changes), point(32, 1.0, 0.02, stable=0, **changes)),
            (
                point(8, 0.1, 2.1, saturated=True, **changes),
                point(8, 1.0, 0.7, separated=False, stable=None, status="not mixed", **changes),
            ),
        ),
    )  # fmt: skip


def printed(what):
    stream = StringIO()
    Console(file=stream, width=140).print(what)
    return stream.getvalue()


def test_the_table_says_who_specialised():
    text = printed(diagram_table(diagram(), name="mnist"))
    for words in (
        "mnist: erf network", "2 phases, m = 1 stable", "Gaussian", "m = 1; more neurons", "gradual; not mixed",
        "2.10", "+2.50", "0.8000", "0.8400", "test error",
    ):  # fmt: skip
        assert words in text
    assert "training error" in printed(diagram_table(diagram(test=None)))
    plain = str(diagram())
    assert "2 phases, m = 1 stable" in plain
    assert "0.8400" in plain


@pytest.mark.parametrize("test", [0.8, None])
def test_the_diagram_has_loads_from_left_to_right_and_the_contours(test):
    figure = diagram_figure(diagram(test=test), title="Where neurons specialise")
    left, right = figure.axes[:2]
    assert [label.get_text().split("\n")[0] for label in left.get_xticklabels()] == ["2", "8"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["0.1", "1"]
    assert [note.get_text() for note in left.texts[:4]] == ["1", "2.1", "0.02", "0.7"]
    assert {note.get_text() for note in right.texts[:4]} == ({"+5"} if test else {"+25"})
    assert ["rho" in text.get_text() for text in figure.legends[0].texts] == [True, True]
    assert len(left.collections) == 2  # cells and contours
    assert render(figure, "png").startswith(b"\x89PNG")


def test_a_row_of_points_has_no_contours():
    whole = diagram()
    row = PhaseDiagram(whole.network, 64, (32,), whole.temperatures, whole.points[:1])
    assert len(diagram_figure(row, title="").axes[0].texts) == 2


def test_the_one_neuron_law_is_a_density(rng):
    q = rng.normal(size=(50, 4)) ** 2 / 16
    figure = neuron_figure({"N = 16": (q, None, q), "N = 8": (q, np.full((50, 1), 0.1), None)}, title="t")
    first, second = figure.axes
    x, y = first.lines[0].get_data()
    assert np.nansum(y) * (x[1] - x[0]) == pytest.approx(1.0)
    np.testing.assert_allclose(second.lines[0].get_ydata(), y)  # equal weights, whatever they add up to
    assert len(first.patches) == 1 > len(second.patches)
