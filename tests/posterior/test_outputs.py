"""Several outputs through `infer`: exact where it must be, what it reduces to, all that it offers, refusals."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import wishart
from weighing import Problem, assert_agree

import widthwise as ww
from widthwise.actions import MatrixAction, MonteCarlo, OutputsTerm
from widthwise.posterior import Prediction

LAM = (1.7, 0.6, 1.4, 0.8)
T = 0.3
QUICK = ww.MonteCarlo(draws=60, warmup=60, nodes=64)
LONG = ww.MonteCarlo(draws=250, warmup=80, nodes=2000)
APPROXIMATIONS = ("saddle", "infinite", "integrated")
FIELDS = ("total", "bias", "variance")


def network(widths=(7,), activation="erf", **options):
    return ww.FullyConnected(widths, activation, LAM[: len(widths) + 1], **options)


def infer(net, X, y, approximation="saddle", **options):
    return ww.infer(net, X, y, **{"temperature": T, "approximation": approximation, "monte_carlo": QUICK} | options)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(18, 3))
    y = np.tanh(X @ rng.normal(size=(3, 3))) + 0.2 * rng.normal(size=(18, 3))
    return X[:12], y[:12], X[12:], y[12:]


def arcsine(A, B):
    """The erf network's kernel with precisions LAM, written from Williams 1997 and not from this package."""
    own = [1 + 2 * np.einsum("ij,ij->i", Z, Z) / (LAM[0] * Z.shape[1]) for Z in (A, B)]
    return 2 / np.pi * np.arcsin(2 * A @ B.T / (LAM[0] * A.shape[1]) / np.sqrt(np.outer(*own))) / LAM[1]


def dense(Q, X, y, X_new):
    """log N(y; 0, A), mean (n, D), covariance (n, D, n, D) of f | Q ~ GP(0, K ⊗ Q), no eigenvectors."""
    A = np.kron(arcsine(X, X), Q) + T * np.eye(y.size)
    k, a = np.kron(arcsine(X_new, X), Q), np.linalg.solve(A, y.ravel())
    own = np.kron(arcsine(X_new, X_new), Q) - k @ np.linalg.solve(A, k.T)
    log = -0.5 * (np.linalg.slogdet(2 * np.pi * A)[1] + y.ravel() @ a)
    n, D = len(X_new), len(Q)
    return log, (k @ a).reshape(n, D), own.reshape(n, D, n, D)


# --- exact ----------------------------------------------------------------------------------------------------------


def linear(widths, D):
    """The actual linear network: every weight drawn from its prior."""

    def draw(X, rng, n):
        layer = rng.normal(size=(n, widths[0], X.shape[1])) / np.sqrt(LAM[0] * X.shape[1])
        for below, N, lam in zip(widths, widths[1:], LAM[1:]):
            layer = rng.normal(size=(n, N, below)) @ layer / np.sqrt(lam * below)
        v = rng.normal(size=(n, D, widths[-1])) / np.sqrt(LAM[len(widths)] * widths[-1])
        return (v @ layer @ X.T).transpose(0, 2, 1)

    return draw


@pytest.mark.parametrize(
    ("D", "widths"),
    [
        (2, (5,)),
        (3, (4, 2)),
        pytest.param(3, (2,), marks=pytest.mark.slow),
        pytest.param(2, (1,), marks=pytest.mark.slow),
        pytest.param(2, (2,), marks=pytest.mark.slow),
        pytest.param(2, (10,), marks=pytest.mark.slow),
        pytest.param(2, (50,), marks=pytest.mark.slow),
        pytest.param(4, (3,), marks=pytest.mark.slow),
        pytest.param(4, (2, 3), marks=pytest.mark.slow),
        pytest.param(2, (3, 1, 4), marks=pytest.mark.slow),
        pytest.param(1, (2,), marks=pytest.mark.slow),
    ],
)
def test_integrated_is_weight_space_monte_carlo(D, widths):
    """φ = identity: exact at every width, fewer units than outputs and unequal layers included."""
    rng = np.random.default_rng(10 * D + sum(widths))
    problem = Problem.of(rng, 4 if D < 3 else 3, (3,), D, 0.6 if D < 4 else 1.0)
    net = network(widths, "identity")
    posterior = ww.infer(net, problem.X, problem.y, temperature=problem.temperature, monte_carlo=LONG)
    assert posterior.approximation == "integrated"
    assert posterior.validity.verdict == "sound"
    assert_agree(posterior, problem, linear(widths, D), rng)


