"""Parallel tempering: its arithmetic on laws known in closed form, its evidence and its modes against quadrature."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import erf, expit, logsumexp
from scipy.stats import chi2, multivariate_normal, norm

import widthwise as ww
from widthwise.sampling import load
from widthwise.sampling.moves.exchange import equalised
from widthwise.sampling.tempering import log_evidence, round_trips, tempering

# --- the arithmetic


def gaussian(rng, betas, S, a=3.0, d=2):
    """ℓ = −a|z|²/2 of S draws of p_β ∝ N(z; 0, I_d) e^{βℓ} at each β: log Z(1) = −d/2 log(1 + a)."""
    z = rng.normal(size=(S, len(betas), d)) / np.sqrt(1.0 + a * betas)[:, None]
    return -0.5 * a * np.sum(z**2, axis=2)


def test_the_evidence_of_a_gaussian(rng):
    betas = np.array([0.0, 0.1, 0.35, 1.0])
    found = [log_evidence(betas, gaussian(rng, betas, 500)) for _ in range(40)]
    error = np.std(found, ddof=1) / np.sqrt(40)
    assert abs(np.mean(found) + np.log(4.0)) < 4 * error
    assert error < 0.01


def test_of_two_levels_it_is_bennett_s(rng):
    """f solves Σ_0 s(ℓ + f) = Σ_1 s(−ℓ − f), s the logistic function.    [Bennett 1976, J. Comput. Phys. 22, 245]"""
    betas = np.array([0.0, 1.0])
    ell = gaussian(rng, betas, 300)
    bennett = brentq(lambda f: expit(ell[:, 0] + f).sum() - expit(-ell[:, 1] - f).sum(), -50, 50)
    assert log_evidence(betas, ell) == pytest.approx(-bennett, abs=1e-8)
    # a constant of the likelihood is one of the evidence, be it ever so far from 0
    assert log_evidence(betas, ell + 1e4) == pytest.approx(1e4 - bennett, abs=1e-6)


def test_the_evidence_solves_its_equations(rng):
    """e^{−f_j} = Σ_n e^{β_j ℓ_n}/Σ_k S e^{f_k + β_k ℓ_n}, solved here by repetition."""
    betas = np.linspace(0, 1, 9) ** 3
    ell = gaussian(rng, betas, 50, a=30.0, d=6)
    got = log_evidence(betas, ell)
    f, flat = np.zeros(9), ell.ravel()
    for _ in range(1000):  # the plain iteration, to convergence
        below = logsumexp(f + betas * flat[:, None], axis=1) + np.log(50)
        f = -logsumexp(betas * flat[:, None] - below[:, None], axis=0)
        f -= f[0]
    assert got == pytest.approx(-f[-1], abs=1e-6)
    assert got == pytest.approx(-3 * np.log(31.0), abs=1.0)


def test_equal_rejections():
    """A barrier that grows as √β is cut at equal parts by β ∝ k²."""
    fine = np.linspace(0, 1, 400) ** 2
    np.testing.assert_allclose(equalised(fine, np.diff(np.sqrt(fine))), fine, atol=1e-3)
    coarse = np.linspace(0, 1, 9)
    for _ in range(6):
        coarse = equalised(coarse, np.diff(np.sqrt(coarse)))
    np.testing.assert_allclose(coarse, np.linspace(0, 1, 9) ** 2, atol=1e-3)
    # pairs that are never rejected do not stop it
    found = equalised(np.linspace(0, 1, 5), np.array([0.0, 0.0, 0.0, 0.9]))
    assert np.all(np.diff(found) > 0)
    assert (found[0], found[-1]) == (0.0, 1.0)
    assert found[1] > 0.7


def test_round_trips_are_counted(rng):
    """Three levels by hand; then walks of labels, each followed by itself."""
    by_hand = np.array([[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1], [0, 2, 1], [0, 1, 2], [1, 0, 2]])
    assert round_trips(by_hand[None]).tolist() == [2]
    C, S, L = 3, 400, 4
    replicas = np.empty((C, S, L), dtype=int)
    for c in range(C):
        now = np.arange(L)
        for s in range(S):
            k = rng.integers(L - 1)
            now[[k, k + 1]] = now[[k + 1, k]]
            replicas[c, s] = now
    expected = np.zeros(C, dtype=int)
    for c in range(C):
        for r in range(L):
            levels = np.argmax(replicas[c] == r, axis=1)
            ends = [level for level in levels if level in (0, L - 1)]
            visits = [end for i, end in enumerate(ends) if i == 0 or end != ends[i - 1]]
            visits = visits[visits.index(0) :] if 0 in visits else []
            expected[c] += max(0, (len(visits) - 1) // 2)
    assert round_trips(replicas).tolist() == expected.tolist()
    assert expected.min() > 3


def test_one_ladder_has_an_error_too(rng):
    betas = np.array([0.0, 0.2, 1.0])
    ell = gaussian(rng, betas, 2005)[None]
    found = tempering(betas, ell, np.broadcast_to(np.arange(3), ell.shape))
    assert 0.003 < found.log_evidence_error < 0.1
    assert abs(found.log_evidence + np.log(4.0)) < 4 * found.log_evidence_error
    assert found.round_trips.tolist() == [0]
    assert found.barrier == pytest.approx(np.sum(1 - found.swap_acceptance))


# --- the sampler

LAM = (0.5, 1.7)


@cache
def identity(N, P=7, T=0.2):
    rng = np.random.default_rng(4)
    X, X_test = rng.normal(size=(P, 4)), rng.normal(size=(5, 4))
    w = rng.normal(size=4)
    network = ww.FullyConnected([N], "identity", weight_precisions=LAM)
    sampler = ww.Tempered(chains=8, draws=800, warmup=150, levels=6)
    data = X, X @ w, X_test, X_test @ w
    return data, ww.sample(network, *data, temperature=T, sampler=sampler, key=1)


@pytest.mark.parametrize("N", [1, pytest.param(3, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.slow)])
def test_the_evidence_of_a_linear_network(N):
    """∫ N(y; 0, T + QK) dP(Q), Q ~ χ²_N/N: the readout's norm, if it is the first layer that is integrated out."""
    (X, y, *_), samples = identity(N)
    T = samples.temperature
    K = X @ X.T / (4 * LAM[0] * LAM[1])
    law = partial(multivariate_normal.logpdf, y, None)
    top = max(law(T * np.eye(7) + q * K) for q in np.geomspace(1e-3, 10, 60))

    def integrand(log_q):
        q = np.exp(log_q)
        return np.exp(law(T * np.eye(7) + q * K) - top) * chi2.pdf(q * N, N) * N * q

    truth = top + np.log(quad(integrand, -14, 5, limit=200)[0])
    found = samples.tempering
    assert found.log_evidence_error < 0.04
    assert abs(found.log_evidence - truth) < 4 * found.log_evidence_error
    trapezium = np.trapezoid(found.mean_log_likelihood, found.betas)
    assert trapezium == pytest.approx(truth, abs=0.6)
    posterior = ww.infer(samples.network, X, y, temperature=T, approximation="integrated")
    assert posterior.log_evidence == pytest.approx(truth, abs=1e-3)
    error = samples.training_error
    assert abs(error.value - posterior.training_error.total) < 4 * error.standard_error


