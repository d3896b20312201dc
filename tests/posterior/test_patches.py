"""Convolutional networks through `infer`: exact where it must be, what it reduces to, all they offer, refusals."""

import numpy as np
import pytest
from convolution import hidden
from scipy.stats import wishart
from weighing import Problem, assert_agree

import widthwise as ww
from widthwise.actions import MonteCarlo

LAM = (0.7, 0.8)
T = 0.3
QUICK = ww.MonteCarlo(draws=60, warmup=60, nodes=64)
SLOW = pytest.mark.slow
FIELDS = ("total", "bias", "variance")


def network(channels=6, patch=(2, 2), activation="erf", **options):
    return ww.Convolutional(channels, patch, activation=activation, **{"weight_precisions": LAM} | options)


def infer(net, X, y, approximation="saddle", **options):
    return ww.infer(net, X, y, **{"temperature": T, "approximation": approximation, "monte_carlo": QUICK} | options)


@pytest.fixture
def data(rng):
    """Images 2 × 6: three patches of 2 × 2."""
    X = rng.normal(size=(16, 2, 6))
    y = np.tanh(X.reshape(16, -1) @ rng.normal(size=(12, 2)))
    return X[:10], y[:10], X[10:], y[10:]


def arcsine(net, A, B):
    """κ_ij/(λ_1 n) (n, n, a, b) of an erf network whose patches are 2 × 2 side by side, from Williams 1997."""
    cut = [[Z[:, :, k : k + 2].reshape(len(Z), -1) for k in range(0, Z.shape[2], 2)] for Z in (A, B)]
    lam, n = net.precisions, len(cut[0])
    c = np.array([[a @ b.T / (lam[0] * 4) for b in cut[1]] for a in cut[0]])
    one, two = ([1 + 2 * (z**2).sum(axis=1) / (lam[0] * 4) for z in side] for side in cut)
    root = np.array([[np.sqrt(np.outer(a, b)) for b in two] for a in one])
    return 2 / np.pi * np.arcsin(2 * c / root) / (lam[1] * n)


def combined(kappa, Q, D):
    """K_R (a D, b D), points outside and outputs inside."""
    n, _, a, b = kappa.shape
    return np.einsum("idje,ijab->adbe", Q.reshape(n, D, n, D), kappa).reshape(a * D, b * D)


def dense(net, Q, X, y, X_new):
    """log N(y; 0, A), mean (m, D) and covariance (m D, m D) of f | Q."""
    D, m = y.shape[1], len(X_new)
    A = combined(arcsine(net, X, X), Q, D) + T * np.eye(y.size)
    k = combined(arcsine(net, X_new, X), Q, D)
    a = np.linalg.solve(A, y.ravel())
    own = combined(arcsine(net, X_new, X_new), Q, D) - k @ np.linalg.solve(A, k.T)
    return -0.5 * (np.linalg.slogdet(2 * np.pi * A)[1] + y.ravel() @ a), (k @ a).reshape(m, D), own


# --- exact ----------------------------------------------------------------------------------------------------------


def real(net, D):
    """The actual network: filters and readout drawn from their priors, by JAX's convolution."""

    def draw(X, rng, n):
        X = X if X.ndim == 4 else X[..., None]
        h = hidden(net, X, rng, n * net.channels)
        patches = len(h)
        h = h.reshape(patches, len(X), n, net.channels).transpose(2, 1, 3, 0).reshape(n, len(X), -1)
        v = rng.normal(size=(n, net.channels, patches if net.readout == "dense" else 1, D))
        v = v if net.readout == "dense" else np.repeat(v, patches, axis=2) / np.sqrt(patches)
        return h @ v.reshape(n, -1, D) / np.sqrt(net.precisions[1] * net.channels * patches)

    return draw


