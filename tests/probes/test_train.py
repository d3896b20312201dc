"""Training: restarts, seeds, warm starts, memorisation of p/P, depth, the posterior's draw; refusals."""

import numpy as np
import pytest
from scipy.special import erf

import widthwise as ww
from widthwise.errors import InputError, NumericalError
from widthwise.probes import Student, train

NETWORK = ww.FullyConnected([2])


def task(P, seed=0, noise=0.0, K=4):
    """A teacher of two units, gain 2."""
    random = np.random.default_rng(seed)
    U, X = 2.0 * np.linalg.qr(random.normal(size=(K, K)))[0][:2], random.normal(size=(P, K))
    return X, erf(X @ U.T) @ [1.0, 0.7] + noise * random.normal(size=P)


def test_the_best_of_the_restarts(rng):
    """Restart k is the same whatever their number; they end where nothing is left to win."""
    X, y = task(60, noise=0.3)
    first, many = (train(NETWORK, X, y, restarts=restarts, key=4) for restarts in (1, 4))
    assert first.restart == 0
    assert many.training_error <= first.training_error
    hasty = [train(NETWORK, X, y, restarts=restarts, key=4, steps=1).training_error for restarts in (1, 6)]
    assert hasty[1] < hasty[0]
    again = train(NETWORK, X, y, restarts=4, key=4)
    np.testing.assert_array_equal(again.weights, many.weights)
    assert not np.allclose(train(NETWORK, X, y, key=5).weights, first.weights)
    X, y = task(60)
    zero = train(NETWORK, X, y, restarts=5, key=4)
    assert zero.training_error <= 1e-20 * np.mean(y**2)
    assert zero.status == "converged"
    np.testing.assert_array_equal(train(NETWORK, X, y, restarts=zero.restart + 1, key=4).weights, zero.weights)


def test_what_it_says_of_itself():
    X, y = task(60, noise=0.3)
    student = train(NETWORK, X, y)
    assert student.training_error == pytest.approx(np.mean((y - student(X)) ** 2), rel=1e-12)
    assert (student.method, student.parameters, student.activation.name) == ("gauss-newton", 10, "erf")
    column = train(NETWORK, X.tolist(), y[:, None])
    np.testing.assert_array_equal(column.weights, student.weights)


@pytest.mark.parametrize("power", [-400, 24, 130])
@pytest.mark.parametrize("method", ["gauss-newton", "adam"])
def test_the_labels_scale_changes_nothing(method, power):
    X, y = task(30, noise=0.3)
    how = {"method": method, "steps": 100}
    one, other = train(NETWORK, X, y, **how), train(NETWORK, X, 2.0**power * y, **how)
    np.testing.assert_array_equal(other.weights, one.weights)
    np.testing.assert_array_equal(other.readout, 2.0**power * one.readout)
    assert other.training_error == 4.0**power * one.training_error
    assert (other.status, other.steps) == (one.status, one.steps)
    warm = train(NETWORK, X, 2.0**power * y, start=other, **how | {"steps": 200})
    assert warm.training_error <= other.training_error


@pytest.mark.parametrize("method", ["gauss-newton", "adam", "lbfgs"])
def test_labels_that_are_all_zero_are_learnt(method):
    X, _ = task(30)
    student = train(NETWORK, X, np.zeros(30), method=method)
    assert student.status == "converged"
    assert np.abs(student(X)).max() < 1e-3


def test_any_whole_number_is_a_key():
    X, y = task(10)
    one, other = (train(NETWORK, X, y, method="adam", steps=100, batch_size=4, key=key) for key in (2**70, 2**63))
    assert one.training_error != other.training_error


def test_a_warm_start_at_a_minimum_stays():
    X, y = task(60, noise=0.3)
    student = train(NETWORK, X, y, restarts=2)
    assert student.status == "converged"
    warm = train.fit(NETWORK, restarts=2)(X, y, start=student)
    np.testing.assert_array_equal(warm.weights, student.weights)
    assert warm.steps == 0
    moved = train(NETWORK, X, y + 1e-3 * np.sign(y), start=student)
    np.testing.assert_allclose(moved.weights, student.weights, atol=0.05)
    assert 0 < moved.steps < 100


@pytest.mark.parametrize(("P", "expected"), [(6, 1.0), (8, 1.0), (60, 10 / 60)])
def test_m_is_one_below_p_and_p_over_P_beyond(P, expected):
    X, y = task(P)
    m = ww.memorisation(train.fit(NETWORK, restarts=3), X, y, repeats=24)
    assert m.warm
    assert m.deterministic
    assert m.value == pytest.approx(expected, abs=1e-6 if expected == 1.0 else 4 * m.standard_error)
    assert m.standard_error < 0.03


