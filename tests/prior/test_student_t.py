"""The t process against SciPy's multivariate t, a brute-force average over its scale, scikit-learn and limits."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct

import widthwise as ww
from widthwise.errors import DataWarning, InputError
from widthwise.kernels import cross_kernel, training_kernel
from widthwise.prior import StudentTProcess, scale_factors

NETWORK = ww.FullyConnected([7], "erf", (0.6, 1.7), 0.2)
T = 0.3


@pytest.fixture
def data(rng):
    X, X_new = rng.standard_normal((6, 4)), rng.standard_normal((3, 4))
    return X, np.sin(2 * X[:, 0]) + 0.4, X_new, rng.standard_normal(3)


def joint(X, X_new, nu, parametrisation):
    """SciPy's law of (y, y_new), noise on the whole diagonal."""
    both = np.vstack([X, X_new])
    shape = training_kernel(NETWORK, both).K + T * np.eye(len(both))
    return stats.multivariate_t(shape=shape * ((nu - 2) / nu if parametrisation == "covariance" else 1.0), df=nu)


@pytest.mark.parametrize("nu", [2.4, 7.0, 90.0])
@pytest.mark.parametrize("parametrisation", ["shape", "covariance"])
def test_the_posterior_is_a_ratio_of_scipys_densities(data, nu, parametrisation):
    X, y, X_new, y_new = data
    process = StudentTProcess(NETWORK, X, y, temperature=T, degrees_of_freedom=nu, parametrisation=parametrisation)
    marginal = joint(X, np.empty((0, 4)), nu, parametrisation)
    assert process.log_evidence == pytest.approx(marginal.logpdf(y), abs=1e-10)
    prediction = process.predict(X_new)
    for i in range(3):
        law = joint(X, X_new[i : i + 1], nu, parametrisation)
        for value in (y_new[i], y_new[i] + 3.0, -8.0):
            ratio = law.logpdf(np.append(y, value)) - marginal.logpdf(y)
            assert prediction.log_density(np.full(3, value))[i] == pytest.approx(ratio, abs=1e-10)


@pytest.mark.parametrize("parametrisation", ["shape", "covariance"])
def test_the_posterior_is_that_of_prior_draws_weighed_by_the_data(data, rng, parametrisation):
    """f = √c g with c = ν/χ²_ν: the draws of c alone, weighed by N(y; 0, c A)."""
    X, y, X_new, _ = data
    nu = 5.0
    process = StudentTProcess(NETWORK, X, y, temperature=T, degrees_of_freedom=nu, parametrisation=parametrisation)
    c = nu / rng.chisquare(nu, 200_000) * ((nu - 2) / nu if parametrisation == "covariance" else 1.0)
    A = training_kernel(NETWORK, X).K + T * np.eye(6)
    cross = cross_kernel(NETWORK, X_new, X)
    log_w = -0.5 * y @ np.linalg.solve(A, y) / c - 3.0 * np.log(c)
    w = np.exp(log_w - log_w.max())
    mean = (w @ c) / w.sum()
    error = math.sqrt(w**2 @ (c - mean) ** 2) / w.sum()
    assert process.scale_factor == pytest.approx(mean, abs=4 * error)
    own = cross.diagonal - np.einsum("np,pn->n", cross.k, np.linalg.solve(A, cross.k.T))
    prediction = process.predict(X_new, covariance=True)
    np.testing.assert_allclose(prediction.mean, cross.k @ np.linalg.solve(A, y), rtol=1e-10)
    np.testing.assert_allclose(prediction.variance, mean * own, rtol=5 * error / mean)
    np.testing.assert_allclose(prediction.covariance.diagonal(), prediction.variance, rtol=1e-10)
    f = np.sqrt(c)[:, None] * np.sqrt(own) * rng.standard_normal((len(c), 3)) + prediction.mean
    low, high = prediction.interval(0.8)
    inside = (w @ ((f > low) & (f < high))) / w.sum()
    np.testing.assert_allclose(inside, 0.8, atol=0.01)
    np.testing.assert_allclose(prediction.probability_positive(), (w @ (f > 0)) / w.sum(), atol=0.01)


