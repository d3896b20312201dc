"""The memorisation coefficient of any fit: closed forms, counted parameters, the measured gap, refusals."""

import warnings

import numpy as np
import pytest
from scipy.optimize import least_squares
from sklearn.cluster import KMeans
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

import widthwise as ww
from widthwise.bound import Measurement, kernel_memorisation


def ordinary(X, y):
    """Least squares of least norm, without a constant, by the pseudo-inverse."""
    v = np.linalg.pinv(X) @ y
    return lambda Z: Z @ v


@pytest.fixture
def data(rng):
    X = rng.normal(size=(40, 6))
    return X, X @ rng.normal(size=6) + 0.5 * rng.normal(size=40)


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("P", "p"), [(40, 6), (40, 20), (12, 12), (10, 25)])
@pytest.mark.parametrize("how", [{}, {"noise": 0.7}, {"perturbation": 3.0}])
def test_least_squares_memorises_its_parameters(rng, P, p, how):
    """m = min(1, p/P), at every size of the change."""
    X, y = rng.normal(size=(P, p)), rng.normal(size=P)
    found = ww.memorisation(ordinary, X, y, repeats=64, **how)
    assert abs(found.value - min(1.0, p / P)) <= 3.5 * found.standard_error + 1e-9
    assert found.standard_error < 0.03
    assert (found.method, found.repeats) == ("noise" if "noise" in how else "perturbation", 64)
    assert found.deterministic
    assert not found.warm


def hat_trace(model, X, P):
    """tr H/P: the fit to every unit vector of labels."""
    return np.mean([model.fit(X, e).predict(X)[i] for i, e in enumerate(np.eye(P))])


@pytest.mark.parametrize(
    "model",
    [
        Ridge(alpha=7.0),
        LinearRegression(),
        KernelRidge(alpha=0.3, kernel="rbf", gamma=0.1),
        KNeighborsRegressor(4),
        KNeighborsRegressor(1),
        GaussianProcessRegressor(RBF(2.0), alpha=0.2, optimizer=None),
    ],
    ids=lambda model: type(model).__name__,
)
def test_scikit_learn_estimators_are_cloned_and_answered(data, model):
    X, y = data
    before = dict(vars(model))
    found = ww.memorisation(model, X, y, repeats=48)
    assert dict(vars(model)) == before
    assert abs(found.value - hat_trace(model, X, len(y))) <= 3.5 * found.standard_error + 1e-9


def test_neighbours_are_exact():
    """k neighbours, itself one of them: the diagonal is 1/k, and nothing else where groups are apart."""
    X = np.repeat(np.arange(10.0), 4)[:, None] * 100 + np.tile([0.0, 1e-3, 2e-3, 3e-3], 10)[:, None]
    y = np.sin(np.arange(40.0))
    one = ww.memorisation(KNeighborsRegressor(1), X, y, repeats=2)
    assert one.value == pytest.approx(1.0, abs=1e-12)
    assert one.standard_error == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(one.predicted_error.value)
    four = ww.memorisation(KNeighborsRegressor(4), X, y, repeats=200)
    assert abs(four.value - 0.25) < 3.5 * four.standard_error


@pytest.mark.parametrize("ridge", [1e-6, 0.3, 20.0])
def test_kernel_memorisation_is_the_trace_of_the_hat_matrix(data, ridge):
    X, y = data
    K = np.exp(-0.1 * ((X[:, None] - X) ** 2).sum(-1))
    model = KernelRidge(alpha=ridge, kernel="precomputed")
    assert kernel_memorisation(K, ridge) == pytest.approx(hat_trace(model, K, len(y)), rel=1e-7)


def test_kernel_memorisation_without_a_ridge_is_the_rank(data):
    X, _ = data
    K = X @ X.T
    assert kernel_memorisation(K, 0.0) == pytest.approx(6 / 40, abs=1e-15)
    assert kernel_memorisation(1e-20 * K, 0) == pytest.approx(6 / 40, abs=1e-15)
    assert kernel_memorisation(K.astype(np.float32), 0.0) == pytest.approx(6 / 40, abs=1e-15)
    for ridge in (1e-9, 1e-6):  # the rounding of single precision is not memorised either
        assert kernel_memorisation(K.astype(np.float32), ridge) == pytest.approx(6 / 40, rel=1e-6)
    assert kernel_memorisation(K, 1e-9) == pytest.approx(6 / 40, rel=1e-9)
    rounded = K + 1e-10 * np.abs(K).max() * np.triu(np.ones((40, 40)))
    assert kernel_memorisation(rounded, 1.0) == pytest.approx(kernel_memorisation(K, 1.0), rel=1e-6)
    assert kernel_memorisation(np.zeros((3, 3)), 0.0) == 0.0
    assert kernel_memorisation(np.eye(3), 1.0) == 0.5


