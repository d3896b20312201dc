"""The phase diagram: what `infer` says at every point, kept and resumed; the identity stays Gaussian."""

from dataclasses import replace

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.posterior import phase_diagram as module
from widthwise.posterior.phase_diagram import phase_diagram

QUICK = ww.Cavity(neurons=2, ladders=4, levels=4, draws=30, warmup=20, nodes=16)
WIDTHS, TEMPERATURES = (12, 6), (0.1, 1.0)


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(22, 5))
    y = np.sign(X[:, 0] * X[:, 1])
    return X[:16], y[:16], X[16:], y[16:]


@pytest.fixture(scope="module")
def network():
    return ww.FullyConnected(widths=[99], activation="erf", weight_precisions=(0.7, 1.6))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("phases") / "phases.db"


@pytest.fixture(scope="module")
def diagram(task, network, store):
    X, y, X_test, y_test = task
    grid = {"widths": WIDTHS, "temperatures": TEMPERATURES}
    return phase_diagram(network, X, y, **grid, cavity=QUICK, X_test=X_test, y_test=y_test, store=store)


def test_every_point_is_what_infer_says(task, network, diagram):
    X, y, X_test, y_test = task
    point = diagram.points[1][0]
    one = ww.FullyConnected(widths=[6], activation="erf", weight_precisions=(0.7, 1.6))
    saddle = ww.infer(one, X, y, temperature=0.1, approximation="saddle")
    cavity = ww.infer(one, X, y, temperature=0.1, approximation="cavity", cavity=QUICK, throw=False)
    assert (point.width, point.temperature, point.load) == (6, 0.1, 16 / 6)
    assert point.rho_tau == pytest.approx(saddle.validity.product, rel=1e-6)
    assert point.specialised == pytest.approx(cavity.specialisation.count, rel=1e-6)
    assert point.kurtosis == pytest.approx(cavity.specialisation.kurtosis, rel=1e-6)
    assert point.saddle_training == pytest.approx(saddle.training_error.total, rel=1e-6)
    assert point.cavity_training == pytest.approx(cavity.training_error.total, rel=1e-6)
    assert point.saddle_test == pytest.approx(saddle.score(X_test, y_test).total, rel=1e-6)
    assert point.cavity_test == pytest.approx(cavity.score(X_test, y_test).total, rel=1e-6)
    assert point.gain == pytest.approx(cavity.law.evidence.gain, rel=1e-6)
    np.testing.assert_array_equal(diagram.values("width"), [[12, 12], [6, 6]])
    np.testing.assert_array_equal(diagram.values("temperature"), [TEMPERATURES, TEMPERATURES])
    assert diagram.values("fraction")[1, 0] == point.specialised / 6


def test_rows_and_text_have_every_point(diagram):
    assert [row["width"] for row in diagram.records()] == [12, 12, 6, 6]
    lines = str(diagram).splitlines()
    assert lines[0] == "erf network, hidden width N, P = 16"
    assert len(lines) == 6
    assert f"{diagram.points[0][1].cavity_test:.4f}" in lines[3]
    with pytest.raises(InputError, match="expected one of width"):
        diagram.values("status")


def test_what_is_stored_is_not_sampled_again(task, network, store, diagram, monkeypatch):
    X, y, X_test, y_test = task
    seen, whole = [], module._point

    def counted(*arguments):
        seen.append(arguments[2:4])
        return whole(*arguments)

    monkeypatch.setattr(module, "_point", counted)
    how = {"cavity": QUICK, "X_test": X_test, "y_test": y_test, "store": store}
    told = []
    again = phase_diagram(network, X, y, widths=6, temperatures=TEMPERATURES, progress=told.append, **how)
    assert not seen
    assert again.points[0] == diagram.points[1] == tuple(told)
    others = ({"cavity": replace(QUICK, seed=1)}, {"y": -y})
    for other in others:
        seen.clear()
        phase_diagram(**{"network": network, "X": X, "y": y, "widths": [6], "temperatures": [0.1], **how, **other})
        assert seen == [(6, 0.1)]


@pytest.mark.slow
def test_neurons_of_the_identity_stay_gaussian(task):
    """Exact at any number of explicit neurons: nothing is gained, none is told apart."""
    X, y, *_ = task
    how = ww.Cavity(neurons=2, ladders=4, levels=4, draws=100, warmup=60, nodes=64)
    linear = ww.FullyConnected(widths=[5], activation="identity")
    (point,) = phase_diagram(linear, X, y, widths=[5], temperatures=[0.1], cavity=how)
    exact = ww.infer(linear, X, y, temperature=0.1)
    assert not point.separated
    assert point.stable is None
    assert abs(point.gain) < 4.0 * point.gain_error
    assert point.cavity_training == pytest.approx(exact.training_error.total, rel=0.1)
    assert point.cavity_test is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": ww.FullyConnected(widths=[9, 9])}, "expected one hidden layer, got 2"),
        ({"network": ww.PrecomputedKernel(widths=[9])}, "expected a FullyConnected network"),
        ({"widths": []}, "widths: expected at least one number"),
        ({"widths": [8, 1]}, "widths: expected whole numbers of at least 2, got 1"),
        ({"widths": [8.5]}, "got 8.5"),
        ({"temperatures": [0.1, -1.0]}, "temperature"),
        ({"X_test": np.zeros((2, 5))}, "X_test and y_test together"),
        ({"network": ww.FullyConnected(widths=[9], activation=np.tanh), "store": "own.db"}, "built-in activation"),
    ],
)
def test_refusals(task, network, here, change, message):
    X, y, *_ = task
    with pytest.raises(InputError, match=message):
        phase_diagram(**{"network": network, "X": X, "y": y, "widths": [8], "temperatures": [0.1], **change})
