"""The predicted law beside the sampled one: exact networks agree, wrong laws are seen, the table holds its numbers."""

import json
import math
import os
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import widthwise as ww
from widthwise.comparison import calibration
from widthwise.errors import InputError

MNIST = Path(os.environ.get("WIDTHWISE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mnist.npz"
LEVELS = (0.5, 0.9)


@pytest.fixture(scope="module")
def linear():
    """A narrow linear network with non-unit precisions, its samples, and its posteriors by approximation."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(24, 5))
    y = 2.0 * X @ rng.normal(size=5) + 0.3 * rng.normal(size=24)
    network = ww.FullyConnected([3], "identity", (0.6, 1.7))
    data = X[:8], y[:8], X[8:], y[8:]
    sampler = ww.CollapsedHMC(chains=4, draws=400, warmup=120)
    samples = ww.sample(network, *data, temperature=0.3, sampler=sampler, key=5)

    def infer(how="integrated", network=network, T=0.3):
        return ww.infer(network, X[:8], y[:8], temperature=T, approximation=how)

    return samples, infer


def test_an_exact_prediction_is_the_sampled_law(linear):
    samples, infer = linear
    table = calibration(infer(), samples, LEVELS, infinite=infer("infinite"))
    assert len(table) == 2
    for row in table:
        assert abs(row.z) < 4
        assert row.standard_error < 0.015
        assert row.rhat < 1.05
        assert abs(row.targets - row.targets_sampled) < 0.07
        assert row.infinite < row.nominal - 5 * row.infinite_standard_error  # infinite width is too sure of itself
    off = table.predicted.negative_log_likelihood - table.sampled_negative_log_likelihood
    assert abs(off) < 4 * table.standard_error
    assert table.infinite_negative_log_likelihood - table.sampled_negative_log_likelihood > 4 * table.standard_error
    assert table.log_evidence_gain == pytest.approx(infer().log_evidence - infer("infinite").log_evidence, abs=1e-9)
    assert table.log_evidence_gain > 1


@pytest.mark.parametrize("wrong", ["width", "temperature", "precision"])
def test_a_wrong_law_is_seen(linear, wrong):
    """Passed off as the sampled network's own."""
    samples, infer = linear
    network = samples.network
    other = {
        "width": lambda: infer(network=replace(network, widths=(60,))),
        "temperature": lambda: infer(T=0.1),
        "precision": lambda: infer(network=replace(network, weight_precisions=(0.6, 5.0))),
    }[wrong]()
    table = calibration(replace(other, network=network, temperature=0.3), samples, LEVELS)
    assert max(abs(row.z) for row in table) > 6


@dataclass(frozen=True)
class Predicted:
    coverage: tuple = (0.4, 0.8)
    width_of_f: tuple = (0.3, 0.7)
    levels: tuple = LEVELS
    negative_log_likelihood: float = 0.98765


def posterior(**changes):
    facts = {
        "network": ww.FullyConnected(widths=(64,)),
        "temperature": 0.1,
        "targets": np.ones(3),
        "training_error": None,
        "calibration": lambda X, y, levels: Predicted(),
        "predict": lambda X: SimpleNamespace(interval=lambda level: (np.full(len(X), -level), np.full(len(X), level))),
        "log_evidence": -12.5,
        "log_evidence_gain": 2.25,
    }
    return SimpleNamespace(**(facts | changes))


def samples(**changes):
    def coverage(lower, upper):
        assert lower.shape == upper.shape == (600,)
        return SimpleNamespace(value=float(upper[0]) + 0.01, standard_error=0.002, ess=300.0, rhat=1.01)

    facts = {
        "network": ww.FullyConnected(widths=(64,)),
        "temperature": 0.1,
        "y": np.ones((3, 1)),
        "training_error": None,
        "X_test": np.zeros((600, 2)),  # more than one block
        "y_test": np.ones((600, 1)),
        "mean": np.zeros(600),
        "coverage": coverage,
        "probability_below": lambda y, observed: np.linspace(0.0, 1.0, 600),
        "negative_log_likelihood": SimpleNamespace(value=0.91234, standard_error=0.00321),
    }
    return SimpleNamespace(**(facts | changes))


def test_the_text_and_the_rich_table_hold_the_numbers():
    table = calibration(posterior(), samples(), LEVELS, infinite=posterior(approximation="infinite"))
    stream = StringIO()
    Console(file=stream, width=100).print(table)
    parts = ("51.0 ± 0.2 %", "40.0 %", "80.0 %", "0.98765", "0.91234 ± 0.00321", "-12.50", "-14.75", "+2.25 nats")
    for text in (str(table), stream.getvalue()):
        for part in (*parts, "in infinite's", "y in theory's"):
            assert part in text, part
        assert "…" not in text
    assert table[0.9].z == pytest.approx(5.0)
    assert table[0.5].targets_sampled == 0.5
    with pytest.raises(KeyError):
        table[0.7]
    alone = calibration(posterior(), samples(), LEVELS)
    assert "in infinite's" not in str(alone)
    assert alone[0.5].infinite is alone.infinite_negative_log_likelihood is None


def test_records_are_plain_and_hold_what_the_posterior_says_alone():
    record = json.loads(json.dumps(calibration(posterior(), samples(), LEVELS).records()))
    assert record["rows"][0]["sampled"] == pytest.approx(0.51)
    assert {"coverage", "negative_log_likelihood", "sampled_negative_log_likelihood"} <= set(record)
    assert record["log_evidence_gain"] == 2.25
    assert record["rows"][1]["z"] == pytest.approx(5.0)


def test_a_law_without_evidence_has_no_gain():
    class Crowded(SimpleNamespace):
        @property
        def log_evidence(self):
            raise InputError("no evidence")

    facts = vars(posterior())
    facts.pop("log_evidence")
    table = calibration(Crowded(**facts), samples(), LEVELS)
    assert table.log_evidence is table.log_evidence_gain is None
    assert "–" in str(table)


def test_a_sample_at_rest_has_no_z():
    still = SimpleNamespace(value=0.5, standard_error=0.0)
    assert math.isnan(calibration(posterior(), samples(coverage=lambda low, high: still), LEVELS)[0.5].z)


@pytest.mark.parametrize(
    "changes", [{"temperature": 0.2}, {"network": ww.FullyConnected(widths=(65,))}, {"y": -np.ones((3, 1))}]
)
def test_two_different_things_are_not_compared(changes):
    with pytest.raises(InputError, match="predict and sample the same"):
        calibration(posterior(), samples(**changes))
    other = posterior(**({"targets": -np.ones(3)} if "y" in changes else changes))
    with pytest.raises(InputError, match="predict and sample the same"):
        calibration(posterior(), samples(), infinite=other)


def test_test_targets_are_needed(linear):
    with pytest.raises(InputError, match="expected samples with X_test and y_test, got none; pass both"):
        calibration(posterior(), samples(y_test=None))
    drawn, infer = linear
    with pytest.raises(InputError, match="levels: expected probabilities"):
        calibration(infer(), drawn, (0.5, 2.0))
    for pair in ((drawn, infer()), (infer(), infer())):
        with pytest.raises(InputError, match=r"calibration: expected \(posterior, samples\)"):
            calibration(*pair)
    with pytest.raises(InputError, match=r"infinite: expected a posterior .* got 'saddle'"):
        calibration(infer(), drawn, LEVELS, infinite=infer("saddle"))


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_file(), reason="the MNIST file is not here")
def test_mnist_intervals_hold_the_sampled_network_where_infinite_width_is_too_sure():
    data = ww.load_data(MNIST, classes="parity", train_size=64, test_size=300, seed=1)
    network = ww.FullyConnected([64], "erf")
    sampler = ww.CollapsedHMC(chains=4, draws=150, warmup=100)
    drawn = ww.sample(network, *data, temperature=0.1, sampler=sampler, key=3)
    finite, infinite = (
        ww.infer(network, data.X, data.y, temperature=0.1, approximation=how) for how in ("saddle", "infinite")
    )
    table = calibration(finite, drawn, LEVELS, infinite=infinite)
    for row in table:
        assert abs(row.sampled - row.nominal) < 0.02
        assert row.infinite < row.nominal - 0.03
        assert row.targets_infinite < row.targets
    assert table.log_evidence_gain > 1