# --- networks -------------------------------------------------------------------------------------------------------


def network(hidden, inputs=4, guess=None):
    """One layer of tanh units with biases, by Levenberg and Marquardt; warm from `start`."""
    p = hidden * (inputs + 2) + 1

    def parts(theta, X):
        W, b = theta[: hidden * inputs].reshape(inputs, hidden), theta[hidden * inputs : hidden * (inputs + 1)]
        v, c = theta[hidden * (inputs + 1) : -1], theta[-1]
        return np.tanh(X @ W + b), v, c

    def f(theta, X):
        h, v, c = parts(theta, X)
        return h @ v + c

    def jacobian(theta, X):
        h, v, _ = parts(theta, X)
        slope = (1 - h**2) * v
        dW = (X[:, :, None] * slope[:, None, :]).reshape(len(X), -1)
        return np.concatenate([dW, slope, h, np.ones((len(X), 1))], axis=1)

    class Predictor:
        def __init__(self, theta):
            self.theta = theta

        def predict(self, X):
            return f(self.theta, X)

    def fit(X, y, *, start=None):
        theta = guess if start is None else start.theta
        if len(y) < p:  # fewer residuals than parameters: a trust region, to no residual
            found = least_squares(lambda t: f(t, X) - y, theta, lambda t: jacobian(t, X), xtol=1e-12, gtol=1e-12)
        else:
            found = least_squares(lambda t: f(t, X) - y, theta, lambda t: jacobian(t, X), method="lm", xtol=1e-12)
        return Predictor(found.x)

    return fit, f, p


def test_a_trained_network_memorises_everything_below_its_parameters_and_p_over_P_above(rng):
    """Trained from the teacher, where all 13 parameters are alive (from elsewhere a unit often ends as a step)."""
    truth = np.random.default_rng(8).normal(size=13)
    fit, f, p = network(2, guess=truth)
    assert p == 13

    def labels(P):
        X = rng.normal(size=(P, 4))
        return X, f(truth, X) + 0.05 * rng.normal(size=P)

    few = ww.memorisation(fit, *labels(8), repeats=4)
    assert few.warm
    assert few.value == pytest.approx(1.0, abs=1e-6)
    X, y = labels(400)
    X_test, y_test = labels(4000)
    many = ww.memorisation(fit, X, y, repeats=48, X_test=X_test, y_test=y_test)
    assert abs(many.value - p / 400) < 3.5 * many.standard_error
    assert many.standard_error < 0.1 * p / 400
    assert many.agrees
    cold = ww.memorisation(lambda X, y: fit(X, y), X, y, repeats=2)
    assert not cold.warm
    assert cold.value == pytest.approx(ww.memorisation(fit, X, y, repeats=2).value, rel=1e-3)


def test_a_warm_refit_begins_at_the_fit_of_the_labels_as_given(data):
    X, y = data
    seen = []

    def fit(X, y, start=None):
        seen.append(start)
        model = Ridge().fit(X, y)
        return model

    found = ww.memorisation(fit, X, y, repeats=3)
    assert found.warm
    assert "warm" in str(found)
    assert len(seen) == 2 * 3 + 2
    assert seen[0] is None
    assert seen[1] is not None
    assert all(start is seen[1] for start in seen[1:])


def test_a_lazy_student_is_seen_as_the_lower_estimate_that_it_is(data):
    """A warm fit that goes half of the way remembers half as much of the change."""
    X, y = data

    def lazy(X, y, start=None):
        v = np.linalg.pinv(X) @ y
        v = v if start is None else 0.5 * (v + start.v)
        predict = lambda Z: Z @ v  # noqa: E731
        predict.v = v
        return predict

    whole, half = (ww.memorisation(fit, X, y) for fit in (ordinary, lazy))
    assert half.value == pytest.approx(0.5 * whole.value, rel=1e-9)