def test_intervals_are_those_of_the_log_density(data):
    X, y, X_new, _ = data
    prediction = StudentTProcess(NETWORK, X, y, temperature=T).predict(X_new)
    low, high = prediction.interval(0.7, observed=True)
    for i in range(3):
        grid = np.linspace(low[i], high[i], 4001)
        density = np.exp([prediction.log_density(np.full(3, value))[i] for value in grid])
        assert np.trapezoid(density, grid) == pytest.approx(0.7, abs=1e-6)
    inner_low, inner_high = prediction.interval(0.7)
    assert np.all((inner_low > low) & (inner_high < high))
    with pytest.raises(InputError, match="level: expected a probability"):
        prediction.interval(1.2)


@pytest.mark.parametrize("parametrisation", ["shape", "covariance"])
def test_many_degrees_of_freedom_are_scikit_learns_gaussian_process(rng, parametrisation):
    X, X_new = rng.standard_normal((8, 3)), rng.standard_normal((4, 3))
    y = X[:, 0] + 0.1 * rng.standard_normal(8)
    network = ww.FullyConnected([50], "identity", (1 / 3, 1.0))  # K = X Xᵀ
    kernel = DotProduct(1e-5, "fixed")
    wide = GaussianProcessRegressor(kernel, alpha=T, optimizer=None).fit(X, y)
    process = StudentTProcess(network, X, y, temperature=T, degrees_of_freedom=1e9, parametrisation=parametrisation)
    mean, covariance = wide.predict(X_new, return_cov=True)
    prediction = process.predict(X_new, covariance=True)
    np.testing.assert_allclose(prediction.mean, mean, atol=1e-7)
    np.testing.assert_allclose(prediction.covariance, covariance, atol=1e-7)
    assert process.log_evidence == pytest.approx(wide.log_marginal_likelihood_value_, abs=1e-6)
    infinite = ww.infer(network, X, y, temperature=T, approximation="infinite").predict(X_new)
    for ours, theirs in zip(prediction.interval(0.9, observed=True), infinite.interval(0.9, observed=True)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    finite = StudentTProcess(network, X, y, temperature=T, degrees_of_freedom=3.0).predict(X_new)
    np.testing.assert_allclose(finite.mean, mean, atol=1e-7)
    assert np.all(np.abs(finite.variance / covariance.diagonal() - 1) > 0.05)


@pytest.mark.parametrize("N", [4, 12])
def test_at_zero_temperature_it_has_the_scale_factors(N, rng):
    P, X = 6, rng.standard_normal((6, 8))
    network = ww.FullyConnected([N], "erf", (0.6, 1.7))
    y = 1.5 * rng.standard_normal(P)
    shape, covariance = (
        StudentTProcess(network, X, y, temperature=1e-11, parametrisation=name) for name in ("shape", "covariance")
    )
    K = training_kernel(network, X).K
    assert shape.s == pytest.approx(y @ np.linalg.solve(K, y) / P, rel=1e-8)
    factors = scale_factors(P / N, shape.s, width=N)
    assert shape.shape_factor == pytest.approx(float(factors.t_shape), rel=1e-12)
    assert covariance.scale_factor == pytest.approx(float(factors.t_covariance), rel=1e-12)
    assert shape.scale_factor == pytest.approx((N + P * shape.s) / (N + P - 2), rel=1e-12)
    at_the_data = shape.predict(X)
    np.testing.assert_allclose(at_the_data.mean, y, rtol=1e-8)
    np.testing.assert_allclose(at_the_data.variance, 0, atol=1e-9)


def test_shape_and_covariance_are_one_process_in_two_words(data):
    """Covariance K + T is the shape (ν − 2)/ν (K + T)."""
    X, y, X_new, y_new = data
    K, cross = training_kernel(NETWORK, X).K, cross_kernel(NETWORK, X_new, X)
    nu, c = 5.0, 3.0 / 5.0
    one = StudentTProcess(NETWORK, X, y, temperature=T, degrees_of_freedom=nu, parametrisation="covariance")
    other = StudentTProcess(ww.PrecomputedKernel([9]), c * K, y, temperature=c * T, degrees_of_freedom=nu)
    a, b = one.predict(X_new), other.predict(c * cross.k, c * cross.diagonal)
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-10)
    np.testing.assert_allclose(a.variance, b.variance, rtol=1e-9)
    np.testing.assert_allclose(a.log_density(y_new), b.log_density(y_new), rtol=1e-9)
    assert one.log_evidence == pytest.approx(other.log_evidence, rel=1e-10)


