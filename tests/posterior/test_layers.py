"""Layers that reshape the kernel (closures at depth, biases) through `infer`: the printed action, limits, refusals."""

import numpy as np
import pytest
from deep_kernels import LAM, biased, linearised, nested
from scipy.optimize import minimize

import widthwise as ww

T = 0.1
CLOSURES = ("nested", "linearised")
FIELDS = ("total", "bias", "variance")


def network(widths=(12, 9), activation="erf", **options):
    return ww.FullyConnected(widths, activation, LAM[: len(widths) + 1], **options)


def infer(net, X, y, **options):
    return ww.infer(net, X, y, **{"temperature": T} | options)


@pytest.fixture
def data(rng):
    X = rng.normal(size=(26, 4))
    y = np.tanh(X[:, 0]) + 0.5 * X[:, 1] ** 2
    return X[:20], y[:20], X[20:], y[20:]


@pytest.mark.parametrize(
    ("closure", "options", "kernel"),
    [
        ("nested", {}, nested),
        ("linearised", {}, linearised),
        ("global", {"bias_variance": (0.3, 0.2)}, biased),
        ("nested", {"bias_variance": (0.3, 0.2)}, biased),
    ],
)
def test_the_saddle_minimises_the_printed_action_and_predicts_with_its_kernel(data, closure, options, kernel):
    """With biases `global` is `nested`. The minimum by scipy, the Gaussian process by dense algebra."""
    X, y, X_test, y_test = data
    widths, P, Z = (12, 9), len(X), np.concatenate([X, X_test])
    posterior = infer(network(widths, closure=closure, **options), X, y)

    def S(u):
        Q = np.exp(u)
        A = kernel(Q, X) + T * np.eye(P)
        sign, log_det = np.linalg.slogdet(A)
        if sign <= 0:
            return 1e3
        return (np.array(widths) / 9 * (Q - u)).sum() + (log_det + y @ np.linalg.solve(A, y)) / 9

    found = minimize(S, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-13})
    Q = posterior.order_parameters["Q"]
    np.testing.assert_allclose(Q, np.exp(found.x), rtol=2e-5)
    K = kernel(Q, Z)
    A = K[:P, :P] + T * np.eye(P)
    a = np.linalg.solve(A, y)
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(prediction.mean, K[P:, :P] @ a, atol=1e-7)
    covariance = K[P:, P:] - K[P:, :P] @ np.linalg.solve(A, K[:P, P:])
    np.testing.assert_allclose(prediction.covariance, covariance, atol=1e-7)
    np.testing.assert_allclose(posterior.renormalised_kernel(X_test, X), K[P:, :P], atol=1e-7)
    np.testing.assert_allclose(posterior.dual_vector, a, atol=1e-6)
    assert posterior.score(X_test, y_test).bias == pytest.approx(np.mean((y_test - K[P:, :P] @ a) ** 2), rel=1e-6)
    assert posterior.training_error.variance == pytest.approx(T * np.trace(np.linalg.solve(A, K[:P, :P])) / P, rel=1e-6)
    assert posterior.certificate.kind == "minimum"


ARCHITECTURES = {
    "nested": {"closure": "nested"},
    "linearised": {"closure": "linearised"},
    "biases": {"bias_variance": 0.3},
}


@pytest.fixture(params=[(name, how) for name in ARCHITECTURES for how in ("saddle", "integrated")])
def posterior(request, data):
    name, how = request.param
    few = ww.MonteCarlo(nodes=25)
    return infer(network(**ARCHITECTURES[name]), *data[:2], approximation=how, monte_carlo=few)