def test_ladders_carry():
    """Where levels are many, rejections are equal, and replicas go up and down nearly as often as they could."""
    samples = identity(1)[1]
    found = samples.tempering
    assert np.all(np.diff(samples.level_log_likelihood[..., 0], axis=1) != 0)  # at β = 0 a new one every time
    rejection = 1.0 - found.swap_acceptance
    assert np.ptp(rejection) < 0.1
    assert found.barrier == pytest.approx(rejection.sum())
    # independent moves and r between all neighbours: 1/(2 + 2 Σ r/(1 − r))      [Syed et al. 2022, Theorem 1]
    expected = 1000 / (2 + 2 * np.sum(rejection / (1 - rejection)))
    assert 0.6 * expected < found.round_trip_rate < 1.1 * expected
    assert found.optimal_rate == pytest.approx(1000 / (2 + 2 * found.barrier))
    assert found.suited_levels == np.ceil(2 * found.barrier) + 1


@pytest.fixture(scope="module")
def aliases():
    """One unit sin(wx) at whole numbers, where w + 2πk are the same: modes of weights known by quadrature over w."""
    x, y, T, lam = np.array([1.0, 2.0, 3.0]), np.array([0.9, 0.7, -0.4]), 0.01, (0.04, 1.7)
    import jax.numpy as jnp

    network = ww.FullyConnected([1], jnp.sin, weight_precisions=lam)
    w = np.linspace(-35, 35, 280_001)
    phi = np.sin(np.outer(w, x))
    # N(y; 0, T + φφᵀ/λ_1), by hand (Sherman and Morrison; the matrix determinant lemma)
    s, t = np.sum(phi**2, axis=1) / lam[1], phi @ y
    log_likelihood = -0.5 * (
        (y @ y - t**2 / (lam[1] * T + lam[1] * s)) / T + np.log(1 + s / T) + 3 * np.log(2 * np.pi * T)
    )
    prior = norm.logpdf(w, scale=lam[0] ** -0.5) + np.log(w[1] - w[0])
    return network, (x[:, None], y), T, w, log_likelihood, prior


OPTIONS = {"temperature": 0.01, "key": 0, "throw": False}


