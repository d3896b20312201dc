"""Tails and kurtosis at one point against draws and SciPy's distributions."""

import math

import numpy as np
import pytest
from scipy import special, stats

import widthwise as ww
from widthwise.errors import InputError
from widthwise.prior import draw, kurtosis, tail
from widthwise.prior.tails import conditional_variances


def test_the_tails_are_those_of_the_variance_gamma_law(rng):
    Q = rng.chisquare(6, 400_000) / 6
    f = np.sqrt(Q) * rng.standard_normal(len(Q))
    for t, probability in zip((1.0, 2.5), tail(6, (1.0, 2.5))):
        seen = np.abs(f) > t
        assert probability == pytest.approx(seen.mean(), abs=4 * seen.std() / math.sqrt(len(f)))
    assert tail(10**6, 3.0)[0] == pytest.approx(2 * stats.norm.sf(3), rel=1e-4)


def test_the_tails_of_two_units_are_laplaces():
    """√Q z with Q ~ χ²_2/2 has density exp(−√2 |f|)/√2."""
    t = np.array([0.5, 2.0, 6.0])
    np.testing.assert_allclose(tail(2, t), np.exp(-math.sqrt(2) * t), rtol=1e-6)


def test_the_tails_of_the_other_laws(rng):
    law = stats.t(7)
    np.testing.assert_allclose(tail(7, [1.0, 4.0], "student-t"), 2 * law.sf(np.array([1.0, 4.0]) * law.std()))
    np.testing.assert_allclose(tail(7, [1.0, 4.0], "gaussian"), 2 * stats.norm.sf([1.0, 4.0]))
    with pytest.raises(InputError, match="more than 2 degrees of freedom"):
        tail(2, 1.0, "student-t")
    with pytest.raises(InputError, match="unknown law"):
        tail(2, 1.0, "network")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: tail(0, 3.0), "N: expected a finite number above zero, got 0"),
        (lambda: tail(math.inf, 3.0), "N: expected a finite number"),
        (lambda: tail(4, -1.0), "thresholds: expected numbers of zero or more, got -1"),
        (lambda: tail(4, math.nan), "thresholds: expected finite numbers"),
        (lambda: kurtosis("erf", 0), "N: expected a finite number above zero"),
        (lambda: kurtosis("erf", 3, 0.0), "scale: expected a finite number above zero"),
        (lambda: kurtosis("erf", 3, -1.0), "scale: expected a finite number above zero"),
    ],
)
def test_numbers_out_of_range_are_refused(ask, message):
    with pytest.raises(InputError, match=message):
        ask()


@pytest.mark.parametrize(("activation", "ratio"), [("identity", 3.0), ("relu", 6.0), ("quadratic", 105 / 9)])
def test_the_kurtosis_of_known_moments(activation, ratio):
    """3 (E φ⁴/(E φ²)² − 1)/N: the Gaussian's fourth and eighth moments."""
    assert kurtosis(activation, 5, 1.3) == pytest.approx(3 * (ratio - 1) / 5, rel=1e-9)


def test_the_kurtosis_is_that_of_draws():
    network = ww.FullyConnected([3], "erf", (0.5, 2.0))
    f = draw(network, np.array([[1.0]]), 200_000, key=1)[:, 0]
    sampled = np.array([stats.kurtosis(batch) for batch in np.array_split(f, 40)])
    error = sampled.std() / math.sqrt(40)
    assert kurtosis("erf", 3, 2.0) == pytest.approx(stats.kurtosis(f), abs=5 * error)


def test_conditional_variances_are_the_units(rng):
    q = conditional_variances("relu", 3, 100_000, np.random.default_rng(0), scale=1.5)
    assert q.mean() == pytest.approx(0.75, abs=5 * q.std() / math.sqrt(len(q)))
    q = conditional_variances(special.erf, 1, 50_000, rng, scale=0.8)
    h = special.erfinv(np.sqrt(np.minimum(q, 1 - 1e-16))) / math.sqrt(0.8)
    assert stats.kstest(h, stats.halfnorm.cdf).pvalue > 1e-3
