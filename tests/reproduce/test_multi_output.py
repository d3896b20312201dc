"""Several outputs: covariances by an independent formula, limits, and the linear network that is exact."""

from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.curves import MNIST_012
from widthwise.reproduce.multi_output import INTEGRATED, SADDLE, STUDY, Sizes, compute, sampled_covariance

TINY = Sizes(widths=(12, 10**6), sampled_widths=(), train_size=12, test_size=15, temperature=0.3)


@pytest.fixture(scope="module")
def found():
    return compute(Setup(full=False), TINY)


def covariance_rows(found):
    return [row for row in found.rows if row.quantity.startswith("covariance")]


def test_the_rows_are_the_posterior_written_out(found):
    """At the saddle Q the outputs' covariance is Q k** − (Q ⊗ k*)(T + Q ⊗ K)⁻¹(Q ⊗ k*)ᵀ, here with PD × PD matrices."""
    X, y, X_test, y_test = ww.load_data("digits", classes=(0, 1, 2), train_size=12, test_size=15)
    network = ww.FullyConnected(widths=[12], activation="erf")
    Q = ww.infer(network, X, y, temperature=0.3, approximation="saddle").order_parameters["Q"][0]

    def kernel(A, B):
        a, b = (1 + 2 * np.sum(M**2, axis=1) / A.shape[1] for M in (A, B))
        return 2 / np.pi * np.arcsin(2 * A @ B.T / A.shape[1] / np.sqrt(np.outer(a, b)))

    A = np.kron(Q, kernel(X, X)) + 0.3 * np.eye(36)
    total, mean = np.zeros((3, 3)), np.zeros((15, 3))
    for i, x in enumerate(X_test):
        k = np.kron(Q, kernel(x[None], X))
        total += Q * kernel(x[None], x[None]) - k @ np.linalg.solve(A, k.T)
        mean[i] = k @ np.linalg.solve(A, y.T.ravel())
    between = total / 15
    rows = {row.quantity: row for row in covariance_rows(found) if row.series == SADDLE and row.x == 12}
    for d, e in ((0, 1), (0, 2), (1, 2)):
        row = rows[f"covariance of outputs {d} and {e}"]
        assert row.theory == pytest.approx(between[d, e], rel=1e-8)
        assert row.infinite == 0
    error = np.mean(np.sum((y_test - mean) ** 2, axis=1)) + np.trace(between)
    [test] = [row for row in curves.chosen(found.rows, series=SADDLE) if row.x == 12]
    assert test.theory == pytest.approx(error, rel=1e-8)


def test_wide_networks_are_the_infinite_column(found):
    for row in found.rows:
        if row.x == 10**6:
            assert row.theory == pytest.approx(row.infinite, rel=2e-4, abs=1e-5)
    assert max(abs(row.theory) for row in covariance_rows(found) if row.x == 12) > 1e-3


def test_the_sampled_covariance_is_that_of_the_draws(rng):
    L = rng.standard_normal((2, 2))
    f = (rng.standard_normal((4, 3000, 5, 2)) @ L.T) + 3.0
    said = sampled_covariance(SimpleNamespace(test_mean=f, seconds=1.0), 0, 1)
    assert said["sampled"] == pytest.approx((L @ L.T)[0, 1], abs=5 * said["standard_error"])
    assert 0 < said["standard_error"] < 0.1 * np.linalg.norm(L) ** 2


def test_the_figure_shows_the_rows(found):
    left, right = STUDY.figure(found).axes
    rows = curves.chosen(found.rows, series=SADDLE)
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [(row.x, row.theory) for row in rows])
    between = curves.chosen(found.rows, series=SADDLE, quantity="covariance of outputs 0 and 1")
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [(row.x, row.theory) for row in between])


def test_missing_data_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"^--data: expected a folder with mnist\.npz, got .* without it; [^\n]*$"):
        compute(Setup(full=True, data=tmp_path), Sizes(source=MNIST_012))


@pytest.mark.slow
def test_linear_networks_are_sampled_where_the_integral_is_exact():
    sizes = Sizes(
        activation="identity", widths=(8,), sampled_widths=(8,), train_size=12, test_size=20, temperature=0.3, draws=400
    )
    found = compute(Setup(full=False), sizes)
    rows = [row for row in found.rows if row.series == INTEGRATED]
    assert len(rows) == 5
    for row in rows:  # 2 %: the integral's own draws
        assert abs(row.sampled - row.theory) < 4 * row.standard_error + 0.02 * abs(row.theory) + 5e-4
    assert max(abs(row.sampled) / row.standard_error for row in covariance_rows(found)) > 4
