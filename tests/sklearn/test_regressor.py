"""The regressor is `infer`, is scikit-learn's Gaussian process at infinite width, and keeps scikit-learn's manners."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import widthwise as ww
from widthwise.sklearn import FiniteWidthRegressor

T, LAM = 0.07, (1.4, 0.7)
SHORT = ww.MonteCarlo(chains=4, draws=200, warmup=200, nodes=64)
ARCHITECTURES = {
    "connected": {"widths": [9], "weight_precisions": LAM, "bias_variance": 0.2},
    "integrated": {"widths": [9], "activation": "identity", "weight_precisions": LAM},
    "nested": {"widths": [9, 7], "weight_precisions": (*LAM, 0.9), "closure": "nested"},
    "two-parameter": {"widths": [9], "activation": "relu", "weight_precisions": LAM, "approximation": "two-parameter"},
    "images": {
        "channels": 8,
        "patch": (1, 3),
        "image_shape": (2, 3),
        "weight_precisions": LAM,
        "approximation": "saddle",
    },
    "pooled": {"channels": 8, "patch": 1, "image_shape": (1, 2, 3), "weight_precisions": LAM, "readout": "average"},
    "kernel": {"widths": 9, "kernel": ConstantKernel(0.8) * RBF(1.5)},
}
LONG = pytest.mark.slow  # integrals over matrices
SEVERAL = ["connected", pytest.param("integrated", marks=LONG), "pooled", "kernel"]


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(37, 6))
    y = 3.0 + 2.0 * np.stack([np.tanh(X[:, 0]) + 0.5 * X[:, 1], X[:, 2] * X[:, 0]], 1)
    return X[:30], y[:30], X[30:]


def network(name):
    parameters = {k: v for k, v in ARCHITECTURES[name].items() if k not in ("approximation", "image_shape")}
    return (ww.Convolutional if "channels" in parameters else ww.FullyConnected)(**parameters)


def shaped(name, X):
    return X.reshape(-1, *ARCHITECTURES[name].get("image_shape", (6,)))


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "kernel"])
def test_it_is_infer(problem, name):
    X, y, X_new = problem
    estimator = FiniteWidthRegressor(**ARCHITECTURES[name], temperature=T).fit(X, y[:, 0])
    how = ARCHITECTURES[name].get("approximation")
    posterior = ww.infer(network(name), shaped(name, X), y[:, 0], temperature=T, approximation=how)
    prediction = posterior.predict(shaped(name, X_new), covariance=True)
    mean, covariance = estimator.predict(X_new, return_cov=True)
    np.testing.assert_allclose(mean, prediction.mean)
    np.testing.assert_allclose(covariance, prediction.covariance, atol=1e-12)
    np.testing.assert_allclose(estimator.predict(X_new, return_std=True)[1] ** 2, np.diag(covariance), rtol=1e-9)
    assert estimator.log_marginal_likelihood() == posterior.log_evidence
    assert estimator.posterior_.network == posterior.network
    assert estimator.noise_variance_ == T


@pytest.mark.parametrize("name", SEVERAL)
def test_several_outputs_are_infer(problem, name):
    X, y, X_new = problem
    estimator = FiniteWidthRegressor(**ARCHITECTURES[name], temperature=T, monte_carlo=SHORT).fit(X, y)
    mean, covariance = estimator.predict(X_new, return_cov=True)
    assert mean.shape == (7, 2)
    assert covariance.shape == (7, 2, 7, 2)
    if name != "kernel":
        posterior = ww.infer(network(name), shaped(name, X), y, temperature=T, monte_carlo=SHORT)
        np.testing.assert_allclose(mean, posterior.predict(shaped(name, X_new)).mean)
    std = estimator.predict(X_new, return_std=True)[1]
    np.testing.assert_allclose(std**2, np.einsum("ndnd->nd", covariance), rtol=1e-9)


class ArcSine(DotProduct):
    """The erf network's kernel, from Williams 1997."""

    def __call__(self, X, Y=None, eval_gradient=False):
        Y = X if Y is None else Y
        c = lambda a, b: a @ b.T / (LAM[0] * X.shape[1])  # noqa: E731
        d = lambda a: 1.0 + 2.0 * np.einsum("ij,ij->i", a, a) / (LAM[0] * X.shape[1])  # noqa: E731
        return 2.0 / np.pi * np.arcsin(2.0 * c(X, Y) / np.sqrt(np.outer(d(X), d(Y)))) / LAM[1]

    def diag(self, X):
        return np.diag(self(X))


