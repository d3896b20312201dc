"""m̄ of every law: the trace over its kernel, the response of its mean, the actual network, the measured gap."""

import numpy as np
import pytest

import widthwise as ww

T = 0.1
LAM = (1.3, 0.8)
QUICK = ww.MonteCarlo(draws=40, warmup=40, nodes=64)


def dense(widths=(12,), activation="erf", **options):
    return ww.FullyConnected(widths, activation, (1.3, *[0.8] * len(widths)), **options)


CASES = {
    "saddle": (dense(), "saddle", 1),
    "infinite": (dense(), "infinite", 1),
    "integrated": (dense(), "integrated", 1),
    "two-parameter": (dense(activation="relu"), "two-parameter", 1),
    "deep": (dense((12, 9)), "integrated", 1),
    "nested": (dense((12, 9), closure="nested"), "saddle", 1),
    "nested integrated": (dense((12, 9), closure="nested"), "integrated", 1),
    "biases": (dense((12, 9), bias_variance=(0.3, 0.2)), "saddle", 1),
    "outputs": (dense(), "saddle", 2),
    "outputs infinite": (dense(), "infinite", 2),
    "outputs integrated": (dense(activation="identity"), "integrated", 2),
    "patches": (ww.Convolutional(8, (2, 2), activation="erf", weight_precisions=LAM), "saddle", 1),
    "patches, outputs": (ww.Convolutional(8, (2, 2), activation="erf", weight_precisions=LAM), "saddle", 2),
    "patches integrated": (ww.Convolutional(8, (2, 2), activation="erf", weight_precisions=LAM), "integrated", 1),
    "pooled": (ww.Convolutional(8, (2, 2), weight_precisions=LAM, readout="average"), "saddle", 1),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    """(name, posterior)."""
    network, approximation, D = CASES[request.param]
    rng = np.random.default_rng(7)
    X = rng.normal(size=(14, 2, 4) if isinstance(network, ww.Convolutional) else (14, 5))
    y = np.tanh(X.reshape(14, -1)[:, :5] @ rng.normal(size=(5, D))) + 0.3 * rng.normal(size=(14, D))
    options = {"temperature": T, "approximation": approximation, "throw": "integrated" not in request.param}
    options |= {"monte_carlo": QUICK} if approximation == "integrated" else {}
    return request.param, ww.infer(network, X, y if D > 1 else y[:, 0], **options)


def test_at_one_node_it_is_the_trace_over_the_renormalised_kernel(case):
    name, posterior = case
    K = posterior.renormalised_kernel(posterior.law.source.X)
    K = K.reshape(posterior.targets.size, -1)
    trace = np.trace(np.linalg.solve(T * np.eye(len(K)) + K, K)) / len(K)
    if posterior.approximation == "integrated" or name == "deep":
        assert abs(posterior.memorisation - trace) < 0.1 * trace  # of ⟨K_R⟩ alone
    else:
        assert posterior.memorisation == pytest.approx(trace, rel=1e-9)


def test_it_is_the_predicted_variance_of_the_training_points_over_the_temperature(case):
    _, posterior = case
    variance = posterior.predict(posterior.law.source.X).variance
    assert posterior.memorisation == pytest.approx(float(variance.mean()) / T, rel=1e-7)


def test_the_gibbs_error_is_the_mean_predictors_and_the_temperature_times_it(case):
    _, posterior = case
    D = posterior.targets.size // len(posterior.targets)
    errors = posterior.training_error
    mean = posterior.predict(posterior.law.source.X).mean
    bias = float(((posterior.targets - mean) ** 2).sum()) / len(mean)
    assert errors.bias == pytest.approx(bias, rel=1e-7)
    assert errors.total == pytest.approx(bias + T * D * posterior.memorisation, rel=1e-7)


def test_a_saved_posterior_remembers(case, tmp_path):
    _, posterior = case
    posterior.save(tmp_path / "posterior.npz")
    assert ww.load(tmp_path / "posterior.npz").memorisation == pytest.approx(posterior.memorisation, rel=1e-9)


# --- the response ---------------------------------------------------------------------------------------------------


def problem(P, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(P, 6))
    return X, np.tanh(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + 0.2 * rng.normal(size=P)


def response(mean, y):
    """tr ∂⟨f⟩/∂y per label, every label moved both ways."""
    h, total = 1e-4 * y.std(), 0.0
    for i, e in enumerate(h * np.eye(y.size)):
        above, below = (mean(y + sign * e.reshape(y.shape)).ravel()[i] for sign in (1, -1))
        total += (above - below) / (2 * h)
    return total / y.size


@pytest.mark.parametrize(
    ("network", "approximation", "P"),
    [
        (dense((16,)), "infinite", 16),
        (dense((16,)), "integrated", 16),
        (dense((3,), "relu"), "integrated", 12),
        pytest.param(dense((9, 5)), "integrated", 4, marks=pytest.mark.slow),
    ],
)
def test_the_integrated_law_responds_by_it_exactly(network, approximation, P):
    """Order parameters inferred again for every label: ∂⟨f⟩/∂y = Cov f/T, whatever the law of Q."""
    X, y = problem(P)

    def infer(y):
        return ww.infer(network, X, y, temperature=T, approximation=approximation, solver="eigenvalues")

    assert infer(y).memorisation == pytest.approx(response(lambda y: infer(y).predict(X).mean, y), rel=1e-6)


@pytest.mark.parametrize(("activation", "approximation"), [("erf", "saddle"), ("relu", "two-parameter")])
def test_the_saddle_responds_by_it_up_to_one_over_P(activation, approximation):
    for P in (10, 20):
        X, y = problem(P)

        def infer(y, X=X, P=P):
            return ww.infer(
                dense((P,), activation), X, y, temperature=T, approximation=approximation, solver="eigenvalues"
            )

        found = response(lambda y, infer=infer, X=X: infer(y).predict(X).mean, y)
        assert 0.0 < P * (found - infer(y).memorisation) < 0.25


def test_several_outputs_respond_by_it():
    """Two outputs: infinite width exactly, the saddle's matrix up to 1/P."""
    X, y = problem(6)
    Y = np.stack([y, np.sin(X[:, 3])], axis=1)

    def infer(Y, approximation):
        return ww.infer(dense((6,)), X, Y, temperature=T, approximation=approximation)

    for approximation, tolerance in (("infinite", 1e-8), ("saddle", 0.4 / 6)):
        found = response(lambda Y, how=approximation: infer(Y, how).predict(X).mean, Y)
        assert infer(Y, approximation).memorisation == pytest.approx(found, abs=tolerance)


@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
def test_refits_measure_it(approximation):
    """`ww.memorisation` of `infer` itself, by both methods, noise small enough for Q to follow."""
    X, y = problem(40)
    prepared = ww.prepare(dense((24,)), X)

    def fit(X, y):
        return ww.infer(prepared, y, temperature=T, approximation=approximation)

    exact = fit(X, y).memorisation
    for how in ({}, {"noise": 0.05}):
        found = ww.memorisation(fit, X, y, repeats=12, **how)
        assert abs(found.value - exact) < 3.5 * found.standard_error + 0.25 / 40
        assert found.standard_error < 0.08 * exact


def test_a_precomputed_kernel_is_the_network_and_kernel_ridge_regression():
    X, y = problem(30)
    infinite = ww.infer(dense(), X, y, temperature=T, approximation="infinite")
    K = infinite.renormalised_kernel(X)
    assert infinite.memorisation == pytest.approx(ww.bound.kernel_memorisation(K, T), rel=1e-10)
    for approximation in ("saddle", "integrated"):
        by_kernel = ww.infer(ww.PrecomputedKernel([12]), K, y, temperature=T, approximation=approximation)
        direct = ww.infer(dense(), X, y, temperature=T, approximation=approximation)
        assert by_kernel.memorisation == pytest.approx(direct.memorisation, rel=1e-8)


def test_it_is_that_of_the_actual_linear_network():
    """Weights drawn from the prior, weighed by the likelihood: the derivative of the posterior mean by the labels."""
    rng = np.random.default_rng(1)
    X, y, N, warm = rng.normal(size=(4, 3)), rng.normal(size=4), 2, 0.5
    n = 400_000
    W = rng.normal(size=(n, N, 3)) / np.sqrt(LAM[0] * 3)
    v = rng.normal(size=(n, N)) / np.sqrt(LAM[1] * N)
    f = np.einsum("sn,snj->sj", v, W) @ X.T

    def mean(y):
        log = -0.5 * ((y - f) ** 2).sum(1) / warm
        w = np.exp(log - log.max())
        return w @ f / w.sum()

    posterior = ww.infer(dense((N,), "identity"), X, y, temperature=warm)
    assert posterior.approximation == "integrated"
    assert posterior.memorisation == pytest.approx(response(mean, y), rel=0.01)
    fixed = sum(weight * component for weight, component in _freedom(posterior)) / 4
    assert abs(fixed / posterior.memorisation - 1) > 0.03  # the order parameter's own response is seen


def _freedom(posterior):
    return [(node.weight, node.freedom) for node in posterior.law.nodes()]


# --- limits and the gap ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approximation", ["saddle", "infinite", "integrated"])
def test_limits(approximation):
    """T → ∞: tr K_R/(T P), to all digits; T → 0: everything."""
    X, y = problem(12)
    hot = ww.infer(dense(), X, y, temperature=1e12, approximation=approximation)
    expected = np.trace(hot.renormalised_kernel(X)) / 12e12
    assert hot.memorisation == pytest.approx(expected, rel=1e-3)
    if approximation == "infinite":
        assert hot.memorisation == pytest.approx(expected, rel=1e-10)
    cold = ww.infer(dense(), X, y, temperature=1e-9, approximation=approximation)
    assert cold.memorisation == pytest.approx(1.0, abs=1e-5)


def test_the_mean_predictors_gap_is_the_one_that_it_predicts():
    """Gaussian inputs, a linear teacher with noise: ε_g of the linear mean predictor is known, no test data drawn."""
    N0, P, sigma, T, rows = 60, 150, 0.5, 0.5, []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        X, teacher = rng.normal(size=(P, N0)), rng.normal(size=N0) / np.sqrt(N0)
        y = X @ teacher + sigma * rng.normal(size=P)
        posterior = ww.infer(dense((75,), "identity"), X, y, temperature=T, approximation="saddle")
        test = np.sum((posterior.predict(np.eye(N0)).mean - teacher) ** 2) + sigma**2
        spread = posterior.predict(rng.normal(size=(40, N0))).variance.mean()
        train = posterior.training_error
        rows.append((train.bias, test, train.total, test + spread, posterior.memorisation))
    rows = np.array(rows)
    mean = rows.mean(axis=0)
    expected = 1 - (1 - mean[4]) ** 2
    each = rows[:, 0] - (1 - mean[4]) ** 2 * rows[:, 1]
    error = np.std(each, ddof=1) / np.sqrt(len(rows)) / mean[1]
    assert abs(1 - mean[0] / mean[1] - expected) < 3.5 * error
    assert error < 0.02
    assert abs(1 - mean[2] / mean[3] - expected) > 4 * error  # the Gibbs averages', which is another
