import dataclasses
import json

import numpy as np
import pytest

from widthwise.errors import DataWarning, InputError
from widthwise.probes import Probe, Report, verdict
from widthwise.probes.report import report

NAMES = [field.name for field in dataclasses.fields(Report) if field.type == "Probe"]


def made(M=3, N1=6, P=100, copy_average=None, **values):
    """A report of these values; the rest unknown."""
    probes = {name: Probe(values[name]) if name in values else Probe.missing("not measured") for name in NAMES}
    return Report(**probes, inputs=20, teacher_units=M, width=N1, examples=P, copy_average=copy_average)


COLLAPSED = {"overlap": 0.96, "n90": 3.0, "memorisation": 0.49, "test_error": 0.0}
MEMORISED = {"overlap": 0.4, "n90": 0.0, "memorisation": 0.91, "test_error": 0.11}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (COLLAPSED, "collapsed"),
        ({**COLLAPSED, "overlap": 0.95}, "partial"),
        ({**COLLAPSED, "overlap": 0.94}, "partial"),
        ({**COLLAPSED, "n90": 2.0}, "partial"),
        ({**COLLAPSED, "memorisation": 0.5}, "partial"),
        ({**COLLAPSED, "memorisation": 0.51}, "partial"),
        (MEMORISED, "memorised"),
        ({**MEMORISED, "memorisation": 0.9}, "partial"),
        ({**MEMORISED, "memorisation": 0.89}, "partial"),
        ({**MEMORISED, "test_error": 0.1}, "partial"),
        ({**MEMORISED, "test_error": 0.09}, "partial"),
        ({**COLLAPSED, "memorisation": 1.0, "test_error": 0.5}, "memorised"),
    ],
)
def test_each_side_of_each_threshold(values, word):
    found = verdict([made(**values)] * 5)
    assert found.word == word
    assert found.fractions[word] == 1.0
    assert sum(found.fractions.values()) == 1.0
    assert found.evidence["overlap"] == values["overlap"]
    json.dumps(found.records(), allow_nan=False)


def test_a_stuck_seed_decides_nothing():
    found = verdict([made(**COLLAPSED)] * 3 + [made(**MEMORISED)] * 2)
    assert found.word == "collapsed"
    assert found.fractions == {"collapsed": 0.6, "memorised": 0.4, "partial": 0.0}
    assert "60% collapsed, 40% memorised" in str(found)


def test_the_evidence_is_medians_of_what_is_known():
    seeds = [made(**{**COLLAPSED, "kurtosis": k}) for k in (0.1, 0.9, 5.0)] + [made(**COLLAPSED)] * 2
    assert verdict(seeds).evidence["kurtosis"] == 0.9
    assert verdict(seeds).evidence["shuffled_r2"] is None


@pytest.mark.parametrize("N1", [3, 6])
def test_every_unit_must_be_found(N1):
    assert verdict([made(N1=N1, **COLLAPSED)] * 5).word == "collapsed"
    assert verdict([made(M=4, N1=N1 + 1, **COLLAPSED)] * 5).word == "partial"


def test_a_narrow_student_is_read_beside_copies_and_one_average():
    found = verdict([made(N1=2, copy_average=0.569, **{**COLLAPSED, "overlap": 0.57, "n90": 1.0})] * 5)
    assert found.word == "partial"
    assert found.evidence["copy_average"] == 0.569
    assert "1 copy and one average would overlap 0.569" in found.reason
    assert verdict([made(**COLLAPSED)] * 5).evidence["copy_average"] is None


def test_without_a_teacher_nothing_has_collapsed():
    real = {"memorisation": 0.1, "test_error": 0.01, "shuffled_r2": 0.2, "participation": 4.0}
    found = verdict([made(M=None, **real)] * 5)
    assert found.word == "partial"
    assert "cannot be said to have collapsed" in found.reason
    assert found.evidence["shuffled_r2"] == 0.2
    assert verdict([made(M=None, memorisation=1.0, test_error=0.9)] * 5).word == "memorised"


def test_what_is_not_known_is_not_said():
    found = verdict([made(overlap=1.0, n90=3.0, test_error=0.0)] * 5)
    assert found.word == "partial"
    assert "m is not known" in found.reason
    assert "test error is not known" in verdict([made(memorisation=1.0)] * 5).reason.lower()


def test_few_seeds_warn():
    with pytest.warns(DataWarning, match="5 seeds or more, got 4"):
        assert verdict([made(**COLLAPSED)] * 4).word == "collapsed"
    with pytest.warns(DataWarning, match="got 1"):
        assert verdict(made(**COLLAPSED)).seeds == 1


def test_a_real_report_is_judged(rng):
    X, y = rng.standard_normal((30, 4)), rng.standard_normal(30)
    r = report(lambda x: np.zeros(len(x)), X_test=X, y_test=y, memorisation=1.0)
    assert verdict([r] * 5).word == "memorised"


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ([], "got none"),
        (None, "got NoneType"),
        ([1.0] * 5, "got float"),
        ([made(**COLLAPSED)] * 4 + [made(N1=7, **COLLAPSED)], "one task and size"),
        ([made(**COLLAPSED)] * 4 + [made(P=101, **COLLAPSED)], "one task and size"),
    ],
)
def test_bad_input(reports, message):
    with pytest.raises(InputError, match=message):
        verdict(reports)
