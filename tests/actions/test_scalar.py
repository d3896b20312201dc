"""The one-parameter action against closed forms (T → 0, the generalised inverse Gaussian) and differences."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import kve
from scipy.stats import chi2, geninvgauss, multivariate_normal

from widthwise.actions import ScalarAction, zero_temperature_order_parameter
from widthwise.numerics.spectra import Eigensystem, FactoredSpectrum, TridiagonalSpectrum


def kernel(rng, P, rank=None):
    X = rng.normal(size=(P, rank or 2 * P))
    return X @ X.T / X.shape[1]


def action(K, y, N, T, scale=1.0):
    return ScalarAction(Eigensystem.of(K).with_target(y), N, T, scale)


@pytest.mark.parametrize("N", [3, 10, 40, 500])
def test_zero_temperature_saddle_is_the_closed_form(rng, N):
    P = 20
    K, y = kernel(rng, P), rng.normal(size=P)
    T = 1e-11 * np.linalg.eigvalsh(K)[0]
    s = y @ np.linalg.solve(K, y) / P
    assert pytest.approx(zero_temperature_order_parameter(P / N, s), rel=1e-8) == action(K, y, N, T).Q


@pytest.mark.parametrize(("load", "s"), [(0.3, 0.1), (0.3, 7.0), (1.0, 0.2), (5.0, 1e-9), (5.0, 3.0), (1e-6, 2.0)])
def test_zero_temperature_order_parameter_solves_its_quadratic(load, s):
    Q = zero_temperature_order_parameter(load, s)
    assert Q * Q - (1 - load) * Q - load * s == pytest.approx(0.0, abs=1e-13 * (1 + load * s))
    assert Q > 0


def test_zero_temperature_order_parameter_is_one_when_s_is_one():
    assert zero_temperature_order_parameter(3.7, 1.0) == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("N", [2, 7, 30, 200])
def test_zero_temperature_law_is_the_generalised_inverse_gaussian(rng, N):
    P = 6
    K, y = kernel(rng, P), 1.7 * rng.normal(size=P)
    T = 1e-12 * np.linalg.eigvalsh(K)[0]
    chi = float(y @ np.linalg.solve(K, y))  # P s
    p, z = 0.5 * (N - P), math.sqrt(N * chi)
    mean = math.sqrt(chi / N) * kve(p + 1, z) / kve(p, z)
    q = action(K, y, N, T).quadrature
    assert q.weights @ q.Q == pytest.approx(mean, rel=1e-8)
    law = geninvgauss(p, z, scale=math.sqrt(chi / N))
    assert q.weights @ q.Q**2 == pytest.approx(law.moment(2), rel=1e-7)
    assert q.error < 1e-8


@pytest.mark.parametrize("N", [1, 2, 5, 50])
@pytest.mark.parametrize("T", [0.03, 2.0])
def test_evidence_and_moments_are_the_integral_over_chi_square(rng, N, T):
    """∫ dQ χ²(Q) N(y; 0, T + QK), by adaptive quadrature of SciPy's own densities."""
    K, y = kernel(rng, 4), rng.normal(size=4)

    def joint(u, power):
        Q = math.exp(u)
        return math.exp(chi2.logpdf(N * Q, N) + math.log(N) + u + multivariate_normal.logpdf(
            y, cov=T * np.eye(4) + Q * K
        )) * Q**power  # fmt: skip

    Z, mean = (quad(joint, -60, 6, args=(power,), epsabs=1e-14, epsrel=1e-11, limit=800)[0] for power in (0, 1))
    a = action(K, y, N, T)
    assert a.log_evidence_integrated() == pytest.approx(math.log(Z), abs=1e-8)
    assert a.quadrature.weights @ a.quadrature.Q == pytest.approx(mean / Z, rel=1e-8)


def test_laplace_evidence_approaches_the_integral_as_one_over_width(rng):
    gaps = []
    for N in (20, 40, 80, 160):
        K, y = kernel(rng, N, rank=3 * N), rng.normal(size=N)
        a = action(K, y, N, 0.1)
        gaps.append(abs(a.log_evidence_saddle() - a.log_evidence_integrated()))
    slope = np.polyfit(np.log([20, 40, 80, 160]), np.log(gaps), 1)[0]
    assert -1.6 < slope < -0.6
    assert gaps[-1] < 0.01


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_slope_and_curvature_are_the_derivatives(rng, scale):
    K, y = kernel(rng, 12), rng.normal(size=12)
    a = action(K, y, 9, 0.2, scale)
    h = 1e-4
    for u in (-2.0, -0.3, 0.9):
        up, mid, down = a.jet(u + h), a.jet(u), a.jet(u - h)
        assert mid.slope == pytest.approx((up.value - down.value) / (2 * h), rel=1e-6, abs=1e-7)
        assert mid.curvature == pytest.approx((up.slope - down.slope) / (2 * h), rel=1e-6, abs=1e-7)