@pytest.mark.slow
def test_biases_of_one_layer_are_one_more_input():
    """A linear network with biases: weights and biases drawn, two outputs."""
    rng = np.random.default_rng(3)
    problem = Problem.of(rng, 3, (2,), 2, 0.6)
    net = network((3,), "identity", bias_variance=0.8)

    def draw(X, rng, n):
        h = np.einsum("snj,pj->snp", rng.normal(size=(n, 3, 2)), X) / np.sqrt(LAM[0] * 2)
        h += rng.normal(size=(n, 3, 1)) * np.sqrt(0.8)
        return np.einsum("snd,snp->spd", rng.normal(size=(n, 3, 2)), h) / np.sqrt(LAM[1] * 3)

    posterior = ww.infer(net, problem.X, problem.y, temperature=0.6, monte_carlo=LONG)
    assert_agree(posterior, problem, draw, rng)


def test_integrated_is_the_wishart_mixture_of_dense_gaussian_processes(data):
    """erf: Q drawn from scipy's Wishart, weighed and conditioned with (P D, P D) matrices."""
    X, y, X_test, _ = data
    X, y, N = X[:6], y[:6, :2], 9
    rng = np.random.default_rng(0)
    draws = wishart(N, np.eye(2) / N).rvs(6000, random_state=rng)
    log, mean, covariance = (np.array(part) for part in zip(*(dense(Q, X, y, X_test) for Q in draws)))
    w = np.exp(log - log.max())
    w /= w.sum()
    error = np.sqrt((w**2).sum())
    posterior = infer(network((N,)), X, y, "integrated", monte_carlo=LONG)
    prediction, scale = posterior.predict(X_test, covariance=True), 5 * np.hypot(error, posterior.certificate.ess**-0.5)
    centre = np.tensordot(w, mean, 1)
    total = np.tensordot(w, covariance + np.einsum("gnd,gme->gndme", mean - centre, mean - centre), 1)
    assert np.all(np.abs(prediction.mean - centre) < scale * np.maximum(mean.std(axis=0), 1e-3))
    assert np.abs(prediction.covariance - total).max() < scale * prediction.variance.max()
    evidence = posterior.law.action.evidence
    exact = np.log(np.exp(log - log.max()).mean()) + log.max()
    assert posterior.log_evidence == pytest.approx(exact, abs=4 * np.hypot(evidence.standard_error, error))
    assert np.hypot(evidence.standard_error, error) < 0.05
    assert scale < 0.25


# --- the saddle -----------------------------------------------------------------------------------------------------


def test_the_saddle_minimises_the_printed_action_and_predicts_with_its_kernel(data):
    X, y, X_test, y_test = data
    N = 7
    posterior = infer(network((N,)), X, y)
    Q = posterior.order_parameters["Q"][0]

    def S(Q):
        A = np.kron(Q, arcsine(X, X)) + T * np.eye(y.size)
        fit = np.linalg.slogdet(A)[1] + y.T.ravel() @ np.linalg.solve(A, y.T.ravel())
        return np.trace(Q) - np.linalg.slogdet(Q)[1] + fit / N

    here, rng = S(Q), np.random.default_rng(1)
    assert here == pytest.approx(posterior.law.action.saddle.best.value, rel=1e-10)
    for _ in range(10):
        G = rng.normal(size=(3, 3))
        H = 1e-3 * (G + G.T)
        assert S(Q + H) > here
        assert S(Q - H) > here
        assert abs(S(Q + 1e-2 * H) - S(Q - 1e-2 * H)) < 1e-8
    _, mean, covariance = dense(Q, X, y, X_test)
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean, mean, atol=1e-9)
    np.testing.assert_allclose(prediction.covariance, covariance, atol=1e-9)
    score = posterior.score(X_test, y_test)
    assert score.bias == pytest.approx(np.sum((y_test - mean) ** 2) / len(y_test))
    own = np.einsum("ndne->nde", covariance) + T * np.eye(3)
    nll = [0.5 * (np.linalg.slogdet(2 * np.pi * C)[1] + r @ np.linalg.solve(C, r)) for C, r in zip(own, y_test - mean)]
    assert score.negative_log_likelihood == pytest.approx(np.mean(nll))
    certificate = posterior.certificate
    assert certificate.kind == "minimum"
    assert certificate.hessian[0] > 0
    assert certificate.residual < 1e-6


