"""The cavity's law: exact for the identity however many neurons are kept, and what it promises of any activation."""

import jax
import numpy as np
import pytest
import weighing
from scipy.special import erf

import widthwise as ww

T, LAM, BIAS = 0.3, (1.7, 0.6), 0.4
SETTINGS = ww.Cavity(neurons=1, ladders=16, levels=4, draws=250, warmup=60, nodes=4000)


def problem(rng, P=4, N0=2, test=3):
    X, y = rng.normal(size=(P + test, N0)), rng.normal(size=P + test)
    y = 0.8 * X[:, 0] + 0.5 * y
    return X[:P], y[:P], X[P:], y[P:]


def infer(network, X, y, settings=SETTINGS, **how):
    return ww.infer(network, X, y, temperature=T, approximation="cavity", cavity=settings, **how)


def network(N=5, phi="erf"):
    return ww.FullyConnected([N], phi, LAM, BIAS)


@pytest.fixture(scope="module")
def data():
    return problem(np.random.default_rng(20))


@pytest.fixture(scope="module")
def posterior(data):
    return infer(network(), *data[:2])


def told(posterior, X, y):
    """Mean and variance at points, their error, ε_t and log evidence; and their errors, by leaving out each ladder."""
    prediction, law = posterior.predict(X), posterior.law
    fit = posterior.predict(posterior.law.source.X)
    train = ((fit.means - posterior.targets) ** 2 + fit.variances).mean(axis=1)

    def answers(w):
        w = w / w.sum()
        mean = w @ prediction.means
        variance = w @ prediction.variances + w @ (prediction.means - mean) ** 2
        return np.concatenate([mean, variance, [np.mean((y - mean) ** 2 + variance), w @ train]])

    C = law.settings.ladders
    jackknife = np.array([answers(law.weights * (law.ladders != c)) for c in range(C)])
    error = np.sqrt((C - 1) * ((jackknife - jackknife.mean(axis=0)) ** 2).mean(axis=0))
    evidence = law.evidence
    return np.append(answers(law.weights), evidence.log_evidence), np.append(error, evidence.standard_error)


@pytest.mark.parametrize(
    ("k", "N"), [(1, 5), pytest.param(3, 9, marks=pytest.mark.slow), pytest.param(4, 5, marks=pytest.mark.slow)]
)
def test_the_identity_is_exact_however_many_neurons_are_kept(data, k, N):
    """Against the integrated theory, which is the network: means, variances, errors, log evidence."""
    X, y, X_test, y_test = data
    draws = 250 if k < N - 1 else 3000  # a bath of one neuron has a heavy tail in log Q
    settings = ww.Cavity(neurons=k, ladders=16, levels=4, draws=draws, warmup=60, nodes=4000)
    found = infer(network(N, "identity"), X, y, settings)
    exact = ww.infer(network(N, "identity"), X, y, temperature=T)
    assert exact.exact
    assert found.certificate.converged
    value, error = told(found, X_test, y_test)
    prediction = exact.predict(X_test)
    theory = [exact.score(X_test, y_test).total, exact.training_error.total, exact.log_evidence]
    z = (value - np.concatenate([prediction.mean, prediction.variance, theory])) / error
    assert np.abs(z).max() < 4.5, z
    assert (error < 0.1 * np.maximum(np.abs(value), 0.2)).all()
    Q = found.order_parameters
    assert Q["Q"] == pytest.approx(exact.order_parameters["Q"], rel=0.05)
    assert (Q["Q_bath"] < Q["Q"]).all()


def test_a_neuron_and_a_gaussian_one_are_weight_space_monte_carlo():
    """N = 2, k = 1, erf: w, the Gaussian feature and both readouts drawn from the prior and weighed."""
    rng = np.random.default_rng(8)
    problem = weighing.Problem.of(rng, 4, (2,), 1, T)

    def draw(X, rng, n):
        Xb = np.column_stack([X / np.sqrt(LAM[0] * 2), np.full(len(X), np.sqrt(BIAS))])
        G = Xb @ Xb.T
        own = 1 + 2 * G.diagonal()
        kernel = 2 / np.pi * np.arcsin(2 * G / np.sqrt(np.outer(own, own)))  # E[φφ'] [Williams 1997]
        real = erf(rng.normal(size=(n, 3)) @ Xb.T)
        values, U = np.linalg.eigh(kernel)
        gaussian = rng.normal(size=(n, len(X))) @ (U * np.sqrt(np.maximum(values, 0.0))).T
        v = rng.normal(size=(2, n, 1)) / np.sqrt(LAM[1])
        return ((v[0] * real + v[1] * gaussian) / np.sqrt(2))[:, :, None]

    found = infer(network(2), problem.X, problem.y[:, 0])
    (sampled, error) = weighing.weigh(problem, draw, rng, 400_000)
    value, own = told(found, problem.X_test, problem.y_test[:, 0])
    m = len(problem.X_test)
    sampled, error = (np.concatenate([a[:m], a[[m, m + 2]], [a[-2], a[-3], a[-1]]]) for a in (sampled, error))
    z = (value - sampled) / np.hypot(own, error)
    assert np.abs(z).max() < 4.5, z
    assert (np.hypot(own, error) < 0.12 * np.maximum(np.abs(sampled), 0.3)).all()


