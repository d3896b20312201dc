"""Limits, invariances and independent libraries: what the posterior must reduce to."""

import numpy as np
import pytest
from scipy.special import erf
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Hyperparameter, Kernel, StationaryKernelMixin

import widthwise as ww

LAM = (1.4, 0.7)
T = 0.05


def data(rng, P=30, n=7, N0=5):
    X = rng.normal(size=(P + n, N0))
    y = np.tanh(X[:, 0]) + 0.5 * X[:, 1]
    return X[:P], y[:P], X[P:], y[P:]


class ArcSine(StationaryKernelMixin, Kernel):
    """The erf network's kernel as a scikit-learn kernel, written from Williams 1997 and not from this package."""

    def __init__(self, lam0=LAM[0], lam1=LAM[1]):
        self.lam0, self.lam1 = lam0, lam1

    @property
    def hyperparameters(self):
        return [Hyperparameter("none", "numeric", "fixed")][:0]

    def __call__(self, X, Y=None, eval_gradient=False):
        Y = X if Y is None else Y
        c = lambda a, b: a @ b.T / (self.lam0 * X.shape[1])  # noqa: E731
        d = lambda a: np.einsum("ij,ij->i", a, a) / (self.lam0 * X.shape[1])  # noqa: E731
        return 2 / np.pi * np.arcsin(2 * c(X, Y) / np.sqrt(np.outer(1 + 2 * d(X), 1 + 2 * d(Y)))) / self.lam1

    def diag(self, X):
        return np.diag(self(X))

    def __repr__(self):
        return "ArcSine()"


@pytest.mark.parametrize(
    ("activation", "kernel"),
    [
        ("erf", ArcSine()),
        ("identity", ConstantKernel(1 / (LAM[0] * LAM[1] * 5), "fixed") * DotProduct(0.0, "fixed")),
    ],
)
@pytest.mark.parametrize("how", ["infinite", "wide"])
def test_infinite_width_is_scikit_learns_gaussian_process(rng, activation, kernel, how):
    X, y, X_test, _ = data(rng)
    process = GaussianProcessRegressor(kernel, alpha=T, optimizer=None).fit(X, y)
    mean, covariance = process.predict(X_test, return_cov=True)
    width, name = (3, "infinite") if how == "infinite" else (10**13, "saddle")
    posterior = ww.infer(ww.FullyConnected([width], activation, LAM), X, y, temperature=T, approximation=name)
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean, mean, atol=1e-8)
    np.testing.assert_allclose(prediction.covariance, covariance, atol=1e-8)
    np.testing.assert_allclose(prediction.variance, np.diag(covariance), atol=1e-8)
    if how == "infinite":
        assert posterior.log_evidence == pytest.approx(process.log_marginal_likelihood(), abs=1e-8)
        np.testing.assert_allclose(posterior.training_error.bias, np.mean((y - process.predict(X)) ** 2), rtol=1e-8)


def test_high_temperature_is_the_prior(rng):
    X, y, X_test, _ = data(rng)
    posterior = ww.infer(ww.FullyConnected([20], "erf", LAM), X, y, temperature=1e9)
    prediction = posterior.predict(X_test)
    assert posterior.order_parameters["Q"][0] == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(prediction.mean, 0.0, atol=1e-6)
    np.testing.assert_allclose(prediction.variance, np.diag(ArcSine()(X_test)), rtol=1e-6)