# --- the identity ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("P", "ridge"), [(150, 1e-8), (150, 60.0), (60, 40.0), (400, 5.0)])
def test_the_predicted_ratio_is_the_measured_gap(P, ridge):
    """Gaussian inputs with a spectrum, N0 = 100, a noisy teacher: (ε_g − ε_t)/ε_g = 1 − (1 − m)² within the errors."""
    scale, pulls = np.linspace(0.3, 2.0, 100), []
    for seed in range(12):
        random = np.random.default_rng(seed)
        Z = random.normal(size=(P + 3000, 100)) * scale
        t = Z @ random.normal(size=100) / 10 + 0.7 * random.normal(size=P + 3000)
        X, y, X_test, y_test = Z[:P], t[:P], Z[P:], t[P:]
        found = ww.memorisation(Ridge(alpha=ridge, fit_intercept=False), X, y, X_test=X_test, y_test=y_test)
        predicted, measured = found.predicted_ratio, found.measured_ratio
        pulls.append((predicted.value - measured.value) / np.hypot(predicted.standard_error, measured.standard_error))
        model = Ridge(alpha=ridge, fit_intercept=False).fit(X, y)
        low, high = (np.mean((b - model.predict(a)) ** 2) for a, b in ((X, y), (X_test, y_test)))
        assert measured.value == pytest.approx(1 - low / high, rel=1e-9)
        assert found.training_error == pytest.approx(low, rel=1e-9)
        assert found.generalisation_error.value == pytest.approx(high, rel=1e-9)
        expected = low / (1 - found.value) ** 2
        assert found.predicted_error.value == pytest.approx(expected, rel=1e-9)
        assert found.agrees == (abs(pulls[-1]) <= 2.0)
    assert abs(np.mean(pulls)) < 3.5 / np.sqrt(len(pulls))
    assert np.std(pulls) < 2.5