@pytest.mark.parametrize("widths", [(400,), pytest.param((300, 500), marks=pytest.mark.slow)])
def test_the_evidences_agree_at_large_width(data, widths):
    """Laplace against bridge sampling: the difference is of order D³/N."""
    X, y, *_ = data
    y = 3 * y
    saddle, integrated = (
        infer(network(widths), X, y, name, monte_carlo=ww.MonteCarlo(draws=100, warmup=60, nodes=64))
        for name in ("saddle", "integrated")
    )
    assert saddle.log_evidence == pytest.approx(integrated.log_evidence, abs=0.05)
    infinite = infer(network(widths), X, y, "infinite").log_evidence
    assert abs(infinite - integrated.log_evidence) > 1  # so that agreeing says something


# --- what it reduces to ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(10**7,), (10**7, 10**7)])
def test_infinite_width_is_one_gaussian_process_per_output(data, widths):
    X, y, X_test, _ = data
    wide, infinite = infer(network(widths), X, y), infer(network(widths), X, y, "infinite")
    a, b = (posterior.predict(X_test, covariance=True) for posterior in (wide, infinite))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-5)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-5)
    assert wide.log_evidence == pytest.approx(infinite.log_evidence, abs=1e-4)
    alone = [infer(network(widths), X, y[:, d], "infinite") for d in range(3)]
    np.testing.assert_allclose(b.mean.T, [one.predict(X_test).mean for one in alone], atol=1e-10)
    assert infinite.log_evidence == pytest.approx(sum(one.log_evidence for one in alone))
    np.testing.assert_allclose(infinite.order_parameters["Q"], [np.eye(3)] * len(widths))


@pytest.mark.parametrize("approximation", ["saddle", pytest.param("integrated", marks=pytest.mark.slow)])
def test_wide_layers_below_leave_one_layer_on_the_deep_kernel(data, approximation):
    X, y, X_test, y_test = data
    deep = network((10**7, 10**7, 8))
    kernel = infer(deep, X, y[:, 0], "infinite").renormalised_kernel
    how = ww.MonteCarlo(draws=150, warmup=60, nodes=1200)
    one = infer(ww.PrecomputedKernel([8]), kernel(X), y, approximation, monte_carlo=how)
    many = infer(deep, X, y, approximation, monte_carlo=how)
    expected = one.score(kernel(X_test, X), y_test, np.diag(kernel(X_test)))
    score = many.score(X_test, y_test)
    Q, layers = one.order_parameters["Q"][0], many.order_parameters["Q"]
    close = 1e-5 if approximation == "saddle" else 5 * one.certificate.monte_carlo_error
    assert score.total == pytest.approx(expected.total, rel=close)
    # Q_l is relative to the layer above it only in the scalar theory: here wide layers pass Q_3 on
    np.testing.assert_allclose(layers, [Q] * 3, atol=3 * close)
    assert many.log_evidence == pytest.approx(one.log_evidence, abs=1e-4 if approximation == "saddle" else 0.1)


@pytest.mark.parametrize("widths", [(9,), pytest.param((6, 9), marks=pytest.mark.slow)])
def test_a_matrix_of_side_one_is_the_scalar_theory(data, widths):
    """D = 1: the same minimum, evidence and integral as the number Q; and (P, 1) is taken for (P,)."""
    X, y, X_test, _ = data
    scalar, integrated = (infer(network(widths), X, y[:, :1], name) for name in ("saddle", "integrated"))
    k, U = np.linalg.eigh(infer(network(widths), X, y[:, 0], "infinite").renormalised_kernel(X))
    term = OutputsTerm(np.maximum(k, 0.0), U.T @ y[:, :1], T)
    action = MatrixAction(term, widths, MonteCarlo(draws=250, warmup=80))
    assert action.Q[0, 0] == pytest.approx(np.prod(scalar.order_parameters["Q"]), rel=1e-7)
    assert action.log_evidence_saddle() == pytest.approx(scalar.log_evidence, abs=1e-7)
    assert action.log_evidence_infinite() == pytest.approx(infer(network(widths), X, y[:, 0], "infinite").log_evidence)
    close = 4 * action.evidence.standard_error
    assert close < 0.1
    assert action.log_evidence_integrated() == pytest.approx(integrated.log_evidence, abs=close)
    assert scalar.predict(X_test).mean.shape == (6,)
    assert scalar.order_parameters["Q"].shape == (len(widths),)


