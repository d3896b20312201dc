"""Several outputs, a few neurons as they are: made-up draws against (PD) × (PD) regression, identity networks exact."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.actions.cavity import Cavity
from widthwise.posterior.cavity import Evidence
from widthwise.posterior.cavity_outputs import CavityOutputsLaw, infer_cavity_outputs
from widthwise.posterior.engine import Engine
from widthwise.posterior.infer import make_spectrum
from widthwise.posterior.neurons import InputFrame
from widthwise.posterior.phases import Specialisation
from widthwise.posterior.sources import source_of

T, LAM, N = 0.3, (1.7, 0.6), 7


def engine_of(network, X, y):
    source = source_of(network, X, copies=2)
    spectrum = make_spectrum(source.training(), y, "eigenvalues")
    return Engine(source, y, lambda: spectrum, None)


def problem(rng, D, *, activation="erf", P=6, N0=4, n=3, biases=0.0):
    network = ww.FullyConnected([N], activation, LAM, biases)
    X, X_test = rng.normal(size=(P, N0)), rng.normal(size=(n, N0))
    w = rng.normal(size=(N0, D))
    return network, X, X @ w + 0.3 * rng.normal(size=(P, D)), X_test, X_test @ w


def law_of(rng, engine, D, G=5, k=2):
    """Draws of nobody's: any W and any Q make a mixture of Gaussian processes."""
    settings = Cavity(neurons=k, seed=4)
    A = rng.normal(size=(G, D, D + 2))
    weights = rng.uniform(0.5, 1.0, size=G)
    rank = InputFrame.of(engine.network, engine.X).basis.shape[1]
    nothing = Specialisation(0.0, 0.0, 0.0, 0.0, 0.5, False, False)
    return CavityOutputsLaw(
        engine, T, settings, rng.normal(size=(G, k, rank)), A @ A.transpose(0, 2, 1) / (D + 2),
        weights / weights.sum(), np.arange(G) % 2, Evidence(0.0, 0.1, 0.0, 0.0, 0), nothing, (),
    )  # fmt: skip


def regression(K, y, T, cross, prior):
    """Mean and covariance at new points, and K_R A⁻¹ of the training points, by (PD) × (PD) matrices."""
    A = K + T * np.eye(len(K))
    solved = np.linalg.solve(A, cross.T)
    return solved.T @ y, prior - cross @ solved, np.linalg.solve(A, K)


