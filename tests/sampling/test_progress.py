"""What a run tells while it goes: stage, how far, how long still, and how well the chains agree."""

import io
import sys

import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling.progress import Progress, reporter

RNG = np.random.default_rng(3)
X, X_TEST = RNG.normal(size=(6, 4)), RNG.normal(size=(3, 4))
# of the shape of what test_checkpoint.py samples: compiled once for both
NETWORK = ww.FullyConnected([3], weight_precisions=(1.5, 0.7), bias_variance=0.2)
LANGEVIN = ww.Langevin(chains=2, draws=60, warmup=30, step_size=1e-2, thinning=3)


def told(**changes):
    reports = []
    given = {"temperature": 0.3, "sampler": LANGEVIN, "throw": False, "progress": reports.append} | changes
    return reports, ww.sample(NETWORK, X, X[:, 0], X_TEST, X_TEST[:, 0], **given)


def test_from_the_estimate_to_the_end():
    first, *rest = told()[0]
    assert (first.stage, first.done, first.total, first.rhat) == ("estimate", 0, 90, None)
    assert first.seconds_left > 0
    assert 0 < first.memory < 0.01
    assert [(r.stage, r.done) for r in rest] == [
        ("warm-up", 25), ("warm-up", 30), ("draws", 55), ("draws", 80), ("draws", 90),
    ]  # fmt: skip
    assert [r.rhat is None for r in rest] == [True, True, False, False, False]
    assert rest[-1].seconds_left == 0
    assert all(r.step_size == 1e-2 and 0.5 < r.acceptance <= 1 and r.total == 90 for r in rest)


def test_the_last_r_hat_is_that_of_all_draws_made():
    from widthwise.sampling.estimates import estimate

    # 75 draws fill their chunks
    reports, samples = told(sampler=ww.Langevin(chains=2, draws=75, warmup=30, step_size=1e-2, thinning=3))
    series = samples.log_likelihood
    if samples.dropped.size:
        series = np.concatenate([samples.dropped, series], axis=1)
    assert reports[-1].rhat == pytest.approx(estimate(series).rhat)


def test_a_run_that_goes_on_begins_where_it_was(tmp_path):
    told(store=tmp_path / "a.db")
    reports, _ = told(store=tmp_path / "a.db", sampler=ww.Langevin(**{**vars(LANGEVIN), "draws": 110}))
    assert [(r.stage, r.done) for r in reports] == [("draws", 130), ("draws", 140)]
    reports, _ = told(store=tmp_path / "a.db")
    assert reports == []


@pytest.mark.parametrize(
    ("report", "note"),
    [
        (Progress("estimate", 0, 90, 0.0, 0.1, 119.4, None, 0.25), "about 119 s, 0.25 GiB"),
        (Progress("estimate", 0, 90, 0.0, 0.1, 120.0, None, 2.0), "about 2 min, 2 GiB"),
        (Progress("warm-up", 9, 90, 0.751, 0.1, 7199.0), "acceptance 0.75, 120 min left"),
        (Progress("draws", 9, 90, 0.8, 0.1, 9000.0, 1.0123), "acceptance 0.80, R-hat 1.012, 2.5 h left"),
    ],
)
def test_in_words(report, note):
    assert report.note == note


def test_to_whom(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    seen = []
    with reporter(seen.append) as tell:
        tell(1)
    assert seen == [1]
    with reporter(False) as tell:
        assert tell is None
    assert sys.stderr.getvalue() == ""
    with reporter(True) as tell:
        tell(Progress("draws", 45, 90, 0.8, 0.1, 33.0, 1.5))
    assert "R-hat 1.500, 33 s left" in sys.stderr.getvalue()
