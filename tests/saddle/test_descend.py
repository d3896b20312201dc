"""Minima from value and gradient alone: known functions of few and of many variables, walls, symmetric starts."""

import math

import numpy as np
import pytest

from widthwise.errors import NumericalError
from widthwise.saddle import Status, minimise
from widthwise.saddle.descend import descend, hessian


def rosenbrock(x):
    a, b = 1.0 - x[:-1], x[1:] - x[:-1] ** 2
    gradient = np.zeros_like(x)
    gradient[:-1] = -2 * a - 400 * x[:-1] * b
    gradient[1:] += 200 * b
    return float((a * a + 100 * b * b).sum()), gradient


def wells(x):
    """Σ (u² − 1)² + 0.2 u: 2^n minima, the lowest near −1 in every variable."""
    return float(((x * x - 1) ** 2 + 0.2 * x).sum()), 4 * x * (x * x - 1) + 0.2


def walled(x):
    """Σ u − log u, only where every u > 0; its minimum is at 1."""
    if (x <= 0).any():
        return math.inf, np.full_like(x, np.inf)
    return float((x - np.log(x)).sum()), 1 - 1 / x


@pytest.mark.parametrize(
    ("function", "where", "starts"),
    [
        (rosenbrock, np.ones(5), [np.zeros(5), np.full(5, 0.5), np.full(5, 2.0)]),
        (walled, np.ones(4), [np.full(4, 1e-3), np.full(4, 90.0), np.array([0.1, 5.0, 1.0, 30.0])]),
    ],
    ids=["rosenbrock", "walled"],
)
def test_minimum_residual_and_hessian(function, where, starts):
    saddle = minimise(function, starts)
    assert saddle.status is Status.CONVERGED
    np.testing.assert_allclose(saddle.best.x, where, atol=1e-9)
    assert saddle.best.residual < 1e-9 * saddle.best.hessian[-1]
    assert (saddle.starts, saddle.agreeing, len(saddle.points)) == (3, 3, 1)
    if function is walled:
        np.testing.assert_allclose(saddle.best.hessian, 1.0, rtol=1e-7)


def test_every_minimum_is_reported_and_the_lowest_chosen():
    saddle = minimise(wells, [np.array([s, t]) for s in (-0.8, 0.8) for t in (-1.2, 1.2)])
    assert [point.kind for point in saddle.points] == ["minimum"] * 4
    roots = np.sort(np.roots([4.0, 0.0, -4.0, 0.2]).real)
    np.testing.assert_allclose(saddle.best.x, roots[0], atol=1e-9)
    np.testing.assert_allclose(saddle.points[-1].x, roots[2], atol=1e-9)
    assert saddle.agreeing == 1


def test_a_symmetric_start_is_not_a_trap():
    """From the ridge u = 0 the descent ends on a saddle point; it is reported, and left on both sides."""

    def ridge(x):
        return float((x[0] ** 2 - 1) ** 2 + x[1] ** 2), np.array([4 * x[0] * (x[0] ** 2 - 1), 2 * x[1]])

    saddle = minimise(ridge, [np.array([0.0, 3.0])])
    assert saddle.status is Status.CONVERGED
    assert sorted(point.kind for point in saddle.points) == ["minimum", "minimum", "saddle"]
    np.testing.assert_allclose(np.abs(saddle.best.x), [1.0, 0.0], atol=1e-9)
    assert saddle.starts == 3


