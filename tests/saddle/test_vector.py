"""Stationary points of functions of several variables, minima and saddles, with domains."""

import math

import numpy as np
import pytest

from widthwise.errors import NumericalError
from widthwise.saddle import Status, stationary_near


def rosenbrock(x):
    a, b = 1.0 - x[0], x[1] - x[0] ** 2
    gradient = np.array([-2 * a - 400 * x[0] * b, 200 * b])
    hessian = np.array([[2 - 400 * b + 800 * x[0] ** 2, -400 * x[0]], [-400 * x[0], 200.0]])
    return a * a + 100 * b * b, gradient, hessian


def min_max(x):
    """cosh u − cosh v + u v /2: least in u, greatest in v, at the origin."""
    u, v = x
    gradient = np.array([math.sinh(u) + v / 2, -math.sinh(v) + u / 2])
    return math.cosh(u) - math.cosh(v) + u * v / 2, gradient, np.array([[math.cosh(u), 0.5], [0.5, -math.cosh(v)]])


def half_plane(x):
    """u − log u + v², on u > 0."""
    if x[0] <= 0:
        return math.inf, np.full(2, np.inf), np.eye(2)
    return x[0] - math.log(x[0]) + x[1] ** 2, np.array([1 - 1 / x[0], 2 * x[1]]), np.diag([1 / x[0] ** 2, 2.0])


def wells(x):
    """(u² − 1)²: minima at ±1, a maximum at 0."""
    return (x[0] ** 2 - 1) ** 2, 4 * x * (x[0] ** 2 - 1), np.array([[12 * x[0] ** 2 - 4]])


@pytest.mark.parametrize(
    ("function", "where", "kind", "starts"),
    [
        (rosenbrock, (1.0, 1.0), "minimum", [(-1.2, 1.0), (0.5, 0.6), (0.0, 0.0)]),
        (min_max, (0.0, 0.0), "saddle", [(1.0, 1.0), (-4.0, 2.0), (0.0, 0.0)]),
        (half_plane, (1.0, 0.0), "minimum", [(0.1, 3.0), (8.0, -2.0), (30.0, 0.0)]),
    ],
)
def test_the_stationary_point_and_its_kind(function, where, kind, starts):
    saddle = stationary_near(function, [np.array(start) for start in starts])
    assert saddle.status is Status.CONVERGED
    np.testing.assert_allclose(saddle.best.x, where, atol=1e-9)
    assert saddle.best.kind == kind
    np.testing.assert_allclose(saddle.best.hessian, np.linalg.eigvalsh(function(saddle.best.x)[2]), atol=1e-6)
    assert (saddle.starts, saddle.agreeing) == (3, 3)


def test_the_point_that_most_starts_lead_to_and_the_others():
    saddle = stationary_near(wells, [np.array([u]) for u in (0.9, 1.2, -1.1, 0.05)])
    assert saddle.best.x[0] == pytest.approx(1.0)
    assert saddle.agreeing == 2
    np.testing.assert_allclose(sorted(point.x[0] for point in saddle.points), [-1, 0, 1], atol=1e-9)
    assert [point.kind for point in saddle.points] == ["minimum", "minimum", "maximum"]


def test_a_start_outside_the_domain_is_passed_over():
    saddle = stationary_near(half_plane, [np.array([-1.0, 0.0]), np.array([5.0, 1.0])])
    assert saddle.status is Status.CONVERGED
    assert (saddle.starts, saddle.agreeing) == (2, 1)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_nothing_but_the_outside(bad):
    saddle = stationary_near(lambda x: (bad, np.full(1, bad), np.full((1, 1), bad)), [np.zeros(1), np.ones(1)])
    assert saddle.status is Status.OUTSIDE_DOMAIN
    assert (saddle.points, saddle.agreeing) == ((), 0)


def test_no_stationary_point_is_a_status():
    saddle = stationary_near(lambda x: (x[0] + x[1], np.ones(2), np.zeros((2, 2))), [np.zeros(2)])
    assert saddle.status is Status.NOT_CONVERGED
    with pytest.raises(NumericalError, match=r"^S: not converged \(gradient 1\); try again$"):
        saddle.check("S", "try again")


@pytest.mark.parametrize("scale", [1e-2, 1e9])
def test_the_scale_of_the_function_is_taken_into_account(scale):
    saddle = stationary_near(lambda x: tuple(scale * part for part in rosenbrock(x)), [np.array([-1.2, 1.0])])
    assert saddle.status is Status.CONVERGED
    np.testing.assert_allclose(saddle.best.x, 1.0, atol=1e-8)


def test_a_degenerate_point_says_so():
    saddle = stationary_near(lambda x: (0.0, np.zeros(2), np.diag([0.0, 1.0])), [np.zeros(2)])
    assert saddle.best.kind == "degenerate"


def test_no_starts():
    with pytest.raises(ValueError, match="expected at least one start, got none"):
        stationary_near(wells, [])