CASES = {
    "two patches": (1, (2, 4), {"channels": 3}),
    "four overlapping, two channels": (1, (3, 3), {"channels": 2, "stride": 1}),
    "same, nine, biases, RGB": (
        1,
        (3, 3, 2),
        {"channels": 2, "stride": 1, "padding": "same", "bias_variance": 0.3, "weight_precisions": (0.7, 2.0)},
    ),
    "average": (1, (3, 3), {"channels": 2, "stride": 1, "readout": "average"}),
    "average, two outputs, biases": (
        2,
        (3, 3),
        {"channels": 2, "stride": 1, "readout": "average", "bias_variance": 0.4},
    ),
    "four overlapping, ten channels": (1, (3, 3), {"channels": 10, "stride": 1}),
    "four overlapping, fifty channels": (1, (3, 3), {"channels": 50, "stride": 1}),
    "nine overlapping": (1, (4, 4), {"channels": 5, "stride": 1, "weight_precisions": (0.7, 3.0)}),
    "two outputs, one channel": (2, (2, 4), {"channels": 1, "weight_precisions": (0.7, 2.0)}),
    "two outputs, overlapping, biases": (2, (3, 3), {"channels": 3, "stride": 1, "bias_variance": 0.3}),
    "three outputs": (3, (2, 4), {"channels": 2, "weight_precisions": (0.7, 2.0)}),
}
FAST = ("four overlapping, two channels", "average", "average, two outputs, biases")


@pytest.mark.parametrize("case", [case if case in FAST else pytest.param(case, marks=SLOW) for case in CASES])
def test_integrated_is_weight_space_monte_carlo(case):
    """φ = identity: exact at every number of channels, fewer than patches included."""
    D, shape, options = CASES[case]
    rng = np.random.default_rng(5 + len(case))
    temperature = 0.6 if case in FAST else 2.0  # colder, and too few of the prior's draws carry all the weight
    problem = Problem.of(rng, 3, shape, D, temperature)
    net = network(activation="identity", **options)
    how = ww.MonteCarlo(draws=200 if case in FAST else 800, warmup=80, nodes=1600)
    posterior = ww.infer(net, problem.X, problem.y, temperature=temperature, monte_carlo=how)
    assert posterior.approximation == "integrated"
    assert posterior.validity.verdict == "sound"
    assert_agree(posterior, problem, real(net, D), rng, 150_000, informative=0.2)


@pytest.mark.parametrize("D", [1, pytest.param(2, marks=SLOW)])
def test_integrated_is_the_wishart_mixture_of_dense_gaussian_processes(data, D):
    """erf: Q drawn from scipy's Wishart over patches (and outputs), weighed and conditioned without this package."""
    X, y, X_test, _ = data
    X, y, net = X[:5], y[:5, :D], network(9)
    rng, m = np.random.default_rng(0), 3 * D
    draws = wishart(9, np.eye(m) / 9).rvs(6000, random_state=rng)
    log, mean, covariance = (np.array(part) for part in zip(*(dense(net, Q, X, y, X_test) for Q in draws)))
    w = np.exp(log - log.max())
    w /= w.sum()
    error = np.sqrt((w**2).sum())
    posterior = infer(net, X, y, "integrated", monte_carlo=ww.MonteCarlo(draws=200, warmup=80, nodes=1600))
    prediction = posterior.predict(X_test, covariance=True)
    scale, flat = 5 * np.hypot(error, posterior.certificate.ess**-0.5), mean.reshape(len(w), -1)
    centre = w @ flat
    total = np.tensordot(w, covariance, 1) + np.einsum("g,gn,gm->nm", w, flat - centre, flat - centre)
    assert np.all(np.abs(prediction.mean.ravel() - centre) < scale * np.maximum(flat.std(axis=0), 1e-3))
    assert np.abs(prediction.covariance.reshape(6 * D, 6 * D) - total).max() < scale * prediction.variance.max()
    evidence = posterior.law.action.evidence.standard_error
    exact = np.log(np.exp(log - log.max()).mean()) + log.max()
    assert posterior.log_evidence == pytest.approx(exact, abs=4 * np.hypot(evidence, error))
    assert np.hypot(evidence, error) < 0.06
    assert scale < 0.25


