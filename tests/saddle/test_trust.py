"""Descents with exact gradients: minima, domains, and what lies between two of them."""

import math

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from widthwise.saddle.search import Search
from widthwise.saddle.trust import hessian_of, minimise_few, polish


def rosenbrock(x):
    return float(rosen(x)), rosen_der(x)


def wells(x):
    """(u² − 1)² + u/10 + v²: two minima, the left one lower, a saddle between."""
    u, v = x
    return (u * u - 1) ** 2 + 0.1 * u + v * v, np.array([4 * u * (u * u - 1) + 0.1, 2 * v])


def barrier(x):
    """u − log u + v², on u > 0."""
    if x[0] <= 0:
        return math.inf, np.zeros(2)
    return x[0] - math.log(x[0]) + x[1] ** 2, np.array([1 - 1 / x[0], 2 * x[1]])


@pytest.mark.parametrize(
    ("function", "start", "where"),
    [
        (rosenbrock, (-1.2, 1.0, 0.3, 2.0), (1.0, 1.0, 1.0, 1.0)),
        (barrier, (9.0, 3.0), (1.0, 0.0)),
        (barrier, (0.01, -3.0), (1.0, 0.0)),
    ],
)
def test_descent_reaches_the_minimum_and_stays_in_the_domain(function, start, where):
    end = minimise_few(function, np.array(start), np.eye(len(start)), tolerance=1e-10)
    np.testing.assert_allclose(end.x, where, atol=1e-7)
    assert end.evaluations < 120
    point, _, _ = polish(function, end)
    np.testing.assert_allclose(point.x, where, atol=1e-10)
    assert point.kind == "minimum"


def test_outside_the_domain_nothing_is_claimed():
    end = minimise_few(barrier, np.array([-1.0, 0.0]), np.eye(2))
    assert end.residual == math.inf
    point, _, _ = polish(barrier, end)
    assert point.residual == math.inf
    search = Search(barrier)
    search.descend(np.array([-1.0, 0.0]), np.eye(2))
    assert search.points == []


def test_hessian_by_differences():
    x = np.array([0.7, -0.2])
    np.testing.assert_allclose(hessian_of(wells, x), [[12 * 0.49 - 4, 0], [0, 2]], atol=1e-6)


def test_both_minima_and_the_point_that_parts_them():
    search = Search(wells)
    for start in ((-2.0, 1.0), (2.0, 1.0), (1.5, -1.0)):
        search.descend(np.array(start), np.eye(2))
    search.between()
    kinds = sorted(point.kind for point in search.points)
    assert kinds == ["minimum", "minimum", "saddle"]
    lowest = min(search.points, key=lambda point: point.value)
    assert lowest.x[0] < 0
    assert search.agreeing(lowest) == 1
    assert len(search.ends) == 3
    for point in search.points:
        assert np.abs(wells(point.x)[1]).max() < 1e-8