def test_wide_networks_are_infinite_ones(data):
    """N → ∞ at fixed P: the neurons that are kept weigh nothing."""
    X, y, X_test, _y_test = data
    wide = infer(network(10**6), X, y)
    infinite = ww.infer(network(10**6), X, y, temperature=T, approximation="infinite")
    np.testing.assert_allclose(wide.predict(X_test).mean, infinite.predict(X_test).mean, atol=1e-3)
    np.testing.assert_allclose(wide.predict(X_test).variance, infinite.predict(X_test).variance, atol=1e-3)
    assert wide.training_error.total == pytest.approx(infinite.training_error.total, rel=1e-3)
    assert wide.log_evidence == pytest.approx(infinite.log_evidence, abs=1e-3)
    assert wide.order_parameters["Q"] == pytest.approx(1.0, abs=1e-3)


def test_the_fit_is_the_prediction_at_the_training_points(data, posterior):
    X, y, *_ = data
    score, train, prediction = posterior.score(X, y), posterior.training_error, posterior.predict(X)
    for name in ("total", "bias", "variance", "monte_carlo_error"):
        assert getattr(train, name) == pytest.approx(getattr(score, name), rel=1e-7), name
    np.testing.assert_allclose(y - prediction.mean, T * posterior.dual_vector, atol=1e-9)
    assert posterior.memorisation == pytest.approx(train.variance / T, rel=1e-9)
    draws = posterior.law
    assert draws.weights.sum() == pytest.approx(1.0)
    assert (np.diff(draws.ladders) >= 0).all()
    assert posterior.certificate.converged
    assert posterior.certificate.kind == "draws"


def test_the_covariance_has_the_variance_on_its_diagonal(data, posterior):
    prediction = posterior.predict(data[2], covariance=True)
    np.testing.assert_allclose(prediction.covariance.diagonal(), prediction.variance, rtol=1e-9)
    np.testing.assert_allclose(prediction.covariance, prediction.covariance.T, atol=1e-14)
    assert np.linalg.eigvalsh(prediction.covariance).min() > -1e-12
    np.testing.assert_allclose(prediction.mean, posterior.predict(data[2]).mean, rtol=1e-12)


def test_predictions_in_pieces_are_those_at_once(monkeypatch):
    """Points that stick out of the examples' plane: there the weights belong to each draw, not to each call."""
    from widthwise.posterior import cavity, engine

    rng = np.random.default_rng(3)
    _, y, X_test, y_test = problem(rng, N0=9, test=7)
    X = rng.normal(size=(4, 2)) @ rng.normal(size=(2, 9))
    posterior = infer(network(), X, y)
    assert posterior.law.W.shape[2] == 3  # of ten
    whole, score = posterior.predict(X_test), posterior.score(X_test, y_test)
    again = [posterior.predict(X_test[i : i + 1]).mean[0] for i in range(7)]
    np.testing.assert_allclose(again, whole.mean, rtol=1e-9)
    monkeypatch.setattr(engine, "_BLOCK", 3 * len(X))
    np.testing.assert_allclose(posterior.predict(X_test).variance, whole.variance, rtol=1e-9)
    monkeypatch.setattr(cavity, "_ENTRIES", 2 * len(posterior.law.weights))
    pieces = posterior.score(X_test, y_test)
    for name in ("total", "bias", "variance", "negative_log_likelihood"):
        assert getattr(pieces, name) == pytest.approx(getattr(score, name), rel=1e-9), name


def test_the_renormalised_kernel_is_the_mean_of_the_nodes(data, posterior):
    X, _, X_test, _ = data
    law = posterior.law
    whole = posterior.renormalised_kernel(np.concatenate([X, X_test]))
    np.testing.assert_allclose(whole, whole.T, atol=1e-12)
    np.testing.assert_allclose(posterior.renormalised_kernel(X_test, X), whole[4:, :4], atol=1e-12)
    F = law.features(X)
    K = law.engine.source.among(X)
    exact = sum(w * (Q * K + f @ f.T) for w, Q, f in zip(law.weights, law.Q, F))
    np.testing.assert_allclose(whole[:4, :4], exact, rtol=1e-9)
    f = posterior.law.explicit.F  # the same neurons in the eigenvectors' coordinates
    np.testing.assert_allclose(law.engine.spectrum.system.U @ f, F, atol=1e-10)