# --- the saddle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("D", [1, 2])
def test_the_saddle_minimises_the_printed_action_and_predicts_with_its_kernel(data, D):
    X, y, X_test, y_test = data
    y, y_test, net = y[:, :D], y_test[:, :D], network()
    posterior = infer(net, X, y)
    Q = posterior.order_parameters["Q"]
    assert Q.shape == (3 * D, 3 * D)

    def S(Q):
        log = dense(net, Q, X, y, X_test)[0]
        return np.trace(Q) - np.linalg.slogdet(Q)[1] - (2 * log + y.size * np.log(2 * np.pi)) / 6

    here, rng = S(Q), np.random.default_rng(1)
    assert here == pytest.approx(posterior.law.action.saddle.best.value, rel=1e-9)
    for _ in range(10):
        G = rng.normal(size=Q.shape)
        H = 1e-3 * (G + G.T)
        assert min(S(Q + H), S(Q - H)) > here
        assert abs(S(Q + 1e-2 * H) - S(Q - 1e-2 * H)) < 1e-8
    _, mean, covariance = dense(net, Q, X, y, X_test)
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean.reshape(6, D), mean, atol=1e-9)
    np.testing.assert_allclose(prediction.covariance.reshape(6 * D, 6 * D), covariance, atol=1e-9)
    score = posterior.score(X_test, y_test)
    assert score.bias == pytest.approx(np.sum((y_test - mean) ** 2) / 6)
    own = np.einsum("ndne->nde", covariance.reshape(6, D, 6, D)) + T * np.eye(D)
    nll = [0.5 * (np.linalg.slogdet(2 * np.pi * C)[1] + r @ np.linalg.solve(C, r)) for C, r in zip(own, y_test - mean)]
    assert score.negative_log_likelihood == pytest.approx(np.mean(nll))
    assert posterior.certificate.kind == "minimum"
    assert abs(Q[0, D]) > 1e-3  # patches are combined: the off-diagonal says something


def test_the_evidences_agree_with_many_channels(data):
    X, y, *_ = data
    saddle, integrated = (infer(network(800), X, y[:, 0], name) for name in ("saddle", "integrated"))
    infinite = infer(network(800), X, y[:, 0], "infinite")
    assert saddle.log_evidence == pytest.approx(integrated.log_evidence, abs=0.04)
    assert abs(saddle.log_evidence - infinite.log_evidence) < 0.1


# --- what it reduces to ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readout", "outputs", "approximation"),
    [
        *((readout, D, name) for readout in ("dense", "average") for D in (1, 2) for name in ("saddle", "infinite")),
        pytest.param("dense", 1, "integrated", marks=SLOW),
        ("average", 1, "integrated"),
        pytest.param("dense", 2, "integrated", marks=SLOW),
    ],
)
def test_a_patch_that_is_the_whole_image_is_a_fully_connected_network(data, readout, outputs, approximation):
    X, y, X_test, y_test = data
    y, y_test = y[:, :outputs], y_test[:, :outputs]
    flat, flat_test = X.reshape(10, -1), X_test.reshape(6, -1)
    how = ww.MonteCarlo(draws=200, nodes=400)
    images = infer(network(5, (2, 6), bias_variance=0.2, readout=readout), X, y, approximation, monte_carlo=how)
    plain = infer(ww.FullyConnected([5], "erf", LAM, 0.2), flat, y, approximation, monte_carlo=how)
    a, b = images.predict(X_test, covariance=True), plain.predict(flat_test, covariance=True)
    # patches of a dense readout are drawn where the fully connected theory integrates by quadrature
    drawn = approximation == "integrated" and readout == "dense"
    close = 5 * images.certificate.ess**-0.5 if drawn else 1e-6
    assert close < 0.3
    np.testing.assert_allclose(a.mean, b.mean, atol=close * np.abs(y).max())
    np.testing.assert_allclose(a.covariance, b.covariance, atol=close * b.variance.max())
    assert images.score(X_test, y_test).total == pytest.approx(plain.score(flat_test, y_test).total, rel=close)
    assert images.training_error.total == pytest.approx(plain.training_error.total, rel=close)
    assert images.log_evidence == pytest.approx(plain.log_evidence, abs=0.08 if drawn else 1e-6)
    Q = images.order_parameters["Q"].ravel()
    np.testing.assert_allclose(Q, plain.order_parameters["Q"].ravel(), atol=max(2 * close, 1e-5))


@pytest.mark.parametrize("outputs", [1, 2])
def test_infinitely_many_channels(data, outputs):
    X, y, X_test, y_test = data
    y, y_test, net = y[:, :outputs], y_test[:, :outputs], network(10**7, stride=(1, 1), padding="same")
    wide, infinite = infer(net, X, y), infer(net, X, y, "infinite")
    a, b = (posterior.predict(X_test, covariance=True) for posterior in (wide, infinite))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-5)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-5)
    assert wide.score(X_test, y_test).total == pytest.approx(infinite.score(X_test, y_test).total, rel=1e-5)
    assert wide.log_evidence == pytest.approx(infinite.log_evidence, abs=1e-3)
    np.testing.assert_allclose(wide.order_parameters["Q"], np.eye(12 * outputs), atol=1e-5)
    averaged = network(10**7, readout="average")
    pair = [infer(averaged, X, y, name).predict(X_test).mean for name in ("saddle", "infinite")]
    np.testing.assert_allclose(*pair, atol=1e-5)


