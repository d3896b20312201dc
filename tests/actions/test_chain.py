"""The prior of a deep network's order parameters, against draws, quadrature and a blind search for the saddle."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize

from widthwise.actions import ScalarAction
from widthwise.actions.chain import ChainPrior
from widthwise.numerics.spectra import Eigensystem, FactoredSpectrum, TridiagonalSpectrum

WIDTHS = [(3, 7), (1, 2), (20, 20, 50), (100, 300, 30, 7), (200,) * 10]


@pytest.mark.parametrize("widths", WIDTHS)
def test_density_is_normalised_has_unit_mean_and_matches_draws(widths):
    prior = ChainPrior(widths)
    spread = math.sqrt(sum(2 / N for N in widths))
    points = [-4 * spread, 0.0, spread]
    low, high = -60 * spread, 12 * spread
    total, mean = (
        quad(lambda u: math.exp(prior.log_density(u) + power * u), low, high, limit=400, points=points)[0]  # noqa: B023
        for power in (0, 1)
    )
    assert total == pytest.approx(1.0, abs=1e-6)
    assert mean == pytest.approx(1.0, abs=1e-4)  # E Π Q_ℓ = Π E Q_ℓ = 1; the tail beyond `high` is missing
    rng = np.random.default_rng(3)
    u = sum(np.log(rng.chisquare(N, 200_000) / N) for N in widths)
    for a, b in ((-spread, 0.0), (0.0, 0.7 * spread)):
        p = quad(lambda v: math.exp(prior.log_density(v)), a, b)[0]
        share = np.mean((u > a) & (u < b))
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / len(u))


@pytest.mark.parametrize("widths", [(3, 7), (20, 20, 50)])
def test_layer_means_are_conditional_expectations(widths):
    rng = np.random.default_rng(4)
    Q = np.array([rng.chisquare(N, 2_000_000) / N for N in widths])
    u = np.log(Q).sum(0)
    for at in (-0.8, 0.1, 0.6):
        near = Q[:, np.abs(u - at) < 0.01]
        error = near.std(axis=1) / math.sqrt(near.shape[1])
        assert (np.abs(near.mean(1) - ChainPrior(widths).layer_means(at)) < 4.5 * error + 2e-3).all()


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("u", [-40.0, -3.0, -1e-3, 0.0, 0.5, 6.0])
def test_layers_share_one_multiplier_and_multiply_to_the_product(widths, u):
    prior = ChainPrior(widths)
    Q = prior.layers(u)
    assert np.log(Q).sum() == pytest.approx(u, abs=1e-12 * max(1, abs(u)))
    moved = np.array(widths) * (Q - 1)
    assert np.ptp(moved) <= 1e-10 * max(1.0, np.abs(moved).max())
    h = 1e-4
    up, mid, down = prior.jet(u + h), prior.jet(u), prior.jet(u - h)
    assert mid.slope == pytest.approx((up.value - down.value) / (2 * h), rel=1e-5, abs=1e-7)
    assert mid.curvature == pytest.approx((up.slope - down.slope) / (2 * h), rel=1e-5, abs=1e-7)


def test_one_layer_is_chi_square():
    prior = ChainPrior((7,))
    assert prior.jet(0.3) == pytest.approx((math.exp(0.3) - 0.3, math.exp(0.3) - 1, math.exp(0.3)))
    twice = ChainPrior((7, 10**6))  # a layer of infinite width changes nothing
    for u in (-1.0, 0.2):
        assert twice.log_density(u) == pytest.approx(prior.log_density(u), abs=1e-5)
        assert twice.layer_means(u)[0] == pytest.approx(math.exp(u), rel=1e-4)


def problem(rng, P=12):
    X = rng.normal(size=(P, 2 * P))
    return X @ X.T / (2 * P), rng.normal(size=P)


@pytest.mark.parametrize("widths", [(9, 6), (4, 11, 7)])
def test_saddle_is_the_minimum_over_all_layers(rng, widths):
    """S(Q_1 … Q_L) minimised blindly, and its Hessian by differences: Q_ℓ, S and the Laplace determinant."""
    K, y = problem(rng)
    T, L, N = 0.1, len(widths), np.array(widths, float)
    action = ScalarAction(Eigensystem.of(K).with_target(y), widths[-1], T, 1.3, widths[:-1])

    def S(u):
        Q = np.exp(u)
        A = T * np.eye(len(y)) + 1.3 * Q.prod() * K
        data = np.linalg.slogdet(A)[1] + y @ np.linalg.solve(A, y)
        return (N / N[-1] * (Q - u)).sum() + data / N[-1]

    best = minimize(S, np.zeros(L), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(action.layers, np.exp(best.x), rtol=1e-5)
    assert action.saddle.best.value == pytest.approx(best.fun, abs=1e-9)
    h, e = 1e-3, np.eye(L) * 1e-3
    u = np.log(action.layers)
    hessian = np.array(
        [[(S(u + a + b) - S(u + a - b) - S(u - a + b) + S(u - a - b)) / (4 * h * h) for a in e] for b in e]
    )
    at = float(action.saddle.best.x[0])
    data_curvature = float(action.saddle.best.hessian[0]) - action.prior.jet(at).curvature
    assert action.prior.log_hessian(at, data_curvature) == pytest.approx(np.linalg.slogdet(hessian)[1], abs=1e-4)


@pytest.mark.parametrize("widths", [(2, 3), (5, 1, 4)])
def test_integrated_is_the_integral_over_every_layer(widths):
    """Evidence, E[Q] and E[Q_ℓ] by weighing draws of all order parameters."""
    rng = np.random.default_rng(11)
    K, y = problem(rng, 4)
    T = 0.3
    action = ScalarAction(Eigensystem.of(K).with_target(y), widths[-1], T, below=widths[:-1])
    Q = np.array([rng.chisquare(N, 400_000) / N for N in widths])
    k, U = np.linalg.eigh(K)
    A = T + Q.prod(0)[:, None] * k
    weight = np.exp(-0.5 * (np.log(A) + (U.T @ y) ** 2 / A).sum(1)) / (2 * np.pi) ** 2
    evidence, error = weight.mean(), weight.std() / math.sqrt(len(weight))
    assert abs(math.exp(action.log_evidence_integrated()) - evidence) < 4.5 * error
    q = action.quadrature
    for theory, value in zip([q.weights @ q.Q, *(q.layers @ q.weights)], [Q.prod(0), *Q]):
        sampled = np.average(value, weights=weight)
        error = math.sqrt(np.average((value - sampled) ** 2 * weight / weight.mean(), weights=weight) / len(weight))
        assert abs(theory - sampled) < 4.5 * error
    assert q.error < 1e-6


def test_laplace_evidence_approaches_the_integral(rng):
    gaps = []
    for N in (20, 40, 80, 160):
        K, y = problem(rng, N)
        action = ScalarAction(Eigensystem.of(K).with_target(y), N, 0.1, below=(2 * N, N))
        gaps.append(abs(action.log_evidence_saddle() - action.log_evidence_integrated()))
    assert -1.7 < np.polyfit(np.log([20, 40, 80, 160]), np.log(gaps), 1)[0] < -0.5
    assert gaps[-1] < 0.02


def test_depth_ten_at_a_thousand_examples_on_every_spectrum(rng):
    P, widths = 1000, (300,) * 9
    X = rng.normal(size=(P, 700)) * np.arange(1, 701) ** -0.5
    K, y = X @ X.T, np.sign(X[:, 0] + X[:, 1] * X[:, 2])
    spectra = (
        Eigensystem.of(K).with_target(y),
        TridiagonalSpectrum.of(K.copy(), y),
        FactoredSpectrum(K.copy(), y),
    )
    layers = [ScalarAction(spectrum, 100, 0.05, 1.0, widths).layers for spectrum in spectra]
    np.testing.assert_allclose(layers[1], layers[0], rtol=1e-9)
    np.testing.assert_allclose(layers[2], layers[0], rtol=1e-8)
    moved = np.array([*widths, 100]) * (layers[0] - 1)
    assert np.ptp(moved) < 1e-9 * np.abs(moved).max()


@pytest.mark.parametrize("T", [1e-5, 1e-2, 10.0])
def test_stationary_points_lie_within_the_bounds(rng, T):
    K, y = problem(rng)
    action = ScalarAction(Eigensystem.of(K).with_target(3 * y), 5, T, below=(2, 30))
    lower, upper = action.bounds()
    u = np.linspace(lower - 5, upper + 5, 401)
    slopes = np.array([action.jet(v).slope for v in u])
    changes = u[:-1][np.sign(slopes[:-1]) != np.sign(slopes[1:])]
    assert len(changes) == len(action.saddle.points)
    assert ((changes > lower - 0.1) & (changes < upper + 0.1)).all()
