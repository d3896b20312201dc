"""Weight-space Monte Carlo: all weights of a network drawn from the prior and weighed by the likelihood.

Plain importance sampling: nothing of the theory is used, not even that the readout is Gaussian.
"""

from dataclasses import dataclass

import numpy as np

BATCHES = 20


@dataclass(frozen=True)
class Problem:
    """Training and test data, y (P, D)."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    temperature: float

    @classmethod
    def of(cls, rng, P, shape, D, temperature, test=2):
        """Noisy linear targets of Gaussian inputs of the given shape."""
        X = rng.normal(size=(P + test, *shape))
        flat = X.reshape(P + test, -1)
        y = 0.6 * flat @ rng.normal(size=(flat.shape[1], D)) + 0.3 * rng.normal(size=(P + test, D))
        return cls(X[:P], y[:P], X[P:], y[P:], temperature)

    @property
    def all_inputs(self):
        return np.concatenate([self.X, self.X_test])


def weigh(problem, draw, rng, draws):
    """Posterior averages with their jackknife errors.

    Args:
        draw: (X, rng, n) → n networks' outputs at X, (n, len(X), D).

    Returns:
        means (m D,), covariances between all outputs of all m test points (upper triangle), training error, test error,
        log evidence; and the errors of the same.
    """
    (P, D), m, T, sums = problem.y.shape, len(problem.X_test), problem.temperature, []
    for _ in range(BATCHES):
        n = draws // BATCHES
        f = draw(problem.all_inputs, rng, n)
        off = ((problem.y - f[:, :P]) ** 2).sum(axis=(1, 2))
        w = np.exp(-0.5 * off / T) / (2 * np.pi * T) ** (P * D / 2) / n
        g = f[:, P:].reshape(n, -1)
        sums.append(np.concatenate([[w.sum()], w @ g, ((w[:, None] * g).T @ g).ravel(), [w @ off / P]]))
    sums = np.array(sums)

    def answers(s):
        k = m * D
        mean = s[1 : k + 1] / s[0]
        covariance = s[k + 1 : -1].reshape(k, k) / s[0] - np.outer(mean, mean)
        total = (np.sum((problem.y_test.ravel() - mean) ** 2) + np.trace(covariance)) / m
        return np.concatenate([mean, covariance[np.triu_indices(k)], [s[-1] / s[0], total, np.log(s[0])]])

    jackknife = np.array([answers(np.delete(sums, i, 0).mean(0)) for i in range(BATCHES)])
    error = np.sqrt((BATCHES - 1) * ((jackknife - jackknife.mean(0)) ** 2).mean(0))
    return answers(sums.mean(0)), error


def told(posterior, problem):
    """What the theory says of the same, and its own Monte-Carlo errors (zero where it integrates by quadrature)."""
    prediction = posterior.predict(problem.X_test, covariance=True)
    k = prediction.mean.size
    upper = np.triu_indices(k)
    covariance = prediction.covariance.reshape(k, k)
    score = posterior.score(problem.X_test, problem.y_test)
    errors = [posterior.training_error.total, score.total, posterior.log_evidence]
    value = np.concatenate([prediction.mean.ravel(), covariance[upper], errors])
    return value, _own_error(posterior, prediction, problem, covariance[upper])


def _own_error(posterior, prediction, problem, covariance):
    """Spread of the mixture's components over √(effective draws); of covariances by the mean of their diagonals."""
    ess = posterior.certificate.ess
    if ess is None:
        return 0.0
    m, k = len(problem.X_test), prediction.mean.size
    means = prediction.means.reshape(len(prediction.weights), -1)
    squares = (means - prediction.mean.ravel()) ** 2 + prediction.variances.reshape(len(means), -1)
    spread = squares.std(axis=0)
    r, s = np.triu_indices(k)
    test = ((prediction.means.reshape(len(means), m, -1) - problem.y_test) ** 2).reshape(len(means), -1)
    test = (test + prediction.variances.reshape(len(means), -1)).sum(axis=1).std() / m
    fit = posterior.predict(problem.X)
    train = (fit.means.reshape(len(means), *problem.y.shape) - problem.y) ** 2
    train = (train + fit.variances.reshape(train.shape)).sum(axis=(1, 2)).std() / len(problem.y)
    errors = np.concatenate([means.std(axis=0), np.sqrt(spread[r] * spread[s]), [train, test]]) / np.sqrt(ess)
    return np.append(errors, posterior.law.action.evidence.standard_error)


def assert_agree(posterior, problem, draw, rng, draws=200_000, *, informative=0.15, within=4.5):
    """Theory and weighed weights agree within both errors, which are small enough to say something."""
    (theory, own), (sampled, error) = told(posterior, problem), weigh(problem, draw, rng, draws)
    both = np.hypot(own, error)
    z = (theory - sampled) / both
    assert np.abs(z).max() < within, z
    assert np.sqrt((z**2).mean()) < 0.45 * within, z
    assert (both < informative * np.maximum(np.abs(sampled), 0.3)).all(), both / np.maximum(np.abs(sampled), 0.3)
