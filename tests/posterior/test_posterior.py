"""The posterior object: what it reports, whichever spectrum serves, and what it keeps on disk."""

import importlib
import json
import warnings

import numpy as np
import pytest
from scipy.stats import norm

import widthwise as ww

T = 0.03


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(40, 6))
    y = np.sign(X[:, 0] + 0.3 * X[:, 1] * X[:, 2])
    return X[:30], y[:30], X[30:], y[30:]


def network(N=12, activation="erf"):
    return ww.FullyConnected([N], activation, (1.3, 0.8), 0.2)


@pytest.mark.parametrize("approximation", ["saddle", "infinite", "integrated"])
@pytest.mark.parametrize("solver", ["tridiagonal", "Cholesky", "eigenvalues", "prepared"])
def test_every_solver_gives_the_same_posterior(problem, approximation, solver):
    X, y, X_test, y_test = problem
    reference = ww.infer(network(), X, y, temperature=T, approximation=approximation, solver="eigenvalues")
    if solver == "prepared":
        other = ww.infer(ww.prepare(network(50), X), y, temperature=T, approximation=approximation, widths=[12])
    else:
        other = ww.infer(network(), X, y, temperature=T, approximation=approximation, solver=solver)
    a, b = (posterior.score(X_test, y_test) for posterior in (reference, other))
    assert a.monte_carlo_error is b.monte_carlo_error is None  # nothing is drawn
    numbers = ("total", "bias", "variance", "accuracy", "accuracy_of_draw", "negative_log_likelihood")
    for name in numbers:
        if getattr(a, name) is not None:
            assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-7), name
    assert other.training_error.total == pytest.approx(reference.training_error.total, rel=1e-7)
    assert other.log_evidence == pytest.approx(reference.log_evidence, abs=1e-4)
    assert other.validity.product == pytest.approx(reference.validity.product, rel=1e-6)
    np.testing.assert_allclose(other.dual_vector, reference.dual_vector, rtol=1e-6)
    assert other.certificate.converged


def test_training_error_is_the_prediction_at_the_training_points(problem):
    X, y, *_ = problem
    for approximation in ("saddle", "integrated"):
        posterior = ww.infer(network(), X, y, temperature=T, approximation=approximation)
        score, train = posterior.score(X, y), posterior.training_error
        assert train.total == pytest.approx(score.total, rel=1e-7)
        assert train.bias == pytest.approx(score.bias, rel=1e-7)
        np.testing.assert_allclose(y - posterior.predict(X).mean, T * posterior.dual_vector, atol=1e-9)


def test_training_variance_is_temperature_times_degrees_of_freedom(problem):
    X, y, *_ = problem
    posterior = ww.infer(network(), X, y, temperature=T)
    K = posterior.renormalised_kernel(X)
    m = np.trace(np.linalg.solve(T * np.eye(30) + K, K)) / 30
    assert posterior.training_error.variance == pytest.approx(T * m, rel=1e-9)


def test_saddle_prediction_is_gaussian_process_regression_with_the_renormalised_kernel(problem):
    X, y, X_test, y_test = problem
    posterior = ww.infer(network(), X, y, temperature=T)
    K, k, own = (posterior.renormalised_kernel(*pair) for pair in ((X, X), (X_test, X), (X_test, X_test)))
    A = T * np.eye(30) + K
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean, k @ np.linalg.solve(A, y), rtol=1e-8)
    np.testing.assert_allclose(prediction.covariance, own - k @ np.linalg.solve(A, k.T), atol=1e-10)
    score = posterior.score(X_test, y_test)
    density = norm.logpdf(y_test, prediction.mean, np.sqrt(prediction.variance + T))
    assert score.negative_log_likelihood == pytest.approx(-density.mean(), rel=1e-9)
    assert score.total == pytest.approx(score.bias + score.variance, rel=1e-12)
    assert score.accuracy == np.mean(np.sign(prediction.mean) == y_test)
    flips = norm.cdf(y_test * prediction.mean / np.sqrt(prediction.variance))
    assert score.accuracy_of_draw == pytest.approx(flips.mean(), rel=1e-9)


