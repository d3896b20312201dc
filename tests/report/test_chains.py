"""The chains' figure draws what it was given, and its band holds what it says."""

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from widthwise.errors import InputError
from widthwise.report.chains import chains_figure
from widthwise.report.figures import render


class Shown:
    """What the figure needs to know of samples."""

    def __init__(self, series, dropped=None, problems=()):
        self._series = series
        self.dropped = np.empty((0, 0)) if dropped is None else dropped
        self.estimates = {name: SimpleNamespace(rhat=1.0131, ess=432.1, ess_tail=210.0) for name in series}
        self.diagnostics = SimpleNamespace(problems=problems)

    def __repr__(self):
        return "the samples"

    def series(self):
        return self._series


@pytest.fixture
def mixed(rng):
    names = ("log_likelihood", "training_error", "generalisation_error")
    return {name: k + rng.normal(size=(4, 400)) for k, name in enumerate(names)}


def histograms(axes, chains):
    """Counts over the expected count, of each chain, from what was drawn."""
    lines = [patch for patch in axes.patches if not patch.get_fill()]
    assert len(lines) == chains
    heights = [patch.get_data() for patch in lines]
    return np.array([(data.values - data.baseline) / 0.45 for data in heights])


def test_the_traces_are_the_draws(mixed):
    panels = chains_figure(Shown(mixed)).axes
    assert len(panels) == 6
    for left, (name, values) in zip(panels[::2], mixed.items()):
        assert left.get_title(loc="left").lower().replace("test", "generalisation") == name.replace("_", " ")
        np.testing.assert_array_equal([line.get_ydata() for line in left.lines], values)
        assert [line.get_color() for line in left.lines] == ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]
        assert not left.patches
    assert panels[1].get_title(loc="left") == "R-hat 1.013, ESS 432 bulk, 210 tail"


def test_what_was_dropped_is_shaded_and_drawn(mixed, rng):
    dropped = -100 * np.ones((4, 50))
    left, _, other, *_ = chains_figure(Shown(mixed, dropped)).axes
    [shade] = left.patches
    assert (shade.get_x(), shade.get_width()) == (0, 50)
    before = [line for line in left.lines if line.get_xdata()[0] == 0]
    np.testing.assert_array_equal([line.get_ydata()[:-1] for line in before], dropped)
    assert all(line.get_xdata()[0] == 50 for line in left.lines if line not in before)
    assert left.get_ylim()[0] > -10  # the kept draws are to be seen
    assert len(other.lines) == 4
    assert left.get_xlim() == other.get_xlim() == (0, 449)


def test_ranks_of_chains_that_agree_are_even_within_the_band(rng):
    inside, seen = 0, 0
    for _ in range(20):
        axes = chains_figure(Shown({"log_likelihood": rng.normal(size=(4, 400))})).axes[1]
        shares = histograms(axes, 4)
        np.testing.assert_allclose(shares.mean(axis=1), 1.0)
        bands = [np.unique(path.get_paths()[0].vertices[:, 1]) for path in axes.collections]
        low, high = ((bands[-1] - 0.0) / 0.45)[[0, -1]]
        inside, seen = inside + np.sum((shares >= low - 1e-9) & (shares <= high + 1e-9)), seen + shares.size
    # counts are whole: the band holds a little more than 95 %
    assert 0.94 < inside / seen < 0.985


def test_a_chain_that_stands_apart_is_seen(rng):
    values = rng.normal(size=(4, 400))
    values[2] += 10
    shares = histograms(chains_figure(Shown({"log_likelihood": values})).axes[1], 4)
    assert (shares[2, :15] == 0).all()
    assert (shares[2, 15:] > 1.8).all()
    # 4 times the expected count is drawn as high as there is room
    assert shares[2].max() == pytest.approx(0.94 / 0.45)


def test_one_chain_is_compared_with_itself(rng):
    values = rng.normal(size=(1, 200))
    values[0, :100] -= 10
    axes = chains_figure(Shown({"log_likelihood": values})).axes[1]
    shares = histograms(axes, 2)
    assert (shares[0, 5:] == 0).all()
    assert (shares[1, :5] == 0).all()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["first half", "second half"]


def test_titles_say_what_it_is_and_what_is_wrong(mixed):
    titles = [
        chains_figure(Shown(mixed, problems=("R-hat 2", "ESS 5")), **options).get_suptitle()
        for options in ({}, {"title": "A", "subtitle": "B"})
    ]
    assert titles == ["the samples\nR-hat 2; ESS 5", "A\nB"]
    assert chains_figure(Shown(mixed)).get_suptitle() == "the samples"


def test_it_renders(rng):
    series = {"log_likelihood": rng.normal(size=(9, 30)), "training_error": np.full((9, 30), 0.2)}
    image = imread(io.BytesIO(render(chains_figure(Shown(series, np.zeros((9, 3)))), "png")))
    assert np.unique((image[..., :3] * 8).astype(int).reshape(-1, 3), axis=0).shape[0] > 10


def test_refusals(rng):
    bad = rng.normal(size=(2, 10))
    bad[1, 3] = np.nan
    for values in (bad, np.ones((3, 1)), np.ones(4), np.ones((0, 5))):
        with pytest.raises(InputError, match="log_likelihood: expected finite numbers"):
            chains_figure(Shown({"log_likelihood": values}))


def test_it_needs_neither_pyplot_nor_the_sampler():
    code = (
        "import sys, widthwise.report.chains; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib.pyplot', 'widthwise.sampling', 'jax')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