def test_rounding_is_no_disagreement():
    """A fit that interpolates: both ratios are 1 within 1e-15, and so are their errors."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        X, y = random.normal(size=(220, 60)), random.normal(size=220)
        found = ww.memorisation(Ridge(alpha=1e-6), X[:20], y[:20], X_test=X[20:], y_test=y[20:])
        assert found.predicted_ratio.standard_error < 1e-14
        assert found.agrees


# --- what does not depend on the labels -----------------------------------------------------------------------------


def test_noise_and_perturbation_agree_where_the_fit_is_linear_and_differ_where_it_is_not(data):
    X, y = data
    small, large = (ww.memorisation(Ridge(), X, y, repeats=64, **how) for how in ({}, {"noise": 2.0}))
    assert abs(small.value - large.value) < 3.5 * np.hypot(small.standard_error, large.standard_error)

    def clipped(X, y):  # by rote up to 1
        return lambda Z: np.clip(y, -1.0, 1.0)

    assert ww.memorisation(clipped, X, 0.1 * np.tanh(y)).value == pytest.approx(1.0)
    assert ww.memorisation(clipped, X, 0.1 * np.tanh(y), noise=5.0).value < 0.5


def test_standard_errors_are_those_of_the_spread(data):
    """Of 200 estimates of 8 pairs: their spread, and that it is about what each one says."""
    X, y = data
    found = [ww.memorisation(ordinary, X, y, key=key) for key in range(200)]
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)
    assert np.mean([one.value for one in found]) == pytest.approx(6 / 40, abs=3.5 * spread / np.sqrt(200))
    ratios = [one.predicted_ratio for one in found]
    assert np.mean([one.standard_error for one in ratios]) == pytest.approx(np.std([r.value for r in ratios]), rel=0.2)


def test_the_measured_ratios_error_is_its_spread_over_samples(rng):
    """A predictor that ignores the labels: both errors are means over independent examples."""

    def fit(X, y):
        return lambda Z: np.zeros(len(Z))

    def draw(P, n):
        found = ww.memorisation(fit, np.ones(P), rng.normal(size=P), X_test=np.ones(n), y_test=2 * rng.normal(size=n))
        return found.measured_ratio

    for P, n in ((200, 40), (40, 200)):
        ratios = [draw(P, n) for _ in range(150)]
        spread = np.std([ratio.value for ratio in ratios], ddof=1)
        assert np.median([ratio.standard_error for ratio in ratios]) == pytest.approx(spread, rel=0.25)


def test_the_same_key_gives_the_same_number_and_more_repeats_keep_the_first(data):
    X, y = data
    a, b, c = (ww.memorisation(ordinary, X, y, key=key) for key in (3, 3, 4))
    assert a.value == b.value
    assert a.value != c.value
    one, two = (ww.memorisation(ordinary, X, y, repeats=R) for R in (1, 2))
    assert np.isnan(one.standard_error)
    assert "?" in str(one)
    other = 2 * two.value - one.value
    assert two.standard_error == pytest.approx(abs(one.value - other) / 2, rel=1e-9)


def test_units_shift_and_order_do_not_matter(data):
    X, y = data
    reference = ww.memorisation(ordinary, X, y, perturbation=0.1).value
    assert ww.memorisation(ordinary, X, 1e6 * y).value == pytest.approx(reference, rel=1e-9)
    assert ww.memorisation(Ridge(), X, y + 50).value == pytest.approx(ww.memorisation(Ridge(), X, y).value, rel=1e-7)


def test_several_outputs_are_counted_per_label(rng):
    """Two outputs by two ridges: the mean of both; errors are sums over the outputs."""
    X, Y = rng.normal(size=(40, 6)), rng.normal(size=(40, 2))

    def fit(X, Y):
        v = [np.linalg.solve(X.T @ X + lam * np.eye(6), X.T @ Y[:, d]) for d, lam in enumerate((0.0, 50.0))]
        return lambda Z: Z @ np.array(v).T

    exact = np.mean([np.trace(np.linalg.solve(X.T @ X + lam * np.eye(6), X.T @ X)) / 40 for lam in (0.0, 50.0)])
    found = ww.memorisation(fit, X, Y, repeats=64, X_test=X, y_test=Y)
    assert abs(found.value - exact) < 3.5 * found.standard_error
    assert found.training_error == pytest.approx(np.mean(((Y - fit(X, Y)(X)) ** 2).sum(1)))
    assert found.measured_ratio.value == pytest.approx(0.0, abs=1e-12)


def test_predictors_of_every_kind(data):
    """(P,), (P, 1), float32, another library's array, an object with `.mean`, labels as a column."""
    import jax.numpy as jnp

    class Mean:
        def __init__(self, mean):
            self.mean = mean

    X, y = data
    reference = ww.memorisation(ordinary, X, y)
    for change in (lambda f: f[:, None], lambda f: f.tolist(), Mean, jnp.asarray, lambda f: Mean(f[:, None])):
        found = ww.memorisation(lambda X, y, change=change: lambda Z: change(ordinary(X, y)(Z)), X, y)
        assert found.value == pytest.approx(reference.value, rel=1e-4)

    def column(X, y):
        assert y.shape == (40, 1)
        assert y.dtype == np.float64
        y += 0.0  # its own copy
        return ordinary(X, y)

    y.setflags(write=False)
    assert ww.memorisation(column, X, y[:, None]).value == pytest.approx(reference.value, rel=1e-12)


def test_a_fit_that_is_not_deterministic_is_said_to_be_so(data):
    X, y = data
    random = np.random.default_rng(0)

    def fit(X, y):
        f = ordinary(X, y)
        return lambda Z: f(Z) + 0.05 * random.normal(size=len(Z))

    with pytest.warns(ww.DataWarning, match=r"same predictions for the same labels.*seed the fit"):
        found = ww.memorisation(fit, X, y, perturbation=1e-3)
    assert not found.deterministic
    assert "not deterministic" in str(found)
    loud = found.standard_error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ww.memorisation(fit, X, y, noise=0.5, repeats=32)
    assert not found.deterministic
    assert found.standard_error < 0.05 * loud
    assert abs(found.value - 6 / 40) < 3.5 * found.standard_error