def test_intervals_hold_what_they_say(problem, rng):
    X, y, X_test, _ = problem
    for approximation in ("saddle", "integrated"):
        prediction = ww.infer(network(3), X, y, temperature=T, approximation=approximation).predict(X_test)
        component = rng.choice(len(prediction.weights), p=prediction.weights, size=40_000)
        draws = rng.normal(prediction.means[component], np.sqrt(prediction.variances[component]))
        noisy = draws + np.sqrt(T) * rng.normal(size=draws.shape)
        np.testing.assert_allclose(draws.mean(0), prediction.mean, atol=0.02)
        np.testing.assert_allclose(draws.var(0), prediction.variance, rtol=0.06)
        for sample, observed in ((draws, False), (noisy, True)):
            lower, upper = prediction.interval(0.8, observed=observed)
            inside = ((sample > lower) & (sample < upper)).mean(0)
            np.testing.assert_allclose(inside, 0.8, atol=0.012)
    with pytest.raises(ww.InputError, match="between 0 and 1"):
        prediction.interval(90)


def test_integrated_covariance_adds_the_spread_of_the_means(problem):
    X, y, X_test, _ = problem
    prediction = ww.infer(network(3), X, y, temperature=T, approximation="integrated").predict(X_test, covariance=True)
    np.testing.assert_allclose(np.diag(prediction.covariance), prediction.variance, rtol=1e-8)
    assert np.linalg.eigvalsh(prediction.covariance)[0] > -1e-12


def test_precomputed_kernel_is_the_network_it_came_from(problem):
    X, y, X_test, y_test = problem
    direct = ww.infer(network(), X, y, temperature=T)
    infinite = ww.infer(network(), X, y, temperature=T, approximation="infinite")
    K, k, own = (infinite.renormalised_kernel(*pair) for pair in ((X, X), (X_test, X), (X_test, X_test)))
    posterior = ww.infer(ww.PrecomputedKernel([12]), K, y, temperature=T)
    assert posterior.score(k, y_test, np.diag(own)).total == pytest.approx(direct.score(X_test, y_test).total, rel=1e-9)
    np.testing.assert_allclose(
        posterior.predict(k, own, covariance=True).covariance,
        direct.predict(X_test, covariance=True).covariance,
        atol=1e-10,
    )
    prepared = ww.prepare(ww.PrecomputedKernel([5]), K)
    again = ww.infer(prepared, y, temperature=T, widths=[12])
    assert again.score(prepared.at(k, np.diag(own)), y_test).total == pytest.approx(
        direct.score(X_test, y_test).total, rel=1e-9
    )
    for call, message in (
        (lambda: posterior.predict(k), "variances"),
        (lambda: posterior.predict(k[:, :-1], np.diag(own)), "30 columns"),
        (lambda: posterior.predict(k, np.diag(own), covariance=True), "only variances"),
        (lambda: ww.infer(ww.PrecomputedKernel([5]), X, y, temperature=T), "square"),
        (lambda: ww.infer(ww.PrecomputedKernel([5]), K + np.triu(K), y, temperature=T), "symmetric"),
        (lambda: ww.infer(ww.PrecomputedKernel([5]), -K, y, temperature=T), "at least zero"),
        (lambda: ww.infer(ww.PrecomputedKernel([5]), [[1, 2], [2, 1]], [1, -1], temperature=50.0), "positive"),
        (lambda: posterior.predict(k, -np.diag(own)), "variances of at least zero"),
        (lambda: posterior.renormalised_kernel(k, k), "pass the kernel"),
    ):
        with pytest.raises(ww.InputError, match=message):
            call()


def test_an_indefinite_kernel_is_refused(rng):
    K = np.ones((4, 4)) + np.diag([0.0, 0.0, -0.9, 0.0])
    for solver in ("eigenvalues", "tridiagonal", "Cholesky"):
        with pytest.raises((ww.InputError, ww.NumericalError), match="positive"):
            ww.infer(ww.PrecomputedKernel([5]), K, np.ones(4) - [0, 1, 0, 0], temperature=1e-3, solver=solver)


@pytest.mark.parametrize("approximation", ["saddle", "infinite", "integrated", "two-parameter"])
@pytest.mark.parametrize("kind", ["direct", "prepared"])
def test_save_and_load(problem, tmp_path, approximation, kind):
    X, y, X_test, _ = problem
    net = network(activation="relu")
    if kind == "direct":
        posterior = ww.infer(net, X, y, temperature=T, approximation=approximation)
    else:
        posterior = ww.infer(
            ww.prepare(net, X), y, temperature=T, approximation=approximation, widths=[7], readout_precision=0.5
        )
    path = tmp_path / "posterior.npz"
    posterior.save(path)
    loaded = ww.load(path)
    assert loaded.network == posterior.network
    assert loaded.certificate == posterior.certificate
    assert loaded.load == posterior.load
    for a, b in ((posterior.order_parameters, loaded.order_parameters),):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    a, b = posterior.predict(X_test, covariance=True), loaded.predict(X_test, covariance=True)
    np.testing.assert_allclose(a.mean, b.mean, rtol=1e-9)
    np.testing.assert_allclose(a.covariance, b.covariance, atol=1e-10)
    assert loaded.log_evidence == pytest.approx(posterior.log_evidence, abs=1e-7)
    assert loaded.training_error.total == pytest.approx(posterior.training_error.total, rel=1e-9)


