"""Records: strict JSON, with exactly the promised keys."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from widthwise.report.records import plain, prediction_record, strict_json

KEYS = [
    "network", "data", "temperature", "approximation", "order_parameters", "certificate", "validity", "load",
    "log_evidence", "log_evidence_gain", "training_error", "generalisation_error", "accuracy", "calibration",
    "infinite_width", "seconds",
]  # fmt: skip


def test_the_record_has_the_promised_keys(shown):
    record = json.loads(strict_json(prediction_record(seconds=1.5, **shown)))
    assert list(record) == KEYS
    assert record["generalisation_error"]["theory_error"] == record["training_error"]["theory_error"] == 0.0123
    for errors in (
        record["training_error"],
        record["generalisation_error"],
        record["infinite_width"]["training_error"],
    ):
        assert set(errors) - {"theory_error"} == {"total", "bias", "variance"}
        assert errors["total"] == pytest.approx(errors["bias"] + errors["variance"])
    assert record["network"]["activation"] == "erf"
    assert record["network"]["weight_precisions"] == [1.0, 2.5]
    assert record["order_parameters"] == {"Q": [0.75]}
    assert record["accuracy"] == 0.975
    assert record["log_evidence_gain"] == 2.345
    assert record["calibration"] is None


def test_a_regression_has_no_accuracy(shown):
    shown["data"] |= {"task": "regression"}
    record = prediction_record(seconds=1.0, **shown)
    assert record["accuracy"] is None
    assert record["infinite_width"]["accuracy"] is None


class Pair(NamedTuple):
    a: object
    b: object


@dataclass(frozen=True)
class Point:
    x: float

    @property
    def double(self) -> float:
        return 2 * self.x


def test_plain_values():
    value = {"pair": Pair(np.float64(1.5), np.array([1.0, np.nan])), "p": Point(np.inf), "f": len, "n": np.int64(3)}
    record = plain(value)
    assert record["pair"] == {"a": 1.5, "b": [1.0, None]}
    assert record["p"] == {"x": None, "double": None}
    assert record["n"] == 3
    assert isinstance(record["f"], str)
    json.loads(strict_json(value), parse_constant=pytest.fail)
