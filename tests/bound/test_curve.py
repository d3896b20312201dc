import numpy as np
import pytest

from widthwise.bound import gap_curve, sharp_gap
from widthwise.errors import InputError

N = 20


def draw(rng, P, noise=0.6):
    X = rng.normal(size=(P, N)) * np.linspace(0.5, 2.0, N) + 1.0
    return X, (X - 1.0) @ np.linspace(-0.3, 0.3, N) + noise * rng.normal(size=P)


@pytest.mark.parametrize("ridge", [0.0, 8.0])
def test_measured_gaps_lie_on_the_sharp_form_and_below_the_bound(rng, ridge):
    curve = gap_curve(*draw(rng, 3000), sizes=(60, 120, 240), ridge=ridge, repeats=60)
    assert curve.effective_size == N + 1
    np.testing.assert_allclose(curve.bound, 2 * 21 / np.array([60, 120, 240]))
    # the median of a skewed gap, and finite N: 12 %
    np.testing.assert_array_less(np.abs(curve.gap - curve.sharp), 0.12 * curve.sharp + 3.0 * curve.standard_error)
    assert (curve.sharp < curve.bound).all()


def test_without_a_ridge_the_sharp_form_is_the_closed_one(rng):
    """gap = ε_R (1 + 1/P)/(1 − N/(P − 1)) − ε_R (1 − (N + 1)/P): the constant uses up one example."""
    X, y = draw(rng, 4000, noise=0.9)
    P = np.array([50, 200, 1000])
    curve = gap_curve(X, y, sizes=P, repeats=2)
    A = np.column_stack([X, np.ones(4000)])
    residual = np.sum((y - A @ np.linalg.lstsq(A, y)[0]) ** 2) / (4000 - 21)
    expected = residual * ((1.0 + 1.0 / P) / (1.0 - N / (P - 1)) - (1.0 - (N + 1) / P)) / np.var(y)
    np.testing.assert_allclose(curve.sharp, expected, rtol=1e-6)


def test_default_sizes_cross_interpolation_without_exception(rng):
    curve = gap_curve(*draw(rng, 250), repeats=5)
    assert curve.sizes[0] == 10
    assert curve.sizes[-1] == 200
    assert len(curve.sizes) == 8
    assert np.isfinite(curve.gap).all()
    assert np.isfinite(curve.standard_error).all()
    at = gap_curve(*draw(rng, 250), sizes=(20, 21, 22), repeats=5)
    assert np.isfinite(at.gap).all()


def test_the_key_makes_it_repeatable(rng):
    X, y = draw(rng, 250)
    a, b, c = (gap_curve(X, y, sizes=[50], repeats=3, key=key) for key in (1, 1, 2))
    assert a.gap == b.gap != c.gap


def test_several_outputs_and_dead_features(rng):
    X, y = draw(rng, 400)
    two = gap_curve(np.column_stack([X, np.zeros(400), X[:, 0]]), np.column_stack([y, y]), sizes=[80], repeats=4)
    one = gap_curve(X, y, sizes=[80], repeats=4)
    assert two.effective_size == one.effective_size
    np.testing.assert_allclose(two.gap, one.gap, rtol=1e-8)
    np.testing.assert_allclose(two.sharp, one.sharp, rtol=1e-6)


def test_the_sharp_form_sees_the_rank_that_the_bound_sees(rng):
    """Features of half precision, some linear in others but for rounding."""
    X = rng.normal(size=(1500, N)).astype(np.float16)
    more = np.hstack([X, X @ rng.normal(size=(N, 15)).astype(np.float16) / np.float16(4)])
    y = X[:, 0].astype(float) + rng.normal(size=1500)
    one, two = (gap_curve(Z, y, sizes=[30, 100], repeats=2) for Z in (X, more))
    assert two.effective_size == one.effective_size == N + 1
    np.testing.assert_allclose(two.sharp[1], one.sharp[1], rtol=1e-3)


def test_units_too_far_apart_for_second_moments_have_no_sharp_form(rng):
    X, y = draw(rng, 400)
    curve = gap_curve((X - 1.0) * np.logspace(-8, 8, N), y, sizes=[80], repeats=2)
    assert curve.effective_size == N + 1
    assert np.isnan(curve.sharp).all()


def test_one_size_need_not_be_a_list(rng):
    X, y = draw(rng, 250)
    assert gap_curve(X, y, sizes=50, repeats=2).sizes.tolist() == [50]
    assert sharp_gap(X, y, 50) == sharp_gap(X, y, [50])


def test_a_sample_without_moments_has_no_sharp_form(rng):
    X, y = draw(rng, 15)
    curve = gap_curve(X, y, repeats=2)
    assert np.isnan(curve.sharp).all()
    assert np.isfinite(curve.gap).all()


@pytest.mark.parametrize("sizes", [(1,), (250,), ()])
def test_sizes_out_of_range_are_refused(rng, sizes):
    with pytest.raises(InputError, match="sizes"):
        gap_curve(*draw(rng, 250), sizes=sizes)


def test_other_bad_input_is_refused(rng):
    X, y = draw(rng, 250)
    with pytest.raises(InputError, match="repeats"):
        gap_curve(X, y, repeats=0)
    with pytest.raises(InputError, match="at least 4 examples"):
        gap_curve(X[:3], y[:3])


def test_the_sharp_form_alone_is_that_of_the_curve(rng):
    Phi, y = rng.standard_normal((400, 12)), rng.standard_normal((400, 2))
    curve = gap_curve(Phi, y, sizes=(20, 60), ridge=3.0, repeats=2)
    assert np.array_equal(sharp_gap(Phi, y, (20, 60), ridge=3.0), curve.sharp)
    beyond = sharp_gap(Phi, y, (10, 13, 4000))  # below, at and far beyond N_eff, and beyond the sample
    assert beyond[0] > 1.0
    assert np.isinf(beyond[1])
    assert beyond[2] == pytest.approx(2 * 13 / 4000, rel=0.05)  # nothing to learn: ρ = 1
    with pytest.raises(InputError, match="sizes"):
        sharp_gap(Phi, y, (1,))