def test_rotated_outputs_rotate_everything(data):
    X, y, X_test, y_test = data
    R = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    for name in APPROXIMATIONS[:2]:
        one, two = infer(network((4, 6)), X, y, name), infer(network((4, 6)), X, y @ R, name)
        a, b = (posterior.predict(X_test, covariance=True) for posterior in (one, two))
        np.testing.assert_allclose(b.mean, a.mean @ R, atol=1e-6)
        turned = np.einsum("ndme,dr,es->nrms", a.covariance, R, R)
        np.testing.assert_allclose(b.covariance, turned, atol=1e-6)
        np.testing.assert_allclose(two.order_parameters["Q"], R.T @ one.order_parameters["Q"] @ R, atol=1e-6)
        assert two.score(X_test, y_test @ R).total == pytest.approx(one.score(X_test, y_test).total, rel=1e-7)
        assert two.log_evidence == pytest.approx(one.log_evidence, abs=1e-7)
        assert two.training_error.total == pytest.approx(one.training_error.total, rel=1e-7)


def test_equal_outputs_are_one_output_and_a_silent_one(data):
    """Columns (y, y) are (√2 y, 0) in other coordinates: their difference has nothing but the prior's shrinkage."""
    X, y, X_test, _ = data
    one = y[:, 0]
    equal = infer(network(), X, np.column_stack([one, one]))
    silent = infer(network(), X, np.column_stack([np.sqrt(2) * one, 0 * one]))
    a, b = equal.predict(X_test), silent.predict(X_test)
    np.testing.assert_allclose(a.mean, np.repeat(b.mean[:, :1] / np.sqrt(2), 2, axis=1), atol=1e-6)
    np.testing.assert_allclose(b.mean[:, 1], 0.0, atol=1e-12)
    Q = silent.order_parameters["Q"][0]
    assert abs(Q[0, 1]) < 1e-7
    assert Q[1, 1] < 1.0
    # with outputs uncorrelated the D-output action falls apart into scalar ones: each its own saddle
    scalar = infer(network(), X, np.sqrt(2) * one)
    assert Q[0, 0] == pytest.approx(scalar.order_parameters["Q"][0], rel=1e-6)
    np.testing.assert_allclose(b.mean[:, 0], scalar.predict(X_test).mean, atol=1e-6)
    np.testing.assert_allclose(b.variance[:, 0], scalar.predict(X_test).variance, atol=1e-6)


@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
def test_the_order_of_examples_does_not_matter(data, approximation):
    X, y, X_test, y_test = data
    shuffled = np.random.default_rng(0).permutation(len(X))
    one, two = infer(network(), X, y, approximation), infer(network(), X[shuffled], y[shuffled], approximation)
    close = 1e-7 if approximation == "saddle" else 1e-5
    assert two.score(X_test, y_test).total == pytest.approx(one.score(X_test, y_test).total, rel=close)
    np.testing.assert_allclose(two.dual_vector, one.dual_vector[shuffled], atol=10 * close)


@pytest.mark.parametrize("closure", ["nested", "linearised"])
def test_homogeneous_networks_have_one_closure(data, closure):
    X, y, X_test, y_test = data
    a, b = (infer(network((5, 8), "relu", closure=name), X, y).score(X_test, y_test) for name in ("global", closure))
    assert a == b


# --- all that a posterior offers ------------------------------------------------------------------------------------


@pytest.fixture(params=[(name, widths) for name in APPROXIMATIONS for widths in ((7,), (6, 5))][:-1])
def posterior(request, data):
    name, widths = request.param
    return infer(network(widths), *data[:2], name)


