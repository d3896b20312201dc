"""Specialised neurons: counted where they are separated, never where all are alike; sectors, multiplicities."""

import math

import numpy as np
import pytest
from scipy.special import comb
from scipy.stats import kurtosis

from widthwise.posterior.phases import SHARE, multiplicities, of_all, phases_of, specialisation_of, valley

WIDTHS = (2, 3, 4, 8, 16, 64, 1000)


def sphere(rng, G, N, Q=1.0):
    """λ_1 v²/N of N neurons of an identity network: v uniform on a sphere of radius² N Q."""
    v = rng.normal(size=(G, N))
    return np.asarray(Q)[..., None] * v**2 / np.sum(v**2, axis=1, keepdims=True)


def slow(rng, G, k, N, memory):
    """Gaussian pulls of k neurons that remember: shares of a chain that moves slowly."""
    v = np.empty((G, k))
    v[0] = rng.normal(size=k)
    for g in range(1, G):
        v[g] = memory * v[g - 1] + math.sqrt(1.0 - memory**2) * rng.normal(size=k)
    return v**2 / N


def specialised(rng, G, k, N, chance):
    """The first neuron specialises with a chance, to a share near 1.3; others are Gaussian with 0.4/N."""
    q = 0.4 * rng.normal(size=(G, k)) ** 2 / N
    on = rng.random(G) < chance
    q[on, 0] = (1.14 + 0.06 * rng.normal(size=on.sum())) ** 2
    return q, on


