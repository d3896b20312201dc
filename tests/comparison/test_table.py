"""Theory beside experiment: z-scores, verdicts, and refusal of what does not belong together."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise.comparison import Row
from widthwise.comparison.table import Comparison
from widthwise.errors import InputError


def estimate(value, error, rhat=1.0, **parts):
    return SimpleNamespace(value=value, standard_error=error, ess=400.0, rhat=rhat, **parts)


def errors(total, bias):
    return SimpleNamespace(total=total, bias=bias, variance=total - bias)


@pytest.fixture
def posterior():
    network = ww.FullyConnected(widths=(64,))
    return SimpleNamespace(
        network=network,
        temperature=0.1,
        targets=np.ones(3),
        training_error=errors(0.05, 0.02),
        score=lambda X, y: errors(0.5, 0.3),
    )


def samples(**changes):
    facts = {
        "network": ww.FullyConnected(widths=(64,)),
        "temperature": 0.1,
        "y": np.ones((3, 1)),
        "training_error": estimate(0.0502, 0.0001),
        "generalisation_error": estimate(0.52, 0.001, bias=estimate(0.3, 0.002), variance=estimate(0.22, 0.001)),
        "X_test": [[0.0]],
        "y_test": [1.0],
    }
    return SimpleNamespace(**(facts | changes))


def test_z_is_the_distance_in_standard_errors(posterior):
    table = ww.compare(posterior, samples())
    assert table["training error"].z == pytest.approx(2.0)
    assert table["training error"].verdict == "agrees"
    assert table["test error"].z == pytest.approx(20.0)
    assert table["test error"].verdict == "differs by 3.8 %"
    assert table["test error: bias"].z == 0.0
    assert table["test error: variance"].theory == pytest.approx(0.2)
    assert len(table) == 4
    with pytest.raises(KeyError):
        table["nonsense"]


def test_the_text_and_the_rich_table_hold_the_numbers(posterior):
    from io import StringIO

    from rich.console import Console

    table = ww.compare(posterior, samples())
    stream = StringIO()
    Console(file=stream, width=120).print(table)
    for text in (str(table), stream.getvalue()):
        for part in ("0.05000", "0.05020 ± 0.00010", "+2.0", "agrees", "0.52000 ± 0.00100", "differs by 3.8 %"):
            assert part in text


def test_records_are_plain(posterior):
    record = ww.compare(posterior, samples()).records()[1]
    assert record["quantity"] == "test error"
    assert record["theory_error"] is None
    assert {"theory", "sampled", "standard_error", "z", "verdict", "ess", "rhat"} <= set(record)


def test_without_a_test_set_there_is_only_training(posterior):
    assert [row.quantity for row in ww.compare(posterior, samples(X_test=None, y_test=None))] == ["training error"]


@pytest.mark.parametrize(
    ("sampled", "error", "rhat", "verdict"),
    [
        (1.0, 0.01, 1.0, "agrees"),
        (1.029, 0.01, None, "agrees"),
        (0.969, 0.01, 1.04, "differs by 3.2 %"),
        (1.0, 0.01, 1.4, "chains disagree (R-hat 1.40)"),
        (1.1, math.nan, 1.0, "no standard error"),
        (1.1, 0.0, 1.0, "no standard error"),
        (1.0, 0.0, 1.0, "agrees"),
        (math.nan, 0.1, 1.0, "no standard error"),
    ],
)
def test_verdicts(sampled, error, rhat, verdict):
    assert Row("x", 1.0, None, sampled, error, rhat=rhat).verdict == verdict


def test_posterior_and_samples_in_their_order(posterior):
    for pair in ((samples(), posterior), (posterior, posterior), (None, samples()), (posterior, None)):
        with pytest.raises(InputError, match=r"expected \(posterior, samples\)"):
            ww.compare(*pair)


@pytest.mark.parametrize(
    "changes", [{"temperature": 0.2}, {"network": ww.FullyConnected(widths=(65,))}, {"y": -np.ones((3, 1))}]
)
def test_two_different_things_are_not_compared(posterior, changes):
    with pytest.raises(InputError, match="predict and sample the same"):
        ww.compare(posterior, samples(**changes))


@pytest.mark.parametrize(("bar", "words"), [(0.3, "within its bar"), (0.05, "beyond its bar"), (None, "10.0 %")])
def test_a_difference_is_held_against_the_theorys_own_bar(bar, words):
    row = Row("x", 1.1, bar, 1.0, 0.01)
    assert row.z == pytest.approx(-10.0)  # the bar is not a standard error
    assert row.verdict.startswith("differs by 10.0 %")
    assert row.verdict.endswith(words)


def test_the_theorys_own_draws_widen_the_comparison():
    alone, both = Row("x", 1.0, None, 1.3, 0.1), Row("x", 1.0, 1.959964 * 0.2, 1.3, 0.1, draws_error=0.2)
    assert alone.z == pytest.approx(3.0)
    assert both.z == pytest.approx(0.3 / np.hypot(0.1, 0.2))
    assert "1.00000 ± 0.39199" in str(Comparison((both,)))
