import math

import numpy as np
import pytest

from widthwise.bound import Measurement


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.12345, 0.0042, "0.1235 ± 0.0042"),
        (0.12345, 0.0, "0.1235"),
        (0.12345, math.nan, "0.1235 ± ?"),
        (1234.5, 67.0, "1234 ± 67"),
        (-2.5, 1.25, "-2.5 ± 1.2"),
        (1.0, 1e-15, "1 ± 1e-15"),
        (3e8, 2e6, "3e+08 ± 2e+06"),
    ],
)
def test_it_prints_two_digits_of_its_error(value, error, text):
    assert str(Measurement(value, error)) == text


def test_the_mean_of_independent_values(rng):
    values = rng.normal(3.0, 2.0, 400)
    mean = Measurement.of_mean(values)
    assert mean.value == pytest.approx(values.mean())
    assert mean.standard_error == pytest.approx(values.std(ddof=1) / 20.0)
    assert Measurement.of_mean(values, 4.0).standard_error == pytest.approx(2.0 * mean.standard_error)
    assert math.isnan(Measurement.of_mean(values[:1]).standard_error)


def test_below_is_undecided_within_two_standard_errors():
    m = Measurement(1.0, 0.1)
    assert m.below(1.21) is True
    assert m.below(1.19) is None
    assert m.below(0.81) is None
    assert m.below(0.79) is False
    assert Measurement(1.0, math.nan).below(5.0) is None
    assert Measurement(math.inf, 1.0).below(5.0) is None


def test_units_scale_value_and_error():
    assert Measurement(1.0, 0.5) / 4.0 == Measurement(0.25, 0.125)


def test_records_have_no_nan():
    assert Measurement(np.pi, math.nan).records() == {"value": np.pi, "standard_error": None}
