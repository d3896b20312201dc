"""The integral over a few layers, of densities whose integrals are known."""

import math

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import chi2, invgamma

from widthwise.actions.layered_integral import Joint, integrate
from widthwise.errors import NumericalError


def chi_squares(N, R=None):
    """Independent Q_ℓ ~ χ²_{N_ℓ}/N_ℓ, in log Q_ℓ; with R times Π exp(−R_ℓ Q_ℓ/2), whose integral is closed too."""
    N = np.asarray(N, float)
    R = np.zeros(len(N)) if R is None else np.asarray(R, float)

    def joint(u):
        half = 0.5 * N
        logs = half * np.log(half) - gammaln(half) - half * (np.exp(u) - u) - 0.5 * R * np.exp(u)
        return Joint(float(logs.sum()), float(np.exp(u).sum()))

    return joint, float((-0.5 * N * np.log1p(R / N)).sum()), N / (N + R)


CASES = [
    ((1.0, 1.0), 2e-2),
    ((5.0,), 1e-6),
    ((2.0, 3.0), 4e-3),
    ((10.0, 40.0), 1e-7),
    ((30.0, 20.0, 40.0), 1e-5),
    ((20.0,) * 6, 2e-2),
]


@pytest.mark.parametrize(("N", "close"), CASES)
@pytest.mark.parametrize("tilted", [False, True])
def test_chi_squares_and_their_tilts(N, close, tilted):
    """From Laplace's Gaussian; mean and second moment too."""
    joint, log_integral, mean = chi_squares(N, 0.7 * np.array(N) if tilted else None)
    found = integrate(joint, np.log(mean), np.diag(2.0 / np.array(N)))
    assert found.log_evidence == pytest.approx(log_integral, abs=close)
    assert found.weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(found.weights @ found.Q, mean, rtol=2 * close)
    np.testing.assert_allclose(found.weights @ found.Q**2, mean**2 * (1 + 2 / np.array(N)), rtol=6 * close)
    assert found.tensor == (len(N) <= 3 and min(N) > 1)  # else w ≤ 0 is too near
    assert found.nodes <= 256
    assert found.error < 20 * close
    assert found.ess > 0.5 * found.nodes


def test_correlated_layers():
    """A Gaussian in Q^{1/3} is the rule's own: exact at once."""
    C = np.array([[0.01, 0.006], [0.006, 0.02]])
    R = np.linalg.cholesky(C)

    def joint(u):
        w = np.exp(u / 3)
        z = np.linalg.solve(R, w - 1.1)
        density = -0.5 * z @ z - np.log(2 * np.pi) - np.log(R.diagonal()).sum() + np.log(w / 3).sum()
        return Joint(float(density) + 7.0, 1.0)

    found = integrate(joint, np.zeros(2), np.eye(2) * 0.1)
    assert found.log_evidence == pytest.approx(7.0, abs=1e-9)
    w = np.cbrt(found.Q)
    np.testing.assert_allclose(found.weights @ w, 1.1, rtol=1e-6)
    np.testing.assert_allclose(np.cov(w.T, aweights=found.weights, bias=True), C, rtol=1e-4)
    assert found.ess == pytest.approx(found.nodes, rel=1e-2)


def test_a_poor_start_is_left():
    """An inverse gamma, far off and much narrower than the Gaussian given: the moments lead there."""
    law = invgamma(30.0, scale=80.0)
    found = integrate(
        lambda u: Joint(float((law.logpdf(np.exp(u)) + u).sum()), 1.0), np.full(2, 0.4), np.diag([0.3, 0.3]), nodes=900
    )
    assert found.log_evidence == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(found.weights @ found.Q, law.mean(), rtol=1e-4)


def test_where_the_domain_ends_the_points_are_sobol_s():
    """Half of a χ² cut off in each of two layers: a jump, which a tensor grid would meet at a few places only."""
    inside, _, _ = chi_squares((30.0, 20.0))
    found = integrate(
        lambda u: inside(u) if (u > 0.0).all() else Joint(-math.inf, 0.0), np.zeros(2), np.diag([2 / 30, 2 / 20])
    )
    assert not found.tensor
    assert found.log_evidence == pytest.approx(math.log(chi2(30).sf(30) * chi2(20).sf(20)), abs=0.03)
    assert (found.Q > 1.0).all()
    assert found.error < 0.1


def test_the_same_seed_is_the_same_integral():
    joint, *_ = chi_squares((20.0,) * 5)
    one, two, other = (integrate(joint, np.zeros(5), np.eye(5) / 10, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.Q, two.Q)
    assert one.log_evidence == two.log_evidence != other.log_evidence


def test_the_error_stated_is_that_of_other_seeds():
    joint, log_integral, _ = chi_squares((8.0,) * 4)
    found = [integrate(joint, np.zeros(4), np.eye(4) / 4, nodes=64, seed=seed) for seed in range(12)]
    off = np.sqrt(np.mean([(one.log_evidence - log_integral) ** 2 for one in found]))
    stated = np.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert 0.4 < stated / off < 3.0
    assert all(one.error >= one.standard_error for one in found)


@pytest.mark.parametrize("N", [(3.0, 4.0), (4.0, 5.0), (6.0, 6.0)])
@pytest.mark.parametrize("nodes", [25, 36, 64])
def test_two_grids_that_agree_by_being_alike_would_say_nothing(N, nodes):
    """So the next has a point less on each axis: what is stated is at least what is off."""
    joint, log_integral, _ = chi_squares(N)
    found = integrate(joint, np.zeros(2), np.diag(2.0 / np.array(N)), nodes=nodes)
    assert found.tensor
    assert abs(found.log_evidence - log_integral) < found.standard_error < 2e-3


def test_a_density_of_nothing_is_refused():
    with pytest.raises(NumericalError, match="vanishes at every node"):
        integrate(lambda u: Joint(-math.inf, 0.0), np.zeros(2), np.eye(2))
