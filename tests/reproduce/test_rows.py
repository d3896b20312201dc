"""What is said of a point, and how the points are written."""

import csv
import io
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from widthwise.reproduce.rows import EXACT, Reproduction, Row, measured, per_cent, theory_notes

THEORY = Row("T = 0.5", 50, "test error", 0.4, infinite=0.44, published=0.4)
SAMPLED = replace(THEORY, sampled=0.408, standard_error=0.002, rhat=1.01, ess=900.0, seconds=3.0, settings="hmc")
BOTH = replace(SAMPLED, published_sampled=0.404, published_standard_error=0.0015)


def found(*rows, **changes):
    made = Reproduction("toy", "a title", rows, ("a note.",), 7.0, {"x": "P", "data": "digits"})
    return replace(made, **changes)


STATUSES = {
    "computed": Row("a", 1, "q", 0.4),
    "reproduced": replace(THEORY, theory=0.4 * (1 + 0.9 * EXACT)),
    "failed": replace(THEORY, theory=0.4 * (1 - 1.1 * EXACT)),
    "agrees": replace(SAMPLED, sampled=0.4 - 2.99 * 0.002),
    "differs": replace(SAMPLED, sampled=0.4 - 3.01 * 0.002),
    "not mixed": replace(SAMPLED, rhat=1.06),
    "no standard error": replace(SAMPLED, standard_error=None),
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_condition(status):
    assert STATUSES[status].status == status
    assert found(*STATUSES.values()).counts[status] == 1


@pytest.mark.parametrize("theory", [math.nan, math.inf])
def test_no_number_is_a_failure(theory):
    assert replace(THEORY, theory=theory).status == "failed"


def test_chains_without_a_finite_rhat_have_not_mixed():
    assert replace(SAMPLED, rhat=math.nan).status == "not mixed"


def test_whatever_speaks_against_the_chains_is_said():
    row = replace(STATUSES["agrees"], unmixed="effective sample size 40 (at least 100)")
    assert row.status == "not mixed"
    assert "have not mixed (effective sample size 40 (at least 100))" in row.verdict


def test_a_failure_outweighs_agreement():
    assert replace(STATUSES["agrees"], published=0.3).status == "failed"


def test_the_numbers_of_a_verdict():
    assert BOTH.deviation == 0.0
    assert BOTH.excess == pytest.approx(0.02)
    assert BOTH.z == pytest.approx(4.0)
    z = -0.004 / math.hypot(0.002, 0.0015)
    assert BOTH.verdict == (
        "theory 0.4, as published (to 0.0e+00); infinite width +10 %; sampled 0.40800 ± 0.00200: differs from theory "
        f"(+2 %, z +4.0); published 0.40400 ± 0.00150: -0.98 % of ours (z {z:+.1f})"
    )
    alone = replace(THEORY, published_sampled=0.404, published_standard_error=0.0015)
    assert alone.verdict.endswith("published 0.40400 ± 0.00150: +1 % of theory, z +2.7")
    assert "NOT the published 0.4 (+10 %)" in replace(THEORY, theory=0.44).verdict
    assert "the chains disagree (R-hat 1.06)" in STATUSES["not mixed"].verdict
    assert "no standard error" in replace(SAMPLED, standard_error=None).verdict


def test_verdicts_name_their_points():
    assert found(BOTH).verdicts() == [f"T = 0.5, P = 50, test error: {BOTH.verdict}"]
    assert found(BOTH, THEORY).summary() == "toy: 2 points (1 differs, 1 reproduced) in 7 s"


def test_csv_keeps_every_digit():
    row = replace(BOTH, theory=0.1 + 0.2, ess=None)
    (read,) = csv.DictReader(io.StringIO(found(row).csv()))
    assert float(read["theory"]) == 0.1 + 0.2
    assert read["ess"] == ""
    assert (read["status"], read["verdict"]) == (row.status, row.verdict)
    assert found(row).records() == [vars(row) | {"status": row.status, "verdict": row.verdict}]


def test_markdown_is_a_table_of_what_there_is():
    text = found(BOTH, THEORY).markdown()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == 4
    for said in ("# toy: a title", "- a note.", "- data: digits", "- sampled with hmc", "0.408", "+4.0"):
        assert said in text
    assert "sampled" not in found(THEORY).markdown().split("|---")[0]
    assert text.endswith("hmc\n")


def test_measured_takes_the_estimate_apart():
    estimate = SimpleNamespace(value=0.3, standard_error=0.01, rhat=1.0, ess=400.0)
    samples = SimpleNamespace(generalisation_error=estimate, training_error=estimate, seconds=2.0)
    expected = {"sampled": 0.3, "standard_error": 0.01, "rhat": 1.0, "ess": 400.0, "seconds": 2.0, "unmixed": ""}
    assert measured(samples) == measured(samples, "training_error") == expected
    assert Row("a", 1, "q", 0.3, **measured(samples)).z == 0.0
    samples.diagnostics = SimpleNamespace(rhat=1.2, problems=())
    assert Row("a", 1, "q", 0.3, **measured(samples)).status == "not mixed"
    samples.diagnostics = SimpleNamespace(rhat=1.0, problems=("a drift", "no tails"))
    assert Row("a", 1, "q", 0.3, **measured(samples)).unmixed == "a drift; no tails"


def test_notes_on_the_theory_count():
    off = replace(THEORY, x=75, theory=0.4 * (1 + 2e-5), infinite=0.4)
    theory, infinite = theory_notes([THEORY, off, Row("a", 1, "q", 0.4)], "P")
    assert theory == (
        "Theory: 1 of 2 published values reproduced to 1e-05; the largest relative deviation is 2.0e-05, "
        "at T = 0.5, P = 75."
    )
    assert infinite == "Infinite width: 1 of 2 published values; it is off by 0 to 10 %."
    assert list(theory_notes([Row("a", 1, "q", 0.4)], "P")) == []


def test_per_cent():
    assert per_cent(0.0293, 0.001, 0.4) == "+2.93 ± 0.25 %"
    assert per_cent(-0.01, None, 1.0) == "-1.00 %"
