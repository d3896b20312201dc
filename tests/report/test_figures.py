"""The figure draws what it was given."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from widthwise.errors import InputError
from widthwise.report.figures import Curve, SampledPoint, figure_format, prediction_figure, render

WIDTHS = np.unique(np.geomspace(10, 10_000, 30).round())


def curve():
    return Curve(WIDTHS, 0.1 + 1 / WIDTHS, 0.02 + 0.1 / WIDTHS, 0.1, 0.02)


def action(Q):
    return Q - np.log(Q) + 0.8 * np.log(0.01 + Q) + 0.4 / (0.01 + Q)


def draw(**changes):
    options = {"width": 200, "title": "digits", "subtitle": "T", "sampled": [SampledPoint(200, 0.11, 0.002)]}
    return prediction_figure(action, 0.65, curve(), **(options | changes))


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_the_lines_are_the_numbers():
    left, right = draw().axes
    Q, S = left.lines[0].get_data()
    np.testing.assert_allclose(S, action(Q))
    assert Q.min() < 0.65 < 1 < Q.max()
    assert any(line.get_xdata()[0] == 0.65 for line in left.lines)
    np.testing.assert_array_equal(
        lines(right)["test error"].get_xydata(), np.column_stack([WIDTHS, curve().test_error])
    )
    flat = {line.get_ydata()[0] for line in right.lines if len(line.get_ydata()) == 2 and line.get_linestyle() == "--"}
    assert flat == {0.1, 0.02}
    assert right.get_xscale() == "log"
    assert "width" in right.get_xlabel()
    [points] = right.containers
    assert points.lines[0].get_xydata().tolist() == [[200, 0.11]]
    [segment] = points.lines[2][0].get_segments()
    assert segment[:, 1] == pytest.approx([0.106, 0.114])


def test_without_an_action_there_is_one_panel():
    figure = prediction_figure(None, None, curve(), width=200, title="deep")
    assert len(figure.axes) == 1
    assert figure.axes[0].containers == []


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_it_renders_in_every_format(kind):
    content = render(draw(), kind)
    assert len(content) > 5000
    assert content.lstrip()[:5] in (b"\x89PNG\r", b"%PDF-", b"<?xml")


def test_the_picture_is_not_blank():
    image = imread(io.BytesIO(render(draw(), "png")))
    assert image.shape[1] > 1200
    half = image.shape[1] // 2
    for side in (image[:, :half, :3], image[:, half:, :3]):
        assert np.unique((side * 8).astype(int).reshape(-1, 3), axis=0).shape[0] > 10
        assert 0.005 < (side.min(axis=2) < 0.9).mean() < 0.3


def test_formats():
    assert figure_format("a.PNG") == "png"
    for bad in ("a.jpeg", "a", "a.pngg"):
        with pytest.raises(InputError, match="figure format"):
            figure_format(bad)


def test_pyplot_is_never_imported():
    code = "import sys, widthwise.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
