"""`verify`: its samplers, its store, its traces, and what it says of a run that is not finished."""

import io
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import NumericalError
from widthwise.sampling.progress import Progress
from widthwise.store import Store

SMALL = ["verify", "digits", "--train-size", "12", "--test-size", "8", "--width", "5", "--temperature", "0.5"]
SHORT = ["--sampler", "langevin", "--step-size", "0.01", "--thinning", "3", "--chains", "2", "--warmup", "20"]


@pytest.fixture
def asked(monkeypatch):
    """What `ww.sample` is asked for, in place of what it would find."""
    seen = []

    def sample(*data, **given):
        seen.append(given)
        raise NumericalError("enough")

    monkeypatch.setattr(ww, "sample", sample)
    return seen


REFUSED = {
    "step size": (["--step-size", "0.1"], "--step-size: expected it with --sampler langevin only"),
    "thinning": (["--sampler", "nuts", "--thinning", "3"], "--thinning: expected it with --sampler langevin only"),
    "sampler": (["--sampler", "nutz"], "did you mean 'nuts'"),
    "no step": (["--sampler", "langevin", "--step-size", "0"], "step_size: expected a number"),
    "trace": (["--trace", "t.gif"], "unknown figure format"),
    "folder": (["--trace", "no/such/t.png"], "--trace: expected an existing folder"),
    "store's folder": (["--store", "no/such.db"], "--store: expected an existing folder"),
    "not a store": (["--store", "notes.txt"], "expected a store of widthwise"),
    "twice": (["--trace", "a.png", "--figure", "a.png"], "--figure and --trace: expected two files"),
    "store as a file": (["--store", "a.db", "--json", "a.db"], "--json and --store: expected two files"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(call, here, asked, what):
    (here / "notes.txt").write_text("not to be touched")
    arguments, message = REFUSED[what]
    status, out, err = call(*SMALL, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not asked
    assert [(p.name, p.read_text()) for p in here.iterdir()] == [("notes.txt", "not to be touched")]


def test_every_sampler_and_its_settings(call, asked):
    for name in ("collapsed-hmc", "hmc", "nuts"):
        assert call(*SMALL, "--sampler", name, "--chains", 3, "--draws", 44, "--warmup", 33, "--quiet")[0] == 1
    assert call(*SMALL, *SHORT, "--quiet")[0] == 1
    samplers = [given["sampler"] for given in asked]
    assert samplers[:3] == [kind(chains=3, draws=44, warmup=33) for kind in (ww.CollapsedHMC, ww.HMC, ww.NUTS)]
    assert samplers[3] == ww.Langevin(chains=2, draws=500, warmup=20, step_size=0.01, thinning=3)


@pytest.mark.parametrize(
    ("arguments", "path", "resume"),
    [
        ([], None, None),
        (["--no-resume"], None, None),
        (["--resume"], "widthwise.db", True),
        (["--store", "a.db"], "a.db", True),
        (["--store", "a.db", "--resume"], "a.db", True),
        (["--store", "a.db", "--no-resume"], "a.db", False),
    ],
)
def test_where_the_run_is_kept(call, here, asked, arguments, path, resume):
    call(*SMALL, *arguments, "--quiet")
    (given,) = asked
    assert given.get("resume") is resume
    assert ("store" in given) == (path is not None)
    if path is not None:
        assert given["store"].path == here / path


def test_before_it_starts_it_says_what_and_how_long(call, monkeypatch):
    def sample(*data, progress, **given):
        progress(Progress("estimate", 0, 320, 0.0, 0.1, 90.0, None, 0.25))
        progress(Progress("warm-up", 25, 320, 0.8, 0.1, 80.0))
        raise NumericalError("enough")

    monkeypatch.setattr(ww, "sample", sample)
    _, _, err = call(*SMALL, "--chains", 2, "--draws", 300)
    first, last = err.splitlines()
    assert first == (
        "widthwise: sampling erf network, hidden width 5, collapsed-hmc: 2 chains × 300 draws; about 90 s, 0.25 GiB"
    )
    assert last == "widthwise: enough"
    _, _, err = call(*SMALL, "--chains", 2, "--draws", 300, "--store", "a.db")
    assert err.splitlines()[0] == f"{first}, kept in a.db"


def test_the_bar_is_on_a_terminal_and_the_line_above_it(call, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def sample(*data, progress, **given):
        progress(Progress("estimate", 0, 320, 0.0, 0.1, 90.0, None, 0.25))
        progress(Progress("draws", 160, 320, 0.8, 0.1, 45.0, 1.234))
        raise NumericalError("enough")

    monkeypatch.setattr(ww, "sample", sample)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "140")
    call(*SMALL, "--chains", 2, "--draws", 300)
    shown = sys.stderr.getvalue()
    assert shown.count("widthwise: sampling erf network") == 1
    assert "R-hat 1.234" in shown
    assert "45 s left" in shown


def diagnosed(divergences):
    return SimpleNamespace(problems=("R-hat 2",), divergences=divergences)


@pytest.mark.parametrize(
    ("arguments", "divergences", "advice", "parameters"),
    [
        (["--draws", 50, "--warmup", 30], 0, "e.g. --draws 200 --warmup 60.", 7),
        (["--sampler", "nuts", "--warmup", 30], 3, "e.g. --draws 2000 --warmup 60.", 7),
        (["--draws", 50, "--store", "a.db"], 0, "e.g. --draws 200, which goes on from what a.db holds.", 7),
        ([*SHORT, "--draws", 50], 0, "e.g. --draws 200 --warmup 40.", 7),
        ([*SHORT, "--draws", 50], 3, "in smaller steps, e.g. --step-size 0.0025 --thinning 12.", 7),
        # more draws would thin the weights otherwise: another run
        (["--draws", 50, "--store", "a.db"], 0, "e.g. --draws 200 --warmup 600.", 10**6),
    ],
)
def test_advice_names_the_sampler_s_own_options(call, monkeypatch, arguments, divergences, advice, parameters):
    def sample(*data, **given):
        error = NumericalError("for Python")
        error.samples = SimpleNamespace(diagnostics=diagnosed(divergences), weights=np.empty((4, 1, parameters)))
        raise error

    monkeypatch.setattr(ww, "sample", sample)
    status, out, err = call(*SMALL, *arguments, "--quiet")
    assert status == 1
    assert "test error" in out
    assert "the chains have not mixed: R-hat 2; " in err
    assert err.rstrip().endswith(advice)


def test_a_run_that_is_kept_goes_on_and_its_chains_are_drawn(call, here, capsys):
    arguments = [*SMALL, *SHORT, "--trace", "t.svg", "--json", "v.json", "--store", "a.db"]
    status, _, err = call(*arguments, "--draws", 25)
    assert status == 1
    assert "kept in a.db" in err.splitlines()[0]
    assert "have not mixed" in err.splitlines()[-1]
    assert "--draws 100, which goes on" in err.splitlines()[-1]
    assert "Log likelihood" in (here / "t.svg").read_text()  # a picture of what is wrong, and no number
    assert sorted(p.name for p in here.iterdir()) == ["a.db", "t.svg"]
    (here / "t.svg").unlink()
    status, _, err = call(*arguments, "--draws", 100)
    assert (here / "t.svg").exists()
    assert "goes on, 70 of 120 transitions done" in err.splitlines()[0]
    (key,) = Store(here / "a.db").keys()
    assert len(list(Store(here / "a.db").parts(key))) == 4


def test_chains_that_have_run_away_are_not_drawn(call, here, monkeypatch):
    def sample(*data, **given):
        error = NumericalError("for Python")
        error.samples = SimpleNamespace(
            diagnostics=diagnosed(3),
            series=lambda: {"training_error": [[float("nan")] * 9]},
            weights=np.empty((4, 9, 7)),
        )
        raise error

    monkeypatch.setattr(ww, "sample", sample)
    status, _, err = call(*SMALL, *SHORT, "--trace", "t.png", "--quiet")
    assert status == 1
    assert "in smaller steps" in err
    assert list(here.iterdir()) == []


ENDLESS = [*SMALL, *SHORT, "--thinning", "300", "--draws", "100000", "--quiet", "--store", "a.db"]
PROGRAM = "from widthwise.sampling import checkpoint; checkpoint.EVERY = 0.0; from widthwise.cli import main; main()"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_control_c_says_what_is_kept_and_it_goes_on(here):
    def interrupted(when):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *ENDLESS], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=here,
            text=True,
        ) as process:  # fmt: skip
            while not when() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        return err

    def parts():
        store = Store(here / "a.db")
        return sum(len(list(store.parts(key))) for key in store.keys(""))

    def grown(least):
        return lambda: (here / "a.db").exists() and parts() >= least

    kept = f"widthwise: interrupted; {here / 'a.db'} keeps what was done until the last checkpoint; the same command"
    nothing = [f"widthwise: interrupted; nothing {what}.\n" for what in ("was written", "has been kept yet")]
    assert interrupted(lambda: (here / "a.db").exists()) in nothing
    assert interrupted(grown(2)).startswith(kept)
    before = parts()
    assert interrupted(grown(before + 1)).startswith(kept)
    assert parts() > before
    (key,) = Store(here / "a.db").keys()
    assert [part.part for part in Store(here / "a.db").parts(key)] == list(range(parts()))