def test_saved_and_loaded_it_is_the_same(data, posterior, tmp_path):
    _X, _y, X_test, _y_test = data
    posterior.save(tmp_path / "cavity.npz")
    again = ww.load(tmp_path / "cavity.npz")
    assert again.approximation == "cavity"
    assert again.law.evidence == posterior.law.evidence
    assert again.law.settings == SETTINGS
    assert again.phases == posterior.phases
    assert again.specialisation == posterior.specialisation
    assert again.certificate == posterior.certificate
    assert again.log_evidence == posterior.log_evidence
    np.testing.assert_allclose(again.predict(X_test).mean, posterior.predict(X_test).mean, rtol=1e-12)
    np.testing.assert_allclose(again.predict(X_test).variance, posterior.predict(X_test).variance, rtol=1e-12)
    assert again.training_error.total == pytest.approx(posterior.training_error.total, rel=1e-12)
    again.save(tmp_path / "twice.npz")
    assert "tempered" not in vars(again.law.sampled)  # nothing was sampled for it


def test_seeds_decide(data, posterior):
    same, other = (infer(network(), *data[:2], ww.Cavity(1, 16, 4, 250, 60, 4000, seed)) for seed in (0, 1))
    assert np.array_equal(same.law.W, posterior.law.W)
    assert same.log_evidence == posterior.log_evidence
    one, two = posterior.training_error, other.training_error
    assert 0 < abs(one.total - two.total) < 4.5 * np.hypot(one.monte_carlo_error, two.monte_carlo_error)


def agree(one, two, scale=1.0):
    """Errors of two laws, within their Monte-Carlo errors."""
    (a, a_error), (b, b_error) = one, two
    z = (a * scale - b) / np.hypot(a_error * scale, b_error)
    assert np.abs(z).max() < 4.5, z


def test_invariances(data, posterior):
    """Permuted examples; rotated inputs; y, T and λ_1 in other units, inputs and λ_0 too."""
    X, y, X_test, y_test = data
    rng = np.random.default_rng(4)
    order, (turn, _) = rng.permutation(4), np.linalg.qr(rng.normal(size=(2, 2)))
    here = told(posterior, X_test, y_test)
    agree(here, told(infer(network(), X[order], y[order]), X_test, y_test))
    agree(here, told(infer(network(), X @ turn, y), X_test @ turn, y_test))
    units = ww.FullyConnected([5], "erf", (LAM[0] * 4, LAM[1] / 9), BIAS)
    other = ww.infer(units, 2 * X, 3 * y, temperature=9 * T, approximation="cavity", cavity=SETTINGS)
    m = len(X_test)
    scale = np.array([3.0] * m + [9.0] * (m + 2))
    (a, a_error), (b, b_error) = here, told(other, 2 * X_test, 3 * y_test)
    agree((a[:-1], a_error[:-1]), (b[:-1], b_error[:-1]), scale)
    shift = 4 * np.log(3.0)
    assert abs(a[-1] - shift - b[-1]) < 4.5 * np.hypot(a_error[-1], b_error[-1])


def test_prepared_data(data, posterior):
    """Another width and readout precision on one eigendecomposition, and points prepared with it."""
    X, y, X_test, y_test = data
    prepared = ww.prepare(ww.FullyConnected([50], "erf", (LAM[0], 2.1), BIAS), X)
    how = {"temperature": T, "approximation": "cavity", "cavity": SETTINGS}
    other = ww.infer(prepared, y, widths=[5], readout_precision=LAM[1], **how)
    np.testing.assert_allclose(other.law.sampled.values, posterior.law.sampled.values, rtol=1e-9)
    agree(told(posterior, X_test, y_test), told(other, X_test, y_test))
    at = other.predict(prepared.at(X_test), covariance=True)
    np.testing.assert_allclose(at.mean, other.predict(X_test).mean, rtol=1e-9)
    np.testing.assert_allclose(at.covariance.diagonal(), other.predict(X_test).variance, rtol=1e-9)
    assert other.score(prepared.at(X_test), y_test).total == pytest.approx(other.score(X_test, y_test).total, rel=1e-9)