def test_every_answer_is_consistent_with_the_others(posterior, data):
    X, y, X_test, y_test = data
    prediction = posterior.predict(X_test, covariance=True)
    np.testing.assert_allclose(np.diag(prediction.covariance), prediction.variance, atol=1e-10)
    np.testing.assert_allclose(posterior.predict(X_test).variance, prediction.variance, atol=1e-12)
    assert prediction.output_covariance.shape == (6, 1, 1)
    train, again = posterior.training_error, posterior.score(X, y)
    for name in FIELDS:
        assert getattr(again, name) == pytest.approx(getattr(train, name), rel=1e-8)
    np.testing.assert_allclose(T * posterior.dual_vector, y - posterior.predict(X).mean, atol=1e-9)
    own = posterior.renormalised_kernel(X)
    np.testing.assert_allclose(own, own.T, atol=1e-12)
    low, high = prediction.interval(0.9)
    if posterior.approximation == "saddle":
        kernel = posterior.renormalised_kernel(X_test, X)
        np.testing.assert_allclose(kernel @ posterior.dual_vector, prediction.mean, atol=1e-9)
        np.testing.assert_allclose(high - low, 2 * 1.6448536269514722 * prediction.standard_deviation)
    assert ((low < prediction.mean) & (prediction.mean < high)).all()
    assert posterior.load == (20 / 12, 20 / 9)
    assert np.isfinite([posterior.log_evidence, posterior.validity.tau, posterior.validity.rho]).all()
    assert posterior.order_parameters["Q"].shape == (2,)
    assert posterior.score(X_test, np.sign(y_test)).accuracy is not None


def test_saved_and_loaded_it_is_the_same(posterior, data, tmp_path):
    *_, X_test, y_test = data
    path = tmp_path / "posterior.npz"
    posterior.save(path)
    loaded = ww.load(path)
    assert loaded.certificate == posterior.certificate
    assert loaded.network == posterior.network
    assert loaded.log_evidence == pytest.approx(posterior.log_evidence, abs=1e-9)
    assert loaded.score(X_test, y_test).total == pytest.approx(posterior.score(X_test, y_test).total, rel=1e-10)
    assert loaded.training_error.total == pytest.approx(posterior.training_error.total, rel=1e-10)


# --- what it reduces to ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closure", CLOSURES)
def test_infinite_width(data, closure):
    X, y, X_test, y_test = data
    net = network((10**7, 10**7, 10**7), closure=closure)
    wide, infinite = infer(net, X, y), infer(net, X, y, approximation="infinite")
    np.testing.assert_allclose(wide.order_parameters["Q"], 1.0, atol=1e-5)
    np.testing.assert_allclose(wide.predict(X_test).mean, infinite.predict(X_test).mean, atol=1e-5)
    assert wide.score(X_test, y_test).total == pytest.approx(infinite.score(X_test, y_test).total, rel=1e-5)
    assert wide.log_evidence == pytest.approx(infinite.log_evidence, abs=1e-4)


@pytest.mark.parametrize("options", [{"closure": "nested"}, {"closure": "linearised"}, {"bias_variance": 0.3}])
def test_wide_layers_below_leave_one_layer_on_the_deep_kernel(data, options):
    X, y, X_test, y_test = data
    deep = network((10**7, 10**7, 8), **options)
    kernel = infer(deep, X, y, approximation="infinite").renormalised_kernel
    one, many = infer(ww.PrecomputedKernel([8]), kernel(X), y), infer(deep, X, y)
    expected = one.score(kernel(X_test, X), y_test, np.diag(kernel(X_test)))
    assert many.score(X_test, y_test).total == pytest.approx(expected.total, rel=1e-5)
    np.testing.assert_allclose(many.order_parameters["Q"], [1, 1, one.order_parameters["Q"][0]], atol=1e-5)
    assert many.log_evidence == pytest.approx(one.log_evidence, abs=1e-4)


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_homogeneous_networks_without_biases_have_one_closure(data, activation):
    X, y, X_test, y_test = data
    options = {"approximation": "saddle"}
    totals = [
        infer(network((6, 9), activation, closure=closure), X, y, **options).score(X_test, y_test)
        for closure in ("global", *CLOSURES)
    ]
    assert totals[0] == totals[1] == totals[2]


