"""Normalisers by bridge sampling, against integrals known in closed form or by quadrature."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from widthwise.numerics.bridge import bridge
from widthwise.numerics.hamiltonian import hamiltonian


def test_gaussian_integral():
    """∫ exp(−½ qᵀE q + b·q) N(q; 0, I) dq = det(I + E)^{-1/2} exp(½ bᵀ(I + E)⁻¹b)."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(6, 6))
    E, b = A @ A.T / 3, rng.normal(size=6)

    def function(q):
        return -0.5 * np.einsum("ci,ij,cj->c", q, E, q) + q @ b, b - q @ E

    chains = hamiltonian(function, np.zeros((6, 6)), draws=600, warmup=200, seed=2)
    found = bridge(function, chains.positions, chains.log_density, seed=3)
    M = np.eye(6) + E
    exact = 0.5 * b @ np.linalg.solve(M, b) - 0.5 * np.linalg.slogdet(M)[1]
    assert abs(found.log - exact) < max(4.5 * found.standard_error, 1e-3)
    assert found.standard_error < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_skew_integral_within_its_error(seed):
    """A log χ² law, far from Gaussian, in one variable: quadrature."""
    nu = 1.5

    def function(q):
        return (nu * q - np.exp(2 * q)).sum(axis=1), nu - 2 * np.exp(2 * q)

    chains = hamiltonian(function, np.zeros((8, 1)), draws=500, warmup=200, seed=seed)
    found = bridge(function, chains.positions, chains.log_density, seed=seed + 10)
    integrand = lambda q: math.exp(nu * q - math.exp(2 * q) - 0.5 * q * q) / math.sqrt(2 * math.pi)  # noqa: E731
    assert abs(found.log - math.log(quad(integrand, -12, 4)[0])) < 4.5 * found.standard_error
    assert found.standard_error < 0.01


def test_more_dimensions_than_draws_can_fit():
    chains = hamiltonian(lambda q: (-(q**2).sum(axis=1), -2 * q), np.zeros((2, 30)), draws=80, warmup=50, seed=0)
    found = bridge(lambda q: (-(q**2).sum(axis=1), -2 * q), chains.positions, chains.log_density, seed=1)
    assert abs(found.log + 15 * math.log(3.0)) < 4.5 * found.standard_error
    assert found.standard_error < 0.5
