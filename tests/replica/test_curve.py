"""The two forms of the equations against each other, their consequences in closed form, and fits of Gaussian data."""

import time

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.replica import Population, Status, learning_curve, solve

LOADS = np.array([0.03, 0.4, 0.9, 0.999, 1.0, 1.001, 1.7, 30.0, 1e4])
RIDGES = np.array([1e-6, 1e-2, 1.0, 40.0, 1e5])
FIELDS = ("training_error", "generalisation_error", "memorisation", "kappa")


@pytest.mark.parametrize("noise_fraction", [0.0, 0.3, 0.99])
def test_fixed_point_and_scalar_agree(turned, spectrum, noise_fraction):
    population = turned(spectrum, 23, noise_fraction)
    scalar = population.learning_curve(LOADS, RIDGES)
    literal = population.learning_curve(LOADS, RIDGES, method="fixed-point")
    assert (scalar.status == Status.CONVERGED).all()
    assert (literal.status == Status.CONVERGED).all()
    for name in FIELDS:
        one, other = getattr(scalar, name), getattr(literal, name)
        assert one.shape == (5, 9)
        scale = population.target_power if name.endswith("error") else 0.0
        assert (np.abs(one - other) <= 1e-10 * np.maximum(np.abs(one), scale)).all(), name


@pytest.mark.parametrize("noise_fraction", [0.0, 1e-7])
def test_they_agree_to_the_error_s_own_digits(turned, spectrum, noise_fraction):
    """Of a teacher that is exact, or almost: ε_g = T_y + q − 2m would be a difference of equal numbers."""
    population = turned(spectrum, 23, noise_fraction)
    loads, ridges = [0.3, 0.99, 1.5, 10.0, 1000.0], [1e-6, 1e-3, 1.0]
    scalar = population.learning_curve(loads, ridges)
    literal = population.learning_curve(loads, ridges, method="fixed-point")
    assert scalar.generalisation_error.min() < 1e-6 * population.target_power
    for name in ("generalisation_error", "training_error"):
        assert getattr(literal, name) == pytest.approx(getattr(scalar, name), rel=1e-9, abs=0), name


def test_the_literal_equations_hold_with_dense_matrices(turned):
    """V, q and m put back into the equations as printed, with matrices in place of eigenvalues."""
    population = turned("1/i", 12, 0.2)
    Omega, b, T_y = population.feature_covariance, population.feature_target_covariance, population.target_power
    for P, lam in ((5.0, 0.3), (12.0, 0.01), (70.0, 4.0)):
        state = solve(population, P, lam)
        V = state.memorisation / (1 - state.memorisation)
        V_hat = P / (1 + V)
        G = np.linalg.inv(lam * np.eye(12) + V_hat * Omega)
        assert np.trace(Omega @ G) == pytest.approx(V, rel=1e-10)
        m = V_hat * b @ G @ b
        q = state.generalisation_error - T_y + 2 * m
        q_hat = P * state.generalisation_error / (1 + V) ** 2
        assert q == pytest.approx(V_hat**2 * b @ G @ Omega @ G @ b + q_hat * np.trace(Omega @ G @ Omega @ G), rel=1e-10)
        assert state.kappa == pytest.approx(lam / V_hat, rel=1e-10)
        assert state.training_error == pytest.approx(state.generalisation_error / (1 + V) ** 2, rel=1e-10)


@pytest.mark.parametrize("method", ["scalar", "fixed-point"])
def test_the_gap_is_one_minus_what_was_not_memorised_squared(turned, spectrum, method):
    for noise_fraction in (0.0, 0.5):
        curve = turned(spectrum, 17, noise_fraction).learning_curve(LOADS, RIDGES, method=method)
        m, error = curve.memorisation, curve.generalisation_error
        # the literal form takes T_y + q − 2m, which an exact teacher brings to 0: there T_y sets the rounding
        rounding = 1e-10 * (error if method == "scalar" else error + curve.population.target_power)
        assert (np.abs(curve.gap - (1 - (1 - m) ** 2) * error) <= rounding).all()
        assert curve.gap_ratio == pytest.approx(1 - (1 - m) ** 2, abs=1e-10)
        assert (m <= np.minimum(1.0, 1 / LOADS) + 1e-12).all()
        assert (curve.gap <= 2 * m * error + rounding).all()
        assert (curve.gap <= curve.asymptotic_bound * error + rounding).all()


def test_memorisation_is_the_trace_of_the_effective_hat_matrix(turned):
    population = turned("1/i", 17, 0.5)
    curve = population.learning_curve(LOADS, RIDGES)
    omega = np.linalg.eigvalsh(population.feature_covariance)
    df1 = (omega / (omega + curve.kappa[..., None])).sum(-1)
    assert curve.memorisation == pytest.approx(df1 / (17 * LOADS), rel=1e-10)
    assert RIDGES[:, None] / curve.kappa + df1 == pytest.approx(17 * LOADS + 0 * df1, rel=1e-10)