def test_every_answer_is_consistent_with_the_others(posterior, data):
    X, y, X_test, y_test = data
    prediction = posterior.predict(X_test, covariance=True)
    assert prediction.mean.shape == prediction.variance.shape == (6, 3)
    np.testing.assert_allclose(np.einsum("ndnd->nd", prediction.covariance), prediction.variance, atol=1e-10)
    np.testing.assert_allclose(np.einsum("ndne->nde", prediction.covariance), prediction.output_covariance, atol=1e-10)
    flat = prediction.covariance.reshape(18, 18)
    np.testing.assert_allclose(flat, flat.T, atol=1e-12)
    assert np.linalg.eigvalsh(flat)[0] > -1e-10
    score, train, again = posterior.score(X_test, y_test), posterior.training_error, posterior.score(X, y)
    assert score.total == score.bias + score.variance
    for name in FIELDS:
        assert getattr(again, name) == pytest.approx(getattr(train, name), rel=1e-8)
    np.testing.assert_allclose(T * posterior.dual_vector, y - posterior.predict(X).mean, atol=1e-9)
    kernel = posterior.renormalised_kernel(X_test, X)
    assert kernel.shape == (6, 3, 12, 3)
    if posterior.approximation != "integrated":
        np.testing.assert_allclose(np.einsum("ndpe,pe->nd", kernel, posterior.dual_vector), prediction.mean, atol=1e-8)
    own = posterior.renormalised_kernel(X)
    np.testing.assert_allclose(own, own.transpose(2, 3, 0, 1), atol=1e-12)
    low, high = prediction.interval(0.8)
    wide = prediction.interval(0.8, observed=True)
    assert np.all(wide[0] < low)
    assert np.all(low < prediction.mean)
    assert np.all(high < wide[1])
    assert score.accuracy is None
    assert len(posterior.load) == posterior.network.depth
    assert posterior.validity.verdict in ("sound", "doubtful", "outside")
    assert np.isfinite(posterior.log_evidence)


def test_saved_and_loaded_it_is_the_same(posterior, data, tmp_path):
    *_, X_test, y_test = data
    path = tmp_path / "posterior.npz"
    posterior.save(path)
    loaded = ww.load(path)
    assert loaded.certificate == posterior.certificate
    assert loaded.network == posterior.network
    np.testing.assert_array_equal(loaded.order_parameters["Q"], posterior.order_parameters["Q"])
    a, b = (one.predict(X_test, covariance=True) for one in (posterior, loaded))
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-12)
    assert loaded.score(X_test, y_test) == posterior.score(X_test, y_test)
    assert loaded.log_evidence == pytest.approx(posterior.log_evidence, abs=1e-8)
    assert loaded.training_error == posterior.training_error
    assert loaded.validity == posterior.validity


def test_intervals_are_quantiles_of_the_mixture(data):
    X, y, X_test, _ = data
    prediction = infer(network((4,)), X, y, "integrated").predict(X_test)
    low, high = prediction.interval(0.7)
    deviation = np.sqrt(prediction.variances)
    inside = np.tensordot(
        prediction.weights, ndtr((high - prediction.means) / deviation) - ndtr((low - prediction.means) / deviation), 1
    )
    np.testing.assert_allclose(inside, 0.7, atol=1e-9)


@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
def test_class_probabilities_are_shares_of_posterior_draws(data, approximation):
    X, y, X_test, _ = data
    labels = y.argmax(axis=1)
    posterior = infer(network((6,)), X, np.eye(3)[labels], approximation)
    prediction = posterior.predict(X_test)
    shares = prediction.class_probabilities()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    rng, counts, n = np.random.default_rng(0), np.zeros((6, 3)), 400
    for weight, mean, covariance in zip(prediction.weights, prediction.means, prediction.covariances):
        for point in range(6):
            f = rng.multivariate_normal(mean[point], covariance[point], size=n)
            counts[point] += weight * np.bincount(f.argmax(axis=1), minlength=3) / n
    error = 4 * np.sqrt(0.25 / (n * len(prediction.weights))) + 0.02
    np.testing.assert_allclose(shares, counts, atol=error if approximation == "integrated" else 0.11)
    test_labels = data[3].argmax(axis=1)
    score = posterior.score(X_test, np.eye(3)[test_labels])
    assert score.accuracy == np.mean(prediction.mean.argmax(axis=1) == test_labels)
    assert score.accuracy_of_draw == pytest.approx(shares[np.arange(6), test_labels].mean(), abs=0.02)


def test_two_classes_have_their_probability_in_closed_form(data):
    """P(f_1 > f_2) = Φ((m_1 − m_2)/√Var(f_1 − f_2)); correlated outputs."""
    X, y, X_test, _ = data
    prediction = infer(network((4,)), X, np.eye(2)[(y[:, 0] > 0).astype(int)]).predict(X_test)
    C = prediction.output_covariance
    z = (prediction.mean[:, 0] - prediction.mean[:, 1]) / np.sqrt(C[:, 0, 0] + C[:, 1, 1] - 2 * C[:, 0, 1])
    assert np.abs(C[:, 0, 1]).min() > 1e-4
    np.testing.assert_allclose(prediction.class_probabilities()[:, 0], ndtr(z), atol=2e-3)


