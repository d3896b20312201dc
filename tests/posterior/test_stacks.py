"""Several convolutional layers through `infer`: exact for the identity, infinite for all, what they offer, refusals."""

import dataclasses
import math

import jaxtyping
import numpy as np
import pytest
from stacked import network, outputs_of
from weighing import Problem, assert_agree

import widthwise as ww

SLOW = pytest.mark.slow
HOW = ww.MonteCarlo(draws=400, nodes=1600)

CASES = {  # outputs, image, network
    "two layers": (1, (3, 4), network((3, 2), ((2, 2), (2, 2)), 1)),
    "two layers, one channel below, biases, same": (
        1,
        (3, 3),
        network((1, 3), ((2, 3), (3, 2)), ((2, 1), 1), padding="same", bias_variance=(0.3, 0.5)),
    ),
    "three layers, average, biases": (
        1,
        (4, 4),
        network((2, 3, 2), ((2, 2), (2, 1), (1, 2)), 1, readout="average", bias_variance=(0.2, 0.3, 0.4)),
    ),
    "three layers, strides": (
        1,
        (5, 4),
        network(
            (2, 2, 4), ((2, 2), (3, 2), (2, 2)), (((1, 1), (2, 2), (1, 1))), padding="same", bias_variance=(0, 0.4, 0)
        ),
    ),
    "two layers, two outputs, biases": (2, (3, 3), network((3, 2), (2, 2), 1, bias_variance=(0.3, 0.5))),
    "two layers, average, two outputs": (2, (3, 4), network((2, 4), (2, 2), 1, readout="average", bias_variance=0.4)),
}
FAST = ("two layers", "two layers, one channel below, biases, same", "two layers, average, two outputs")


