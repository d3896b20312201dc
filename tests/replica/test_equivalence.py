"""τ: exact values, what it predicts for the gap, and its verdicts."""

import math

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.replica import gaussian_equivalence, tau


def loo(X, y):
    """Leverages in fits without the row, one by one; residuals, geometric mean of those with and without it."""
    pairs, own = [], y - X @ np.linalg.lstsq(X, y)[0]
    for i in range(len(y)):
        A, b = np.delete(X, i, 0), np.delete(y, i, 0)
        residual = y[i] - X[i] @ np.linalg.lstsq(A, b)[0]
        pairs.append((np.sqrt(residual * own[i]), X[i] @ np.linalg.solve(A.T @ A, X[i])))
    return tuple(map(np.array, zip(*pairs)))


def test_a_cube_on_one_normal_feature_has_seven(rng):
    """r = x³ − 3x: E[r²x²]/E[r²] = 42/6."""
    x = rng.standard_normal((200_000, 1))
    found = gaussian_equivalence(2.4 * x, 1.7 * x[:, 0] ** 3, constant=False)
    assert found.tau == pytest.approx(7.0, rel=0.1)
    assert abs(found.tau - 7.0) < 4 * found.standard_error
    assert found.verdict == "departs"


def test_cubes_of_many_features(rng):
    """y = Σ x_i³: τ = 1 + 6/N."""
    N = 6
    x = rng.standard_normal((100_000, N))
    found = gaussian_equivalence(x, (x**3).sum(1), constant=False)
    assert abs(found.tau - 2.0) < 4 * found.standard_error < 0.8
    assert found.verdict == "departs"


@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_gaussian_features_are_universal(rng, ridge):
    A = rng.standard_normal((10, 10))
    X = rng.standard_normal((3000, 10)) @ A + 2.0
    Y = X[:, :2] + 0.8 * rng.standard_normal((3000, 2))
    found = gaussian_equivalence(X, Y, ridge=ridge)
    assert abs(found.tau - 1.0) < 4 * found.standard_error < 0.1
    assert found.verdict == "universal"
    assert gaussian_equivalence(X[:40], Y[:40], ridge=ridge).verdict == "inconclusive"


def test_little_bias_at_few_examples(rng):
    """n = 4 N, where the fit's own residuals and leverages are far from the true ones."""
    found = []
    for _ in range(300):
        X = rng.standard_normal((80, 20))
        found.append(gaussian_equivalence(X, X[:, 0] + rng.standard_normal(80), constant=False).tau)
    assert np.mean(found) == pytest.approx(1.0, abs=4 * np.std(found) / math.sqrt(300))
    assert np.std(found) < 0.1


@pytest.mark.parametrize("constant", [True, False])
def test_leave_one_out_one_by_one(rng, constant):
    X, y = rng.standard_normal((40, 3)) + 0.5, rng.standard_normal(40)
    found = gaussian_equivalence(X, y, constant=constant)
    full = np.column_stack([X, np.ones(40)]) if constant else X
    assert (found.tau, found.standard_error) == pytest.approx(tau(*loo(full, y)))


def test_the_standard_error_is_the_spread(rng):
    found = []
    for _ in range(300):
        M, r = rng.gamma(4.0, size=500), rng.standard_normal((500, 2))
        found.append(tau(r * np.sqrt(1 + M)[:, None], M))
    value, error = np.array(found).T
    assert error.mean() == pytest.approx(value.std(), rel=0.15)
    # E[(1 + M) M]/(E[1 + M] E[M]) with E M = 4, E M² = 20
    assert value.mean() == pytest.approx(24 / 20, abs=4 * value.std() / math.sqrt(300))


def test_scales_do_not_matter(rng):
    r, M = rng.standard_normal(50), rng.gamma(2.0, size=50)
    assert tau(1e-200 * r, 1e9 * M) == pytest.approx(tau(r, M))
    assert tau(np.stack([r, 0 * r], 1), M) == pytest.approx(tau(r, M))


def test_the_gap_of_heavy_tails_is_tau_times_the_universal_one(rng):
    """φ = x, y = x³: gap → 2 ε_R τ/P with ε_R = 6, τ = 7, and not 2 ε_R/P.

    ε_g − ε_t averages (v − 3)² + (v − 3)² Σx²/P once mean(r²), whose expectation is ε_R, is taken off.
    """
    P, total = 1000, []
    for _ in range(15):
        x = rng.standard_normal((1000, P))
        square = (x**2).sum(1)
        shift = ((x**4).sum(1) - 3 * square) / square
        total.append(shift**2 * (1 + square / P))
    gap = float(np.mean(total))
    assert gap == pytest.approx(2 * 6 * 7 / P, rel=0.05)


def test_undefined_without_residuals(rng):
    X = rng.standard_normal((30, 4))
    for features, targets in ((X, X @ np.ones(4)), (X[:3], np.array([1.0, 2.0, 0.0])), (X, np.ones(30))):
        found = gaussian_equivalence(features, targets)
        assert found.verdict == "undefined"
        assert math.isnan(found.tau)
    assert np.isnan(tau(np.zeros(4), np.ones(4))).all()
    assert np.isnan(tau(np.ones(4), np.zeros(4))).all()
    assert math.isnan(tau(np.ones(1), np.ones(1))[1])


def test_duplicated_features_change_nothing(rng):
    X = rng.standard_normal((60, 3))
    y = X[:, 0] ** 3
    more = np.column_stack([X, X[:, :2], np.zeros(60)])
    assert gaussian_equivalence(more, y).tau == pytest.approx(gaussian_equivalence(X, y).tau)


def test_features_that_depend_up_to_their_precision_count_once(rng):
    """Born in float32: the rest of rounding is no feature."""
    X = rng.standard_normal((400, 8)).astype(np.float32)
    more = np.hstack([X, X @ rng.standard_normal((8, 20)).astype(np.float32)]).astype(np.float64)
    y = X[:, 0].astype(float) ** 3
    one, many = gaussian_equivalence(X, y), gaussian_equivalence(more, y)
    assert many.tau == pytest.approx(one.tau, rel=1e-5)
    assert many.standard_error == pytest.approx(one.standard_error, rel=1e-5)


@pytest.mark.parametrize("ridge", [0.0, 30.0])
def test_it_is_that_of_the_hat_matrix(rng, ridge):
    X, y = rng.standard_normal((60, 5)) * 2.0 + 1.0, rng.standard_normal(60)
    Z, centred = X - X.mean(axis=0), y - y.mean()
    H = Z @ np.linalg.solve(Z.T @ Z + ridge * np.eye(5), Z.T) + 1 / 60
    h = np.diag(H)
    r = centred - H @ centred
    found = gaussian_equivalence(X, y, ridge=ridge)
    assert (found.tau, found.standard_error) == pytest.approx(tau(r / np.sqrt(1 - h), h / (1 - h)))


def test_bad_input(rng):
    X, y = rng.standard_normal((10, 2)), rng.standard_normal(10)
    with pytest.raises(InputError, match="ridge"):
        gaussian_equivalence(X, y, ridge=-1.0)
    with pytest.raises(InputError, match="one row per example"):
        gaussian_equivalence(X, y[:4])
    with pytest.raises(InputError, match="one row per datum"):
        tau(np.ones(0), np.ones(0))
    with pytest.raises(InputError, match="leverage is 1"):
        tau(np.full(4, np.inf), np.ones(4))
    with pytest.raises(InputError, match="at least 0"):
        tau(np.ones(4), -np.ones(4))