def test_modes_are_weighed(aliases):
    """Where plain HMC stays in the modes that it fell into."""
    network, data, _, w, log_likelihood, prior = aliases
    samples = ww.sample(network, *data, sampler=ww.Tempered(draws=1500, levels=8, target_acceptance=0.95), **OPTIONS)
    assert samples.diagnostics.status == "mixed", samples.diagnostics.problems
    found = samples.tempering
    logs = prior + log_likelihood
    assert abs(found.log_evidence - logsumexp(logs)) < 4 * found.log_evidence_error
    for beta, mean, error in zip(found.betas, found.mean_log_likelihood, found.mean_log_likelihood_error):
        p = np.exp(prior + beta * log_likelihood - logsumexp(prior + beta * log_likelihood))
        assert abs(mean - p @ log_likelihood) < 4 * error
    p = np.exp(logs - logsumexp(logs))
    drawn = np.abs(samples.weights[..., 0]) / np.sqrt(0.04)  # w and −w are one function: the readout's sign
    weights = []
    for low, high in ((0, np.pi), (np.pi, 2 * np.pi), (2 * np.pi, 3 * np.pi)):
        weight = p[(np.abs(w) >= low) & (np.abs(w) < high)].sum()
        share = ((drawn >= low) & (drawn < high)).mean(axis=1)
        weights.append(weight)
        assert abs(share.mean() - weight) < 4 * share.std(ddof=1) / np.sqrt(8) + 1e-3
    assert min(weights[:2]) > 0.05  # two modes at least, of unequal weight
    plain = ww.sample(network, *data, sampler=ww.CollapsedHMC(draws=300, target_acceptance=0.95), **OPTIONS)
    assert plain.diagnostics.rhat > 1.5
    assert plain.tempering is None
    assert plain.betas is plain.replicas is plain.level_log_likelihood is None


@pytest.mark.slow
def test_two_units_against_importance_sampling(rng):
    """relu, N_1 = 2, two outputs: 2·10⁶ draws of the prior, weighted by the likelihood, with NumPy."""
    X = np.array([[1.0, 0.2], [-0.7, 0.5], [0.3, -1.1], [-0.5, -0.4]])
    Y, T, lam = np.array([[1.0, 0.2], [-0.4, 0.6], [0.7, 0.1], [0.0, -0.5]]), 0.05, (0.6, 1.4)
    network = ww.FullyConnected([2], "relu", weight_precisions=lam)
    x_new = np.array([[0.4, 0.9]])
    sampler = ww.Tempered(draws=1500, levels=8)
    samples = ww.sample(network, X, Y, x_new, temperature=T, sampler=sampler, key=2)
    logs, means = [], []
    for _ in range(20):
        W = rng.normal(size=(100_000, 2, 2)) / np.sqrt(lam[0] * 2)
        Phi = np.maximum(np.einsum("pi,sni->spn", X, W), 0.0)
        c = 2 * lam[1]
        A = T * np.eye(4) + Phi @ np.swapaxes(Phi, 1, 2) / c
        a = np.linalg.solve(A, np.broadcast_to(Y, (len(A), 4, 2)))
        logs.append(-0.5 * (np.sum(Y * a, axis=(1, 2)) + 2 * np.linalg.slogdet(A)[1] + 8 * np.log(2 * np.pi)))
        k = np.einsum("sn,spn->sp", np.maximum(np.einsum("i,sni->sn", x_new[0], W), 0.0), Phi) / c
        means.append(np.einsum("sp,spd->sd", k, a))
    logs, means = np.concatenate(logs), np.concatenate(means)
    p = np.exp(logs - logs.max())
    evidence, evidence_error = np.log(p.mean()) + logs.max(), p.std() / p.mean() / np.sqrt(len(p))
    mean = p @ means / p.sum()
    error = np.sqrt(p**2 @ (means - mean) ** 2) / p.sum()
    found = samples.tempering
    assert evidence_error < 0.02
    assert abs(found.log_evidence - evidence) < 4 * np.hypot(found.log_evidence_error, evidence_error)
    assert np.all(np.abs(samples.mean[0] - mean) < 4 * np.hypot(samples.mean_standard_error[0], error))


def test_without_a_likelihood_replicas_just_pass():
    """T = 10⁸: every swap is taken; a replica needs 2L transitions from end to end and back, and there are L."""
    (X, y, *_), _ = identity(1)
    network = ww.FullyConnected([2], "erf", weight_precisions=LAM)
    sampler = ww.Tempered(chains=4, draws=400, warmup=20, levels=5)
    found = ww.sample(network, X, y, temperature=1e8, sampler=sampler, throw=False).tempering
    np.testing.assert_allclose(found.swap_acceptance, 1.0, atol=1e-6)
    assert found.barrier < 1e-6
    assert np.all(np.abs(found.round_trips - 200) <= 5)
    assert found.log_evidence == pytest.approx(-3.5 * np.log(2e8 * np.pi), abs=1e-5)


