"""Stationary points of functions of one variable whose stationary points are known."""

import math

import numpy as np
import pytest

from widthwise.errors import NumericalError
from widthwise.saddle import Status, minimise_scalar, refine
from widthwise.saddle.scalar import Jet


def polynomial(*coefficients):
    """The function with these coefficients, highest power first, as a jet."""
    p = np.poly1d(coefficients)
    d, dd = p.deriv(), p.deriv(2)
    return lambda u: Jet(float(p(u)), float(d(u)), float(dd(u)))


def two_wells(tilt):
    return polynomial(1.0, 0.0, -2.0, tilt, 0.0)


@pytest.mark.parametrize("tilt", [0.3, -0.3, 1e-3])
@pytest.mark.parametrize("starts", [9, 33, 200])
def test_the_lower_of_two_minima_and_every_stationary_point(tilt, starts):
    saddle = minimise_scalar(two_wells(tilt), -3.0, 3.0, starts=starts)
    assert saddle.status is Status.CONVERGED
    roots = np.sort(np.roots([4.0, 0.0, -4.0, tilt]).real)
    np.testing.assert_allclose(sorted(point.x[0] for point in saddle.points), roots, atol=1e-12)
    assert sorted(point.kind for point in saddle.points) == ["maximum", "minimum", "minimum"]
    assert np.sign(saddle.best.x[0]) == -np.sign(tilt)
    assert saddle.best is saddle.points[0]
    assert saddle.best.value == min(point.value for point in saddle.points)
    assert saddle.best.residual < 1e-11
    assert saddle.starts == starts
    assert saddle.evaluations > starts


def test_the_share_of_starts_in_the_best_basin():
    saddle = minimise_scalar(two_wells(0.3), -3.0, 3.0, starts=61)  # the maximum between the wells is at 0.076
    grid = np.linspace(-3, 3, 61)
    assert saddle.agreeing == np.count_nonzero(grid < 0.076)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e9])
def test_the_scale_of_the_function_is_taken_into_account(scale):
    saddle = minimise_scalar(lambda u: Jet(*(scale * x for x in two_wells(0.1)(u))), -3.0, 3.0)
    assert saddle.status is Status.CONVERGED
    assert saddle.best.x[0] == pytest.approx(min(np.roots([4.0, 0.0, -4.0, 0.1]).real), abs=1e-9)


def test_bisection_takes_over_where_newton_only_swings_from_side_to_side():
    def root(u):
        x = u - 0.3
        size = math.sqrt(max(abs(x), 1e-300))
        return Jet(size**3, 1.5 * math.copysign(size, x), 0.75 / size)

    assert minimise_scalar(root, -1.0, 2.0).best.x[0] == pytest.approx(0.3, abs=1e-12)


@pytest.mark.parametrize("at", [-1.0, 0.0, 1.0])
def test_a_stationary_point_on_the_grid_even_at_its_ends(at):
    saddle = minimise_scalar(polynomial(1.0, -2.0 * at, 0.0), -1.0, 1.0, starts=21)
    assert saddle.status is Status.CONVERGED
    assert saddle.best.x[0] == pytest.approx(at, abs=1e-12)
    assert len(saddle.points) == 1


@pytest.mark.parametrize(
    ("function", "status"),
    [
        (lambda u: Jet(math.exp(-u), -math.exp(-u), math.exp(-u)), Status.NO_MINIMUM),
        (polynomial(-1.0, 0.0, 0.0), Status.NO_MINIMUM),  # a maximum and nothing else
        (lambda u: Jet(1.0, 0.0, 0.0), Status.DEGENERATE),
        (lambda u: Jet(math.nan, math.nan, math.nan), Status.NO_MINIMUM),
    ],
)
def test_no_minimum_is_a_status_and_an_error_when_checked(function, status):
    saddle = minimise_scalar(function, -1.0, 1.0, starts=9)
    assert saddle.status is status
    assert saddle.agreeing == 0
    assert all(point.kind != "minimum" for point in saddle.points)
    with pytest.raises(NumericalError, match=rf"^the action: {status} \(gradient .*\); use other numbers$"):
        saddle.check("the action", "use other numbers")


def test_a_converged_saddle_checks_as_itself():
    saddle = minimise_scalar(polynomial(1.0, 0.0, 0.0), -1.0, 2.0)
    assert saddle.check("the action", "nothing to do") is saddle


def test_points_where_the_function_cannot_be_computed_are_left_out():
    def partial(u):
        if u > 1.5:
            raise NumericalError("too far")
        return two_wells(0.3)(u)

    saddle = minimise_scalar(partial, -3.0, 3.0)
    assert saddle.best.x[0] == pytest.approx(minimise_scalar(two_wells(0.3), -3.0, 3.0).best.x[0], abs=1e-12)


def test_a_function_that_can_be_computed_nowhere_says_why():
    def never(u):
        raise NumericalError("no factor")

    with pytest.raises(NumericalError, match="no factor"):
        minimise_scalar(never, 0.0, 1.0)


@pytest.mark.parametrize("shift", [0.0, 1e-3, -0.05, 0.2])
def test_refine_moves_a_guess_to_the_exact_minimum(shift):
    cheap = minimise_scalar(lambda u: two_wells(0.3)(u - shift), -3.0, 3.0)
    refined = refine(two_wells(0.3), cheap)
    assert refined.status is Status.CONVERGED
    assert refined.best.x[0] == pytest.approx(min(np.roots([4.0, 0.0, -4.0, 0.3]).real), abs=1e-12)
    assert len(refined.points) == 3
    assert refined.evaluations > cheap.evaluations


@pytest.mark.parametrize(
    "exact",
    [polynomial(-1.0, 0.0, 0.0), polynomial(1.0, 40.0, 0.0), lambda u: Jet(0.0, math.nan, math.nan)],
    ids=["a maximum", "too far away", "not a number"],
)
def test_refine_fails_by_status(exact):
    cheap = minimise_scalar(polynomial(1.0, 0.0, 0.0), -1.0, 2.0)
    refined = refine(exact, cheap)
    assert refined.status is not Status.CONVERGED
    with pytest.raises(NumericalError):
        refined.check("S", "do something")


@pytest.mark.parametrize(("noise", "status"), [(1e-9, Status.CONVERGED), (1e-3, Status.NOT_CONVERGED)])
def test_refine_forgives_rounding_but_not_noise(noise, status):
    def noisy(u):  # a slope that never comes closer to zero than this
        return Jet(u * u, 2.0 * u + math.copysign(noise, u), 2.0)

    cheap = minimise_scalar(polynomial(1.0, -0.02, 0.0), -1.0, 2.0)
    refined = refine(noisy, cheap)
    assert refined.status is status
    assert abs(refined.best.x[0]) < 2 * noise
