"""`phases`: what it prints and writes, and how it refuses."""

import json

import numpy as np
import pytest

import widthwise as ww

QUICK = ("--neurons", 2, "--ladders", 2, "--draws", 20, "--warmup", 20)


@pytest.fixture
def task(here, rng):
    X = rng.normal(size=(24, 4))
    np.savez("task.npz", X_train=X[:14], y_train=np.sign(X[:14, 0]), X_test=X[14:], y_test=np.sign(X[14:, 0]))
    return "task.npz"


def test_it_writes_what_python_computes(call, here, task):
    asked = ("--widths", "8,4", "--temperatures", "0.2", "--weight-precisions", "1,2", "--seed", 3)
    how = (*QUICK, "--train-size", 14, "--test-size", 10)
    status, out, err = call("phases", task, *asked, *how, "--json", "p.json", "--figure", "p.png", "--store", "p.db")
    assert (status, err) == (0, "")
    record = json.loads((here / "p.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    data = ww.load_data(task, train_size=14, test_size=10, seed=3)
    X, y, X_test, y_test = data
    network = ww.FullyConnected(widths=[8], weight_precisions=(1.0, 2.0))
    cavity = ww.Cavity(neurons=2, ladders=2, draws=20, warmup=20, seed=3)
    expected = ww.phase_diagram(
        network, X, y, widths=[8, 4], temperatures=[0.2], cavity=cavity, X_test=X_test, y_test=y_test, store="p.db"
    )
    assert record["points"] == expected.records()  # of the store
    assert record["cavity"]["neurons"] == 2
    assert (here / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "N = 4, T = 0.2" in out
    assert f"{expected.points[1][0].cavity_test:.4f}" in out
    assert sorted(path.name for path in here.iterdir()) == ["p.db", "p.json", "p.png", "task.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--widths", "a"), "--widths: expected whole numbers"),
        (("--widths", "1"), "widths: expected whole numbers of at least 2"),
        (("--temperatures", "0.1,x"), "--temperatures: expected numbers"),
        (("--temperatures", "0"), "temperature"),
        (("--activation", "erff"), "unknown activation"),
        (("--neurons", "0"), "neurons"),
        (("--figure", "p.gif"), "unknown figure format"),
    ],
)
def test_bad_input_is_one_line(call, here, arguments, message):
    status, out, err = call("phases", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(here.iterdir())
