"""The figure draws the rows it was given."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from widthwise.report.figures import render
from widthwise.reproduce.figure import ASIDE, DASHED, error_figure
from widthwise.reproduce.rows import Reproduction, Row

ROWS = tuple(Row("T = 1", x, "test error", 4.0 / x, infinite=5.0 / x, published=4.0 / x) for x in (100.0, 10.0, 40.0))
SAMPLED = replace(
    ROWS[2], sampled=0.11, standard_error=0.002, published_sampled=0.09, published_standard_error=0.005
)  # fmt: skip


def draw(*rows, series=("T = 1",), **options):
    return error_figure(Reproduction("toy", "a title", rows, (), 0.0, {}), series, xlabel="P", **options)


def bars(axes):
    """(x, y, half a bar) of each error bar."""
    found = []
    for container in axes.containers:
        [(x, y)] = container.lines[0].get_xydata()
        [segment] = container.lines[2][0].get_segments()
        found.append((x, y, np.ptp(segment[:, 1]) / 2))
    return np.array(found)


def test_lines_are_theory_and_infinite_width():
    (axes,) = draw(*ROWS).axes
    theory, infinite, published = axes.lines
    np.testing.assert_allclose(theory.get_xydata(), [(10, 0.4), (40, 0.1), (100, 0.04)])
    np.testing.assert_allclose(infinite.get_xydata(), [(10, 0.5), (40, 0.125), (100, 0.05)])
    np.testing.assert_allclose(published.get_xydata(), theory.get_xydata())
    assert infinite.get_linestyle() == "--"
    assert axes.get_xscale() == "log"


def test_bars_are_two_standard_errors_and_the_panel_per_cent_of_theory():
    left, right = draw(*ROWS[:2], SAMPLED).axes
    np.testing.assert_allclose(bars(left), [(40 / ASIDE, 0.09, 0.01), (40 * ASIDE, 0.11, 0.004)])
    np.testing.assert_allclose(bars(right), [(40 / ASIDE, -10.0, 10.0), (40 * ASIDE, 10.0, 4.0)], atol=1e-9)
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "T = 1", "infinite width", "theory, published", "sampled, published", "sampled, ours",
    ]  # fmt: skip


def test_a_single_point_is_a_short_line():
    left, _ = draw(SAMPLED).axes
    theory, infinite = left.collections[:2]
    assert {y for _, y in theory.get_segments()[0]} == {0.1}
    assert {y for _, y in infinite.get_segments()[0]} == {0.125}
    assert DASHED[1] != ()


def test_series_have_their_own_colours_and_others_are_left_out():
    others = [replace(row, series=name) for row in ROWS for name in ("T = 2", "Langevin")]
    (axes,) = draw(*ROWS, *others, series=("T = 1", "T = 2")).axes
    assert len(axes.lines) == 2 * 3
    assert len({line.get_color() for line in axes.lines if line.get_linestyle() == "-"}) == 2


@pytest.mark.parametrize("log_x", [True, False])
def test_it_renders(log_x):
    picture = imread(io.BytesIO(render(draw(SAMPLED, *ROWS[:2], subtitle="under it", log_x=log_x), "png")))
    assert picture.shape[0] > 600
    assert picture.std() > 0.02