def test_it_reads_as_a_few_lines(data):
    X, y = data
    text = str(ww.memorisation(Ridge(), X, y, noise=0.3, X_test=X[:10], y_test=y[:10] + 1))
    assert len(text.splitlines()) == 4
    for part in ("memorisation", "8 pairs", "0.3 × Gaussian noise", "predicted", "measured"):
        assert part in text
    found = ww.memorisation(ordinary, X, y)
    assert (found.measured_ratio, found.generalisation_error, found.agrees) == (None, None, None)
    assert len(str(found).splitlines()) == 3
    assert isinstance(found.predicted_ratio, Measurement)
    zero = ww.memorisation(KNeighborsRegressor(1), X, y, X_test=X, y_test=y)
    assert zero.measured_ratio is None
    assert zero.agrees is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": 3}, r"fit: expected a function .*got int"),
        ({"fit": LogisticRegression()}, r"fit: expected a regressor.*LogisticRegression"),
        ({"fit": lambda X, y: None}, r"fit: expected to get a predictor .*got NoneType"),
        ({"fit": lambda X, y: lambda Z: np.zeros(7)}, r"predictions at X: expected shape \(40,\).*got \(7,\)"),
        ({"fit": lambda X, y: lambda Z: np.zeros((40, 2))}, r"predictions at X: .*got \(40, 2\)"),
        ({"fit": lambda X, y: lambda Z: np.full(40, np.nan)}, r"predictions at X: expected finite"),
        ({"repeats": 0}, r"repeats: .*at least 1, got 0"),
        ({"key": -1}, r"key: .*at least 0, got -1"),
        ({"noise": 0.0}, r"noise: expected a number above zero"),
        ({"noise": -1.0}, r"noise: expected .*got -1"),
        ({"perturbation": float("inf")}, r"perturbation: .*got inf"),
        ({"noise": 1.0, "perturbation": 1.0}, r"noise: .*got both; pass one"),
        ({"y": np.ones(40)}, r"perturbation: expected targets that vary.*pass perturbation"),
        ({"y": np.ones(39)}, r"y: expected one row per example \(40\), got 39"),
        ({"y": np.full(40, np.inf)}, r"y: expected finite"),
        ({"X": 1.0}, r"X: expected examples"),
        ({"X_test": np.ones((3, 6))}, r"X_test: expected with y_test"),
        ({"X_test": np.ones((3, 6)), "y_test": np.ones(4)}, r"y_test: expected one row per example \(3\), got 4"),
        ({"X_test": np.ones((3, 6)), "y_test": np.ones((3, 2))}, r"y_test: expected 1 outputs"),
    ],
)
def test_bad_input_is_refused_in_one_line(data, change, message):
    given = {"fit": ordinary, "X": data[0], "y": data[1]} | change
    with pytest.raises(ww.InputError, match=message) as caught:
        ww.memorisation(**given)
    assert "\n" not in str(caught.value)


def test_an_error_of_the_fit_is_its_own(data):
    with pytest.raises(ZeroDivisionError):
        ww.memorisation(lambda X, y: 1 / 0, *data)
    with pytest.raises(ww.InputError, match="predictions at X"):
        ww.memorisation(KMeans(2, n_init=1), data[0], np.stack([data[1]] * 2, axis=1))


def test_a_class_of_estimators_is_refused_in_one_line(data):
    with pytest.raises(ww.InputError, match=r"got the class Ridge; pass an instance, Ridge\(…\)\."):
        ww.memorisation(Ridge, *data)


def test_a_fit_or_predictor_that_writes_into_its_inputs_spoils_nothing(data):
    X, y = data

    def careless(Z, labels):
        v = np.linalg.lstsq(Z, labels)[0]
        Z *= -3.0

        def predict(W):
            values = W @ v
            W -= 1.0
            return values

        return predict

    before = X.copy()
    assert ww.memorisation(careless, X, y).value == pytest.approx(ww.memorisation(ordinary, X, y).value)
    np.testing.assert_array_equal(X, before)


def test_constant_targets_need_their_own_perturbation(data):
    assert ww.memorisation(ordinary, data[0], np.ones(40), perturbation=0.1, repeats=2).value > 0


@pytest.mark.parametrize(
    ("K", "ridge", "message"),
    [
        (np.ones((2, 3)), 1.0, r"K: expected a square matrix \(P, P\), got \(2, 3\)"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), 1.0, "K: expected a symmetric matrix"),
        (np.diag([1.0, -1.0]), 1.0, r"K: expected a positive semi-definite.*-1"),
        (np.eye(2), -1.0, r"ridge: .*at least 0, got -1"),
        (np.full((2, 2), np.nan), 1.0, r"K: expected finite"),
    ],
)
def test_bad_kernels_are_refused(K, ridge, message):
    with pytest.raises(ww.InputError, match=message):
        kernel_memorisation(K, ridge)