def test_files_that_are_not_posteriors(problem, tmp_path):
    X, y, *_ = problem
    path = tmp_path / "posterior.npz"
    ww.infer(network(activation=np.tanh), X, y, temperature=T).save(path)
    with pytest.raises(ww.InputError, match="activation"):
        ww.load(path)
    assert ww.load(path, activation=np.tanh).network.phi.function is np.tanh
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", X=X)
    (tmp_path / "text.npz").write_text(json.dumps({"a": 1}))
    for name in ("posterior.npz", "other.npz", "text.npz", "missing.npz"):
        with pytest.raises(ww.InputError, match="expected a saved posterior"):
            ww.load(tmp_path / name)
    ww.infer(network(), X, y, temperature=T).save(tmp_path / "erf.npz")
    with pytest.raises(ww.InputError, match="leave it out"):
        ww.load(tmp_path / "erf.npz", activation="relu")
    with pytest.raises(ww.InputError, match="existing folder"):
        ww.infer(network(), X, y, temperature=T).save(tmp_path / "no" / "such")


def test_edge_cases_work(rng):
    one = ww.infer(network(), [[1.0, 2.0]], [0.7], temperature=0.1)
    assert one.predict([[1.0, 2.0]]).mean[0] == pytest.approx(0.7, abs=0.25)
    X = rng.normal(size=(10, 3))
    doubled = np.concatenate([X, X])
    y = X[:, 0]
    twice = ww.infer(network(4), doubled, np.concatenate([y, y]), temperature=1e-4)
    assert np.isfinite(list(vars(twice.score(X, y)).values())[:3]).all()
    for N in (1, 10**7):
        for approximation in ("saddle", "integrated"):
            assert ww.infer(network(N), X, y, temperature=0.1, approximation=approximation).certificate.converged
    zero = ww.infer(network(), X, np.r_[np.zeros(9), 1e-300], temperature=0.1)
    np.testing.assert_allclose(zero.predict(X).mean, 0.0, atol=1e-200)
    many = ww.infer(network(2), rng.normal(size=(300, 3)), rng.normal(size=300), temperature=0.5)
    assert many.load == (150.0,)
    single = ww.infer(network(), X[:, :1], y, temperature=0.1)
    assert single.predict(X[:, :1]).mean.shape == (10,)


@pytest.mark.parametrize("T", [1e-5, 1e-7, 1e-9])
def test_a_singular_kernel_at_low_temperature_is_solved_or_refused(rng, T):
    """Linear network, P > N0, y outside the kernel's range: rounding would decide Q, were it not noticed."""
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    net = ww.FullyConnected([20], "identity")
    posterior = ww.infer(net, X, y, temperature=T, approximation="saddle")
    # the same in the five-dimensional range, where nothing is singular: Q = 1 − (r − q aᵀKa)/N as T → 0
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    k, z = s**2 / 5, U.T @ y
    Q = posterior.order_parameters["Q"][0]
    slope = Q - 1 + np.sum(Q * k / (T + Q * k) - Q * k * z**2 / (T + Q * k) ** 2) / 20
    assert abs(slope) < 1e-8
    assert posterior.certificate.rounding < 1e-6
    for solver in ("tridiagonal", "Cholesky"):
        warm = [
            ww.infer(net, X, y, temperature=1e-4, approximation="saddle", solver=s) for s in (solver, "eigenvalues")
        ]
        Q1, Q2 = (posterior.order_parameters["Q"][0] for posterior in warm)
        assert abs(np.log(Q1 / Q2)) < warm[0].certificate.rounding < 1e-4
        with pytest.raises(ww.NumericalError):
            ww.infer(net, X, y, temperature=1e-9, approximation="saddle", solver=solver)


