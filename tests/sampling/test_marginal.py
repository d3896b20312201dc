"""The readout integrated out: both forms, their gradient, and the plain Gaussian formulas they must equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from widthwise.sampling.marginal import log_evidence, predictive, readout, readout_N, readout_P
from widthwise.sampling.precision import float64

T, C = 0.07, 3.9


@pytest.fixture(params=[(7, 4), (4, 7), (1, 3)], ids=str)
def case(request, rng):
    P, N = request.param
    return rng.normal(size=(P, N)), rng.normal(size=(P, 2)), rng.normal(size=(6, N))


def _covariance(Phi):
    return T * np.eye(len(Phi)) + Phi @ Phi.T / C


def test_both_forms_equal_scipys_gaussian(case):
    Phi, y, _ = case
    exact = sum(multivariate_normal(np.zeros(len(y)), _covariance(Phi)).logpdf(column) for column in y.T)
    with float64():
        for form in (readout_P, readout_N):
            np.testing.assert_allclose(float(log_evidence(*map(jnp.asarray, (Phi, y, T, C)), form)), exact, rtol=1e-10)


def test_gradient_of_both_forms_equals_autodiff_and_finite_differences(case):
    Phi, y, _ = case

    def naive(Phi):
        A = T * jnp.eye(len(Phi)) + Phi @ Phi.T / C
        return -0.5 * (jnp.sum(y * jnp.linalg.solve(A, y)) + y.shape[1] * jnp.linalg.slogdet(A)[1])

    def gaussian(Phi):
        return sum(multivariate_normal(np.zeros(len(y)), _covariance(Phi)).logpdf(column) for column in y.T)

    h = 1e-5
    steps = h * np.eye(Phi.size).reshape(-1, *Phi.shape)
    differences = np.array([(gaussian(Phi + s) - gaussian(Phi - s)) / (2 * h) for s in steps]).reshape(Phi.shape)
    with float64():
        args = tuple(map(jnp.asarray, (y, T, C)))
        reference = np.asarray(jax.grad(naive)(jnp.asarray(Phi)))
        P, N = (np.asarray(jax.grad(log_evidence)(jnp.asarray(Phi), *args, form)) for form in (readout_P, readout_N))
    scale = np.abs(reference).max()
    np.testing.assert_allclose(P, N, atol=1e-10 * scale)
    np.testing.assert_allclose(P, reference, atol=1e-10 * scale)
    np.testing.assert_allclose(P, differences, atol=1e-6 * scale)


def test_predictive_law_is_that_of_gaussian_conditioning(case):
    Phi, y, points = case
    K, A = points @ Phi.T / C, _covariance(Phi)
    mean = K @ np.linalg.solve(A, y)
    variance = np.diag(points @ points.T / C - K @ np.linalg.solve(A, K.T))
    with float64():
        args = tuple(map(jnp.asarray, (Phi, y, T, C)))
        for form in (readout_P, readout_N, readout):
            got = predictive(form(*args), args[0], jnp.asarray(points), T, C)
            np.testing.assert_allclose(got[0], mean, atol=1e-10)
            np.testing.assert_allclose(got[1], variance, atol=1e-10)