def test_low_temperature_interpolates_and_the_mean_ignores_the_width(rng):
    X, y, X_test, _ = data(rng)
    means = []
    for width in (5, 500):
        posterior = ww.infer(ww.FullyConnected([width], "erf", LAM), X, y, temperature=1e-9)
        assert posterior.training_error.total < 1e-6
        means.append(posterior.predict(X_test).mean)
    np.testing.assert_allclose(*means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
def test_invariances(rng, activation, approximation):
    """Permuting the data, rotating the inputs, X → √c X with λ_0 → c λ_0, y → −y."""
    X, y, X_test, y_test = data(rng)

    def errors(X, y, X_test, y_test, lam0=LAM[0], order=None):
        network = ww.FullyConnected([11], activation, (lam0, LAM[1]), 0.0)
        posterior = ww.infer(network, X, y, temperature=T, approximation=approximation)
        score, train = posterior.score(X_test, y_test), posterior.training_error
        return [score.total, score.bias, train.total, train.variance, posterior.log_evidence]

    reference = errors(X, y, X_test, y_test)
    shuffled = rng.permutation(len(X))
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    for other in (
        errors(X[shuffled], y[shuffled], X_test, y_test),
        errors(X @ rotation, y, X_test @ rotation, y_test),
        errors(np.sqrt(2.3) * X, y, np.sqrt(2.3) * X_test, y_test, lam0=2.3 * LAM[0]),
        errors(X, -y, X_test, -y_test),
    ):
        np.testing.assert_allclose(other, reference, rtol=1e-8)


def test_homogeneous_network_moves_precision_between_layers(rng):
    """relu: only the product λ_0 λ_1 matters."""
    X, y, X_test, y_test = data(rng)
    scores = [
        ww.infer(ww.FullyConnected([9], "relu", lam), X, y, temperature=T).score(X_test, y_test).total
        for lam in ((2.0, 0.5), (0.25, 4.0))
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-9)


def test_mean_field_scaling_is_a_readout_precision(rng):
    """f/γ is λ_1 → γ² λ_1: the kernel with γ² λ_1 is K/γ²."""
    X, y, X_test, y_test = data(rng)
    gamma = 1.8
    scaled = ww.infer(ww.FullyConnected([9], "erf", (1.4, 0.7 * gamma**2)), X, y, temperature=T)
    by_hand = ww.infer(ww.PrecomputedKernel([9]), ArcSine()(X) / gamma**2, y, temperature=T)
    assert scaled.order_parameters["Q"][0] == pytest.approx(by_hand.order_parameters["Q"][0], rel=1e-9)
    k, diagonal = ArcSine()(X_test, X) / gamma**2, ArcSine().diag(X_test) / gamma**2
    assert by_hand.score(k, y_test, diagonal).total == pytest.approx(scaled.score(X_test, y_test).total, rel=1e-9)


def test_a_callable_equals_the_built_in(rng):
    X, y, X_test, y_test = data(rng)
    totals = [
        ww.infer(ww.FullyConnected([9], phi, LAM, 0.3), X, y, temperature=T).score(X_test, y_test).total
        for phi in ("erf", lambda h: erf(h))
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-7)


def test_relu_needs_only_one_order_parameter(rng):
    """The two-parameter action, at leading order, is the one-parameter theory: 0.1 % of ε_g on digits."""
    X, y, X_test, y_test = ww.load_data("digits", classes=(0, 1), train_size=100, test_size=100, seed=1)
    network = ww.FullyConnected([50], "relu", (1.0, 1.3))
    one = ww.infer(network, X, y, temperature=0.1).score(X_test, y_test)
    two = ww.infer(network, X, y, temperature=0.1, approximation="two-parameter").score(X_test, y_test)
    assert two.total == pytest.approx(one.total, rel=1e-3)
    assert two.total != one.total


def test_two_parameter_predictions_are_those_of_its_kernel(rng):
    """K_R = Q(K − M) + M/(1 + Q̂), solved densely."""
    X, y, X_test, y_test = data(rng)
    network = ww.FullyConnected([9], "relu", (1.2, 0.6), 0.2)
    posterior = ww.infer(network, X, y, temperature=T, approximation="two-parameter")
    K, k = posterior.renormalised_kernel(X), posterior.renormalised_kernel(X_test, X)
    own = posterior.renormalised_kernel(X_test)
    A = K + T * np.eye(len(X))
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean, k @ np.linalg.solve(A, y), rtol=1e-8)
    np.testing.assert_allclose(prediction.covariance, own - k @ np.linalg.solve(A, k.T), atol=1e-10)
    residual = y - K @ np.linalg.solve(A, y)
    assert posterior.training_error.bias == pytest.approx(np.mean(residual**2), rel=1e-8)
    assert posterior.training_error.variance == pytest.approx(T * np.trace(np.linalg.solve(A, K)) / len(X), rel=1e-8)
    np.testing.assert_allclose(posterior.dual_vector, np.linalg.solve(A, y), rtol=1e-7)
    again = ww.infer(ww.prepare(network, X), y, temperature=T, approximation="two-parameter", readout_precision=0.9)
    direct = ww.infer(
        ww.FullyConnected([9], "relu", (1.2, 0.9), 0.2), X, y, temperature=T, approximation="two-parameter"
    )
    assert again.score(X_test, y_test).total == pytest.approx(direct.score(X_test, y_test).total, rel=1e-8)
    assert set(posterior.order_parameters) == {"Q", "Q_conjugate"}