KERNELS = {
    "erf": ({"activation": "erf", "weight_precisions": LAM}, ArcSine()),
    "identity": (
        {"activation": "identity", "weight_precisions": LAM},
        ConstantKernel(1.0 / (LAM[0] * LAM[1] * 6), "fixed") * DotProduct(0.0, "fixed"),
    ),
    "kernel": ({"kernel": ConstantKernel(0.8) * RBF(1.5)}, ConstantKernel(0.8) * RBF(1.5)),
}


@pytest.mark.parametrize("normalize_y", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", KERNELS)
def test_infinite_width_is_scikit_learns_gaussian_process(problem, name, outputs, normalize_y):
    X, y, X_new = problem
    y = y[:, 0] if outputs == 1 else y
    parameters, kernel = KERNELS[name]
    common = {"normalize_y": normalize_y}
    theirs = GaussianProcessRegressor(kernel, alpha=T, optimizer=None, **common).fit(X, y)
    ours = FiniteWidthRegressor(widths=3, **parameters, temperature=T, approximation="infinite", **common).fit(X, y)
    np.testing.assert_allclose(ours.predict(X_new), theirs.predict(X_new), atol=1e-9)
    np.testing.assert_allclose(
        ours.predict(X_new, return_std=True)[1], theirs.predict(X_new, return_std=True)[1], atol=1e-9
    )
    covariance, expected = (e.predict(X_new, return_cov=True)[1] for e in (ours, theirs))
    if outputs == 2:  # independent at infinite width: theirs are the diagonal blocks
        np.testing.assert_allclose(covariance[:, 0, :, 1], 0.0, atol=1e-12)
        covariance = np.einsum("ndmd->nmd", covariance)
    np.testing.assert_allclose(covariance, expected, atol=1e-9)
    assert ours.log_marginal_likelihood() == pytest.approx(theirs.log_marginal_likelihood(), abs=1e-7)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-9)


@pytest.mark.parametrize("name", ["connected", "kernel"])
def test_normalised_targets_are_another_temperature_and_prior(problem, name):
    """In units of y the prior variance is s²K_R and the noise s²T: of one output s² goes into the readout."""
    X, y, X_new = problem
    y = y[:, 0]
    s = y.std()
    parameters = dict(ARCHITECTURES[name])
    one = FiniteWidthRegressor(**parameters, temperature=T, normalize_y=True).fit(X, y)
    if name == "kernel":
        parameters["kernel"] = ConstantKernel(0.8 * s**2) * RBF(1.5)
    else:
        parameters["weight_precisions"] = (LAM[0], LAM[1] / s**2)
    other = FiniteWidthRegressor(**parameters, temperature=T * s**2).fit(X, y - y.mean())
    for a, b in zip(one.predict(X_new, return_cov=True), other.predict(X_new, return_cov=True)):
        np.testing.assert_allclose(a, b + (y.mean() if a.ndim == 1 else 0.0), rtol=1e-6, atol=1e-8)
    assert one.noise_variance_ == pytest.approx(T * s**2)
    density = one.log_marginal_likelihood() - len(y) * np.log(s)
    assert density == pytest.approx(other.log_marginal_likelihood(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("connected", 1),
        ("integrated", 1),
        ("two-parameter", 1),
        ("images", 1),
        ("connected", 2),
        pytest.param("integrated", 2, marks=LONG),
        ("kernel", 2),
    ],
)
def test_draws_have_the_posteriors_moments(problem, name, outputs):
    X, y, X_new = problem
    y, n = (y[:, 0] if outputs == 1 else y), 4000
    estimator = FiniteWidthRegressor(
        **ARCHITECTURES[name], temperature=T, monte_carlo=SHORT, normalize_y=outputs == 2
    ).fit(X, y)
    f = estimator.sample_y(X_new, n, random_state=3)
    mean, covariance = estimator.predict(X_new, return_cov=True)
    assert f.shape == (*mean.shape, n)
    covariance = covariance.reshape(mean.size, mean.size)
    error = np.sqrt(np.diag(covariance) / n)
    assert np.abs(f.mean(-1).ravel() - mean.ravel()).max() < 5.0 * error.max()
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / n)
    assert (np.abs(np.cov(f.reshape(-1, n)) - covariance) / spread).max() < 7.0  # mixtures have heavier tails
    np.testing.assert_array_equal(f, estimator.sample_y(X_new, n, random_state=3))
    assert not np.array_equal(f[..., :5], estimator.sample_y(X_new, 5, random_state=4))


