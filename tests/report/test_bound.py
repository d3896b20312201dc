"""The table and the figure of the last layer's bound show what they were given."""

import io
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from widthwise.bound.measurement import Measurement
from widthwise.bound.wording import Status
from widthwise.report.bound import bound_figure, bound_table
from widthwise.report.figures import render

SIZES = np.array([20, 40, 100, 400])


def refit(**changes):
    values = {
        "P": 700, "effective_size": 33, "ridge": 0.5, "memorisation": 0.0471, "training_error": 0.2345,
        "gcv": 0.2583, "press": Measurement(0.2591, 0.012), "tau": Measurement(1.31, 0.04),
        "gap": Measurement(0.0246, 0.0011), "relative_gap": Measurement(0.0123, 0.0006),
        "ratio": Measurement(0.0949, 0.0021), "predicted_ratio": 0.09198, "asymptotic_bound": 0.09429,
        "holds": True, "within_twice_m": None, "status": Status.INFORMATIVE, "reason": "It applies.",
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def report(**changes):
    values = {
        "P": 250, "features": 35, "effective_size": 34, "target_power": 2.0, "asymptotic_bound": 0.272,
        "trunk_trained": True, "status": Status.OUTSIDE_ASSUMPTION, "reason": "The trunk was trained.",
        "training_error": Measurement(0.0512, 0.0031), "generalisation_error": Measurement(0.91, 0.05),
        "gap": Measurement(0.8588, 0.05), "relative_gap": Measurement(0.4294, 0.025), "holds": False,
        "readout_bound": refit(), "in_sample": None,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def curve(**changes):
    values = {
        "sizes": SIZES, "gap": np.array([1.1, 2.5, 0.4, 0.05]), "standard_error": np.array([0.1, 0.3, 0.05, np.nan]),
        "bound": 68 / SIZES, "sharp": np.array([1.2, np.inf, 0.38, 0.06]), "effective_size": 34,
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def text(table, width=100):
    stream = StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


def cells(printed, row):
    [line] = [line for line in printed.splitlines() if line.strip().startswith(row)]
    return [cell.strip() for cell in line.split("  ") if cell.strip()][1:]


def test_the_numbers_are_in_the_table():
    printed = text(bound_table(report(), name="f.npz"))
    expected = {
        "examples P": ["250", "700"], "effective size": ["34", "33"], "training error": ["0.0512 ± 0.0031", "0.2345"],
        "test error  ": ["0.910 ± 0.050", "0.259 ± 0.012"],
        "gap, of the target power": ["0.429 ± 0.025", "0.01230 ± 0.00060"],
        "the bound": ["0.272", "0.09429"], "the gap lies": ["above", "below"], "memorisation m": ["0.0471"],
        "gap, of the test error": ["0.0949 ± 0.0021"], "predicted": ["0.09198"], "its limit 2m": ["undecided 0.0942"],
        "test error by GCV": ["0.2583"], "τ": ["1.310 ± 0.040"], "status": ["outside assumption", "informative"],
    }  # fmt: skip
    for row, values in expected.items():
        assert cells(printed, row) == values, row
    for part in ("f.npz", "35 features, 2 of them dead or linear in others", "trunk trained on these examples", "power",
                 "The trunk was trained.", "It applies.", "ridge 0.5", "leaving one out"):  # fmt: skip
        assert part in printed, part


def test_what_is_not_measured_is_a_dash_and_what_does_not_exist_no_row():
    bare = report(generalisation_error=None, gap=None, relative_gap=None, holds=None, readout_bound=None)
    printed = text(bound_table(bare, name="f.npz"))
    assert cells(printed, "test error") == ["–"]
    for absent in ("memorisation", "τ", "the gap lies", "PRESS"):
        assert absent not in printed


def test_features_are_not_dead_where_examples_are_few():
    assert "dead" not in text(bound_table(report(P=34), name="f.npz"))


def test_a_fixed_trunk_is_refitted_in_sample():
    own = refit(P=250, gap=Measurement(0.5, 0.01), tau=None, gcv=float("inf"), memorisation=0.136)
    printed = text(bound_table(report(trunk_trained=False, in_sample=own, readout_bound=None), name="f.npz"))
    assert "fixed beforehand" in printed
    assert cells(printed, "gap, of the target power")[1] == "0.2500 ± 0.0050"
    assert cells(printed, "the bound")[1] == "0.264"
    assert cells(printed, "the gap lies") == ["above", "below"]
    assert cells(printed, "τ") == ["–"]
    assert cells(printed, "its limit 2m") == ["below 0.272"]


def test_it_fits_a_hundred_columns():
    wide = text(bound_table(report(trunk_trained=False, in_sample=refit(P=250)), name="features.npz"))
    assert max(map(len, wide.splitlines())) <= 100
    assert "…" not in wide


def drawn(*given, **options):
    [axes] = bound_figure(*given, title="digits", subtitle="network", **options).axes
    return axes, {line.get_label(): line for line in axes.lines}


def test_the_lines_are_the_numbers():
    axes, lines = drawn(report(), curve())
    x, y = lines["the bound, $2N_{\\mathrm{eff}}/P$"].get_data()
    np.testing.assert_allclose(x * y, 68)
    assert x.min() < 20
    assert x.max() > 400
    np.testing.assert_array_equal(lines["its sharp form, of these features"].get_ydata(), curve().sharp)
    refits, network = axes.containers
    np.testing.assert_array_equal(refits.lines[0].get_xydata(), np.column_stack([SIZES, curve().gap]))
    assert refits.lines[2][0].get_segments()[1][:, 1] == pytest.approx([1.9, 3.1])
    assert network.lines[0].get_xydata().tolist() == [[250, 0.4294]]
    assert network.lines[2][0].get_segments()[0][:, 1] == pytest.approx([0.3794, 0.4794])
    [vacuous] = axes.patches
    assert vacuous.get_x() + vacuous.get_width() == 68
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert "68" in axes.texts[0].get_text()


def test_the_theory_may_be_finer():
    fine = np.arange(20, 24), np.array([1.0, np.nan, 1.2, 1.3])
    _, lines = drawn(report(), curve(), fine)
    assert lines["its sharp form, of these features"].get_xdata().tolist() == [20, 22, 23]


def test_gaps_that_are_not_positive_are_arrows_under_their_bars():
    negative = curve(gap=np.array([1.0, 0.5, -0.1, -0.01]), standard_error=np.array([0.1, 0.1, 0.1, 0.001]))
    axes, lines = drawn(report(relative_gap=Measurement(-0.1, 0.2)), negative)
    assert lines["this network, trunk trained: below"].get_xydata().tolist() == [[250, pytest.approx(0.3)]]
    [arrows] = [line for line in axes.lines if line.get_marker() == "v" and line.get_xdata()[0] != 250]
    assert arrows.get_xydata().tolist() == [[100, pytest.approx(0.1)]]  # at 400 the whole bar is below zero
    assert axes.containers[0].lines[0].get_xdata().tolist() == [20, 40]
    drawn(report(relative_gap=Measurement(-0.1, float("nan"))), curve(gap=-curve().gap, sharp=np.full(4, np.nan)))


def test_a_network_alone():
    axes, lines = drawn(report(relative_gap=None))
    assert lines["this network, its gap not measured"].get_xdata()[0] == 250
    assert axes.get_xlim()[1] > 250
    assert axes.containers == []


def test_the_rank_is_the_layer_s_and_not_that_of_few_examples():
    _, lines = drawn(report(), curve(effective_size=12))
    x, y = lines["the bound, $2N_{\\mathrm{eff}}/P$"].get_data()
    np.testing.assert_allclose(x * y, 68)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_it_renders(kind):
    content = render(bound_figure(report(), curve(), title="digits"), kind)
    assert content.lstrip()[:5] in (b"\x89PNG\r", b"%PDF-", b"<?xml")
    if kind == "png":
        image = imread(io.BytesIO(content))[:, :, :3]
        assert 0.005 < (image.min(axis=2) < 0.9).mean() < 0.3