@pytest.mark.parametrize("approximation", [*APPROXIMATIONS[:2], pytest.param("integrated", marks=pytest.mark.slow)])
def test_prepared_data_serve_every_width_precision_and_number_of_outputs(data, approximation):
    X, y, X_test, y_test = data
    prepared = ww.prepare(network((3, 3)), X)
    options = {"temperature": T, "approximation": approximation, "monte_carlo": QUICK}
    quick = ww.infer(prepared, y, widths=(6, 5), readout_precision=2.3, **options)
    direct = ww.infer(ww.FullyConnected((6, 5), "erf", (*LAM[:2], 2.3)), X, y, **options)
    assert quick.network == direct.network
    at = prepared.at(X_test)
    a, b = quick.predict(at, covariance=True), direct.predict(X_test, covariance=True)
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-6)
    np.testing.assert_allclose(quick.predict(X_test).variance, b.variance, atol=1e-6)
    assert quick.score(at, y_test).total == pytest.approx(direct.score(X_test, y_test).total, rel=1e-6)
    assert quick.log_evidence == pytest.approx(direct.log_evidence, abs=1e-5)
    assert ww.infer(prepared, y[:, 0], **options).predict(at).mean.shape == (6,)


def test_a_precomputed_kernel_with_several_outputs(data, tmp_path):
    X, y, X_test, y_test = data
    K, k, own = arcsine(X, X), arcsine(X_test, X), arcsine(X_test, X_test)
    given, direct = infer(ww.PrecomputedKernel([7]), K, y), infer(network(), X, y)
    a, b = given.predict(k, own, covariance=True), direct.predict(X_test, covariance=True)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-7)
    assert given.score(k, y_test, np.diag(own)).total == pytest.approx(direct.score(X_test, y_test).total, rel=1e-7)
    np.testing.assert_allclose(given.renormalised_kernel(k), direct.renormalised_kernel(X_test, X), atol=1e-7)
    given.save(tmp_path / "kernel.npz")
    np.testing.assert_allclose(ww.load(tmp_path / "kernel.npz").predict(k, own).mean, a.mean, atol=1e-12)