@pytest.fixture
def unchecked():
    """Without the run-time type checks of the tests, which take longer than thousands of small matrices."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", [case if case in FAST else pytest.param(case, marks=SLOW) for case in CASES])
def test_integrated_is_weight_space_monte_carlo(case):
    """φ = identity: means, covariances, errors and evidence, channels fewer than patches."""
    D, shape, net = CASES[case]
    rng = np.random.default_rng(5 + len(case))
    problem = Problem.of(rng, 3, shape, D, 0.6)
    posterior = ww.infer(net, problem.X, problem.y, temperature=0.6, monte_carlo=HOW)
    assert posterior.approximation == "integrated"
    assert posterior.validity.verdict == "sound"
    assert_agree(posterior, problem, outputs_of(net, D), rng, 200_000, informative=0.2)


@SLOW
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", ["two layers, two outputs, biases", "three layers, average, biases"])
def test_integrated_is_the_sampled_network(case):
    D, shape, net = CASES[case]
    problem = Problem.of(np.random.default_rng(3), 8, shape, D, 0.4, test=6)
    posterior = ww.infer(net, problem.X, problem.y, temperature=0.4, monte_carlo=ww.MonteCarlo(draws=1000, nodes=4000))
    samples = ww.sample(
        net,
        problem.X,
        problem.y,
        problem.X_test,
        problem.y_test,
        temperature=0.4,
        sampler=ww.CollapsedHMC(chains=4, draws=2000, warmup=200),
    )
    prediction, own = posterior.predict(problem.X_test), posterior.certificate.ess**-0.5
    shape = samples.mean.shape
    error = np.hypot(samples.mean_standard_error, own * np.std(prediction.means, axis=0).reshape(shape))
    assert np.abs((prediction.mean.reshape(shape) - samples.mean) / error).max() < 4.5
    np.testing.assert_allclose(prediction.variance.reshape(shape), samples.variance, rtol=0.15)
    score = posterior.score(problem.X_test, problem.y_test)
    assert score.total == pytest.approx(samples.generalisation_error.value, rel=0.05)
    assert posterior.training_error.total == pytest.approx(samples.training_error.value, rel=0.05)


# --- what it reduces to ---------------------------------------------------------------------------------------------


@pytest.fixture
def data(rng):
    X = rng.normal(size=(12, 3, 4))
    y = np.tanh(X.reshape(12, -1) @ rng.normal(size=(12, 2)))
    return X[:8], y[:8], X[8:], y[8:]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("D", [1, pytest.param(2, marks=SLOW)])
def test_the_whole_image_and_then_one_by_one_is_fully_connected(data, D):
    """Reduces to: the deep linear network, whose integral is by quadrature (D = 1) or over its chain of Wisharts."""
    X, y, X_test, _ = data
    y = y[:, 0] if D == 1 else y
    lam = (0.7, 0.6, 0.8)
    net = ww.Convolutional((4, 3), ((3, 4), 1), activation="identity", weight_precisions=lam)
    plain = ww.FullyConnected((4, 3), "identity", lam)
    how = ww.MonteCarlo(draws=600, nodes=2400)
    one = ww.infer(net, X, y, temperature=0.3, monte_carlo=how)
    other = ww.infer(plain, X.reshape(8, -1), y, temperature=0.3, monte_carlo=how)
    a, b = one.predict(X_test, covariance=True), other.predict(X_test.reshape(4, -1), covariance=True)
    close = 5 * one.certificate.ess**-0.5
    assert close < 0.2
    scale = np.sqrt(b.variance).max()
    np.testing.assert_allclose(a.mean, b.mean, atol=close * scale)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=close * scale**2)
    error = one.law.action.evidence.standard_error + (other.law.action.evidence.standard_error if D > 1 else 0.0)
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=4 * error)
    assert error < 0.1


@pytest.mark.parametrize("readout", ["dense", "average"])
def test_many_channels_are_infinitely_many(data, readout):
    """The chain's mean, from the top, is the kernel's recursion, from the bottom; and wide layers come close."""
    X, y, X_test, _ = data
    net = network((400, 500), (2, 2), ((1, 1), (1, 2)), padding="same", readout=readout, bias_variance=(0.3, 0.4))
    infinite = ww.infer(net, X, y[:, 0], temperature=0.3, approximation="infinite")
    few = dataclasses.replace(net, channels=(2, 3))
    finite = ww.infer(few, X, y[:, 0], temperature=0.3, throw=False, monte_carlo=ww.MonteCarlo(draws=8, warmup=8))
    assert finite.law.action.log_evidence_infinite() == pytest.approx(infinite.log_evidence, rel=1e-10)
    if readout == "average":  # few coordinates, so that many channels cost no more than few
        wide = ww.infer(net, X, y[:, 0], temperature=0.3, monte_carlo=ww.MonteCarlo(draws=60, warmup=60))
        np.testing.assert_allclose(wide.predict(X_test).mean, infinite.predict(X_test).mean, atol=0.05)
        assert wide.log_evidence == pytest.approx(infinite.log_evidence, abs=0.2)


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("readout", ["dense", "average"])
def test_infinite_is_the_gaussian_process_of_the_recursion(data, activation, readout):
    """Reduces to: K(K + T)⁻¹y with the kernel of `kernels.descent`, at any activation and number of outputs."""
    from widthwise.kernels import stack_cross, stack_training

    X, y, X_test, y_test = data
    net = network((3, 2), ((2, 2), (2, 3)), 1, activation, readout=readout, bias_variance=0.2)
    posterior = ww.infer(net, X, y, temperature=0.3, approximation="infinite")
    K, k = stack_training(net, X[..., None]).K, stack_cross(net, X_test[..., None], X[..., None]).k
    mean = k @ np.linalg.solve(K + 0.3 * np.eye(8), y)
    np.testing.assert_allclose(posterior.predict(X_test).mean, mean, rtol=1e-9)
    assert posterior.score(X_test, y_test).bias == pytest.approx(np.sum((mean - y_test) ** 2) / 4)
    np.testing.assert_allclose(posterior.renormalised_kernel(X_test, X)[:, 0, :, 0], k, rtol=1e-10)


# --- what it offers -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9, 3, 4, 2)), rng.normal(size=(9, 2))
    net = network((3, 2, 2), (2, 2), 1, padding="same", bias_variance=(0.3, 0.2, 0.1))
    how = ww.MonteCarlo(draws=60, warmup=60, nodes=40)
    return ww.infer(net, X[:6], y[:6], temperature=0.3, throw=False, monte_carlo=how), X[6:], y[6:]


def test_order_parameters_of_every_layer(fitted):
    posterior, *_ = fitted
    assert {name: Q.shape for name, Q in posterior.order_parameters.items()} == dict.fromkeys(
        ("Q", "Q_2", "Q_3"), (24, 24)
    )
    assert posterior.load == (2.0, 3.0, 3.0)
    for Q in posterior.order_parameters.values():
        assert np.linalg.eigvalsh(Q).min() > 0
    assert "3-2-2 channels" in posterior.network.name


def test_predictions_hang_together(fitted):
    posterior, X, y = fitted
    prediction = posterior.predict(X, covariance=True)
    np.testing.assert_allclose(np.einsum("ndnd->nd", prediction.covariance), prediction.variance, rtol=1e-8)
    np.testing.assert_allclose(posterior.predict(X).mean, prediction.mean, rtol=1e-10)
    score = posterior.score(X, y)
    assert score.bias == pytest.approx(np.sum((prediction.mean - y) ** 2) / 3)
    training = posterior.law.source.X
    fit = posterior.predict(training).mean
    np.testing.assert_allclose(0.3 * posterior.dual_vector, posterior.law.targets - fit, atol=1e-8)
    assert posterior.training_error.bias == pytest.approx(np.sum((posterior.law.targets - fit) ** 2) / 6)
    K = posterior.renormalised_kernel(X, training)
    np.testing.assert_allclose(posterior.renormalised_kernel(training, X), K.transpose(2, 3, 0, 1), rtol=1e-10)
    assert np.isfinite(posterior.log_evidence)


def test_saved_and_loaded(fitted, tmp_path):
    posterior, X, _ = fitted
    posterior.save(tmp_path / "stack.npz")
    back = ww.load(tmp_path / "stack.npz")
    assert back.network == posterior.network
    np.testing.assert_array_equal(back.predict(X).mean, posterior.predict(X).mean)
    for name, Q in posterior.order_parameters.items():
        np.testing.assert_array_equal(back.order_parameters[name], Q)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "approximation", "message"),
    [
        (
            {"activation": "erf"},
            None,
            r'expected "infinite" for 2 convolutional layers of erf, got finitely many channels .integrated.: .*clos',
        ),
        (
            {"activation": "relu"},
            "saddle",
            r'expected "infinite" for 2 convolutional layers of relu, got finitely many channels .saddle.',
        ),
        ({"activation": "erf", "readout": "average"}, None, r'expected "infinite" for 2 convolutional layers of erf'),
        ({}, "saddle", r'expected "integrated" or "infinite" for 2 convolutional layers, got "saddle"; .*commute'),
        ({}, "two-parameter", r'"two-parameter" is for one fully connected layer, got 2 hidden layers'),
    ],
)
def test_what_is_not_covered_says_so(data, options, approximation, message):
    X, y, *_ = data
    with pytest.raises(ww.InputError, match=message):
        ww.infer(network((3, 2), (2, 2), 1, **options), X, y, temperature=0.3, approximation=approximation)


def test_images_too_small_for_the_stack_are_refused(data):
    X, y, *_ = data
    with pytest.raises(ww.InputError, match=r"patch of layer 2: expected at most the grid below's 1x2, got 2x2"):
        ww.infer(network((3, 2), (2, 2)), X, y, temperature=0.3)


def test_prepared_data_are_refused(data):
    X, y, *_ = data
    net = network((3, 2), (2, 2), 1, readout="average")
    with pytest.raises(ww.InputError, match=r"several layers, got prepared data"):
        ww.infer(ww.prepare(net, X), y[:, 0], temperature=0.3)
    infinite = ww.infer(ww.prepare(net, X), y[:, 0], temperature=0.3, approximation="infinite")
    assert math.isfinite(infinite.log_evidence)
