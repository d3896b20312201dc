"""Depth, a few neurons as they are: made-up draws against regression on the whole kernel, the layers below given."""

import numpy as np
import pytest
from scipy.special import erf

import widthwise as ww
from widthwise.actions.cavity import Cavity
from widthwise.posterior.cavity import Evidence
from widthwise.posterior.cavity_depth import Below, CavityDepthLaw, infer_cavity_depth
from widthwise.posterior.engine import Engine
from widthwise.posterior.infer import make_spectrum
from widthwise.posterior.phases import Specialisation
from widthwise.posterior.sources import source_of

T, LAM, WIDTHS = 0.3, (1.7, 0.6, 1.3), (6, 7)


def engine_of(network, X, y):
    source = source_of(network, X, copies=2)
    spectrum = make_spectrum(source.training(), y, "eigenvalues")
    return Engine(source, y, lambda: spectrum, None)


def problem(rng, activation, P=6, N0=4, n=3):
    network, X = ww.FullyConnected(WIDTHS, activation, LAM), rng.normal(size=(P + n, N0))
    y = X @ rng.normal(size=N0) + 0.3 * rng.normal(size=P + n)
    return network, X[:P], y[:P], X[P:], y[P:]


def law_of(rng, engine, G=5, k=2):
    below = Below.of(engine.network, engine.X)
    weights = rng.uniform(0.5, 1.0, size=G)
    nothing = Specialisation(0.0, 0.0, 0.0, 0.0, 0.5, False, False)
    return CavityDepthLaw(
        engine, T, Cavity(neurons=k, seed=4), rng.normal(size=(G, k, len(below.values))), rng.uniform(0.5, 1.5, size=G),
        weights / weights.sum(), np.arange(G) % 2, Evidence(0.0, 0.1, 0.0, 0.0, 0), nothing, (),
        B=rng.normal(size=(G, k, k)), bath=rng.normal(size=(G, k, k)),
    )  # fmt: skip


@pytest.mark.parametrize("activation", ["identity", "erf"])
def test_every_draw_is_a_regression(rng, activation):
    network, X, y, X_test, _ = problem(rng, activation)
    law = law_of(rng, engine_of(network, X, y))
    both = np.concatenate([X, X_test])
    F, K, P = law.features(both), law.bath_kernel(both, both), len(X)
    if activation == "erf":  # what the training points leave open is drawn: once for all that follows
        object.__setattr__(law, "features", lambda X, together=True: F[:, P:] if len(X) < P else F[:, :P])
    found = law.predict(X_test, None, covariance=True)
    mean, second, errors = np.zeros(3), np.zeros((3, 3)), 0.0
    for weight, Q, features in zip(law.weights, law.Q, F):
        whole = Q * K + features @ features.T
        A, cross = whole[:P, :P] + T * np.eye(P), whole[P:, :P]
        solved = np.linalg.solve(A, cross.T)
        M = solved.T @ y
        mean, second = mean + weight * M, second + weight * (whole[P:, P:] - cross @ solved + np.outer(M, M))
        hat = np.linalg.solve(A, whole[:P, :P])
        errors += weight * (((y - hat.T @ y) ** 2).sum() + T * np.trace(hat)) / P
    np.testing.assert_allclose(found.mean, mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.covariance, second - np.outer(mean, mean), rtol=1e-6, atol=1e-6)
    assert law.training_error().total == pytest.approx(errors, rel=1e-8)
    np.testing.assert_allclose(law.dual_vector() * T, y - law.predict(X, None, covariance=False).mean, atol=1e-7)


def test_layers_below_are_a_gaussian_process(rng):
    """ζ at new points, given that on the training inputs: moments over many draws of both are those of C."""
    network, X, _, X_test, _ = problem(rng, "erf")
    below, both = Below.of(network, X), np.concatenate([X, X_test])
    C = ww.infer(
        ww.FullyConnected(WIDTHS[:1], "erf", LAM[:2]), both, both[:, 0], temperature=1.0, approximation="infinite"
    ).renormalised_kernel(both, both)
    zeta = rng.normal(size=(20000, 1, len(below.values)))
    for together in (True, False):
        new, slopes = below.at(X_test, zeta, 7, together=together)
        old = zeta @ below.root.T
        joint = np.concatenate([old[:, 0], new[:, :, 0]], axis=1)
        found = joint.T @ joint / len(joint)
        at = slice(None) if together else np.nonzero(~np.eye(9, dtype=bool)[:, :6] | np.eye(9, 6, dtype=bool))
        np.testing.assert_allclose(found[at], C[at], atol=0.04 * C.max())
        np.testing.assert_allclose(np.diag(found), np.diag(C), rtol=0.06)
    h = rng.normal(size=(400000, 1)) * np.sqrt(np.diag(C)[6:])
    stein = (erf(h) * h).mean(axis=0) / np.diag(C)[6:]  # E φ' = E[φ h]/c
    np.testing.assert_allclose(slopes, stein, rtol=0.01)


def test_a_file_holds_the_law(rng):
    network, X, y, X_test, _ = problem(rng, "erf")
    law = law_of(rng, engine_of(network, X, y))
    again = CavityDepthLaw.of_arrays(law.engine, T, law.arrays())
    one, two = (each.predict(X_test, None, covariance=False).mean for each in (law, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_identity_is_the_integrated_theory(rng):
    network, X, y, X_test, _ = problem(rng, "identity")
    settings = Cavity(neurons=3, ladders=8, levels=8, draws=600, warmup=100, nodes=2000)
    law, found = infer_cavity_depth(engine_of(network, X, y), T, settings, throw=True)
    exact = ww.infer(network, X, y, temperature=T, approximation="integrated")
    one, two = law.predict(X_test, None, covariance=False), exact.predict(X_test)
    assert found.converged
    assert np.abs(one.mean - two.mean).max() < 0.03 * np.abs(two.mean).max()
    np.testing.assert_allclose(one.variance, two.variance, rtol=0.06)
    errors = law.training_error()
    assert abs(errors.total / exact.training_error.total - 1.0) < 0.02
    assert abs(law.evidence.log_evidence - exact.log_evidence) < 5.0 * max(law.evidence.standard_error, 0.03)
