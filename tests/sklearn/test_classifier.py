"""The classifier: targets as in `infer`, probabilities against weights drawn from the prior, decisions that agree."""

import pickle

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import widthwise as ww
from widthwise.sklearn import FiniteWidthClassifier

T, LAM = 0.3, (1.4, 0.7)


@pytest.fixture
def problem(rng):
    X = rng.normal(size=(40, 4))
    return X[:30], (X[:30, 0] + 0.5 * X[:30, 1] > 0).astype(int) + (X[:30, 2] > 0.8), X[30:]


def weighted_networks(rng, X, Y, X_new, N, temperature, draws):
    """f(X_new) (draws, n, D) of linear networks drawn from the prior, and their posterior weights: no kernel at all."""
    N0, D = X.shape[1], Y.shape[1]
    W = rng.normal(size=(draws, N, N0)) / np.sqrt(LAM[0])
    v = rng.normal(size=(draws, D, N)) / np.sqrt(LAM[1])
    effective = v @ W / np.sqrt(N * N0)
    loss = ((np.einsum("sdi,pi->spd", effective, X) - Y) ** 2).sum(axis=(1, 2))
    weights = np.exp(-(loss - loss.min()) / (2.0 * temperature))
    return np.einsum("sdi,ni->snd", effective, X_new), weights / weights.sum()


@pytest.mark.parametrize("classes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_probabilities_are_those_of_networks_drawn_weight_by_weight(rng, classes):
    """The linear network, where the integral over Q is exact at any width."""
    X, X_new = rng.normal(size=(6, 2)), rng.normal(size=(5, 2))
    y = np.arange(6) % classes
    Y = 2.0 * y[:, None] - 1.0 if classes == 2 else np.eye(3)[y]
    temperature = T if classes == 2 else 1.0
    f, weights = weighted_networks(rng, X, Y, X_new, 3, temperature, 200_000)
    ess = 1.0 / np.sum(weights**2)
    won = np.concatenate([f <= 0, f > 0], axis=2) if classes == 2 else np.eye(3)[f.argmax(axis=2)]
    expected = np.einsum("s,snc->nc", weights, won)
    how = ww.MonteCarlo(draws=300, warmup=150)
    estimator = FiniteWidthClassifier([3], "identity", LAM, temperature=temperature, monte_carlo=how).fit(X, y)
    assert estimator.posterior_.exact
    probability = estimator.predict_proba(X_new)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-12)
    assert ess > 5000
    error = 5.0 * 0.5 / np.sqrt(ess) + (0.0 if classes == 2 else 0.012)  # 256 nodes of the drawn Q
    np.testing.assert_allclose(probability, expected, atol=error)


def test_two_classes_at_infinite_width_are_scikit_learns_gaussian_process(problem):
    X, y, X_new = problem
    y = np.where(y > 0, "yes", "no")
    process = GaussianProcessRegressor(RBF(1.5), alpha=T, optimizer=None).fit(X, np.where(y == "yes", 1.0, -1.0))
    mean, std = process.predict(X_new, return_std=True)
    estimator = FiniteWidthClassifier(kernel=RBF(1.5), temperature=T, approximation="infinite").fit(X, y)
    np.testing.assert_array_equal(estimator.classes_, ["no", "yes"])
    np.testing.assert_allclose(estimator.decision_function(X_new), mean / std, rtol=1e-8)
    np.testing.assert_allclose(estimator.predict_proba(X_new)[:, 1], norm.cdf(mean / std), atol=1e-10)
    np.testing.assert_array_equal(estimator.predict(X_new), np.where(mean > 0, "yes", "no"))
    assert estimator.log_marginal_likelihood_value_ == pytest.approx(process.log_marginal_likelihood(), abs=1e-8)