def test_hardly_any_noise_interpolates(data):
    X, y, *_ = data
    posterior = infer(network((40,)), X[:, :2], y, temperature=1e-8)
    assert posterior.training_error.total < 1e-6
    assert np.isfinite(posterior.score(X[:, :2], y).negative_log_likelihood)


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "two parameters": (lambda X, y: infer(network(activation="relu"), X, y, "two-parameter"), "for one output, got 3"),
    "solver": (lambda X, y: infer(network(), X, y, solver="Cholesky"), 'expected "eigenvalues" for 3 outputs'),
    "nested": (lambda X, y: infer(network((3, 3), closure="nested"), X, y), "expected one output with the closure"),
    "biases": (lambda X, y: infer(network((3, 3), bias_variance=0.1), X, y), "expected one output .* got 3"),
    "length": (lambda X, y: infer(network(), X, y[:-1]), "expected 12 targets"),
    "three axes": (lambda X, y: infer(network(), X, y[..., None]), r"expected shape \(examples,\)"),
    "not finite": (lambda X, y: infer(network(), X, np.where(y > 0.9, np.nan, y)), "y: expected finite numbers"),
    "no output": (lambda X, y: infer(network(), X, y[:, :0]), "at least one"),
    "missing test column": (lambda X, y: infer(network(), X, y).score(X, y[:, :2]), "y_test: expected 3 per example"),
    "flat test targets": (lambda X, y: infer(network(), X, y).score(X, y[:, 0]), "y_test: expected 3 .* got 1"),
    "other features": (lambda X, y: infer(network(), X, y).predict(X[:, :2]), "expected 3 features"),
    "test matrix": (lambda X, y: infer(network(), X, y[:, 0]).score(X, y), "y_test: expected 1 per example"),
    "one number": (lambda X, y: infer(network(), X, y).action([1.0]), "expected one number as order parameter"),
    "one class": (lambda X, y: infer(network(), X, y[:, 0]).predict(X).class_probabilities(), "use probability_pos"),
    "second kernel": (
        lambda X, y: infer(ww.PrecomputedKernel([3]), X @ X.T, y).renormalised_kernel(X @ X.T, X),
        "X2: expected nothing",
    ),
    "no draws": (lambda X, y: ww.MonteCarlo(draws=0), "draws: expected a whole number of at least"),
    "diagonal": (lambda X, y: infer(network(), X, y).predict(X, np.ones(12)), "only with PrecomputedKernel"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(data, case):
    call, message = REFUSALS[case]
    with pytest.raises(ww.InputError, match=message) as caught:
        call(*data[:2])
    assert "\n" not in str(caught.value)


def test_chains_that_have_not_mixed_are_refused_or_a_status(data):
    X, y, *_ = data
    short = ww.MonteCarlo(chains=2, draws=8, warmup=1, nodes=4)
    with pytest.raises(ww.NumericalError, match="sample longer"):
        infer(network((2,)), X, y, "integrated", monte_carlo=short)
    found = infer(network((2,)), X, y, "integrated", monte_carlo=short, throw=False)
    assert found.certificate.status == "not mixed"
    assert not found.certificate.converged


def test_many_test_points_are_scored_in_pieces(data, monkeypatch):
    from widthwise.posterior import law

    X, Y, X_test, Y_test = data
    for approximation in ("saddle", "integrated"):
        how = {"temperature": 0.3, "approximation": approximation}
        posterior = ww.infer(ww.FullyConnected([9], "erf"), X, Y, monte_carlo=ww.MonteCarlo(draws=60), **how)
        monkeypatch.undo()
        whole = posterior.score(X_test, Y_test)
        monkeypatch.setattr(law, "_ENTRIES", 2 * len(posterior.law.weights) * Y.shape[1] ** 2)
        pieces = posterior.score(X_test, Y_test)
        for name in ("total", "bias", "variance", "negative_log_likelihood"):
            assert getattr(pieces, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_the_density_survives_covariances_that_rounding_makes_indefinite():
    """At the training points of an almost noiseless network a covariance is rounding error alone."""
    v = np.array([0.6, 0.8])
    covariance = -1e-17 * np.outer(v, v)
    y, mean = np.array([[0.3, -0.2]]), np.zeros((1, 1, 2))
    prediction = Prediction.of_mixture(np.ones(1), mean, np.zeros((1, 1, 2)), 1e-20, covariances=covariance[None, None])
    expected = -0.5 * ((y**2).sum() / 1e-20 + 2 * np.log(2 * np.pi * 1e-20))
    assert prediction.log_density(y)[0] == pytest.approx(expected, rel=1e-12)
    hot = Prediction.of_mixture(
        np.ones(1), mean, np.ones((1, 1, 2)), T, covariances=np.outer(v, v)[None, None]
    )  # where there is a factor
    along, across = (y[0] @ v) ** 2, (y[0] @ [-0.8, 0.6]) ** 2
    exact = -0.5 * (along / (1 + T) + across / T + np.log((1 + T) * T) + 2 * np.log(2 * np.pi))
    assert hot.log_density(y)[0] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("X_test", [5, None])
def test_scoring_what_is_no_array_is_refused(data, X_test):
    with pytest.raises(ww.InputError, match="X_new: expected"):
        infer(network(), *data[:2]).score(X_test, data[3])


def test_the_monte_carlo_error_is_that_of_other_seeds(data):
    """ε_t and ε_g scatter over seeds by about what each run says of itself; the saddle has no such error."""
    X, Y, X_test, Y_test = data
    network = ww.FullyConnected([4], "identity", LAM[:2])
    found = []
    for seed in range(12):
        how = ww.MonteCarlo(chains=4, draws=64, warmup=60, nodes=64, seed=seed)
        posterior = ww.infer(network, X, Y, temperature=0.3, monte_carlo=how, throw=False)
        found.append((posterior.training_error, posterior.score(X_test, Y_test)))
    for errors in zip(*found):
        scatter = np.std([one.total for one in errors], ddof=1)
        said = np.sqrt(np.mean([one.monte_carlo_error**2 for one in errors]))
        assert 0.2 < scatter / said < 2.0  # the nodes' weights are made to repeat all draws: better than it says
    saddle = ww.infer(network, X, Y, temperature=0.3, approximation="saddle")
    assert saddle.training_error.monte_carlo_error is None
    assert saddle.score(X_test, Y_test).monte_carlo_error is None