def test_a_deep_network_at_infinite_width_is_the_nngp_of_its_recursion(rng):
    """Prepared or not; and with one hidden layer of finite width on the deep kernel by `PrecomputedKernel`."""
    X, y, X_test, _y_test = data(rng)
    deep = ww.FullyConnected([7, 5], "erf", (1.4, 0.7, 1.3), (0.2, 0.1))
    direct = ww.infer(deep, X, y, temperature=T, approximation="infinite")
    prepared = ww.infer(ww.prepare(deep, X), y, temperature=T, approximation="infinite")
    c = lambda K: (2 * K) / np.sqrt(np.outer(1 + 2 * np.diag(K), 1 + 2 * np.diag(K)))  # noqa: E731
    Z = np.concatenate([X, X_test])
    K1 = 2 / np.pi * np.arcsin(c(Z @ Z.T / (1.4 * 5) + 0.2)) / 0.7 + 0.1
    K2 = 2 / np.pi * np.arcsin(c(K1)) / 1.3
    P = len(X)
    mean = K2[P:, :P] @ np.linalg.solve(K2[:P, :P] + T * np.eye(P), y)
    for posterior in (direct, prepared):
        np.testing.assert_allclose(posterior.predict(X_test).mean, mean, rtol=1e-8)
    relu = ww.FullyConnected([3, 3], "relu")
    for call, message in (
        (lambda: ww.scan(ww.prepare(deep, X), y, temperature=T), "one hidden layer"),
        (lambda: ww.infer(relu, X, y, temperature=T, approximation="two-parameter"), "one fully connected layer"),
    ):
        with pytest.raises(ww.InputError, match=message):
            call()


@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
def test_wide_layers_below_leave_the_theory_of_one_layer_on_the_deep_kernel(rng, approximation):
    X, y, X_test, y_test = data(rng)
    deep = ww.FullyConnected([10**7, 10**7, 8], "erf", (1.4, 0.7, 1.3, 0.9))
    kernel = ww.infer(deep, X, y, temperature=T, approximation="infinite").renormalised_kernel
    one = ww.infer(ww.PrecomputedKernel([8]), kernel(X), y, temperature=T, approximation=approximation)
    many = ww.infer(deep, X, y, temperature=T, approximation=approximation)
    reference = one.score(kernel(X_test, X), y_test, np.diag(kernel(X_test)))
    assert many.score(X_test, y_test).total == pytest.approx(reference.total, rel=1e-5)
    assert many.log_evidence == pytest.approx(one.log_evidence, abs=1e-4)
    np.testing.assert_allclose(many.order_parameters["Q"], [1, 1, one.order_parameters["Q"][0]], rtol=1e-5)


@pytest.mark.parametrize("closure", ["global", "nested", "linearised"])
def test_homogeneous_networks_have_one_closure_and_only_the_product_of_precisions(rng, closure):
    X, y, X_test, y_test = data(rng)
    totals = [
        ww.infer(ww.FullyConnected([6, 9], "relu", lam, closure=name), X, y, temperature=T).score(X_test, y_test).total
        for lam, name in (((2.0, 0.5, 1.5), closure), ((0.5, 1.0, 3.0), "global"))
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-9)


def test_depth_reports_how_far_each_layer_moved(rng):
    X, y, X_test, y_test = data(rng)
    widths = (40, 10, 25)
    posterior = ww.infer(ww.FullyConnected(widths, "erf", (1.4, 0.7, 1.3, 0.9)), X, y, temperature=T)
    Q = posterior.order_parameters["Q"]
    moved = np.array(widths) * (Q - 1)
    np.testing.assert_allclose(moved, moved[0], rtol=1e-8)  # theory: N_l (Q_l - 1) is the same in every layer
    assert posterior.load == tuple(len(X) / N for N in widths)
    assert posterior.renormalised_kernel(X)[0, 0] == pytest.approx(
        Q.prod()
        * ww.infer(posterior.network, X, y, temperature=T, approximation="infinite").renormalised_kernel(X)[0, 0]
    )
    again = ww.infer(ww.prepare(ww.FullyConnected([5, 5, 5], "erf", (1.4, 0.7, 1.3, 2.0)), X), y, temperature=T,
                     widths=widths, readout_precision=0.9)  # fmt: skip
    np.testing.assert_allclose(again.order_parameters["Q"], Q, rtol=1e-9)
    assert again.score(X_test, y_test).total == pytest.approx(posterior.score(X_test, y_test).total, rel=1e-9)