@pytest.mark.parametrize("D", [1, 3])
def test_every_draw_is_a_regression_on_all_outputs_together(rng, D):
    network, X, Y, X_test, _ = problem(rng, D)
    engine = engine_of(network, X, Y)
    law = law_of(rng, engine, D)
    both = np.concatenate([X, X_test])
    kernel = ww.infer(network, both, both[:, 0], temperature=1.0, approximation="infinite")
    K, F = kernel.renormalised_kernel(both, both), law.features(both)
    P, n, y = len(X), len(X_test), Y.T.ravel()
    train = (np.arange(D)[:, None] * (P + n) + np.arange(P)).ravel()
    new = (np.arange(D)[:, None] * (P + n) + P + np.arange(n)).ravel()
    mean, second, errors, fitted = np.zeros(D * n), np.zeros((D * n, D * n)), 0.0, np.zeros(D * P)
    for weight, Q, features in zip(law.weights, law.Q, F):
        whole = np.kron(Q, K) + np.kron(np.eye(D), features @ features.T)
        M, C, hat = regression(whole[np.ix_(train, train)], y, T, whole[np.ix_(new, train)], whole[np.ix_(new, new)])
        mean, second = mean + weight * M, second + weight * (C + np.outer(M, M))
        errors += weight * (((y - hat.T @ y) ** 2).sum() + T * np.trace(hat)) / P
        fitted = fitted + weight * (hat.T @ y)
    covariance = (second - np.outer(mean, mean)).reshape(D, n, D, n).transpose(1, 0, 3, 2)
    found = law.predict(X_test, None, covariance=True)
    np.testing.assert_allclose(found.mean, mean.reshape(D, n).T, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.variance, np.einsum("ndnd->nd", covariance), rtol=1e-8)
    np.testing.assert_allclose(found.output_covariance, np.einsum("ndne->nde", covariance), rtol=1e-8, atol=1e-10)
    assert law.training_error().total == pytest.approx(errors, rel=1e-9)
    np.testing.assert_allclose(law.dual_vector(), (Y - fitted.reshape(D, P).T) / T, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(law.predict(X, None, covariance=False).mean, fitted.reshape(D, P).T, atol=1e-8)


def test_readouts_are_those_of_the_weight_posterior(rng):
    """⟨u | W⟩ = Fᵀ a and the neurons' share of Q, with everything in the outputs as given."""
    D = 3  # two by two, an eigenvector matrix may be its own transpose
    network, X, Y, *_ = problem(rng, D)
    engine = engine_of(network, X, Y)
    law = law_of(rng, engine, D)
    F, K = law.features(X), engine.source.training().K
    K = np.triu(K) + np.triu(K, 1).T
    own = np.zeros((D, D))
    for g, weight in enumerate(law.weights):
        A = np.kron(law.Q[g], K) + np.kron(np.eye(D), F[g] @ F[g].T) + T * np.eye(D * len(X))
        lift = np.kron(np.eye(D), F[g])  # u (D k) ↦ its part of f
        u = lift.T @ np.linalg.solve(A, Y.T.ravel())
        np.testing.assert_allclose(law.readout[g], u.reshape(D, -1).T, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(law.shares[g], (u.reshape(D, -1) ** 2).sum(axis=0) / N, rtol=1e-8)
        second = np.outer(u, u) + np.eye(len(u)) - lift.T @ np.linalg.solve(A, lift)
        own += weight * np.einsum("dkek->de", second.reshape(D, -1, D, len(u) // D)) / N
    bath = np.tensordot(law.weights, law.Q, 1)
    np.testing.assert_allclose(law.order_parameters["Q"][0], bath + own, rtol=1e-8)
    np.testing.assert_allclose(law.order_parameters["Q_bath"][0], bath, rtol=1e-12)


def test_rotated_outputs_turn_the_prediction(rng):
    D = 3
    network, X, Y, X_test, _ = problem(rng, D, biases=0.7)
    V, _ = np.linalg.qr(rng.normal(size=(D, D)))
    law = law_of(np.random.default_rng(1), engine_of(network, X, Y), D)
    other = CavityOutputsLaw(
        engine_of(network, X, Y @ V), T, law.settings, law.W, V.T @ law.Q @ V, law.weights, law.ladders,
        law.evidence, law.specialisation, (),
    )  # fmt: skip
    one, two = (each.predict(X_test, None, covariance=False) for each in (law, other))
    np.testing.assert_allclose(two.mean, one.mean @ V, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(two.output_covariance, V.T @ one.output_covariance @ V, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(other.shares, law.shares, rtol=1e-8)


def test_a_file_holds_the_law(rng):
    network, X, Y, X_test, _ = problem(rng, 2)
    engine = engine_of(network, X, Y)
    law = law_of(rng, engine, 2)
    again = CavityOutputsLaw.of_arrays(engine, T, law.arrays())
    np.testing.assert_array_equal(
        again.predict(X_test, None, covariance=False).mean, law.predict(X_test, None, covariance=False).mean
    )


@pytest.mark.slow
@pytest.mark.parametrize(("D", "k"), [(2, 3), (3, 2)])
def test_identity_is_the_integrated_theory(rng, D, k):
    network, X, Y, X_test, _ = problem(rng, D, activation="identity")
    settings = Cavity(neurons=k, ladders=8, levels=6, draws=600, warmup=100, nodes=2000)
    law, found = infer_cavity_outputs(engine_of(network, X, Y), T, settings, throw=True)
    exact = ww.infer(
        network, X, Y, temperature=T, approximation="integrated", monte_carlo=ww.MonteCarlo(draws=3000, nodes=4000)
    )
    assert found.converged
    one, two = law.predict(X_test, None, covariance=False), exact.predict(X_test)
    assert np.abs(one.mean - two.mean).max() < 0.03 * np.abs(two.mean).max()
    np.testing.assert_allclose(one.variance, two.variance, rtol=0.06)
    errors, others = law.training_error(), exact.training_error
    noise = np.hypot(errors.monte_carlo_error, others.monte_carlo_error)
    assert abs(errors.total - others.total) < max(5.0 * noise, 0.005 * others.total)
    gap = law.evidence.log_evidence - exact.log_evidence
    assert abs(gap) < 4.5 * np.hypot(law.evidence.standard_error, exact.law.action.evidence.standard_error)
    np.testing.assert_allclose(law.order_parameters["Q"], exact.order_parameters["Q"], atol=0.08)
    assert not law.specialisation.separated