def test_vanishing_biases_leave_the_nested_closure_and_homogeneous_ones_the_global(data):
    X, y, X_test, _ = data
    for activation, closure in (("erf", "nested"), ("relu", "global")):
        tiny = infer(network(activation=activation, bias_variance=1e-9), X, y)
        none = infer(network(activation=activation, closure=closure), X, y)
        np.testing.assert_allclose(tiny.predict(X_test).mean, none.predict(X_test).mean, atol=1e-5)
        np.testing.assert_allclose(tiny.order_parameters["Q"], none.order_parameters["Q"], rtol=1e-5)


def test_the_closures_agree_to_first_order_about_infinite_width(data):
    """Linearised − nested falls as 1/N², nested − global as 1/N."""
    X, y, X_test, _ = data
    gaps = []
    for N in (400, 1600):
        means = {c: infer(network((N, N), closure=c), X, y).predict(X_test).mean for c in ("global", *CLOSURES)}
        gaps.append([np.abs(means[c] - means["nested"]).max() for c in ("linearised", "global")])
    ratios = np.array(gaps[0]) / gaps[1]
    assert 10 < ratios[0] < 22, ratios
    assert 3 < ratios[1] < 5, ratios


@pytest.mark.parametrize("closure", CLOSURES)
def test_invariances(data, closure):
    """The order of examples, the sign of y, rotated inputs, X → √c X with λ_0 → c λ_0."""
    X, y, X_test, y_test = data
    order = np.random.default_rng(0).permutation(20)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    scaled = ww.FullyConnected((12, 9), "erf", (2.3 * LAM[0], *LAM[1:3]), closure=closure)
    net = network(closure=closure)
    found = [
        infer(net, X, y).score(X_test, y_test).total,
        infer(net, X[order], y[order]).score(X_test, y_test).total,
        infer(net, X, -y).score(X_test, -y_test).total,
        infer(net, X @ turn, y).score(X_test @ turn, y_test).total,
        infer(scaled, np.sqrt(2.3) * X, y).score(np.sqrt(2.3) * X_test, y_test).total,
    ]
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize("options", [{"closure": "nested"}, {"closure": "linearised"}, {"bias_variance": 0.2}])
def test_prepared_data_serve_every_width(data, options):
    X, y, X_test, y_test = data
    prepared = ww.prepare(network((3, 3), **options), X)
    quick = ww.infer(prepared, y, temperature=T, widths=(12, 9))
    direct = infer(network(**options), X, y)
    assert quick.network == direct.network
    for at in (X_test, prepared.at(X_test)):
        assert quick.score(at, y_test).total == pytest.approx(direct.score(X_test, y_test).total, rel=1e-9)