def test_permuted_patches_permute_the_order_parameter(data):
    """Patches side by side have no order: only the pattern of Q tells."""
    X, y, X_test, y_test = data
    moved = [2, 0, 1]
    columns = np.concatenate([[2 * k, 2 * k + 1] for k in moved])
    one, two = infer(network(), X, y), infer(network(), X[:, :, columns], y)
    Q = one.order_parameters["Q"].reshape(3, 2, 3, 2)[moved][:, :, moved].reshape(6, 6)
    np.testing.assert_allclose(two.order_parameters["Q"], Q, atol=1e-6)
    assert two.log_evidence == pytest.approx(one.log_evidence, abs=1e-7)
    a, b = one.score(X_test, y_test), two.score(X_test[:, :, columns], y_test)
    assert b.total == pytest.approx(a.total, rel=1e-7)


def test_rotated_outputs_rotate_everything(data):
    X, y, X_test, y_test = data
    R = np.linalg.qr(np.random.default_rng(2).normal(size=(2, 2)))[0]
    one, two = infer(network(), X, y), infer(network(), X, y @ R)
    a, b = (posterior.predict(X_test, covariance=True) for posterior in (one, two))
    np.testing.assert_allclose(b.mean, a.mean @ R, atol=1e-6)
    np.testing.assert_allclose(b.covariance, np.einsum("ndme,dr,es->nrms", a.covariance, R, R), atol=1e-6)
    turn = np.kron(np.eye(3), R)
    np.testing.assert_allclose(two.order_parameters["Q"], turn.T @ one.order_parameters["Q"] @ turn, atol=1e-6)
    assert two.score(X_test, y_test @ R).total == pytest.approx(one.score(X_test, y_test).total, rel=1e-7)


@pytest.mark.parametrize("approximation", ["saddle", pytest.param("integrated", marks=SLOW)])
def test_the_order_of_examples_does_not_matter(data, approximation):
    X, y, X_test, y_test = data
    shuffled = np.random.default_rng(0).permutation(10)
    pair = [infer(network(), X[order], y[order, 0], approximation) for order in (np.arange(10), shuffled)]
    close = 1e-7 if approximation == "saddle" else 1e-4  # chains follow rounding errors apart
    scores = [posterior.score(X_test, y_test[:, 0]).total for posterior in pair]
    assert scores[0] == pytest.approx(scores[1], rel=close)
    np.testing.assert_allclose(pair[1].dual_vector, pair[0].dual_vector[shuffled], atol=10 * close)


def test_a_channel_axis_of_one_and_one_column_of_targets_are_taken_for_none(data):
    X, y, X_test, y_test = data
    a = infer(network(), X, y[:, 0]).score(X_test, y_test[:, 0])
    assert infer(network(), X[..., None], y[:, :1]).score(X_test[..., None], y_test[:, :1]) == a


# --- all that a posterior offers ------------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        (1, "dense", "saddle"),
        (1, "dense", "infinite"),
        (1, "dense", "integrated"),
        (2, "dense", "saddle"),
        (2, "dense", "infinite"),
        pytest.param((2, "dense", "integrated"), marks=SLOW),
        (1, "average", "saddle"),
        (2, "average", "saddle"),
    ],
    ids=lambda case: " ".join(map(str, case)),
)
def found(request, data):
    D, readout, approximation = request.param
    X, y, X_test, y_test = data
    y, y_test = (z[:, 0] if D == 1 else z for z in (y, y_test))
    return infer(network(8, stride=(1, 2), readout=readout), X, y, approximation), X, y, X_test, y_test