def test_no_round_trip_is_not_mixed(tmp_path):
    _, samples = identity(1)
    assert samples.diagnostics.status == "mixed"
    samples.save(tmp_path / "samples.npz")
    back = load(tmp_path / "samples.npz")
    assert back.tempering.log_evidence == samples.tempering.log_evidence
    still = np.where(np.arange(8)[:, None, None] < 3, np.arange(6), samples.replicas)
    verdict = replace(samples, replicas=still).diagnostics
    assert verdict.status == "not mixed"
    assert verdict.problems == (
        "3 of 8 ladders without a round trip between prior and posterior: more draws, or levels=7",
    )


@pytest.mark.slow
def test_levels_side_by_side_are_levels_one_by_one(monkeypatch):
    """On an accelerator all levels move at once: the first transitions agree to rounding."""
    import jax

    from widthwise.sampling import Problem
    from widthwise.sampling.moves import exchange, move
    from widthwise.sampling.precision import float64

    (X, y, *_), _ = identity(1)
    problem = Problem(ww.FullyConnected([2], "erf", weight_precisions=LAM), X, y, temperature=0.2)
    found = []
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(exchange.jax, "default_backend", lambda backend=backend: backend)
        with float64():
            static, data = problem.model(True)
            data, keys = jax.tree.map(lambda a: a[None], data), jax.random.key(1)[None]
            z = jax.random.normal(keys[0], (1, 3 * 5, static.dimension))
            moving = exchange.Exchange(5, 0.1 if backend == "cpu" else 0.1 + 1e-15)  # another name: compiled anew
            chances = jax.vmap(lambda key: move.chances(key, 6, 3))(keys)
            plan = move.Plan(*(np.ones(1) * value for value in (0.2, 1.5, 20, 0.8)))
            states = moving.begin(move.start(static, data, z))
            found.append(move.advance(static, moving, data, chances, states, move.adaptation(0.8, np.ones(1)), plan))
    (states, _, trace, positions), (_, _, trace_too, positions_too) = found
    np.testing.assert_allclose(positions, positions_too, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(trace.levels[1], trace_too.levels[1])
    assert np.asarray(trace.levels[1]).std(axis=1).max() > 0  # replicas have changed places
    # and what is carried along with a replica is its own
    with float64():
        alone = move.start(static, data, states.positions.reshape(1, 15, -1))
    z = np.asarray(states.positions)
    np.testing.assert_allclose(
        states.log_likelihood, np.asarray(alone.logdensity).reshape(1, 3, 5) + 0.5 * np.sum(z**2, axis=3), rtol=1e-8
    )
    np.testing.assert_allclose(states.gradient, np.asarray(alone.logdensity_grad).reshape(z.shape) + z, atol=1e-6)


def test_settings():
    with pytest.raises(ww.InputError, match=r"levels: expected a whole number of at least 2, got 1; pass e.g. 8"):
        ww.Tempered(levels=1)
    assert ww.Tempered(levels=2).stages()[0].move.levels == 2


def test_the_prior_at_level_zero_is_exact():
    """erf, two units: ⟨ℓ⟩ at β = 0 is the prior's, from weights drawn here."""
    (X, y, *_), _ = identity(1)
    network = ww.FullyConnected([2], "erf", weight_precisions=LAM)
    sampler = ww.Tempered(chains=4, draws=800, warmup=60, levels=5)
    found = ww.sample(network, X, y, temperature=0.2, sampler=sampler, throw=False).tempering
    rng = np.random.default_rng(1)
    Phi = erf(np.einsum("pi,sni->spn", X, rng.normal(size=(40_000, 2, 4)) / np.sqrt(4 * LAM[0])))
    A = 0.2 * np.eye(7) + Phi @ np.swapaxes(Phi, 1, 2) / (2 * LAM[1])
    quadratic = np.einsum("p,sp->s", y, np.linalg.solve(A, np.broadcast_to(y[:, None], (len(A), 7, 1)))[..., 0])
    ell = -0.5 * (quadratic + np.linalg.slogdet(A)[1] + 7 * np.log(2 * np.pi))
    error = np.hypot(found.mean_log_likelihood_error[0], ell.std() / np.sqrt(len(ell)))
    assert abs(found.mean_log_likelihood[0] - ell.mean()) < 4 * error
    # and the evidence once more: the prior's average of the likelihood
    p = np.exp(ell - ell.max())
    error = np.hypot(found.log_evidence_error, p.std() / p.mean() / np.sqrt(len(p)))
    assert abs(found.log_evidence - ell.max() - np.log(p.mean())) < 4 * error