def test_value_is_the_formula(rng):
    K, y = kernel(rng, 5), rng.normal(size=5)
    Q, T, N, scale = 0.7, 0.3, 11, 2.5
    A = T * np.eye(5) + Q * scale * K
    S = Q - math.log(Q) + (np.linalg.slogdet(A)[1] + y @ np.linalg.solve(A, y)) / N
    assert action(K, y, N, T, scale).jet(math.log(Q)).value == pytest.approx(S, rel=1e-13)


@pytest.mark.parametrize("T", [1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("N", [1, 20, 3000])
def test_every_stationary_point_lies_within_the_bounds(rng, N, T):
    K, y = kernel(rng, 15, rank=9), 3.0 * rng.normal(size=15)
    a = action(K, y, N, T)
    lower, upper = a.bounds()
    u = np.linspace(lower - 8, upper + 8, 4001)
    slopes = np.array([a.jet(v).slope for v in u])
    changes = u[:-1][np.sign(slopes[:-1]) != np.sign(slopes[1:])]
    assert len(changes) == len(a.saddle.points)
    assert ((changes > lower - 0.01) & (changes < upper + 0.01)).all()


def test_of_two_minima_the_lower_is_chosen_and_both_are_reported():
    """Many stiff directions without labels pull Q down, a few soft ones with labels pull it up: two phases."""
    N = 20
    k = np.concatenate([np.full(30, 1e8), np.full(5, 1e2)])
    for power, low in ((160.0, True), (190.0, False)):
        y = np.concatenate([np.zeros(30), np.full(5, math.sqrt(power / 5))])
        a = action(np.diag(k), y, N, 1.0)
        minima = [point for point in a.saddle.points if point.kind == "minimum"]
        assert len(minima) == 2
        assert a.saddle.best.value == min(point.value for point in minima)
        assert (float(a.saddle.best.x[0]) < -10) == low
        assert a.saddle.agreeing < a.saddle.starts
        q = a.quadrature  # the integral holds both
        assert q.Q[0] < 1e-6
        assert q.Q[-1] > 0.1


def test_the_spectra_agree_on_the_saddle(rng):
    P = 300
    K, y = kernel(rng, P, rank=200), np.sign(rng.normal(size=P))
    for N, T in ((100, 0.05), (3000, 1.0), (10, 0.3)):
        exact = action(K, y, N, T)
        tri = ScalarAction(TridiagonalSpectrum.of(K.copy(), y), N, T)
        chol = ScalarAction(FactoredSpectrum(K.copy(), y), N, T)
        assert pytest.approx(exact.Q, rel=1e-11) == tri.Q
        assert pytest.approx(exact.Q, rel=2e-9) == chol.Q
        assert chol.log_evidence_saddle() == pytest.approx(exact.log_evidence_saddle(), abs=1e-5)


def test_q_is_the_identity_of_tau_and_rho(rng):
    """Q* = 1/((1 + τ)(1 − ρ)): the form in which the validity reads it."""
    K, y, N = kernel(rng, 25), rng.normal(size=25), 10
    a = action(K, y, N, 0.1, 1.9)
    terms = a.terms(a.Q)
    tau = a.scale * terms.trace / N
    rho = a.scale * terms.dual_energy / N / (1 + tau)
    assert pytest.approx(1 / ((1 + tau) * (1 - rho)), rel=1e-10) == a.Q


def test_without_a_minimum_there_is_no_integral_and_no_bound(rng, monkeypatch):
    """A search that found nothing is a status; what would build on it says so instead of a number."""
    from widthwise.errors import NumericalError
    from widthwise.saddle import Saddle, StationaryPoint, Status

    a = action(kernel(rng, 5), rng.normal(size=5), 4, 0.1)
    nothing = StationaryPoint(np.array([0.0]), 1.0, 0.3, np.array([-0.5]))
    monkeypatch.setattr(ScalarAction, "_search", lambda self: Saddle(nothing, (), 33, 0, 33, Status.NO_MINIMUM))
    assert a.saddle.status is Status.NO_MINIMUM
    assert a.rounding == math.inf
    with pytest.raises(NumericalError, match="no minimum"):
        _ = a.quadrature