def test_too_few_degrees_of_freedom_have_no_variance():
    X, y = np.array([[1.0, 2.0]]), np.array([0.7])
    process = StudentTProcess(NETWORK, X, y, temperature=T, degrees_of_freedom=0.8)
    prediction = process.predict(np.eye(2), covariance=True)
    assert process.scale_factor == math.inf
    assert np.all(np.isinf(prediction.variance))
    assert np.all(np.isinf(prediction.covariance))
    assert prediction.degrees_of_freedom == pytest.approx(1.8)
    assert np.all(np.isfinite(prediction.interval(0.9)))
    assert np.all(np.isfinite(prediction.log_density(np.zeros(2))))


def test_rows_in_another_order_and_a_rotation_change_nothing(data, rng):
    X, y, X_new, _ = data
    order, R = rng.permutation(6), stats.ortho_group.rvs(4, random_state=rng)
    one = StudentTProcess(NETWORK, X, y, temperature=T)
    other = StudentTProcess(NETWORK, X[order] @ R, y[order], temperature=T)
    assert one.log_evidence == pytest.approx(other.log_evidence, rel=1e-12)
    np.testing.assert_allclose(one.predict(X_new).variance, other.predict(X_new @ R).variance, rtol=1e-10)


def test_scores_are_averages_over_the_posterior(data):
    X, y, X_new, y_new = data
    process = StudentTProcess(NETWORK, X, y, temperature=T)
    assert process.degrees_of_freedom == 7
    prediction, score = process.predict(X_new), process.score(X_new, y_new)
    assert score.bias == pytest.approx(np.mean((y_new - prediction.mean) ** 2))
    assert score.total == pytest.approx(score.bias + np.mean(prediction.variance))
    assert score.negative_log_likelihood == pytest.approx(-np.mean(prediction.log_density(y_new)))
    assert score.accuracy is None
    assert 0 <= process.score(X_new, np.sign(y_new)).accuracy_of_draw <= 1


def test_of_images(rng):
    X, y = rng.standard_normal((5, 4, 4)), rng.standard_normal(5)
    network = ww.Convolutional(6, 2, activation="erf", readout="average")
    found = StudentTProcess(network, X, y, temperature=T).predict(X[:2])
    wide = ww.infer(network, X, y, temperature=T, approximation="infinite").predict(X[:2])
    np.testing.assert_allclose(found.mean, wide.mean, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0.0}, "temperature: expected a finite number above zero"),
        ({"degrees_of_freedom": -1.0}, "degrees_of_freedom: expected a finite number above zero"),
        ({"degrees_of_freedom": 2.0, "parametrisation": "covariance"}, "degrees_of_freedom: expected more than 2"),
        ({"parametrisation": "scale"}, "unknown parametrisation 'scale'"),
        ({"y": np.zeros((6, 2))}, "y: expected 1 per example"),
        ({"y": np.zeros(5)}, "y: expected 6 targets"),
        ({"X": np.full((6, 4), np.nan)}, "X: expected finite numbers"),
    ],
)
def test_bad_input_is_refused(data, change, message):
    given = {"X": data[0], "y": data[1], "temperature": T} | change
    X, y = given.pop("X"), given.pop("y")
    with pytest.raises(InputError, match=message):
        StudentTProcess(NETWORK, X, y, **given)


def test_constant_targets_are_a_warning(data):
    with pytest.warns(DataWarning, match="nothing to learn"):
        StudentTProcess(NETWORK, data[0], np.ones(6), temperature=T)
    with pytest.raises(InputError, match="X_new: expected 4 features"):
        StudentTProcess(NETWORK, data[0], data[1], temperature=T).predict(np.ones((2, 3)))