def test_biases_are_trained(rng):
    X = rng.normal(size=(25, 3))
    y = X @ rng.normal(size=3) + 0.7 + 0.5 * rng.normal(size=25)
    A = np.column_stack([X, np.ones(25)])
    student = train(ww.FullyConnected([2], activation="identity", bias_variance=0.5, weight_precisions=3.0), X, y)
    np.testing.assert_allclose(student(X), A @ np.linalg.lstsq(A, y, rcond=None)[0], atol=1e-9)
    assert student.parameters == 2 * 4 + 2


def test_the_gradient_methods(rng):
    """Least squares where the network is linear; a deep one keeps its layers; one goes on from the other."""
    X = rng.normal(size=(25, 3))
    y = X @ rng.normal(size=3) + 0.5 * rng.normal(size=25)
    network = ww.FullyConnected([3, 2], activation="identity", bias_variance=(0.0, 1.0), weight_precisions=2.0)
    student = train(network, X, y, method="lbfgs", scale=0.5, key=3)
    A = np.column_stack([X, np.ones(25)])
    np.testing.assert_allclose(student(X), A @ np.linalg.lstsq(A, y, rcond=None)[0], atol=1e-5)
    assert student.training_error == pytest.approx(np.mean((y - student(X)) ** 2), rel=1e-9)
    assert [(W.shape, b is None) for W, b in student.layers] == [((3, 3), True), ((2, 3), False)]
    again = train(network, X, y, method="adam", start=student, steps=100, batch_size=8, learning_rate=1e-4)
    np.testing.assert_allclose(again(X), student(X), atol=0.05)
    assert (again.method, again.status, again.steps) == ("adam", "steps", 100)


@pytest.mark.slow
def test_a_draw_of_the_posterior_is_the_network_that_was_sampled(rng):
    """Langevin's chains know f of every draw: the weights handed over compute it. Its seed decides it."""
    X, y = task(12, noise=0.1)
    network = ww.FullyConnected([3, 2], bias_variance=(0.3, 0.6), weight_precisions=(1.5, 0.7, 2.0))
    sampler = ww.Langevin(chains=2, draws=10, warmup=20, step_size=1e-3, thinning=2)
    student = train(network, X, y, method="posterior", temperature=0.1, sampler=sampler, key=3)
    np.testing.assert_allclose(student(X), student.samples.train_mean[0, -1, :, 0], atol=1e-10)
    assert student.training_error == pytest.approx(np.mean((y - student(X)) ** 2))
    assert (student.method, student.status) == ("posterior", student.samples.diagnostics.status)
    np.testing.assert_allclose(student.predict(X), student.samples.predict(X).mean)


@pytest.mark.slow
def test_the_posteriors_mean_error_is_exact_where_the_network_is_linear():
    X, y = task(20, noise=0.3)
    network = ww.FullyConnected([3], activation="identity", weight_precisions=(1.5, 0.7))
    sampler = ww.CollapsedHMC(chains=4, draws=200, warmup=100)
    student = train(network, X, y, method="posterior", temperature=0.1, sampler=sampler)
    exact = ww.infer(network, X, y, temperature=0.1)
    assert student.status == "mixed"
    assert student.samples.training_error.value == pytest.approx(exact.training_error.total, rel=0.1)
    np.testing.assert_allclose(student.predict(X), exact.predict(X).mean, atol=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "newton"}, "did you mean 'gauss-newton'"),
        ({"stpes": 3}, "unknown setting 'stpes'.*did you mean 'steps'"),
        ({"restarts": 0}, "restarts: expected a whole number of at least 1"),
        ({"scale": -1.0}, "scale: expected a finite number of at least 0"),
        ({"network": ww.FullyConnected([2, 2])}, "expected 'adam' or 'lbfgs' for 2 hidden layers"),
        ({"network": ww.Convolutional(2, (2, 2))}, "network: expected FullyConnected, got Convolutional"),
        ({"start": "best"}, "start: expected a student with weights"),
        ({"start": Student(np.ones((3, 4)), np.ones(3))}, "start: expected a student of the erf network"),
        ({"y": np.ones((60, 2))}, "y: expected 1 outputs"),
        ({"method": "posterior"}, "temperature: expected with method='posterior'"),
        ({"method": "posterior", "temperature": 0.1, "restarts": 2}, "got 2 restarts"),
    ],
)
def test_refusals(arguments, message):
    X, y = task(60)
    with pytest.raises(InputError, match=message):
        train(**({"network": NETWORK, "X": X, "y": y} | arguments))


def test_what_diverges_is_said_to():
    X, y = task(60)
    with pytest.raises(NumericalError, match=r"all 2 restarts diverged.*learning_rate"):
        train(NETWORK, X, y, method="adam", learning_rate=1e200, steps=100, restarts=2)
