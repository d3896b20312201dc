"""The replica-symmetric fixed point, literally: order parameters V, q, m and their conjugates. It needs a ridge.

    V̂ = m̂ = P/(1+V),   q̂ = P(T_y + q − 2m)/(1+V)²,   V = tr Ω(λ + V̂Ω)⁻¹,   m = m̂ bᵀ(λ + V̂Ω)⁻¹b
    q = m̂² bᵀ(λ + V̂Ω)⁻¹Ω(λ + V̂Ω)⁻¹b + q̂ tr[Ω(λ + V̂Ω)⁻¹Ω(λ + V̂Ω)⁻¹]
    ε_g = T_y + q − 2m,   ε_t = ε_g/(1+V)²

The saddle of the Gaussian covariate model (Loureiro et al. 2021, arXiv 2102.08127) for quadratic loss, λ|v|² not
divided by P. It shares no code with `scalar`: each tests the other.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from widthwise.errors import InputError
from widthwise.replica.population import Population
from widthwise.replica.state import States, statuses

_EPS = float(np.finfo(np.float64).eps)


def fixed_point_states(population: Population, size: Float[np.ndarray, " n"], ridge: Float[np.ndarray, " n"]) -> States:
    """The fits on P = `size` examples with ridge λ, point by point.

    Raises:
        InputError: a ridge of 0, where the equations in this form have no finite V.
    """
    if (ridge <= 0.0).any():
        raise InputError('method="fixed-point": expected a ridge above 0, got 0; use method="scalar" without a ridge.')
    points = [_point(population, float(P), float(lam)) for P, lam in zip(size, ridge)]
    kappa, training, generalisation, memorisation, residual = np.array(points).reshape(-1, 5).T.copy()
    status = statuses(residual, np.zeros(len(size), dtype=bool))
    return States(size, ridge, kappa, training, generalisation, memorisation, residual, status)


def _point(population: Population, P: float, lam: float) -> tuple[float, float, float, float, float]:
    omega, power = population.eigenvalues, population.target_power
    b_squared = population.signal * omega  # (e_i·b)²

    def excess(log_V: float) -> float:
        V = math.exp(log_V)
        return math.log(float(np.sum(omega / (lam + P / (1 + V) * omega)))) - log_V

    # tr Ω/(λ + PΩ) ≤ V ≤ tr Ω/λ
    lowest = math.log(float(np.sum(omega / (lam + P * omega))))
    highest = math.log(float(np.sum(omega)) / lam)
    V = math.exp(brentq(excess, lowest - 1e-9, highest + 1e-9, xtol=1e-15, rtol=1e-15, maxiter=500))
    V_hat = m_hat = P / (1 + V)
    G = 1 / (lam + V_hat * omega)
    m = m_hat * float(b_squared @ G)
    fluctuation = float(np.sum((omega * G) ** 2))
    bias = m_hat**2 * float(b_squared @ (omega * G * G))
    # the equation for q is linear once V and m are known; T_y − 2m + bias as squares, which lose no digits
    feedback = P / (1 + V) ** 2 * fluctuation
    error = (population.residual + lam**2 * float(population.signal @ (G * G))) / (1 - feedback)
    q = error - power + 2 * m
    q_hat = P * error / (1 + V) ** 2
    violations = (
        abs(V - float(omega @ G)) / V,
        abs(q - bias - q_hat * fluctuation) / max(abs(q), power),
        4 * _EPS / (1 - feedback),  # its rounding, which the error takes over
    )
    return lam / V_hat, error / (1 + V) ** 2, error, V / (1 + V), max(violations)