def test_a_kernel_that_cannot_be_factorised_is_seen_through_its_eigenvalues(rng, monkeypatch):
    """Above the tridiagonal's sizes too: one Cholesky factorisation fails where eigenvalues still tell."""
    module = importlib.import_module("widthwise.posterior.infer")

    monkeypatch.setattr(module, "TRIDIAGONAL_UP_TO", 10)
    X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    posterior = ww.infer(ww.FullyConnected([20], "identity"), X, y, temperature=1e-9, approximation="saddle")
    assert posterior.certificate.solver == "eigenvalues"
    assert posterior.certificate.converged


def test_a_function_called_identity_is_not_taken_for_the_identity(problem):
    X, y, *_ = problem

    def identity(h):
        return np.tanh(h)

    posterior = ww.infer(network(activation=identity), X, y, temperature=T)
    assert posterior.approximation == "saddle"


def test_extreme_scales_are_refused_in_words(problem):
    X, y, *_ = problem
    for X1, y1, T in ((X, y, 1e-300), (X, y, 1e300), (X, 1e160 * y, 1.0), (1e160 * X, y, 1.0)):
        with pytest.raises(ww.InputError, match="rescale"):
            ww.infer(network(), X1, y1, temperature=T)


def test_constant_inputs_and_targets_warn_and_work(rng):
    X = rng.normal(size=(8, 3))
    with pytest.warns(ww.DataWarning, match="every target"):
        ww.infer(network(), X, np.ones(8), temperature=0.1)
    with pytest.warns(ww.DataWarning, match="every input"):
        posterior = ww.infer(network(), np.ones((8, 3)), X[:, 0], temperature=0.1)
    mean = posterior.predict(np.ones((1, 3))).mean[0]
    assert abs(mean - X[:, 0].mean()) < 0.3


