"""`widthwise reproduce`: what it prints, writes and refuses."""

import csv
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Reproduction, Row, Study, registry
from widthwise.reproduce.rows import measured

GOOD = Row("T = 1", 10, "test error", 0.4, infinite=0.5, published=0.4)
FILES = ["toy.csv", "toy.md", "toy.png"]


@pytest.fixture
def call(call):
    """`widthwise reproduce …`."""
    return lambda *arguments: call("reproduce", *arguments)


@pytest.fixture
def toy(monkeypatch):
    """Puts a study "toy" of the given rows among the others; returns the setups that it is run with."""

    def register(*rows, run=None, figure=lambda found: Figure()):
        seen = []

        def standard(setup):
            seen.append(setup)
            setup.say("working")
            return Reproduction("toy", "a title", rows, ("a note.",), 0.0, {"x": "P"})

        study = Study("toy", "a title", "nobody, 1999", "nothing much", run or standard, figure, ("1", "60"))
        monkeypatch.setitem(registry._MODULES, "toy", "toy")
        monkeypatch.setitem(sys.modules, "widthwise.reproduce.toy", SimpleNamespace(STUDY=study))
        return seen

    return register


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_verdict_for_each_point_and_three_files(call, toy, here):
    other = replace(GOOD, x=20, sampled=0.41, standard_error=0.01)
    (here / "results").mkdir()
    toy(GOOD, other)
    status, out, err = call("toy", "--out", "results")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == f"T = 1, P = 10, test error: {GOOD.verdict}"
    assert lines[1].startswith("T = 1, P = 20, test error: theory 0.4, as published")
    assert lines[2] == "a note."
    assert lines[3].startswith("toy: 2 points (1 reproduced, 1 agrees) in ")
    assert err == "working …\n"
    assert names(here / "results") == FILES
    with (here / "results" / "toy.csv").open(encoding="utf-8") as file:
        assert [float(row["x"]) for row in csv.DictReader(file)] == [10, 20]
    assert other.status in (here / "results" / "toy.md").read_text(encoding="utf-8")
    assert (here / "results" / "toy.png").read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_study(call, toy, here):
    seen = toy(GOOD)
    assert call("toy", "--quiet")[2] == ""
    assert call("toy", "--full", "--data", "d", "--seed", 3, "--store", "s.db", "--no-resume")[0] == 0
    first, second = seen
    assert (first.full, first.data, first.seed, first.resume) == (False, None, 0, True)
    assert first.store.path == here / "widthwise.db"
    assert (second.full, str(second.data), second.seed, second.resume) == (True, "d", 3, False)
    assert second.store.path == here / "s.db"


def test_another_theory_is_exit_status_one_and_the_files_are_there(call, toy, here):
    toy(GOOD, replace(GOOD, x=20, theory=0.44))
    status, out, err = call("toy", "--quiet")
    assert status == 1
    assert "toy: expected the published theory, got another at 1 of 2 points, the first T = 1, P = 20: theory" in err
    assert err.count("\n") == 1
    assert "NOT the published 0.4 (+10 %)" in out
    assert names(here) == FILES


def test_all_three_files_or_none(call, toy, here):
    def broken(found):
        raise InputError("no figure")

    toy(GOOD, figure=broken)
    assert call("toy")[0] == 2
    assert names(here) == []


def test_places_are_checked_before_anything_is_computed(call, toy, here):
    seen = toy(GOOD)
    (here / "occupied").mkdir()
    (here / "occupied" / "toy.md").mkdir()
    for arguments, said in (
        (("--out", "absent"), "--out: expected an existing folder"),
        (("--out", "occupied"), "--out: expected the name of a file, got a folder"),
        (("--store", "absent/s.db"), "--store: expected an existing folder"),
    ):
        status, out, err = call("toy", *arguments)
        assert (status, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    assert seen == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["baglioni"], "unknown study 'baglioni'"),
        (["baglioni2024", "--full"], "data: expected the folder cifar-10-batches-bin"),
        (["baglioni2024", "--full", "--data", "absent"], "got 'absent', which holds neither"),
        (["baglioni2024", "--seed", "-1"], "--seed"),
        (["baglioni2024", "--half"], "--half"),
    ],
)
def test_bad_input_is_one_line(arguments, said, call, here):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert names(here) == []


def test_without_a_name_a_table_of_the_studies(call, here):
    status, out, _ = call()
    assert status == 0
    for name in registry._MODULES:
        assert name in out
    assert "2401.11004" in out
    assert names(here) == []


@pytest.mark.slow
def test_an_interrupted_run_is_taken_up(call, toy, here, rng):
    """Stopped after the first of two networks: the second run samples only the other, --no-resume both."""
    X, X_test = rng.standard_normal((6, 3)), rng.standard_normal((4, 3))
    data, stop, done = (X, X[:, 0], X_test, X_test[:, 0]), [True], []

    def run(setup):
        rows = []
        for N in (5, 7):
            if N == 7 and stop[0]:
                raise KeyboardInterrupt
            counted = []
            setup = replace(setup, progress=lambda report, counted=counted: counted.append(report.done))
            sampler = ww.CollapsedHMC(chains=2, draws=20, warmup=20)
            samples = setup.sample(ww.FullyConnected([N], "erf"), *data, temperature=0.3, sampler=sampler)
            done.append((N, len(counted)))
            rows.append(Row("a", N, "test error", 0.4, **measured(samples)))
        return Reproduction("toy", "a title", tuple(rows), (), 0.0, {})

    toy(run=run)
    assert call("toy", "--quiet")[0] == 130
    assert names(here) == ["widthwise.db"]
    stop[0] = False
    assert call("toy", "--quiet")[0] == 0
    assert names(here) == [*FILES, "widthwise.db"]
    first, again, other = done
    assert (first[0], again[0], other[0]) == (5, 5, 7)
    assert first[1] > 0
    assert other[1] > 0
    assert again[1] == 0
    taken_up = (here / "toy.csv").read_bytes()
    assert call("toy", "--quiet", "--no-resume")[0] == 0
    assert all(count > 0 for _, count in done[3:])
    values = [[row["sampled"] for row in csv.DictReader(text.decode().splitlines())]
              for text in (taken_up, (here / "toy.csv").read_bytes())]  # fmt: skip
    assert values[0] == values[1]
    assert np.isfinite(json.loads(values[0][0]))


def test_the_data_are_not_written_over(call, toy, here):
    toy(GOOD)
    (here / "toy.csv").write_text("data")
    status, _, err = call("toy", "--data", "toy.csv")
    assert status == 2
    assert "--out, csv: expected another file than the data are read from" in err
    assert (here / "toy.csv").read_text() == "data"