def test_without_a_ridge_above_interpolation(turned, spectrum):
    population = turned(spectrum, 17, 0.3)
    loads = np.array([1.01, 2.0, 90.0])
    curve = population.learning_curve(loads, 0.0)
    a, residual, rho = 1 / loads, population.residual, population.noise_fraction
    assert curve.training_error == pytest.approx(residual * (1 - a), rel=1e-12)
    assert curve.generalisation_error == pytest.approx(residual / (1 - a), rel=1e-12)
    assert curve.gap / population.target_power == pytest.approx(rho * a * (2 - a) / (1 - a), rel=1e-12)
    assert (curve.kappa == 0.0).all()


def test_without_a_ridge_below_interpolation():
    """All ω equal: ε_g = (|θ|²ω (1 − a) + ε_R)/(1 − a) with a the load."""
    theta, omega, residual, N = np.linspace(-1, 2, 20), 2.3, 0.9, 20
    power = omega * theta @ theta
    loads = np.array([0.05, 0.5, 0.95])
    curve = learning_curve(omega * np.eye(N), omega * theta, power + residual, loads)
    assert (curve.training_error == 0.0).all()
    assert (curve.memorisation == 1.0).all()
    assert curve.generalisation_error == pytest.approx(power * (1 - loads) + residual / (1 - loads), rel=1e-12)
    assert curve.kappa == pytest.approx(omega * (1 / loads - 1), rel=1e-12)


def test_a_small_ridge_goes_to_none(turned, spectrum):
    population = turned(spectrum, 17, 0.3)
    loads = np.array([0.3, 0.8, 1.3, 5.0])
    bare, small = (population.learning_curve(loads, ridge) for ridge in (0.0, 1e-13))
    for name in FIELDS[:3]:
        assert getattr(small, name) == pytest.approx(getattr(bare, name), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("N", [3, 7, 49])
def test_at_interpolation_there_is_a_status(turned, N):
    for P in (N, N * (1 + 1e-15)):
        state = solve(turned("1/i", N, 0.3), P)
        assert state.status is Status.INTERPOLATION
        assert (state.generalisation_error, state.training_error, state.memorisation) == (np.inf, 0.0, 1.0)
        assert (state.gap, state.gap_ratio) == (np.inf, 1.0)
    exact = solve(turned("1/i", N, 0.0), N)
    assert exact.status is Status.INTERPOLATION
    assert (exact.generalisation_error, exact.training_error) == (0.0, 0.0)
    curve = turned("1/i", N, 0.3).learning_curve([0.5, 1.0, 2.0], [0.0, 1e-300, 1e-30, 1.0])
    assert curve.status[:, 1].tolist() == ["interpolation", "converged", "converged", "converged"]
    assert np.isfinite(curve.generalisation_error[1:]).all()


def test_where_two_n_over_p_begins_to_hold(turned):
    """Ridgeless: gap/T_y ≤ 2N/P from P/N = (1 − ρ/2)/(1 − ρ) on, and not before."""
    for rho in (0.1, 0.5, 0.9):
        population = turned("1/i", 17, rho)
        crossing = (1 - rho / 2) / (1 - rho)
        curve = population.learning_curve(crossing * np.array([1 - 1e-9, 1 + 1e-9]), 0.0)
        before, after = curve.gap / population.target_power - curve.asymptotic_bound
        assert before > 0 > after


def test_least_squares_of_finitely_many_features(turned, rng):
    """E ε_t = ε_R (1 − N/P), E ε_g = ε_R (P − 1)/(P − N − 1) for Gaussian data."""
    N, P, n = 8, 30, 30_000
    population = turned("1/i", N, 0.4)
    root = np.linalg.cholesky(population.feature_covariance)
    X = rng.standard_normal((n, P, N)) @ root.T
    y = X @ population.teacher + np.sqrt(population.residual) * rng.standard_normal((n, P))
    gram, cross = np.swapaxes(X, 1, 2) @ X, np.swapaxes(X, 1, 2) @ y[..., None]
    v = np.linalg.solve(gram, cross)[..., 0]
    training = ((y - np.einsum("npi,ni->np", X, v)) ** 2).mean()
    generalisation = population.residual + (((v - population.teacher) @ root) ** 2).sum(1).mean()
    state = solve(population, P)
    assert training == pytest.approx(state.training_error, rel=0.01)
    assert generalisation == pytest.approx(population.residual * (P - 1) / (P - N - 1), rel=0.01)
    assert state.generalisation_error == pytest.approx(population.residual / (1 - N / P), rel=1e-12)


@pytest.mark.parametrize(("P", "lam"), [(50, 0.0), (50, 2.0), (150, 5.0), (400, 0.0)])
def test_fits_of_gaussian_data(turned, rng, P, lam):
    N = 150
    population = turned("1/i", N, 0.3)
    omega = 3.1 / np.arange(1, N + 1)
    theta = np.sqrt(population.signal[::-1] / omega)  # in the eigenbasis; signs do not matter
    found = []
    for _ in range(60):
        X = rng.standard_normal((P, N)) * np.sqrt(omega)
        y = X @ theta + np.sqrt(population.residual) * rng.standard_normal(P)
        U, s, Vt = np.linalg.svd(X, full_matrices=False)
        v = Vt.T @ (s / (s**2 + lam) * (U.T @ y))
        error = population.residual + omega @ (v - theta) ** 2
        found.append((np.mean((y - X @ v) ** 2), error, np.sum(s**2 / (s**2 + lam)) / P))
    mean, se = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(60)
    state = solve(population, P, lam)
    theory = np.array([state.training_error, state.generalisation_error, state.memorisation])
    assert (np.abs(mean - theory) <= np.maximum(4 * se, 0.02 * theory + 1e-12)).all(), (mean, se, theory)


def test_turning_and_rescaling_the_features(turned, rng):
    population = turned("two scales", 11, 0.3)
    Omega, b = population.feature_covariance, population.feature_target_covariance
    U, c = np.linalg.qr(rng.standard_normal((11, 11)))[0], 3.7
    before = population.learning_curve(LOADS, RIDGES)
    after = learning_curve(c**2 * U @ Omega @ U.T, c * U @ b, population.target_power, LOADS, c**2 * RIDGES)
    louder = learning_curve(Omega, c * b, c**2 * population.target_power, LOADS, RIDGES)
    for name in FIELDS[:3]:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-8)
    assert louder.gap == pytest.approx(c**2 * before.gap, rel=1e-8)