GOOD = np.eye(3)
BAD = {
    "NaN": ({"X": np.where(GOOD > 0, np.nan, 0.0)}, "finite numbers, got nan at"),
    "inf": ({"y": [1.0, np.inf, 0.0]}, "finite numbers, got inf"),
    "no examples": ({"X": np.empty((0, 3)), "y": []}, "at least one example"),
    "one dimension": ({"X": [1.0, 2.0, 3.0]}, r"expected shape \(examples, features\)"),
    "three dimensions": ({"X": np.ones((3, 2, 2))}, "expected shape"),
    "ragged": ({"X": [[1.0], [1.0, 2.0]]}, "expected an array"),
    "words": ({"X": [["a", "b"]] * 3}, "real numbers, got dtype"),
    "complex": ({"X": GOOD + 1j}, "real numbers, got dtype complex128"),
    "lengths": ({"y": [1.0, 2.0]}, "expected 3 targets"),
    "targets of three dimensions": ({"y": np.ones((3, 2, 2))}, "expected shape"),
    "T = 0": ({"temperature": 0.0}, "above zero, got 0.0"),
    "T < 0": ({"temperature": -1.0}, "above zero"),
    "T NaN": ({"temperature": np.nan}, "above zero"),
    "T text": ({"temperature": "warm"}, "above zero, got 'warm'"),
    "approximation": ({"approximation": "sadle"}, "did you mean 'saddle'"),
    "solver": ({"solver": "choleski"}, "did you mean 'Cholesky'"),
    "widths": ({"widths": [3]}, "go with prepared data"),
    "network": ({"network": "erf"}, "expected FullyConnected"),
    "no y": ({"y": None}, "got no y"),
    "mean": ({"approximation": "two-parameter"}, "activations with a mean"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_has_one_clear_error(case):
    change, message = BAD[case]
    given = {"network": network(), "X": GOOD, "y": [1.0, -1.0, 1.0], "temperature": 0.1} | change
    with pytest.raises(ww.InputError, match=message) as error:
        ww.infer(given.pop("network"), given.pop("X"), given.pop("y"), **given)
    assert "\n" not in str(error.value)


def test_prepared_points_belong_to_their_preparation(problem):
    X, y, X_test, _ = problem
    prepared, other = ww.prepare(network(), X), ww.prepare(network(), X[::-1])
    posterior = ww.infer(prepared, y, temperature=T)
    posterior.predict(prepared.at(X_test))
    for strange in (posterior, ww.infer(network(), X, y, temperature=T)):
        with pytest.raises(ww.InputError, match="another's"):
            strange.predict(other.at(X_test))


def test_a_runaway_of_the_two_parameter_action_is_no_solution(rng):
    """Width 1: the gradient in log c vanishes as c → ∞ as well; that end is degenerate and never reported."""
    X = rng.normal(size=(32, 5))
    y = np.sign(X[:, 0])
    for seed in range(4):
        y = np.sign(np.random.default_rng(seed).normal(size=32))
        try:
            found = ww.infer(ww.FullyConnected([1], "relu"), X, y, temperature=0.5, approximation="two-parameter")
        except ww.NumericalError:
            continue
        assert found.certificate.kind != "degenerate"
        assert -0.999999 < found.order_parameters["Q_conjugate"][0] < 1e6


def test_bad_input_to_a_posterior(problem):
    X, y, X_test, y_test = problem
    posterior = ww.infer(network(), X, y, temperature=T)
    for call, message in (
        (lambda: posterior.predict(X_test[:, :2]), "expected 6 features"),
        (lambda: posterior.score(X_test, y_test[:2]), "expected 10 targets"),
        (lambda: posterior.predict(X_test, np.ones(10)), "leave it out"),
        (lambda: posterior.action([0.0]), "above zero"),
        (lambda: ww.infer(ww.prepare(network(), X), X, y, temperature=T), "already in `prepared`"),
        (lambda: ww.infer(ww.prepare(network(), X), y, temperature=T, widths=[3, 3]), "widths: expected 1"),
        (lambda: ww.infer(ww.prepare(network(), X), y, temperature=T, readout_precision=0), "readout_precision"),
        (lambda: ww.infer(ww.prepare(network(), X), y, temperature=T, solver="Cholesky"), "expected none"),
        (lambda: posterior.predict(X_test).interval("0.9"), "between 0 and 1"),
        (lambda: posterior.action("a"), "real numbers"),
    ):
        with pytest.raises(ww.InputError, match=message):
            call()


def test_unusual_containers_are_welcome(problem):
    X, y, X_test, y_test = problem
    import jax.numpy as jnp

    reference = ww.infer(network(), X, y, temperature=T).score(X_test, y_test).total
    for convert in (np.asfortranarray, lambda a: a.tolist(), lambda a: np.repeat(a, 2, axis=0)[::2]):
        posterior = ww.infer(network(), convert(X), convert(y), temperature=T)
        assert posterior.score(convert(X_test), y_test[:, None]).total == pytest.approx(reference, rel=1e-12)
    single = ww.infer(network(), jnp.asarray(X), jnp.asarray(y), temperature=T).score(X_test, y_test).total
    assert single == pytest.approx(reference, rel=1e-4)
    assert isinstance(ww.infer(network(), X.astype(np.float32), y.astype(int), temperature=T).log_evidence, float)


def test_the_callers_arrays_are_left_alone(problem):
    X, y, *_ = problem
    K = X @ X.T
    before = [a.copy() for a in (X, y, K)]
    for solver in ("tridiagonal", "Cholesky", "eigenvalues"):
        ww.infer(network(), X, y, temperature=T, solver=solver)
        ww.infer(ww.PrecomputedKernel([3]), K, y, temperature=T, solver=solver)
    for a, b in zip(before, (X, y, K)):
        np.testing.assert_array_equal(a, b)


def test_an_unconverged_saddle_raises_by_default(problem, monkeypatch):
    from widthwise.saddle import Status
    from widthwise.saddle import scalar as search

    X, y, *_ = problem
    monkeypatch.setattr(search, "STEPS", 2)
    with pytest.raises(ww.NumericalError, match="not converged"):
        ww.infer(network(), X, y, temperature=T)
    posterior = ww.infer(network(), X, y, temperature=T, throw=False)
    assert posterior.certificate.status == Status.NOT_CONVERGED
    assert not posterior.certificate.converged


def test_large_blocks_of_new_points_are_predicted_in_pieces(problem, monkeypatch):
    from widthwise.posterior import engine as module

    X, y, X_test, _ = problem
    posterior = ww.infer(network(), X, y, temperature=T, approximation="integrated")
    whole = posterior.predict(X_test)
    monkeypatch.setattr(module, "_BLOCK", 90)
    pieces = posterior.predict(X_test)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(pieces.variance, whole.variance, rtol=1e-10)


def test_validity_words(problem):
    X, y, *_ = problem
    wide = ww.infer(network(10**5), X, y, temperature=1.0).validity
    narrow = ww.infer(network(2), X, y, temperature=1e-3, approximation="saddle").validity
    assert wide.verdict == "sound"
    assert narrow.verdict == "outside"
    assert narrow.product == narrow.rho * narrow.tau
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ww.infer(network(2), X, y, temperature=1e-3)
