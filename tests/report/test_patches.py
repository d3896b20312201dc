"""The heat map shows the numbers it was given, with infinite width at the middle of the colours."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from widthwise.errors import InputError
from widthwise.report.figures import render
from widthwise.report.patches import renormalisation_figure


@pytest.fixture
def Q(rng):
    V = rng.standard_normal((6, 20))
    return V @ V.T / 20


def test_the_images_are_the_numbers(Q):
    left, right = renormalisation_figure(Q, (2, 3), title="t").axes[:2]
    np.testing.assert_array_equal(left.images[0].get_array(), Q.diagonal().reshape(2, 3))
    np.testing.assert_array_equal(right.images[0].get_array(), Q - np.eye(6))
    assert [text.get_text() for text in left.texts] == [f"{value:.2f}" for value in Q.diagonal()]
    for axes, centre, largest in ((left, 1.0, Q.diagonal() - 1), (right, 0.0, Q[~np.eye(6, dtype=bool)])):
        low, high = axes.images[0].get_clim()
        assert low + high == pytest.approx(2 * centre)
        assert high - centre == pytest.approx(np.abs(largest).max())


def test_several_layers_are_measured_from_their_own_infinite_width(Q, rng):
    wide = np.diag([0.5, 1.0, 2.0, 0.0, 1.0, 1.0]) + 0.1
    wide[3] = wide[:, 3] = 0.0
    left, right = renormalisation_figure(Q, (2, 3), title="t", infinite=wide).axes[:2]
    seen = [0, 1, 2, 4, 5]
    shown = left.images[0].get_array().ravel()
    np.testing.assert_allclose(shown[seen], Q.diagonal()[seen] / wide.diagonal()[seen])
    assert shown[3] == 1.0  # no patch above sees it
    np.testing.assert_array_equal(right.images[0].get_array(), Q - wide)


@pytest.mark.parametrize(("grid", "size"), [((1, 1), 1), ((1, 6), 6), ((8, 12), 96)])
def test_nothing_moved_and_every_grid(grid, size):
    figure = renormalisation_figure(np.eye(size), grid, title="t", subtitle="s")
    for axes, centre in zip(figure.axes[:2], (1.0, 0.0)):
        low, high = axes.images[0].get_clim()
        assert low < centre < high
    image = imread(io.BytesIO(render(figure, "png")))
    assert image.shape[1] > 1200
    assert (image[..., :3].min(axis=2) < 0.5).mean() > 0.001


@pytest.mark.parametrize("bad", [np.eye(5), np.ones(6), np.full((6, 6), np.nan)], ids=["size", "vector", "nan"])
def test_bad_order_parameters(bad):
    with pytest.raises(
        InputError, match=r"^order parameter: expected finite numbers of shape \(6, 6\) for 2x3 .*, got"
    ):
        renormalisation_figure(bad, (2, 3), title="t")
