"""Specialised neurons of sampled networks: shares against draws of the readout, an exact network, the theory's own."""

import numpy as np
import pytest
from sampling.test_weights import CASES, made_up
from scipy.special import erf
from scipy.stats import kurtosis

import widthwise as ww
from widthwise.errors import InputError
from widthwise.posterior import phases
from widthwise.sampling.specialisation import readout_shares, valley
from widthwise.sampling.weights import network_weights

CASE = next(case for name, case in CASES.items() if isinstance(case.network, ww.FullyConnected))


@pytest.fixture(scope="module")
def samples():
    """One hidden layer, precisions that are not one, more neurons than examples and fewer."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(7, 3)), rng.normal(size=7)
    network = ww.FullyConnected(widths=[4], activation="erf", weight_precisions=(0.6, 2.5))
    how = ww.CollapsedHMC(chains=2, draws=60, warmup=40)
    return ww.sample(network, X, y, temperature=0.2, sampler=how, key=3, throw=False)


def test_shares_are_those_of_the_ridge_fit_written_out(samples):
    """(ΦᵀΦ/T + λN)⁻¹ by NumPy, from the network's own weights."""
    q, variance = readout_shares(samples)
    N, lam, T, inputs = 4, 2.5, 0.2, samples.inputs
    z = samples.weights.reshape(*samples.weights.shape[:2], N, -1)
    for c, s in ((0, 0), (1, 7), (1, 40)):
        Phi = erf(inputs @ z[c, s].T)
        A = np.linalg.inv(Phi.T @ Phi / (N * T) + lam * np.eye(N))  # of v, the prior N(0, 1/λ)
        v = A @ Phi.T @ samples.y[:, 0] / (T * np.sqrt(N))
        np.testing.assert_allclose(q[c, s], lam * v**2 / N, rtol=1e-9)
        np.testing.assert_allclose(variance[c, s], lam * np.diag(A) / N, rtol=1e-9)
    np.testing.assert_array_equal(samples.readout_shares, q)


def test_the_numbers_are_those_of_drawn_readouts(samples):
    """Readouts drawn anew from their law: how many are beyond ½, what they carry, their kurtosis."""
    v = np.concatenate([network_weights(samples, key=key)[1].weights[:, :, 0] for key in range(60)])
    found, u = samples.specialisation, 2.5 * v**2 / 4
    assert (found.threshold, found.separated) == (0.5, False)
    assert found.count.value == pytest.approx((u > 0.5).sum(axis=2).mean(), rel=0.05)
    assert found.fraction.value == pytest.approx(found.count.value / 4)
    assert found.share.value == pytest.approx((u * (u > 0.5)).sum() / u.sum(), rel=0.05)
    assert found.kurtosis.value == pytest.approx(kurtosis(np.concatenate([v.ravel(), -v.ravel()])), abs=0.1)
    assert 0.0 < found.count.standard_error < 0.2


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC(), ww.HMC()], ids=lambda sampler: sampler.name)
def test_a_sampled_readout_is_averaged_over_all_the_same(sampler):
    """HMC's own v says nothing about ⟨v | W⟩: at infinite temperature that is zero, at any v."""
    made = made_up(CASE, sampler, (2, 40), T=1e12)
    q, variance = readout_shares(made)
    assert q.max() < 1e-15
    np.testing.assert_allclose(variance, made.y.shape[1] / made.network.widths[-1], rtol=1e-6)  # the prior's


def test_neurons_of_convolutions_are_refused():
    case = next(case for case in CASES.values() if not isinstance(case.network, ww.FullyConnected))
    with pytest.raises(InputError, match="expected a fully connected network"):
        made_up(case, ww.HMC(), (2, 40)).specialisation


def test_too_few_weights_are_refused():
    with pytest.raises(InputError, match="expected the weights of 20 draws"):
        made_up(CASE, ww.HMC(), (2, 5)).specialisation


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_the_two_rooms_see_the_same_valley(rng, chance):
    q = 0.4 * rng.normal(size=(4, 500, 16)) ** 2 / 16
    on = rng.random((4, 500)) < chance
    q[on, 3] = (1.14 + 0.06 * rng.normal(size=on.sum())) ** 2
    own, theirs = valley(q), phases.valley(q.reshape(-1, 16))
    assert own[1] == theirs[1] == (chance > 0.0)
    np.testing.assert_array_equal((q > own[0]).sum(), (q > theirs[0]).sum())


@pytest.mark.parametrize("N", [2, 4, 16, 64])
def test_neurons_that_are_all_alike_have_none(N):
    rng = np.random.default_rng(N)
    for _ in range(20):
        v = rng.normal(size=(4, 200, N))
        Q = np.exp(rng.normal(scale=0.3, size=(4, 200, 1)) + rng.uniform(-1.0, 2.0))
        assert valley(Q * v**2 / np.sum(v**2, axis=2, keepdims=True)) == (0.5, False)
