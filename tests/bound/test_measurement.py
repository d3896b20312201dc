import math

import numpy as np
import pytest
from scipy import stats

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


def test_of_few_examples_it_is_rarely_wrong_and_mostly_silent():
    """Squared errors, whose mean is 1, against bounds on either side of it."""
    for n, silent in ((2, 0.99), (10, 0.8), (100, 0.0)):
        rng = np.random.default_rng(n)
        draws = [Measurement.of_mean(rng.normal(size=n) ** 2) for _ in range(1500)]
        assert np.mean([draw.below(0.999) is True for draw in draws]) < 0.06
        assert np.mean([draw.below(1.001) is False for draw in draws]) < 0.06
        assert np.mean([draw.below(1.2) is None for draw in draws]) >= silent
        assert np.mean([draw.below(2.0) is True for draw in draws]) > (0.95 if n == 100 else -1.0)


def test_a_difference_has_both_errors_and_a_factor_between_theirs():
    found = Measurement(3.0, 0.3, 2.5) - Measurement(1.0, 0.4, 5.0)
    assert (found.value, found.standard_error) == pytest.approx((2.0, 0.5))
    assert found.factor * 0.5 == pytest.approx(np.hypot(0.75, 2.0))
    assert (Measurement(1.0, 0.1) - Measurement(0.0, 0.2)).factor == pytest.approx(2.0)
    assert (Measurement(1.0, 0.0, 9.0) - Measurement(1.0, 0.0, 9.0)).below(0.0) is True
    assert math.isnan((Measurement(1.0, math.nan, 9.0) - Measurement(1.0, 0.1)).standard_error)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_a_difference_of_few_from_many_is_rarely_wrong(n):
    """Squared errors of n fresh examples, less those of many, whose error is known but larger than a lucky few's."""
    rng, said = np.random.default_rng(n), []
    for _ in range(1500):
        few, many = (Measurement.of_mean(scale * rng.normal(size=k) ** 2) for scale, k in ((2.0, n), (1.0, 60)))
        said.append((few - many).below(0.999))
    assert said.count(True) < 0.03 * 1500
    assert said.count(False) < 0.03 * 1500


def test_the_factor_is_students():
    values = np.arange(13.0)
    freedom = 2.0 / (2.0 / 12.0 + 12.0 / 13.0)
    m = Measurement.of_mean(values)
    assert m.factor == pytest.approx(stats.t.ppf(stats.norm.cdf(2.0), freedom))
    width = m.factor * m.standard_error
    assert (m.below(6.0 + width * 1.001), m.below(6.0 + width * 0.999)) == (True, None)
    assert (m / 2.0).factor == m.factor


def test_an_error_bar_does_not_underflow(rng):
    values = rng.normal(size=50) ** 2
    assert Measurement.of_mean(1e-200 * values).standard_error == pytest.approx(
        1e-200 * Measurement.of_mean(values).standard_error, rel=1e-12
    )