def test_outside_its_domain_the_linearised_closure_is_an_error_or_a_status():
    """Narrow first layer, small targets: at the minimum K_R is indefinite, as its eigenvalues show."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 4))
    y = np.tanh(X[:, 0])
    net = ww.FullyConnected((1, 100), "erf", (0.3, 1.0, 1.0), closure="linearised")
    with pytest.raises(ww.NumericalError, match="linearised closure: outside the domain"):
        infer(net, X, y, temperature=0.01)
    posterior = infer(net, X, y, temperature=0.01, throw=False)
    assert posterior.certificate.status == "outside the domain"
    assert not posterior.certificate.converged
    assert np.linalg.eigvalsh(posterior.renormalised_kernel(X))[0] < -1e-4
    assert infer(ww.FullyConnected((1, 100), "erf", (0.3, 1.0, 1.0), closure="nested"), X, y).certificate.converged


@pytest.mark.parametrize("closure", CLOSURES)
def test_wide_layers_need_no_integral(data, closure):
    """Integrated and saddle are the same process, and the same evidence, at large width."""
    X, y, X_test, y_test = data
    wide = network((10**6, 10**6), closure=closure)
    few = ww.MonteCarlo(nodes=25)
    saddle, integrated = (infer(wide, X, y, approximation=how, monte_carlo=few) for how in ("saddle", "integrated"))
    assert integrated.score(X_test, y_test).total == pytest.approx(saddle.score(X_test, y_test).total, rel=1e-4)
    assert integrated.log_evidence == pytest.approx(saddle.log_evidence, abs=1e-4)
    assert integrated.certificate.quadrature_error < 1e-8


def test_more_kernels_than_are_held_are_made_again(data, monkeypatch):
    X, y, X_test, y_test = data
    posterior = infer(network(closure="nested"), X, y, approximation="integrated", monte_carlo=ww.MonteCarlo(nodes=25))
    held = [posterior.score(X_test, y_test).total, posterior.training_error.total, *posterior.dual_vector]
    monkeypatch.setattr("widthwise.posterior.layers._HELD", 0)
    again = infer(network(closure="nested"), X, y, approximation="integrated", monte_carlo=ww.MonteCarlo(nodes=25))
    assert held == [again.score(X_test, y_test).total, again.training_error.total, *again.dual_vector]
    assert "_kept" in vars(posterior.law)
    assert "_kept" not in vars(again.law)


def test_two_rules_that_disagree_are_refused_or_a_status(data):
    X, y, *_ = data
    options = {"approximation": "integrated", "monte_carlo": ww.MonteCarlo(nodes=4)}
    with pytest.raises(ww.NumericalError, match=r"between two rules .*MonteCarlo\(nodes=32\)"):
        infer(network((2, 2, 2), closure="nested"), X, y, **options)
    posterior = infer(network((2, 2, 2), closure="nested"), X, y, throw=False, **options)
    assert posterior.certificate.status == "not settled"
    assert not posterior.certificate.converged


def test_a_file_of_the_saddle_s_own_format_is_read(data, tmp_path):
    """Format 2 held one node, and neither weights nor a seed."""
    X, y, X_test, _ = data
    posterior = infer(network(closure="nested"), X, y)
    posterior.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as stored:
        arrays = dict(stored)
    del arrays["weights"], arrays["monte_carlo"]
    arrays |= {"Q": arrays["Q"][0], "header": np.array(str(arrays["header"]).replace("posterior 3", "posterior 2"))}
    np.savez(tmp_path / "old.npz", **arrays)
    old = ww.load(tmp_path / "old.npz")
    np.testing.assert_array_equal(old.predict(X_test).mean, posterior.predict(X_test).mean)


REFUSALS = {
    "two parameters": (
        lambda X, y: infer(network(activation="relu", bias_variance=0.1), X, y, approximation="two-parameter"),
        "got 2 hidden layers",
    ),
    "outputs": (lambda X, y: infer(network(closure="nested"), X, np.stack([y, y], 1)), "expected one output"),
    "outputs, integrated": (
        lambda X, y: infer(network(bias_variance=0.1), X, np.stack([y, y], 1), approximation="integrated"),
        "expected one output",
    ),
    "precision": (
        lambda X, y: ww.infer(ww.prepare(network(closure="nested"), X), y, temperature=T, readout_precision=2.0),
        "set it in the network",
    ),
    "features": (lambda X, y: infer(network(closure="nested"), X, y).predict(X[:, :2]), "expected 4 features"),
    "diagonal": (lambda X, y: infer(network(closure="nested"), X, y).predict(X, y), "only with PrecomputedKernel"),
    "targets": (lambda X, y: infer(network(closure="nested"), X, y).score(X, np.stack([y, y], 1)), "expected 1 per"),
    "not finite": (lambda X, y: infer(network(closure="nested"), X, y * np.nan), "y: expected finite numbers"),
    "one number": (lambda X, y: infer(network(closure="nested"), X, y).action([1.0]), "expected one number as order"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(data, case):
    call, message = REFUSALS[case]
    with pytest.raises(ww.InputError, match=message) as caught:
        call(*data[:2])
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::widthwise.errors.DataWarning")
@pytest.mark.parametrize("closure", CLOSURES)
def test_zero_inputs_leave_the_noise_alone(data, closure):
    y = data[1]
    posterior = infer(network(closure=closure), np.zeros((20, 4)), y)
    assert posterior.certificate.converged
    np.testing.assert_allclose(posterior.order_parameters["Q"], 1.0, rtol=1e-9)
    assert posterior.training_error.total == pytest.approx(np.mean(y**2), rel=1e-12)