def test_draws_of_the_integral_are_a_scale_mixture(rng):
    """No data to speak of: f is √Q times a Gaussian, E[f⁴]/E[f²]² = 3 (1 + 2/N) for one hidden unit-precision layer."""
    N = 4
    estimator = FiniteWidthRegressor([N], "identity", temperature=1e6).fit([[1.0, 0.0]], [0.0])
    f = estimator.sample_y([[0.0, 1.0]], 40000, random_state=1).ravel()
    assert np.mean(f**4) / np.mean(f**2) ** 2 == pytest.approx(3.0 * (1.0 + 2.0 / N), rel=0.06)
    assert estimator.sample_y([[0.0, 1.0]]).shape == (1, 1)


def test_draws_of_layers_that_reshape_the_kernel_are_a_mixture_too(rng):
    """No data to speak of, X = 0 and the second layer's bias alone: f is √Q_2 times a Gaussian, whatever Q_1."""
    few = ww.MonteCarlo(nodes=64)
    options = {"bias_variance": (0.0, 0.3), "temperature": 1e6, "approximation": "integrated", "monte_carlo": few}
    estimator = FiniteWidthRegressor([5, 4], "erf", **options).fit([[1.0, 0.0]], [0.0])
    f = estimator.sample_y([[0.0, 0.0]], 40000, random_state=1).ravel()
    assert np.mean(f**4) / np.mean(f**2) ** 2 == pytest.approx(3.0 * (1.0 + 2.0 / 4), rel=0.06)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_fitted_estimator_pickles(problem, name):
    X, y, X_new = problem
    estimator = FiniteWidthRegressor(**ARCHITECTURES[name], temperature=T, normalize_y=True).fit(X, y[:, 0])
    again = pickle.loads(pickle.dumps(estimator))
    for a, b in zip(estimator.predict(X_new, return_std=True), again.predict(X_new, return_std=True)):
        np.testing.assert_allclose(a, b, rtol=1e-7)
    assert again.log_marginal_likelihood() == pytest.approx(estimator.log_marginal_likelihood(), abs=1e-6)
    assert again.posterior_.certificate == estimator.posterior_.certificate


def test_a_callable_activation_pickles_by_its_name(problem):
    X, y, X_new = problem
    estimator = FiniteWidthRegressor([9], np.tanh, temperature=T).fit(X, y[:, 0])
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_allclose(again.predict(X_new), estimator.predict(X_new), rtol=1e-7)


def test_pipeline_grid_search_and_clone(problem):
    X, y, _ = problem
    pipeline = make_pipeline(StandardScaler(), FiniteWidthRegressor())
    grid = {"finitewidthregressor__temperature": [0.01, 1.0], "finitewidthregressor__widths": [(5,), (50,)]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y[:, 0])
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert clone(search.best_estimator_).get_params() is not None
    assert search.best_estimator_[-1].posterior_.network.widths == search.best_params_["finitewidthregressor__widths"]