def test_every_answer_is_consistent_with_the_others(found):
    posterior, X, y, X_test, y_test = found
    prediction, D = posterior.predict(X_test, covariance=True), y.shape[1:]
    assert prediction.mean.shape == prediction.variance.shape == (6, *D)
    np.testing.assert_allclose(posterior.predict(X_test).variance, prediction.variance, atol=1e-12)
    flat = prediction.covariance.reshape(prediction.mean.size, -1)
    np.testing.assert_allclose(np.diag(flat), prediction.variance.ravel(), atol=1e-10)
    blocks = np.einsum("ndne->nde", flat.reshape(2 * (6, *(D or (1,)))))
    np.testing.assert_allclose(blocks, prediction.output_covariance, atol=1e-10)
    np.testing.assert_allclose(flat, flat.T, atol=1e-12)
    assert np.linalg.eigvalsh(flat)[0] > -1e-10
    train, again = posterior.training_error, posterior.score(X, y)
    for name in FIELDS:
        assert getattr(again, name) == pytest.approx(getattr(train, name), rel=1e-8)
    np.testing.assert_allclose(T * posterior.dual_vector, y - posterior.predict(X).mean, atol=1e-9)
    kernel = posterior.renormalised_kernel(X_test, X)
    assert kernel.shape == ((6, 2, 10, 2) if D else (6, 10))
    if posterior.approximation != "integrated":
        by_kernel = kernel.reshape(prediction.mean.size, -1) @ posterior.dual_vector.ravel()
        np.testing.assert_allclose(by_kernel, prediction.mean.ravel(), atol=1e-8)
    own = posterior.renormalised_kernel(X).reshape(y.size, y.size)
    np.testing.assert_allclose(own, own.T, atol=1e-12)
    assert np.linalg.eigvalsh(own)[0] > -1e-10
    low, high = prediction.interval(0.8)
    assert np.all((low < prediction.mean) & (prediction.mean < high))
    assert posterior.load == (1.25,)
    assert np.isfinite([posterior.log_evidence, posterior.validity.tau, posterior.validity.rho]).all()
    assert posterior.score(X_test, y_test).total > 0


def test_saved_and_loaded_it_is_the_same(found, tmp_path):
    posterior, *_, X_test, y_test = found
    path = tmp_path / "posterior.npz"
    posterior.save(path)
    loaded = ww.load(path)
    assert loaded.certificate == posterior.certificate
    assert loaded.network == posterior.network
    np.testing.assert_array_equal(loaded.order_parameters["Q"], posterior.order_parameters["Q"])
    a, b = (one.predict(X_test, covariance=True) for one in (posterior, loaded))
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-12)
    assert loaded.score(X_test, y_test).total == pytest.approx(posterior.score(X_test, y_test).total, rel=1e-12)
    assert loaded.log_evidence == pytest.approx(posterior.log_evidence, abs=1e-8)
    assert loaded.training_error.total == pytest.approx(posterior.training_error.total, rel=1e-12)


def test_images_of_classes_have_accuracy_and_probabilities(data):
    X, y, X_test, y_test = data
    labels, test_labels = ((z[:, 0] > 0).astype(int) for z in (y, y_test))
    posterior = infer(network(), X, np.eye(2)[labels])
    score, prediction = posterior.score(X_test, np.eye(2)[test_labels]), posterior.predict(X_test)
    assert score.accuracy == np.mean(prediction.mean.argmax(axis=1) == test_labels)
    shares = prediction.class_probabilities()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert score.accuracy_of_draw == pytest.approx(shares[np.arange(6), test_labels].mean(), abs=0.02)
    signs = infer(network(), X, 2.0 * labels - 1)
    assert signs.score(X_test, 2.0 * test_labels - 1).accuracy is not None


@pytest.mark.parametrize("outputs", [1, 2])
def test_prepared_images_serve_one_kernel(data, outputs):
    X, y, X_test, y_test = data
    y, y_test = y[:, :outputs], y_test[:, :outputs]
    pooled, dense = network(3, readout="average"), network(3)
    for net, name in ((pooled, "saddle"), (pooled, "infinite"), (dense, "infinite")):
        prepared = ww.prepare(net, X)
        options = {"temperature": T, "approximation": name}
        quick = ww.infer(prepared, y, widths=7, readout_precision=1.9, **options)
        direct = infer(network(7, readout=net.readout, weight_precisions=(LAM[0], 1.9)), X, y, name)
        assert quick.network == direct.network
        at = prepared.at(X_test)
        expected = direct.score(X_test, y_test).total
        assert quick.score(at, y_test).total == pytest.approx(expected, rel=1e-8)
        a, b = quick.predict(at, covariance=True), direct.predict(X_test, covariance=True)
        np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-8)
    finite = infer(dense, X, y)
    np.testing.assert_array_equal(finite.predict(at).mean, finite.predict(X_test).mean)