def test_a_callable_in_jax(data, posterior):
    """jax.scipy.special.erf handed in is the erf, to the last bits: in 64 bits although JAX is not."""
    X, y, X_test, _ = data

    def mine(h):
        return jax.scipy.special.erf(h)

    few = ww.Cavity(1, 16, 4, 20, 20, 320)
    theirs = infer(network(5, mine), X, y, few, throw=False)
    own = infer(network(), X, y, few, throw=False)
    np.testing.assert_allclose(theirs.training_error.total, own.training_error.total, rtol=1e-5)
    assert theirs.predict(X_test).means.dtype == np.float64
    inside = theirs.law.features(X)
    h = theirs.law.frame.augmented(X) @ theirs.law.frame.whole(theirs.law.W, 0)[:, 0].T
    np.testing.assert_allclose(inside[:, :, 0].T, erf(h) / np.sqrt(LAM[1] * 5), rtol=1e-12)
    assert not jax.config.jax_enable_x64


def test_chains_that_have_not_mixed_are_refused_or_a_status(data, monkeypatch):
    from widthwise.posterior import cavity_reading

    monkeypatch.setattr(cavity_reading, "INDEPENDENT", 10**5)
    with pytest.raises(ww.NumericalError, match=r"effective draws \(at least 100000\); sample longer") as caught:
        infer(network(), *data[:2])
    assert "\n" not in str(caught.value)
    found = infer(network(), *data[:2], throw=False)
    assert found.certificate.status == "not mixed"
    assert not found.certificate.converged


REFUSALS = {
    "convolutional": (
        lambda X, y: infer(ww.Convolutional([5], 2), np.ones((4, 3, 3)) * y[:, None, None], y),
        '"cavity" is for .*fully connected',
    ),
    "kernel": (lambda X, y: infer(ww.PrecomputedKernel([5]), X @ X.T, y), '"cavity" is for .*fully connected'),
    "one neuron": (lambda X, y: infer(network(1), X, y), "two neurons or more"),
    "another approximation": (
        lambda X, y: ww.infer(network(), X, y, temperature=T, cavity=SETTINGS), 'with approximation="cavity"'
    ),
    "no settings": (lambda X, y: infer(network(), X, y, 4), "expected Cavity"),
    "solver": (lambda X, y: infer(network(), X, y, solver="Cholesky"), 'solver: expected "eigenvalues"'),
    "numpy": (lambda X, y: infer(network(5, np.tanh), X, y), "write it with jax.numpy"),
    "diagonal": (lambda X, y: infer(network(), X, y).predict(X, np.ones(4)), "only with PrecomputedKernel"),
    "features": (lambda X, y: infer(network(), X, y).predict(X[:, :1]), "expected 2 features"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(data, case):
    call, message = REFUSALS[case]
    with pytest.raises(ww.InputError, match=message) as caught:
        call(*data[:2])
    assert "\n" not in str(caught.value)


def test_more_examples_than_memory_are_refused(data, monkeypatch):
    from widthwise.posterior import checks

    monkeypatch.setattr(checks, "_memory", lambda: 8.0 * 16 * 4)
    with pytest.raises(ww.InputError, match="5 kernel matrices"):
        infer(network(), *data[:2])


def test_systematic_draws_are_as_many_as_their_weights_say(rng):
    from widthwise.posterior.cavity_reading import systematic

    weights = rng.uniform(0.1, 3.0, size=(4, 50))
    chosen = systematic(weights, 25)
    assert len(chosen) == 100
    assert (np.diff(chosen) >= 0).all()
    expected = 100 * weights.ravel() / weights.sum()
    counts = np.bincount(chosen, minlength=200)
    assert (np.abs(counts - expected) < 1.0).all()
    assert np.array_equal(systematic(np.ones((4, 50)), 50), np.arange(200))


def test_the_standard_error_over_ladders():
    """Of a weighted mean over draws that are alike within a chain: the scatter of the chains, not of the draws."""
    from widthwise.posterior.score import standard_error

    rng = np.random.default_rng(6)
    found, said, naive = [], [], []
    for _ in range(400):
        t = np.repeat(rng.normal(size=8), 10) + 0.1 * rng.normal(size=80)
        w = rng.uniform(0.5, 1.5, size=80)
        w /= w.sum()
        found.append(w @ t)
        said.append(standard_error(w, t, np.repeat(np.arange(8), 10)))
        naive.append(standard_error(w, t))
    assert np.sqrt(np.mean(np.square(said))) == pytest.approx(np.std(found), rel=0.15)
    assert np.mean(naive) < 0.5 * np.std(found)
    assert standard_error(np.ones(4) / 4, np.arange(4.0), np.zeros(4, int)) is None  # one chain cannot say
    assert standard_error(np.ones(1), np.ones(1), np.zeros(1, int)) is None
