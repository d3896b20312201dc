"""Hamiltonian Monte Carlo with a Gaussian reference, and what it says of its own error, against exact laws."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from widthwise.numerics.hamiltonian import hamiltonian, monte_carlo


def gaussian(precision, shift):
    """exp(f) N(0, I) is Gaussian with this precision matrix and precision-weighted mean."""
    E = precision - np.eye(len(precision))

    def function(q):
        return -0.5 * np.einsum("ci,ij,cj->c", q, E, q) + q @ shift, shift - q @ E

    return function


def test_a_flat_rest_is_always_accepted_and_gives_the_reference():
    chains = hamiltonian(lambda q: (np.zeros(len(q)), np.zeros_like(q)), np.ones((4, 3)), draws=2000, warmup=5, seed=1)
    assert chains.acceptance == pytest.approx(1.0)
    assert chains.positions.shape == (4, 2000, 3)
    for i in range(3):
        first, second = monte_carlo(chains.positions[:, :, i]), monte_carlo(chains.positions[:, :, i] ** 2)
        assert abs(first.mean) < 4.5 * first.standard_error
        assert abs(second.mean - 1.0) < 4.5 * second.standard_error
        assert first.rhat < 1.01


def test_gaussian_moments():
    rng = np.random.default_rng(2)
    A = rng.normal(size=(4, 4))
    precision, shift = A @ A.T + 0.3 * np.eye(4), rng.normal(size=4)
    chains = hamiltonian(gaussian(precision, shift), np.zeros((6, 4)), draws=3000, warmup=300, seed=3)
    assert 0.6 < chains.acceptance < 0.95
    covariance = np.linalg.inv(precision)
    mean = covariance @ shift
    for i in range(4):
        for values, exact in (
            (chains.positions[..., i], mean[i]),
            ((chains.positions[..., i] - mean[i]) ** 2, covariance[i, i]),
        ):
            found = monte_carlo(values)
            assert abs(found.mean - exact) < 4.5 * found.standard_error
            assert found.standard_error < 0.1 * math.sqrt(covariance[i, i]) * max(1.0, math.sqrt(covariance[i, i]))
            assert found.rhat < 1.02
    np.testing.assert_allclose(
        chains.log_density, gaussian(precision, shift)(chains.positions.reshape(-1, 4))[0].reshape(6, -1), rtol=1e-12
    )


def test_a_wall_is_respected_and_the_law_inside_exact():
    """exp(f) = 1 for q > ½: the reference's tail, its mean the Mills ratio."""

    def function(q):
        return np.where(q[:, 0] > 0.5, 0.0, -np.inf), np.zeros_like(q)

    chains = hamiltonian(function, np.ones((32, 1)), draws=500, warmup=3, seed=4)
    assert (chains.positions > 0.5).all()
    found = monte_carlo(chains.positions[..., 0])
    assert abs(found.mean - norm.pdf(0.5) / norm.sf(0.5)) < 4.5 * found.standard_error


def test_the_seed_decides():
    f = gaussian(np.diag([3.0, 0.5]), np.ones(2))
    one, same, other = (hamiltonian(f, np.zeros((2, 2)), draws=20, warmup=20, seed=s) for s in (5, 5, 6))
    assert np.array_equal(one.positions, same.positions)
    assert not np.array_equal(one.positions, other.positions)


def test_a_start_outside_the_domain_is_refused():
    with pytest.raises(ValueError, match="expected chains inside the domain, got 2 outside it"):
        hamiltonian(lambda q: (np.full(len(q), np.nan), q), np.zeros((2, 1)), draws=5, warmup=5, seed=0)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.4])
def test_effective_sample_size_of_an_autoregression(rho):
    """x' = ρ x + √(1 − ρ²) ε: unit variance, τ = (1 + ρ)/(1 − ρ)."""
    rng = np.random.default_rng(7)
    C, S = 8, 20_000
    x = np.empty((C, S))
    x[:, 0] = rng.normal(size=C)
    noise = rng.normal(size=(C, S)) * math.sqrt(1 - rho**2)
    for t in range(1, S):
        x[:, t] = rho * x[:, t - 1] + noise[:, t]
    found = monte_carlo(x + 3.0)
    tau = (1 + rho) / (1 - rho)
    assert found.ess == pytest.approx(C * S / tau, rel=0.08)
    assert found.standard_error == pytest.approx(math.sqrt(tau / (C * S)), rel=0.06)
    assert abs(found.mean - 3.0) < 4.5 * math.sqrt(tau / (C * S))
    assert found.rhat == pytest.approx(1.0, abs=2e-3)


def test_split_rhat_and_arviz(rng):
    az = pytest.importorskip("arviz")
    x = rng.normal(size=(4, 500)).cumsum(axis=1) * 0.05 + rng.normal(size=(4, 500))
    found = monte_carlo(x)
    assert found.rhat == pytest.approx(float(az.rhat(x, method="split")), rel=1e-10)
    assert found.ess == pytest.approx(float(az.ess(x, method="mean")), rel=0.15)


def test_chains_that_disagree_and_chains_that_do_not_move(rng):
    apart = monte_carlo(rng.normal(size=(4, 200)) + np.array([0.0, 0.0, 0.0, 9.0])[:, None])
    assert apart.rhat > 1.5
    assert apart.ess < 20
    assert monte_carlo(np.full((3, 10), 2.0)) == (2.0, 0.0, 30.0, 1.0)
    stuck = monte_carlo(np.repeat([[1.0], [2.0]], 10, axis=1))
    assert stuck.rhat == math.inf
    assert stuck.standard_error == math.inf
