import math

import numpy as np
import pytest
from scipy import stats

from widthwise.errors import InputError
from widthwise.probes.gaussianity import excess_kurtosis, gaussian_kurtosis, gaussian_negentropy, negentropy

N = 10_000
LAWS = {  # draws, excess kurtosis, negentropy
    "gaussian": (lambda rng, n: rng.normal(2.0, 3.0, n), 0.0, 0.0),
    "laplace": (lambda rng, n: rng.laplace(-1.0, 0.3, n), 3.0, 0.5 * math.log(math.pi / math.e)),
    "uniform": (lambda rng, n: rng.uniform(5.0, 5.5, n), -1.2, 0.5 * math.log(math.pi * math.e / 6.0)),
    "logistic": (lambda rng, n: rng.logistic(0.0, 2.0, n), 1.2, None),
}


@pytest.mark.parametrize("law", LAWS)
def test_kurtosis_of_known_laws(rng, law):
    draw, expected, _ = LAWS[law]
    e = draw(rng, 50_000)
    found = excess_kurtosis(e)
    assert found.value == pytest.approx(float(stats.kurtosis(e)), abs=1e-10)
    assert abs(found.value - expected) < 4.0 * found.standard_error


@pytest.mark.parametrize("law", ["gaussian", "laplace", "uniform"])
def test_negentropy_of_known_laws(rng, law):
    draw, _, expected = LAWS[law]
    found = negentropy(draw(rng, N), draws=50)
    assert found.value == pytest.approx(expected, abs=4.0 * found.standard_error + 0.012)


def test_what_the_closed_forms_are():
    assert LAWS["uniform"][2] == pytest.approx(0.1765, abs=1e-4)
    assert LAWS["laplace"][2] == pytest.approx(0.0724, abs=1e-4)


def test_the_raw_estimate_is_vasiceks(rng):
    e = rng.laplace(size=2000)
    entropy = float(stats.differential_entropy(e, method="vasicek"))
    raw = 0.5 * math.log(2.0 * math.pi * math.e * np.var(e)) - entropy
    assert negentropy(e, draws=20).value == pytest.approx(raw - gaussian_negentropy(2000, 20).mean, abs=1e-12)


def test_the_bias_of_gaussian_samples_is_gone(rng):
    null = gaussian_negentropy(500, 400, 3)
    other = np.array([negentropy(rng.normal(7.0, 0.1, 500), draws=400, key=3).value for _ in range(200)])
    assert null.mean > 10.0 * null.deviation / math.sqrt(400)  # there is a bias
    assert abs(other.mean()) < 4.0 * null.deviation * math.sqrt(1 / 200 + 1 / 400)
    assert other.std() == pytest.approx(null.deviation, rel=0.25)


@pytest.mark.parametrize("n", [20, 500])
def test_the_null_of_the_kurtosis_is_exact(rng, n):
    values = stats.kurtosis(rng.standard_normal((4000, n)), axis=1)
    null = gaussian_kurtosis(n)
    assert abs(values.mean() - null.mean) < 4.0 * null.deviation / math.sqrt(4000)
    assert values.std() == pytest.approx(null.deviation, rel=0.08)
    assert gaussian_kurtosis(100_000).deviation == pytest.approx(math.sqrt(24 / 100_000), rel=1e-3)


@pytest.mark.parametrize("probe", [excess_kurtosis, lambda e: negentropy(e, draws=30)])
@pytest.mark.parametrize("law", ["uniform", "laplace"])
def test_error_bars_are_the_spread_over_samples(rng, probe, law):
    found = [probe(LAWS[law][0](rng, 3000)) for _ in range(60)]
    spread = np.std([f.value for f in found])
    assert np.median([f.standard_error for f in found]) == pytest.approx(spread, rel=0.4)


def test_the_error_of_a_skewed_laws_kurtosis_is_the_bootstraps(rng):
    e = (rng.random(2000) < 0.2) + 0.1 * rng.standard_normal(2000)
    again = stats.kurtosis(e[rng.integers(0, 2000, (1000, 2000))], axis=1)
    assert excess_kurtosis(e).standard_error == pytest.approx(again.std(), rel=0.1)


@pytest.mark.parametrize("probe", [excess_kurtosis, lambda e: negentropy(e, draws=20)])
def test_shift_scale_sign_and_order_change_nothing(rng, probe):
    e = rng.laplace(size=1000)
    moved = probe(-1e-9 * e[rng.permutation(1000)] + 3e-9)
    assert moved.value == pytest.approx(probe(e).value, abs=1e-9)
    assert moved.standard_error == pytest.approx(probe(e).standard_error, abs=1e-9)


def test_a_discrete_error_is_infinitely_far_from_gaussian(rng):
    assert negentropy(rng.choice([-1.0, 1.0], 500), draws=20).value == math.inf
    assert excess_kurtosis(np.tile([-1.0, 1.0], 50)).value == pytest.approx(-2.0)


def test_the_simulated_null_is_kept_and_seeded():
    assert gaussian_negentropy(100, 50, 1) is gaussian_negentropy(100, 50, 1)
    assert gaussian_negentropy(100, 50, 1) != gaussian_negentropy(100, 50, 2)


@pytest.mark.parametrize(
    ("errors", "message"), [(np.ones(50), "all the same"), (np.arange(5.0), "at least 8"), ([np.inf] * 9, "finite")]
)
def test_bad_input(errors, message):
    for probe in (excess_kurtosis, negentropy):
        with pytest.raises(InputError, match=message):
            probe(errors)
