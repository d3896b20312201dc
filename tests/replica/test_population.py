"""The moments: what is checked, what follows, and what a sample says of them."""

import numpy as np
import pytest

from widthwise.errors import DataWarning, InputError
from widthwise.replica import Population

OMEGA = np.array([[2.0, 0.5], [0.5, 1.0]])


def test_the_teacher_is_the_best_readout():
    population = Population(OMEGA, [1.0, 0.3], 2.0)
    theta = np.linalg.solve(OMEGA, [1.0, 0.3])
    assert population.teacher == pytest.approx(theta)
    assert population.residual == pytest.approx(2.0 - theta @ [1.0, 0.3])
    assert population.noise_fraction == pytest.approx(population.residual / 2.0)
    assert population.rank == 2


def test_dead_and_duplicated_features_do_not_count():
    copy = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])  # the second twice, and a dead one
    population = Population(copy @ OMEGA @ copy.T, copy @ [1.0, 0.3], 2.0)
    assert population.rank == 2
    assert population.residual == pytest.approx(Population(OMEGA, [1.0, 0.3], 2.0).residual)
    theta = population.teacher
    assert theta[1] == pytest.approx(theta[2])
    assert theta[3] == 0.0


def test_an_exact_teacher_leaves_nothing(turned):
    assert turned("1/i", 30, 0.0).residual == 0.0


def test_outputs_add_up():
    b = np.array([[1.0, 0.2], [0.3, -0.4]])
    both = Population(OMEGA, b, 4.0)
    each = [Population(OMEGA, b[:, d], 2.0) for d in (0, 1)]
    assert both.signal == pytest.approx(each[0].signal + each[1].signal)
    assert both.residual == pytest.approx(each[0].residual + each[1].residual)
    assert both.teacher[:, 1] == pytest.approx(each[1].teacher)


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        (([[1.0, 2.0]], [1.0], 1.0), "square"),
        (([[1.0, 0.2], [0.0, 1.0]], [1.0, 0.0], 2.0), "symmetric"),
        (([[1.0, 2.0], [2.0, 1.0]], [1.0, 0.0], 2.0), "positive semi-definite"),
        (([[np.nan, 0.0], [0.0, 1.0]], [1.0, 0.0], 2.0), "finite"),
        ((np.zeros((2, 2)), [0.0, 0.0], 2.0), "dead"),
        ((np.diag([1.0, 0.0]), [0.1, 0.1], 2.0), "range of Ω"),
        ((OMEGA, [1.0, 0.3, 0.1], 2.0), "expected 2 finite"),
        ((OMEGA, [5.0, 0.3], 2.0), "at least b·Ω⁺b"),
        ((OMEGA, [0.1, 0.3], 0.0), "positive number"),
        ((OMEGA, [0.1, 0.3], np.inf), "positive number"),
    ],
)
def test_moments_of_no_law_are_refused(moments, message):
    with pytest.raises(InputError, match=message):
        Population(*moments)


def test_a_large_sample_gives_its_population_back(rng):
    N, n, residual = 8, 200_000, 0.7
    A = rng.standard_normal((N, N)) / np.sqrt(N) + np.eye(N)
    theta, mean = rng.standard_normal(N), 3.0 + rng.standard_normal(N)
    X = rng.standard_normal((n, N)) @ A + mean
    y = X @ theta - 2.5 + np.sqrt(residual) * rng.standard_normal(n)
    centred = Population.of_sample(X, y)
    assert centred.feature_covariance == pytest.approx(A.T @ A, abs=0.03)
    assert centred.residual == pytest.approx(residual, rel=0.015)
    assert centred.teacher == pytest.approx(theta, abs=0.01)
    assert centred.target_power == pytest.approx(y.var())
    raw = Population.of_sample(X, y + 2.5, constant=False)
    assert raw.feature_covariance == pytest.approx(A.T @ A + np.outer(mean, mean), rel=0.02, abs=0.1)
    assert raw.target_power == pytest.approx(np.mean((y + 2.5) ** 2))


def test_the_residual_of_a_moderate_sample_is_unbiased(rng):
    N, n = 10, 120
    theta = rng.standard_normal(N)
    found, power = [], []
    for _ in range(400):
        X = rng.standard_normal((n, N)) + 1.0
        population = Population.of_sample(X, X @ theta + 0.8 * rng.standard_normal(n))
        found.append(population.residual)
        power.append(population.target_power - population.residual)
    assert np.mean(found) == pytest.approx(0.64, abs=4 * np.std(found) / 20)
    assert np.mean(power) == pytest.approx(theta @ theta * (n - 1) / n, abs=4 * np.std(power) / 20)


def test_small_samples(rng):
    X, y = rng.standard_normal((30, 5)), rng.standard_normal((30, 2))
    with pytest.warns(DataWarning, match="n = 10 N"):
        population = Population.of_sample(X, y)
    assert population.feature_target_covariance.shape == (5, 2)
    with pytest.raises(InputError, match="more rows than the rank"):
        Population.of_sample(X[:6], y[:6])
    with pytest.raises(InputError, match="constant"):
        Population.of_sample(X, np.ones(30))
    with pytest.raises(InputError, match="one row per example"):
        Population.of_sample(X, y[:-1])
    with pytest.raises(InputError, match="finite"):
        Population.of_sample(X * np.inf, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_born_in_float32(rng, dtype):
    """Half of the features linear in the others: singular, but for float32's rounding."""
    n, N = 400, 40
    X = rng.standard_normal((n, N // 2)).astype(np.float32)
    X = np.column_stack([X, X @ rng.standard_normal((N // 2, N // 2)).astype(np.float32)])
    y = X @ rng.standard_normal(N).astype(np.float32) + rng.standard_normal(n).astype(np.float32)
    moments = [np.asarray(moment, dtype) for moment in (X.T @ X / n, X.T @ y / n, y @ y / n)]
    assert np.linalg.eigvalsh(moments[0].astype(np.float64))[0] < 0.0
    found = Population(*moments)
    X, y = X.astype(np.float64), y.astype(np.float64)
    exact = Population(X.T @ X / n, X.T @ y / n, y @ y / n)
    assert found.rank == exact.rank == N // 2
    assert found.residual == pytest.approx(exact.residual, rel=1e-3)
    assert found.learning_curve([0.3, 2.0]).gap == pytest.approx(exact.learning_curve([0.3, 2.0]).gap, rel=1e-3)
    with pytest.raises(InputError, match="positive semi-definite"):
        Population(moments[0] - dtype(0.1) * np.eye(N, dtype=dtype), *moments[1:])


def test_small_features_count_where_the_moments_are_exact():
    for scale in (2.0**-10, 1e-5):
        omega = np.diag([1.0, scale**2])
        found = Population(omega, omega @ [1.0, 1 / scale], 2.5)
        assert found.rank == 2
        assert found.residual == pytest.approx(0.5)