def test_random_state_is_the_seed_of_the_integral(problem, monkeypatch):
    X, y, _ = problem
    seen = []
    monkeypatch.setattr(
        "widthwise.sklearn.estimator.infer", lambda *a, **k: seen.append(k["monte_carlo"]) or ww.infer(*a, **k)
    )
    for state in (None, 1, 1, 2):
        FiniteWidthRegressor([9], monte_carlo=SHORT, random_state=state).fit(X, y)
    assert seen[0] == SHORT
    assert seen[1] == seen[2] != seen[3]
    assert {how.draws for how in seen} == {SHORT.draws}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"channels": 4, "patch": 2, "image_shape": (2, 4)},
            "image_shape: expected 6 numbers, one per feature, got 2x4",
        ),
        ({"channels": 4, "patch": 2, "image_shape": (2, 3.0)}, "image_shape: expected .height, width."),
        ({"channels": 4, "patch": 2, "image_shape": 6}, "image_shape: expected .height, width."),
        ({"channels": 4, "patch": 2}, "patch: expected at most the image's 1x6, got 2x2"),
        ({"channels": 4}, "patch: expected one whole number or two"),
        ({"channels": 4, "patch": 1, "widths": [7]}, "widths: expected none for a convolutional network"),
        ({"patch": 2}, "patch: expected none for a fully connected network"),
        ({"kernel": RBF(), "bias_variance": 0.1}, "bias_variance: expected none for a kernel"),
        ({"kernel": "rbf"}, "kernel: expected a kernel of sklearn.gaussian_process.kernels"),
        ({"widths": [0]}, "widths: expected whole numbers of at least 1"),
        ({"activation": "erff"}, "did you mean 'erf'"),
        ({"temperature": 0.0}, "temperature: expected a finite number above zero"),
        ({"approximation": "sadle"}, "did you mean 'saddle'"),
        ({"normalize_y": 1}, "normalize_y: expected True or False"),
        ({"monte_carlo": 100}, "monte_carlo: expected widthwise.MonteCarlo"),
    ],
)
def test_refusals_at_fit(problem, parameters, message):
    X, y, _ = problem
    with pytest.raises(ww.InputError, match=message) as caught:
        FiniteWidthRegressor(**parameters).fit(X, y[:, 0])
    assert "\n" not in str(caught.value)


def test_refusals_after(problem):
    X, y, X_new = problem
    estimator = FiniteWidthRegressor([9]).fit(X, y[:, 0])
    with pytest.raises(ww.InputError, match="got both"):
        estimator.predict(X_new, return_std=True, return_cov=True)
    with pytest.raises(ww.InputError, match="n_samples: expected a whole number of at least 1, got 0"):
        estimator.sample_y(X_new, 0)
    with pytest.raises(TypeError, match="sample_weight"):
        estimator.fit(X, y[:, 0], sample_weight=np.ones(30))
    assert not hasattr(FiniteWidthRegressor(), "log_marginal_likelihood_value_")


def test_constant_targets_warn_and_are_predicted(problem):
    X, _, X_new = problem
    estimator = FiniteWidthRegressor([9], normalize_y=True)
    with pytest.warns(ww.DataWarning, match="nothing to learn"):
        estimator.fit(X, np.full(30, 0.1))
    np.testing.assert_allclose(estimator.predict(X_new), 0.1)
    assert estimator.y_scale_ == 1.0


def test_a_kernel_keeps_its_hyperparameters(problem):
    X, y, X_new = problem
    kernel = 0.3 * DotProduct(0.5) + RBF(0.7)
    estimator = FiniteWidthRegressor(widths=4, kernel=kernel, temperature=T).fit(X, y[:, 0])
    assert estimator.kernel_ == kernel
    assert estimator.kernel_ is not kernel
    posterior = ww.infer(ww.PrecomputedKernel(4), kernel(X), y[:, 0], temperature=T)
    prediction = posterior.predict(kernel(X_new, X), kernel.diag(X_new))
    np.testing.assert_allclose(estimator.predict(X_new, return_std=True)[1] ** 2, prediction.variance)
