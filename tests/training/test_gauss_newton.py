"""Levenberg–Marquardt: derivatives by differences, least squares, SciPy's minimum, teachers found again, padding."""

import importlib

import jax
import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.special import erf

from widthwise.activations.phi import resolve
from widthwise.errors import InputError
from widthwise.training.gauss_newton import GaussNewton, gauss_newton, jacobian, padded

module = importlib.import_module("widthwise.training.gauss_newton")  # its name is the function's
ERF = resolve("erf")


def start(rng, N1, K, scale=0.1):
    return scale * rng.normal(size=(N1, K)), rng.normal(size=N1)


def realisable(rng, P, K=4, M=2, noise=0.0):
    """Readouts apart, so that each unit can be told from the others."""
    U, v, X = 1.5 * np.linalg.qr(rng.normal(size=(K, K)))[0][:M], np.arange(1.0, M + 1.0), rng.normal(size=(P, K))
    return U, v, X, erf(X @ U.T) @ v + noise * rng.normal(size=P)


@pytest.mark.parametrize("name", ["erf", "tanh", "relu"])
def test_the_jacobian_is_that_of_differences(rng, name):
    phi, (W, a), X, h = resolve(name), start(rng, 3, 4, 1.0), rng.normal(size=(7, 4)), 1e-6

    def f(theta):
        return phi(X @ theta[:12].reshape(3, 4).T) @ theta[12:]

    theta = np.concatenate([W.ravel(), a])
    expected = np.column_stack([(f(theta + h * e) - f(theta - h * e)) / (2 * h) for e in np.eye(15)])
    with jax.enable_x64(True):
        value, J = jacobian(phi.function, W, a, X)
    np.testing.assert_allclose(value, f(theta), atol=1e-14)
    np.testing.assert_allclose(J, expected, atol=1e-8)


def test_a_linear_student_is_least_squares(rng):
    X = rng.normal(size=(30, 4)) * [1.0, 0.1, 10.0, 3.0]
    y = X @ rng.normal(size=4) + rng.normal(size=30)
    found = gauss_newton(resolve("identity"), X, y, start(rng, 3, 4))
    exact, (residual,), *_ = np.linalg.lstsq(X, y, rcond=None)
    np.testing.assert_allclose(found.a @ found.W, exact, rtol=1e-8, atol=1e-9)
    assert found.error == pytest.approx(residual / 30, rel=1e-12)
    assert found.status == "converged"


@pytest.mark.parametrize("P", [60, 300])
def test_a_realisable_task_is_learnt_to_the_last_digits(rng, P):
    """P ≥ 4p: the teacher itself, up to the order and the signs of its units."""
    U, v, X, y = realisable(rng, P)
    best = min(
        (gauss_newton(ERF, X, y, start(np.random.default_rng(k), 2, 4, 0.01)) for k in range(3)), key=lambda f: f.error
    )
    assert best.status == "converged"
    assert best.error <= 1e-20 * np.mean(y**2)
    order = np.argsort(np.abs(best.a))
    signs = np.sign(best.a[order])
    np.testing.assert_allclose(signs * best.a[order], v, atol=1e-8)
    np.testing.assert_allclose(signs[:, None] * best.W[order], U, atol=1e-8)


def test_the_minimum_is_scipys(rng):
    U, v, X, y = realisable(rng, 60, noise=0.3)
    W, a = U + 0.3 * rng.normal(size=U.shape), v + 0.3 * rng.normal(size=2)

    def residual(theta):
        return y - erf(X @ theta[:8].reshape(2, 4).T) @ theta[8:]

    theirs = least_squares(residual, np.concatenate([W.ravel(), a]), xtol=1e-15, ftol=1e-15, gtol=1e-13)
    ours = gauss_newton(ERF, X, y, (W, a))
    assert ours.status == "converged"
    assert ours.error == pytest.approx(2.0 * theirs.cost / 60, rel=1e-12)
    np.testing.assert_allclose(np.concatenate([ours.W.ravel(), ours.a]), theirs.x, atol=1e-5)
    again = gauss_newton(ERF, X, y, (ours.W, ours.a))
    assert (again.steps, again.error, again.status) == (0, ours.error, "converged")


def test_fewer_examples_than_parameters_are_learnt_by_heart(rng):
    X, y = rng.normal(size=(12, 4)), rng.normal(size=12)
    found = gauss_newton(ERF, X, y, start(rng, 4, 4))
    assert found.error <= 1e-20 * np.mean(y**2)
    assert np.mean((y - erf(X @ found.W.T) @ found.a) ** 2) <= 1e-18 * np.mean(y**2)


def test_neither_padding_nor_the_system_that_is_solved_changes_a_step(rng, monkeypatch):
    """9 examples, 10 parameters: padded to 40 rows by JᵀJ, in 9 by JJᵀ."""
    X, y, begin = rng.normal(size=(9, 4)), rng.normal(size=9), start(rng, 2, 4, 1.0)
    found = []
    for rows in (9, 40):
        monkeypatch.setattr(module, "padded", lambda P, rows=rows: rows)
        found.append(gauss_newton(resolve("cos"), X, y, begin, GaussNewton(steps=2)))  # φ(0) is not 0
    assert found[0].status == "steps"
    np.testing.assert_allclose(found[1].W, found[0].W, rtol=1e-9)
    np.testing.assert_allclose(found[1].a, found[0].a, rtol=1e-9)
    assert found[1].error == pytest.approx(found[0].error, rel=1e-10)


def test_few_sizes_are_compiled():
    sizes = [padded(P) for P in range(1, 2000)]
    assert all(P <= size <= max(8, 1.25 * P + 8) for P, size in enumerate(sizes, 1))
    assert len(set(sizes)) <= 35
    assert [padded(P) for P in (120, 180, 720)] == [128, 192, 768]


def test_rotating_the_inputs_rotates_the_way(rng):
    """μ is the same for all weights: the steps know no axes."""
    _, _, X, y = realisable(rng, 60, noise=0.3)
    (W, a), O = start(rng, 2, 4, 1.0), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    here, there = (gauss_newton(ERF, X @ R, y, (W @ R, a), GaussNewton(steps=6)) for R in (np.eye(4), O))
    np.testing.assert_allclose(there.W @ O.T, here.W, rtol=1e-8)
    swapped = gauss_newton(ERF, X, y, (W[::-1].copy(), a[::-1].copy()), GaussNewton(steps=6))
    np.testing.assert_allclose(swapped.a[::-1], here.a, rtol=1e-8)


def test_a_valley_without_end_is_said_to_be_one(rng):
    """sign(x) asks of erf(w x) an infinite w."""
    X = np.linspace(-1, 1, 200)[:, None]
    found = gauss_newton(ERF, X, np.sign(X[:, 0]) + 0.1 * rng.normal(size=200), (np.ones((1, 1)), np.ones(1)))
    assert found.status in ("converged", "stalled")
    spent = gauss_newton(ERF, X, np.sign(X[:, 0]), (np.ones((1, 1)), np.ones(1)), GaussNewton(steps=2))
    assert (spent.status, spent.steps) == ("steps", 2)
    nothing = gauss_newton(ERF, X, 0.0 * X[:, 0], (np.ones((1, 1)), np.zeros(1)))
    assert (nothing.status, nothing.error) == ("converged", 0.0)


@pytest.mark.parametrize("bad", [{"steps": -1}, {"tolerance": -1e-3}, {"gradient": 1.0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(InputError, match=rf"{next(iter(bad))}: expected .*, got .*; pass"):
        GaussNewton(**bad)