@pytest.mark.parametrize("n", [50, 600])
def test_many_variables_by_products(n):
    """A stiff quadratic with a quartic: the same minimum and lowest eigenvalues as the dense search."""
    rng = np.random.default_rng(n)
    B = rng.normal(size=(n, 8))
    b, k = rng.normal(size=n), np.linspace(1.0, 30.0, n)

    def function(x):
        return float(0.5 * (k * x) @ x + 0.5 * ((B.T @ x) ** 2).sum() + 0.25 * (x**4).sum() - b @ x), (
            k * x + B @ (B.T @ x) + x**3 - b
        )

    saddle = minimise(function, [np.zeros(n), rng.normal(size=n)], dense=10)
    assert saddle.status is Status.CONVERGED
    assert saddle.agreeing == 2
    x = saddle.best.x
    exact = np.linalg.eigvalsh(np.diag(k + 3 * x**2) + B @ B.T)
    assert np.abs(function(x)[1]).max() < 1e-9 * exact[-1]
    np.testing.assert_allclose(saddle.best.hessian[:4], exact[:4], rtol=1e-4)
    assert saddle.best.hessian[-1] == pytest.approx(exact[-1], rel=0.02)
    assert len(saddle.best.hessian) == 5


def test_a_saddle_of_many_variables_is_left():
    def function(x):
        g = 2 * x
        g[0] = 4 * x[0] * (x[0] ** 2 - 1)
        return float((x[0] ** 2 - 1) ** 2 + (x[1:] ** 2).sum()), g

    start = np.ones(30)
    start[0] = 0.0
    saddle = minimise(function, [start], dense=5)
    assert saddle.status is Status.CONVERGED
    assert {point.kind for point in saddle.points} == {"minimum", "saddle"}
    np.testing.assert_allclose(np.abs(saddle.best.x[0]), 1.0, atol=1e-8)


def test_starts_outside_the_domain():
    some = minimise(walled, [-np.ones(2), np.ones(2)])
    assert (some.status, some.starts, some.agreeing) == (Status.CONVERGED, 2, 1)
    none = minimise(walled, [-np.ones(2)])
    assert (none.status, none.points, none.agreeing) == (Status.OUTSIDE_DOMAIN, (), 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nothing_but_the_outside(bad):
    assert minimise(lambda x: (bad, np.full(2, bad)), [np.zeros(2)]).status is Status.OUTSIDE_DOMAIN


def test_no_minimum_is_a_status_and_an_error_when_checked():
    saddle = minimise(lambda x: (float(x.sum()), np.ones(2)), [np.zeros(2)])
    assert saddle.status is Status.NOT_CONVERGED
    with pytest.raises(NumericalError, match=r"^S: .*; try again$"):
        saddle.check("S", "try again")


def test_a_flat_direction_is_degenerate():
    saddle = minimise(lambda x: (float(x[0] ** 2), np.array([2 * x[0], 0.0])), [np.ones(2)])
    assert saddle.status is Status.DEGENERATE
    assert saddle.best.kind == "degenerate"


@pytest.mark.parametrize("scale", [1e-2, 1e6])
def test_the_scale_of_the_function_is_taken_into_account(scale):
    saddle = minimise(lambda x: tuple(scale * part for part in rosenbrock(x)), [np.array([-1.2, 1.0])])
    assert saddle.status is Status.CONVERGED
    np.testing.assert_allclose(saddle.best.x, 1.0, atol=1e-6)


def test_hessian_by_differences():
    x = np.array([0.3, -1.7, 2.0])
    exact = np.diag([2 - 400 * (x[1] - 3 * x[0] ** 2), 202 - 400 * (x[2] - 3 * x[1] ** 2), 200.0])
    exact[0, 1] = exact[1, 0] = -400 * x[0]
    exact[1, 2] = exact[2, 1] = -400 * x[1]
    np.testing.assert_allclose(hessian(rosenbrock, x), exact, rtol=1e-8, atol=1e-5)


def test_descent_stays_inside_walls():
    visited = []

    def watched(x):
        value, gradient = walled(x)
        visited.append(np.isfinite(value))
        return value, gradient

    x, value, gradient = descend(watched, np.array([0.05, 40.0]))
    assert not all(visited)  # it did step outside
    np.testing.assert_allclose(x, 1.0, atol=0.5)
    assert np.isfinite(value)
    assert value == walled(x)[0]
    assert np.array_equal(gradient, walled(x)[1])


def test_no_starts():
    with pytest.raises(ValueError, match="expected at least one start, got none"):
        minimise(wells, [])
