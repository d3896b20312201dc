"""The action of (Q, Q̂) against finite differences, its limits, and the mixture that it is the saddle of."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from widthwise.actions import ScalarAction, TwoParameterAction
from widthwise.numerics.spectra import Eigensystem


def problem(rng, P, N, mean=0.6, lam=1.0):
    """Features with covariance C and mean m: K = C + m mᵀ, on the eigenvectors of K."""
    X = rng.normal(size=(P, 2 * P))
    m = mean * (1.0 + 0.3 * rng.normal(size=P))
    K = (X @ X.T / (2 * P) + np.outer(m, m)) / lam
    y = rng.normal(size=P)
    system = Eigensystem.of(K)
    spectrum = system.with_target(y)
    return K, m / math.sqrt(lam), y, TwoParameterAction(spectrum, system.U.T @ m / math.sqrt(lam), N, 0.2)


def test_value_is_the_formula(rng):
    K, m, y, action = problem(rng, 7, 5, lam=1.7)
    Q, hat = 0.8, 0.4
    M = np.outer(m, m)
    A = 0.2 * np.eye(7) + Q * (K - M) + M / (1 + hat)
    S = -Q * hat + math.log(1 + hat) + (np.linalg.slogdet(A)[1] + y @ np.linalg.solve(A, y)) / 5
    assert action.derivatives(np.log([Q, 1 / (1 + hat)]))[0] == pytest.approx(S, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 2.3])
def test_gradient_and_hessian_are_the_derivatives(rng, scale):
    *_, base = problem(rng, 9, 6)
    action = TwoParameterAction(base.spectrum, base.mean, 6, 0.2, scale)
    h = 1e-5
    for x in (np.array([0.1, -0.3]), np.array([-1.0, 0.8])):
        _, gradient, hessian = action.derivatives(x)
        for i in range(2):
            e = np.eye(2)[i] * h
            up, down = action.derivatives(x + e), action.derivatives(x - e)
            assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * h), rel=1e-6, abs=1e-8)
            np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_without_a_mean_it_is_the_one_parameter_action(rng):
    K, _, y, _ = problem(rng, 20, 8)
    spectrum = Eigensystem.of(K).with_target(y)
    action = TwoParameterAction(spectrum, np.zeros(20), 8, 0.2)
    assert pytest.approx(ScalarAction(spectrum, 8, 0.2).Q, rel=1e-9) == action.Q


def test_infinite_width_is_one(rng):
    K, _, y, _ = problem(rng, 20, 8)
    system = Eigensystem.of(K)
    action = TwoParameterAction(system.with_target(y), system.U.T @ np.ones(20), 10**9, 0.2)
    assert pytest.approx(1.0, abs=1e-6) == action.Q
    assert action.c == pytest.approx(1.0, abs=1e-6)


def test_it_is_the_saddle_of_the_mixture_over_a_and_b(rng):
    """b ~ χ²_{N−1}/N, a ~ N(0, 1), f | a, b ~ GP(a m, (b + a²/N)(K − M)): its bias → the saddle's, as 1/N."""
    gaps, widths = [], [8, 16, 32, 64]
    for N in widths:
        gap = []
        for _ in range(6):
            K, m, y, action = problem(rng, N, N)
            C = K - np.outer(m, m)
            nodes = np.linspace(-8.0, 8.0, 161)
            b = np.exp(np.linspace(np.log(0.05), np.log(8.0), 300))
            k, U = np.linalg.eigh(C)
            mu, z = U.T @ m, U.T @ y
            a, bb = np.meshgrid(nodes, b, indexing="ij")
            scale = bb + a**2 / N
            A = 0.2 + scale[..., None] * k
            r = z - a[..., None] * mu
            prior = -0.5 * a**2 + chi2.logpdf(N * bb, N - 1) + np.log(bb)
            log_weight = prior - 0.5 * (np.log(A) + r**2 / A).sum(-1)
            weight = np.exp(log_weight - log_weight.max())
            weight /= weight.sum()
            residual = 0.2 * np.einsum("ij,ijk->k", weight, r / A)  # y − ⟨f⟩
            M = np.outer(m, m)
            saddle = 0.2 * np.linalg.solve(0.2 * np.eye(N) + action.Q * (K - M) + action.c * M, y)
            gap.append(np.linalg.norm(residual - U.T @ saddle) / np.linalg.norm(residual))
        gaps.append(np.mean(gap))
    slope = np.polyfit(np.log(widths), np.log(gaps), 1)[0]
    assert slope < -0.6
    assert gaps[-1] < 0.02