def test_three_classes_are_infer_on_one_hot_labels(problem, rng):
    X, y, X_new = problem
    estimator = FiniteWidthClassifier([9], "erf", LAM, temperature=T).fit(X, y + 5)
    prediction = ww.infer(ww.FullyConnected([9], "erf", LAM), X, np.eye(3)[y], temperature=T).predict(X_new)
    probability = estimator.predict_proba(X_new)
    np.testing.assert_allclose(probability, prediction.class_probabilities(), atol=1e-12)
    for i in range(len(X_new)):
        f = rng.multivariate_normal(prediction.mean[i], prediction.output_covariance[i], 20_000)
        np.testing.assert_allclose(probability[i], np.bincount(f.argmax(axis=1), minlength=3) / 20_000, atol=0.018)
    np.testing.assert_array_equal(estimator.predict(X_new), 5 + probability.argmax(axis=1))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("approximation", ["saddle", "infinite"])
def test_decision_probability_and_prediction_agree(problem, classes, approximation):
    X, y, X_new = problem
    estimator = FiniteWidthClassifier([9], temperature=T, approximation=approximation).fit(
        X, np.minimum(y, classes - 1)
    )
    decision, probability = estimator.decision_function(X_new), estimator.predict_proba(X_new)
    assert decision.shape == ((10,) if classes == 2 else (10, 3))
    shown = probability[:, 1] if classes == 2 else np.clip(probability, 0.5 / 4096, 1.0 - 0.5 / 4096)
    np.testing.assert_allclose(norm.cdf(decision), shown, atol=1e-12)
    np.testing.assert_array_equal(estimator.predict(X_new), probability.argmax(axis=1))


def test_the_decision_of_a_mixture_has_no_limit():
    """Far into a tail, where P(f > 0) is 1 to double precision, the decision still tells points apart."""
    x = np.linspace(1.0, 40.0, 5)[:, None]
    estimator = FiniteWidthClassifier([50], "erf", temperature=1e-4, approximation="integrated", bias_variance=0.5)
    estimator.fit([[-1.0], [-0.5], [0.5], [1.0]], [0, 0, 1, 1])
    decision = estimator.decision_function(np.array([[-0.8], [0.8]]))
    assert decision[1] == pytest.approx(-decision[0], rel=1e-6)
    assert decision[1] > 10.0
    assert estimator.predict_proba([[0.8]])[0, 1] == 1.0
    assert np.isfinite(estimator.decision_function(x)).all()


def test_it_learns_in_a_pipeline_and_clones():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), FiniteWidthClassifier([100], bias_variance=1.0, temperature=0.01))
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.9
    assert clone(pipeline[-1]).get_params()["bias_variance"] == 1.0


@pytest.mark.parametrize("classes", [2, 3])
def test_a_fitted_classifier_pickles(problem, classes):
    X, y, X_new = problem
    estimator = FiniteWidthClassifier([9], temperature=T, random_state=3).fit(X, np.minimum(y, classes - 1))
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_allclose(again.predict_proba(X_new), estimator.predict_proba(X_new), atol=1e-7)


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({}, "one", "y: expected labels of at least two classes, got one class"),
        ({"widths": [5, 5], "closure": "nested"}, "three", "Only binary classification is supported.*'nested'"),
        ({"widths": [5, 5], "bias_variance": 0.1}, "three", "Only binary classification is supported"),
        ({"stride": 2}, "two", "stride: expected none for a fully connected network"),
    ],
)
def test_refusals(problem, parameters, labels, message):
    X, y, _ = problem
    y = {"one": np.zeros(30, int), "two": y % 2, "three": y}[labels]
    with pytest.raises(ww.InputError, match=message) as caught:
        FiniteWidthClassifier(**parameters).fit(X, y)
    assert "\n" not in str(caught.value)


def test_sample_weights_are_not_accepted(problem):
    X, y, _ = problem
    with pytest.raises(TypeError, match="sample_weight"):
        FiniteWidthClassifier().fit(X, y, sample_weight=np.ones(30))