@pytest.mark.parametrize("N", WIDTHS)
def test_neurons_that_are_all_alike_are_never_separated(N):
    """Exact shares of identity networks, at any width and order parameter, of small samples and large ones."""
    rng = np.random.default_rng(N)
    for seed in range(120):
        G, k = (200, 800, 3200)[seed % 3], min(N, (1, 2, 4)[seed // 3 % 3])
        Q = np.exp(rng.normal(scale=0.4, size=G) + rng.uniform(-1.0, 2.0))
        assert valley(sphere(rng, G, N, Q)[:, :k]) == (SHARE, False)


@pytest.mark.parametrize("memory", [0.9, 0.99])
def test_nor_are_those_of_chains_that_hardly_move(memory):
    rng = np.random.default_rng(7)
    assert not any(valley(slow(rng, 1600, 2, N, memory))[1] for N in (2, 4, 8, 32) for _ in range(8))


@pytest.mark.parametrize("chance", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("N", [16, 256])
def test_a_specialised_neuron_is_separated_and_counted(rng, chance, N):
    q, on = specialised(rng, 3200, 4, N, chance)
    threshold, separated = valley(q)
    assert separated
    assert 5.0 / N < threshold < 0.9
    np.testing.assert_array_equal((q > threshold).sum(axis=1), on)
    scrambled = rng.permuted(q, axis=1)
    assert valley(scrambled) == (threshold, True)  # neurons have no names


def test_a_mode_seen_once_is_an_accident(rng):
    q, _ = specialised(rng, 3200, 4, 16, 0.0)
    q[100:160, 1] = 1.3
    assert valley(q) == (SHARE, False)
    q[::50, 1] = 1.3
    assert valley(q)[1]


def test_a_shallow_valley_and_a_microscopic_mode_separate_nothing(rng):
    two = np.exp(np.where(rng.random((4000, 1)) < 0.5, -2.0, 0.0) + 0.65 * rng.normal(size=(4000, 1)))
    assert not valley(two)[1]
    assert valley(np.exp(np.where(rng.random((4000, 1)) < 0.5, -3.0, 0.0) + 0.5 * rng.normal(size=(4000, 1))))[1]
    small = np.exp(np.where(rng.random((4000, 1)) < 0.5, -8.0, -4.0) + 0.3 * rng.normal(size=(4000, 1)))
    assert not valley(small)[1]
    assert valley(np.zeros((100, 2))) == (SHARE, False)


def test_multiplicities_are_ratios_of_binomials():
    q = np.array([[0.0, 0.1, 0.0], [0.9, 0.1, 0.0], [0.9, 0.1, 1.3], [2.0, 1.0, 1.3]])
    expected = [comb(20, m) / comb(3, m) for m in range(4)]
    np.testing.assert_allclose(multiplicities(q, 0.5, 20), expected, rtol=1e-12)
    np.testing.assert_allclose(multiplicities(q, 0.5, 3), 1.0, rtol=1e-12)  # all are explicit


def test_explicit_and_bath_together_are_the_whole_network(rng):
    """m of N by their own law; k of them seen, their draws weighted: the same sectors and moments whatever k."""
    N, zeta, G = 12, 0.06, 400_000
    found = {}
    for k in (2, 4, 11):
        on = rng.random((G, k)) < zeta / (1.0 + zeta)  # p(m) ∝ C(k, m) ζ^m
        q = np.where(on, 1.2, 0.01)
        bath = np.full(G, 0.3) * (N - k) / N
        w = multiplicities(q, 0.5, N)
        m = specialisation_of(q, bath, w, N, 0.5, True)
        phases = phases_of(q[None], bath[None], np.zeros((1, G)), w[None], 0.5, 0.0)
        found[k] = m.count, phases[0].probability, phases[1].probability
    p = np.array([comb(N, m) * zeta**m for m in range(N + 1)])
    p /= p.sum()
    assert found[11] == pytest.approx((p @ np.arange(N + 1), p[0], p[1]), rel=0.02)
    few = np.array([comb(N, m) * zeta**m for m in range(5)])
    few /= few.sum()
    assert found[4] == pytest.approx((few @ np.arange(5), few[0], few[1]), rel=0.02)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_for_the_identity_all_numbers_are_those_of_the_network(rng, k):
    """v on spheres of random radius; k of them known, the rest by their Q: against N known."""
    N, G = 8, 200_000
    Q = np.exp(0.3 * rng.normal(size=G))
    whole = sphere(rng, G, N, Q)
    u = np.sqrt(whole[:, :k])
    found = specialisation_of(whole[:, :k], whole[:, k:].sum(axis=1), np.ones(G), N, SHARE, False)
    above = whole > SHARE
    assert found.count == pytest.approx(above.sum(axis=1).mean(), rel=0.02)
    assert found.fraction == found.count / N
    assert found.share == pytest.approx((whole * above).sum() / whole.sum(), rel=0.02)
    assert found.kurtosis == pytest.approx(kurtosis(np.concatenate([u.ravel(), -u.ravel()])), abs=0.03)
    assert not found.separated


def test_the_readouts_own_variance_counts(rng):
    """Gaussian v given the weights: by draws of it."""
    N, G, k = 6, 300_000, 2
    q, variance = np.tile([0.3, 0.02], (G, 1)), np.tile([0.2, 0.7], (G, 1))
    bath = np.full(G, 0.4)
    found = specialisation_of(q, bath, np.ones(G), N, SHARE, False, variance)
    v = np.hstack([np.sqrt(q) + np.sqrt(variance / N) * rng.normal(size=(G, k)), np.sqrt(sphere(rng, G, N - k, bath))])
    above = v**2 > SHARE
    assert found.count == pytest.approx(above.sum(axis=1).mean(), rel=0.01)
    assert found.share == pytest.approx((v**2 * above).sum() / (v**2).sum(), rel=0.01)
    assert found.kurtosis == pytest.approx((v**4).mean() / (v**2).mean() ** 2 - 3.0, abs=0.02)


def test_sectors_are_weighed_and_their_errors_are_those_of_ladders(rng):
    C, S = 16, 500
    chance = rng.beta(20, 20, size=C)
    on = rng.random((C, S)) < chance[:, None]
    q = np.stack([np.where(on, 1.2, 0.01), np.full((C, S), 0.01)], axis=2)
    error, bath, w = np.where(on, 0.1, 0.2), np.where(on, 0.4, 1.8), np.where(on, 3.0, 1.0)
    low, high = phases_of(q, bath, error, w, 0.3, -40.0)
    p = 3.0 * on.sum() / (3.0 * on.sum() + (~on).sum())
    assert (low.specialised, high.specialised) == (0, 1)
    assert high.probability == pytest.approx(p)
    assert low.probability == pytest.approx(1.0 - p)
    assert (low.stable, high.stable) == (False, True)
    assert (low.training_error, high.training_error) == pytest.approx((0.2, 0.1))
    assert (low.bath, high.bath) == pytest.approx((1.8, 0.4))
    assert np.logaddexp(low.log_evidence, high.log_evidence) == pytest.approx(-40.0)
    assert high.log_evidence == pytest.approx(-40.0 + math.log(p))
    each = [3.0 * ladder.mean() / (3.0 * ladder.mean() + 1.0 - ladder.mean()) for ladder in on]
    assert high.standard_error == pytest.approx(np.std(each, ddof=1) / math.sqrt(C), rel=0.1)
    assert high.standard_error == pytest.approx(low.standard_error)


def test_what_is_rare_is_no_phase_and_what_is_not_separated_is_one(rng):
    q = np.full((4, 1000, 2), 0.01)
    q[0, :3, 0] = 1.2
    bath, error, w = np.ones((4, 1000)), rng.random((4, 1000)), rng.random((4, 1000))
    (only,) = phases_of(q, bath, error, w, 0.3, -1.0)
    assert only.specialised == 0
    (one,) = phases_of(q, bath, error, w, 0.5, -1.0, separated=False)
    assert (one.specialised, one.probability, one.log_evidence, one.stable) == (None, 1.0, -1.0, True)
    assert one.training_error == pytest.approx((w * error).sum() / w.sum())


def test_the_law_of_all_neurons_has_each_kind_as_often_as_the_network(rng):
    q, on = specialised(rng, 2000, 4, 32, 0.4)
    weights = multiplicities(q, 0.4, 32)
    law = of_all(q, weights, 32, 0.4)
    assert law.sum() == pytest.approx(1.0)
    assert law[q > 0.4].sum() * 32 == pytest.approx(weights[on].sum() / weights.sum())


def test_too_few_explicit_neurons_are_told(rng):
    q, _ = specialised(rng, 2000, 1, 64, 0.3)
    threshold, separated = valley(q)
    w = multiplicities(q, threshold, 64)
    assert specialisation_of(q, np.ones(2000), w, 64, threshold, separated).saturated
    q4 = np.hstack([q, np.full((2000, 3), 0.001)])
    w = multiplicities(q4, threshold, 64)
    assert not specialisation_of(q4, np.ones(2000), w, 64, threshold, separated).saturated