@pytest.mark.parametrize("ridge", [0.0, 0.8])
def test_dead_and_duplicated_features_change_nothing(turned, ridge):
    population = turned("1/i", 9, 0.3)
    S = np.zeros((12, 9))
    S[:9] = np.eye(9)
    S[:, 0] = 0.0
    S[[0, 9, 10], 0] = 1 / np.sqrt(3)  # the first feature on three columns, of the same total length; the last is dead
    b = S @ population.feature_target_covariance
    same = Population(S @ population.feature_covariance @ S.T, b, population.target_power)
    assert (same.size, same.rank) == (12, 9)
    sizes = np.array([2.0, 8.0, 9.0, 25.0])
    before, after = population.learning_curve(sizes / 9, ridge), same.learning_curve(sizes / 12, ridge)
    for name in FIELDS[:3]:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-9)
    assert after.asymptotic_bound == pytest.approx(2 * 9 / sizes)
    assert after.status.tolist() == before.status.tolist()


def test_several_outputs_are_summed(turned):
    population = turned("1/i", 9, 0.3)
    b = population.feature_target_covariance
    both = learning_curve(
        population.feature_covariance, np.stack([b, 2 * b], 1), 5 * population.target_power, LOADS, 0.3
    )
    assert both.gap == pytest.approx(5 * population.learning_curve(LOADS, 0.3).gap, rel=1e-12)


def test_shapes(turned):
    population = turned("flat", 4, 0.3)
    assert population.learning_curve(0.5, 0.1).gap.shape == (1,)
    assert population.learning_curve([0.5, 2.0], 0.1).gap.shape == (2,)
    curve = population.learning_curve([0.5, 2.0], [0.1, 1.0, 3.0])
    assert curve.gap.shape == curve.status.shape == (3, 2)
    assert curve.size.tolist() == [2.0, 8.0]
    assert curve.gap[2, 1] == pytest.approx(solve(population, 8, 3.0).gap)


def test_bad_input(turned):
    population = turned("flat", 4, 0.3)
    for loads, ridge in (([0.0], 1.0), ([1.0], -1.0), ([np.nan], 1.0), ([[1.0]], 1.0), ([], 1.0), ([1.0], np.inf)):
        with pytest.raises(InputError, match="expected finite numbers"):
            population.learning_curve(loads, ridge)
    with pytest.raises(InputError, match="expected a ridge above 0"):
        population.learning_curve([0.5], 0.0, method="fixed-point")
    with pytest.raises(InputError, match="did you mean 'scalar'"):
        solve(population, 3, 0.1, method="scaler")
    with pytest.raises(InputError, match="one size and one ridge"):
        solve(population, [3, 4], 0.1)


def test_a_large_curve_is_quick(turned):
    population = turned("1/i", 1000, 0.3)
    started = time.process_time()
    curve = population.learning_curve(np.geomspace(0.01, 100, 100), np.geomspace(1e-6, 1e4, 50))
    assert time.process_time() - started < 2.0
    assert (curve.residual < 1e-12).all()