@pytest.mark.parametrize("outputs", [1, 2])
def test_hardly_any_noise_interpolates(data, outputs):
    X, y, *_ = data
    posterior = infer(network(30), X, y[:, :outputs], temperature=1e-10)
    assert posterior.training_error.total < 1e-7
    assert np.isfinite(posterior.score(X, y[:, :outputs]).negative_log_likelihood)


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSALS = {
    "vectors": (lambda X, y: infer(network(), X.reshape(10, -1), y), "expected shape .*height, width"),
    "another size": (lambda X, y: infer(network(), X, y).predict(X[:, :, :4]), "expected images of 2x6x1 as in"),
    "another channel": (lambda X, y: infer(network(), X, y).predict(np.stack([X, X], 3)), "got 2x6x2"),
    "a large patch": (lambda X, y: infer(network(patch=(3, 3)), X, y), "patch: expected at most the image's 2x6"),
    "two parameters": (lambda X, y: infer(network(), X, y, "two-parameter"), "one fully connected layer"),
    "prepared": (lambda X, y: ww.infer(ww.prepare(network(), X), y, temperature=T), "got prepared data"),
    "other outputs": (lambda X, y: infer(network(), X, y).score(X, y[:, 0]), "y_test: expected 2 per example"),
    "targets": (lambda X, y: infer(network(), X, y[:5]), "expected 10 targets"),
    "not finite": (lambda X, y: infer(network(), np.where(X > 2, np.inf, X), y), "X: expected finite numbers"),
    "not finite, new": (lambda X, y: infer(network(), X, y).predict(X * np.nan), "X_new: expected finite numbers"),
    "diagonal": (lambda X, y: infer(network(), X, y).predict(X, np.ones(10)), "only with PrecomputedKernel"),
    "images for vectors": (lambda X, y: infer(ww.FullyConnected([3]), X, y), "expected shape .*features"),
    "widths": (lambda X, y: ww.infer(ww.prepare(network(), X), y, temperature=T, widths=(3, 4)), "expected 1 of them"),
    "kernel of another size": (lambda X, y: infer(network(), X, y).renormalised_kernel(X[:, :, :4]), "X1: expected im"),
    "evidence": (lambda X, y: infer(network(4), X, y).log_evidence, "expected widths of at least 6 .*got 4"),
    "one number": (lambda X, y: infer(network(), X, y).action([1.0]), "expected one number as order parameter"),
    "one chain": (lambda X, y: MonteCarlo(chains=1), "chains: expected a whole number of at least"),
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
        infer(network(), X, y, "integrated", monte_carlo=short)
    posterior = infer(network(), X, y, "integrated", monte_carlo=short, throw=False)
    assert posterior.certificate.status == "not mixed"


def test_memory_is_estimated_with_outputs_and_chains_before_anything_is_computed(data, monkeypatch):
    X, y = data[:2]
    need = 8 * (10 * 2) ** 2 * 5 * QUICK.chains
    monkeypatch.setattr("widthwise.posterior.checks._memory", lambda: 0.5 * need)
    monkeypatch.setattr("widthwise.posterior.patches.patch_kernels", lambda *_, **__: pytest.fail("computed"))
    with pytest.raises(ww.InputError, match="10 examples of 2 outputs need"):
        infer(network(), X, y, "integrated")


@pytest.mark.parametrize(("channels", "verdict"), [(6, "sound"), (5, "doubtful")])
def test_an_integral_over_many_patches_is_doubted(data, channels, verdict):
    """Three patches: half as many as channels, or more; nearly no data share in Q (T large), so that ρτ is small."""
    X, y = data[0], data[1][:, 0]
    found = infer(network(channels), X, y, "integrated", temperature=30.0, throw=False).validity
    assert found.verdict == verdict
    assert ("patches for each channel" in found.reason) == (verdict == "doubtful")


def test_many_patches_of_a_linear_network_are_not_doubted(data):
    X, y = data[0], data[1][:, 0]
    found = infer(network(2, activation="identity"), X, y, "integrated", throw=False).validity
    assert found.verdict == "sound"
