"""Gaussian processes that k neurons have changed: every formula of the Woodbury form against dense linear algebra."""

import numpy as np
import pytest

from widthwise.posterior.explicit import Explicit

T, P, n, k, G = 0.07, 9, 5, 3, 4


@pytest.fixture
def problem(rng):
    """Dense kernels among P training and n new points, some draws of neurons and baths, and the same rotated."""
    Z = rng.normal(size=(P + n, 6))  # fewer features than points: K is singular
    K = Z @ Z.T / 6 * 1.7
    values, U = np.linalg.eigh(K[:P, :P])
    values = np.maximum(values, 0.0)
    F = 0.8 * rng.normal(size=(G, P + n, k))
    Q, y = rng.uniform(0.2, 2.0, size=G), rng.normal(size=P)
    found = Explicit.of(values, U.T @ y, T, Q, U.T @ F[:, :P])
    whole = Q[:, None, None] * K + F @ np.swapaxes(F, 1, 2)  # of every draw, among all points
    return found, whole, F, U, y, K


def test_the_training_points(problem):
    found, whole, _F, U, y, _ = problem
    for g in range(G):
        K_R = whole[g, :P, :P]
        A = T * np.eye(P) + K_R
        a = np.linalg.solve(A, y)
        np.testing.assert_allclose(U @ found.a[g], a, rtol=1e-8)
        assert found.freedom[g] == pytest.approx(np.trace(np.linalg.solve(A, K_R)), rel=1e-9)
        np.testing.assert_allclose(found.D[g], T + found.Q[g] * found.values)


def test_the_readout_is_that_of_a_linear_model(problem):
    """y = F u + noise of covariance T I + Q K, u ~ N(0, I): by the normal equations of the joint Gaussian."""
    found, _whole, F, _, y, K = problem
    for g in range(G):
        noise = T * np.eye(P) + found.Q[g] * K[:P, :P]
        precision = np.eye(k) + F[g, :P].T @ np.linalg.solve(noise, F[g, :P])
        covariance = np.linalg.inv(precision)
        np.testing.assert_allclose(found.readout[g], covariance @ F[g, :P].T @ np.linalg.solve(noise, y), rtol=1e-8)
        np.testing.assert_allclose(found.readout_variance[g], covariance.diagonal(), rtol=1e-9)
        root = found.root[g]
        np.testing.assert_allclose(root @ root.T, precision, rtol=1e-9)
        assert not np.triu(root, 1).any()


def test_new_points(problem):
    found, whole, F, U, y, K = problem
    rotated, prior = U.T @ K[:P, P:], K[P:, P:]
    mean, variance = found.predict(rotated, prior.diagonal(), F[:, P:])
    covariance = found.covariance(rotated, prior, F[:, P:])
    assert mean.shape == variance.shape == (G, n)
    assert covariance.shape == (G, n, n)
    for g in range(G):
        A, C = T * np.eye(P) + whole[g, :P, :P], whole[g, :P, P:]
        np.testing.assert_allclose(mean[g], C.T @ np.linalg.solve(A, y), rtol=1e-8)
        exact = whole[g, P:, P:] - C.T @ np.linalg.solve(A, C)
        np.testing.assert_allclose(covariance[g], exact, atol=1e-10)
        np.testing.assert_allclose(variance[g], exact.diagonal(), atol=1e-10)
        np.testing.assert_allclose(covariance[g], covariance[g].T, atol=1e-12)


def test_at_the_training_points_it_is_the_fit(problem):
    """f there is y − T a, its variances add up to T tr[K_R A⁻¹]."""
    found, _whole, F, U, y, K = problem
    mean, variance = found.predict(U.T @ K[:P, :P], K.diagonal()[:P].copy(), F[:, :P])
    np.testing.assert_allclose(mean, y - T * found.a @ U.T, atol=1e-9)
    np.testing.assert_allclose(variance.sum(axis=1), T * found.freedom, rtol=1e-8)


def test_neurons_without_weight_leave_the_bath_alone(problem):
    found, _, _F, U, y, _K = problem
    none = Explicit.of(found.values, U.T @ y, T, found.Q, np.zeros((G, P, k)))
    np.testing.assert_allclose(none.a, (U.T @ y) / none.D, rtol=1e-12)
    np.testing.assert_allclose(none.readout_variance, 1.0)  # the prior
    np.testing.assert_allclose(none.readout, 0.0)
    np.testing.assert_allclose(none.freedom, (found.Q[:, None] * found.values / none.D).sum(axis=1), rtol=1e-10)


def test_neurons_are_exchangeable_and_mirrored(problem):
    """The order and the signs of the neurons' features change nothing but their readouts'."""
    found, _, F, U, y, _K = problem
    order, signs = [2, 0, 1], np.array([1.0, -1.0, 1.0])
    other = Explicit.of(found.values, U.T @ y, T, found.Q, (U.T @ F[:, :P])[:, :, order] * signs)
    np.testing.assert_allclose(other.readout, found.readout[:, order] * signs, rtol=1e-8)
    np.testing.assert_allclose(other.readout_variance, found.readout_variance[:, order], rtol=1e-8)
    np.testing.assert_allclose(other.a, found.a, rtol=1e-8)


def test_variances_stay_above_zero_where_everything_is_known(problem):
    """T → 0 at the training points: what is left of the variance is rounding, never below zero."""
    found, _, F, U, y, K = problem
    cold = Explicit.of(found.values + 0.1, U.T @ y, 1e-14, found.Q, U.T @ F[:, :P])
    _, variance = cold.predict(U.T @ (K[:P, :P] + 0.1 * np.eye(P)), K.diagonal()[:P] + 0.1, F[:, :P])
    assert (variance >= 0.0).all()
    assert variance.max() < 1e-12
