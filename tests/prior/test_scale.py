"""The scale that finite width puts on the posterior: SciPy's laws, the roots that `infer` finds, limits."""

import math

import numpy as np
import pytest
from scipy import stats

import widthwise as ww
from widthwise.errors import InputError
from widthwise.prior import integrated_factor, saddle_factor, scale_factors, t_factor


@pytest.mark.parametrize("s", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_the_saddle_is_the_one_that_infer_finds(alpha, s, rng):
    P, N = 60, round(60 / alpha)
    y = rng.standard_normal(P)
    y *= math.sqrt(P * s) / np.linalg.norm(y)  # K = 1: s is the target's power
    posterior = ww.infer(ww.PrecomputedKernel(widths=[N]), np.eye(P), y, temperature=1e-9)
    assert saddle_factor(P / N, s) == pytest.approx(float(posterior.order_parameters["Q"][0]), rel=1e-7)
    assert (saddle_factor(P / N, s) - 1) * (s - 1) >= 0
    assert saddle_factor(1e-9, s) == pytest.approx(1, abs=1e-7)
    # and ⟨Q⟩ of many examples, whose formula shares nothing with the root
    assert integrated_factor(N * 50, P * 50, s) == pytest.approx(saddle_factor(P / N, s), rel=0.01)


@pytest.mark.parametrize(("N", "P", "s"), [(8, 3, 0.25), (3, 8, 4.0), (20, 20, 1.7), (5, 0.5, 1.0)])
def test_the_integral_is_the_mean_of_a_generalised_inverse_gaussian(N, P, s):
    psi, chi = N, P * s
    law = stats.geninvgauss((N - P) / 2, math.sqrt(psi * chi), scale=math.sqrt(chi / psi))
    assert integrated_factor(N, P, s) == pytest.approx(law.mean(), rel=1e-8)


def test_targets_of_zero_are_the_limit_of_small_ones():
    found = scale_factors([0.5, 1.0, 4.0], 0.0, width=16)
    np.testing.assert_allclose(found.integrated, [0.5, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(scale_factors([0.5, 4.0], 1e-9, width=16).integrated, [0.5, 0.0], atol=1e-7)


def test_the_factors_of_student_t_are_those_of_its_conditional_law():
    """Of a bivariate t with covariance 1 at y: Var(f | y) over 1, drawn in a thin slice."""
    nu, y, rng = 8.0, 2.0, np.random.default_rng(3)
    draws = stats.multivariate_t(shape=np.eye(2) * (nu - 2) / nu, df=nu, seed=rng).rvs(2_000_000)
    slice_ = draws[np.abs(draws[:, 0] - y) < 0.05, 1]
    error = slice_.var() * math.sqrt(stats.kurtosis(slice_) + 2) / math.sqrt(len(slice_))
    assert t_factor(nu - 2, 1, y**2) == pytest.approx(slice_.var(), abs=4 * error)
    assert t_factor(nu, 5, 1.0) == 1


def test_all_factors_at_once():
    alpha, s = np.array([0.1, 0.5, 2.0]), np.array([[0.25], [1.0], [4.0]])
    found = scale_factors(alpha, s, width=16)
    assert found.saddle.shape == found.alpha.shape == found.t_covariance.shape == (3, 3)
    for i, j in np.ndindex(3, 3):
        P, power = 16 * alpha[j], s[i, 0]
        assert found.integrated[i, j] == pytest.approx(integrated_factor(16, P, power), rel=1e-12)
        assert found.t_shape[i, j] == pytest.approx((16 + P * power) / (16 + P), rel=1e-12)
        assert found.t_covariance[i, j] == pytest.approx((14 + P * power) / (14 + P), rel=1e-12)
        Q = found.saddle[i, j]
        assert Q**2 - (1 - alpha[j]) * Q == pytest.approx(alpha[j] * power, rel=1e-12)
    for factor in (found.saddle, found.t_shape, found.t_covariance):
        assert np.all(factor[0] < 1)
        np.testing.assert_allclose(factor[1], 1, rtol=1e-12)
        assert np.all(factor[2] > 1)


def test_without_a_width_it_is_the_limit_of_many_units():
    limit, wide = scale_factors([0.3, 2.0], 0.4), scale_factors([0.3, 2.0], 0.4, width=1e6)
    for name in ("saddle", "integrated", "t_shape", "t_covariance"):
        np.testing.assert_allclose(getattr(limit, name), getattr(wide, name), rtol=1e-5)


def test_network_and_t_process_agree_at_first_order_in_the_load():
    """c = 1 + α (s − 1) + O(α²), of both."""
    for s in (0.25, 4.0):
        found = scale_factors([1e-5], s)
        for factor in (found.saddle, found.t_shape):
            assert (factor[0] - 1) / 1e-5 == pytest.approx(s - 1, rel=1e-3)


def test_the_t_process_is_one_newton_step_from_infinite_width():
    alpha, s = np.geomspace(0.01, 30, 25), np.array([[0.0], [0.3], [1.0], [7.0]])
    found = scale_factors(alpha, s)
    newton = 1 + alpha * (s - 1) / (2 - (1 - alpha))  # value −α(s − 1), slope 2Q − (1 − α) at Q = 1
    np.testing.assert_allclose(found.t_shape, newton, rtol=1e-12, atol=1e-14)
    assert np.all(found.t_shape >= found.saddle - 1e-14)


def test_narrow_networks_have_no_t_covariance():
    assert np.isnan(scale_factors(1.0, 2.0, width=2).t_covariance)
    assert scale_factors(1.0, 2.0, width=2).t_shape == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((-0.5, 1.0), "alpha: expected finite loads .* got -0.5;"),
        ((1.0, -0.1), "s: expected finite numbers .* got -0.1"),
        (([1.0, 2.0], [1.0, 2.0, 3.0]), "alpha, s: expected numbers"),
        (("a", 1.0), "alpha, s: expected numbers"),
    ],
)
def test_factors_refuse_what_has_none(given, message):
    with pytest.raises(InputError, match=message):
        scale_factors(*given)
    with pytest.raises(InputError, match="width: expected a finite number above zero"):
        scale_factors(1.0, 1.0, width=-3)
