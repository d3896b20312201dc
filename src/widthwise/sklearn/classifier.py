"""A Bayesian network of finite width as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, logsumexp, ndtri, ndtri_exp
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from widthwise.errors import InputError
from widthwise.posterior.prediction import DRAWS, Prediction
from widthwise.sklearn.estimator import AbstractFiniteWidth


class FiniteWidthClassifier(ClassifierMixin, AbstractFiniteWidth):
    """Classification by regression on labels: `infer` as a scikit-learn estimator.

        two classes   y = ∓1,                     p(second) = P(f > 0)
        more          y one-hot (1 and 0),        p(c) = P(f_c > f_d for every other d)

    f is the posterior of `FiniteWidthRegressor`, whose network parameters these are. The likelihood is Gaussian in f,
    as in the theory and in `ww.infer` on the same labels; it is not a softmax. One-hot targets are not centred: far
    from the data all scores go to zero together. The probabilities are those of one network drawn from the posterior,
    without label noise.

    Args:
        widths, activation, weight_precisions, bias_variance, closure: of a fully connected network.
        channels, patch, stride, padding, readout, image_shape: of a convolutional one.
        kernel: a kernel of `sklearn.gaussian_process.kernels`.
        temperature: T > 0, the noise variance of the labels.
        approximation, monte_carlo: as for `infer`.
        random_state: gives the seed of `monte_carlo`, and that of `predict_proba` for more than two classes; None
            leaves them fixed.

    Attributes:
        classes_: the labels, sorted.
        posterior_: the `Posterior`, of targets ±1 or one-hot.
        log_marginal_likelihood_value_: the log evidence of those targets, computed when first asked for.
        kernel_: a copy of `kernel`.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        widths: Any = (200,),
        activation: Any = "erf",
        weight_precisions: Any = 1.0,
        bias_variance: Any = 0.0,
        *,
        closure: Any = "global",
        channels: Any = None,
        patch: Any = None,
        stride: Any = None,
        padding: Any = "valid",
        readout: Any = "dense",
        image_shape: Any = None,
        kernel: Any = None,
        temperature: Any = 0.1,
        approximation: Any = None,
        monte_carlo: Any = None,
        random_state: Any = None,
    ) -> None:
        self.widths = widths
        self.activation = activation
        self.weight_precisions = weight_precisions
        self.bias_variance = bias_variance
        self.closure = closure
        self.channels = channels
        self.patch = patch
        self.stride = stride
        self.padding = padding
        self.readout = readout
        self.image_shape = image_shape
        self.kernel = kernel
        self.temperature = temperature
        self.approximation = approximation
        self.monte_carlo = monte_carlo
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> FiniteWidthClassifier:
        """Infers the posterior.

        Args:
            X: (P, features).
            y: labels (P,) of at least two classes.

        Raises:
            InputError: a parameter or the data cannot be used; the message says why.
            NumericalError: the saddle did not converge, or chains did not mix.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        self.classes_, index = np.unique(y, return_inverse=True)
        D = len(self.classes_)
        if D < 2:
            raise InputError(f"y: expected labels of at least two classes, got one class, {self.classes_[0]!r}.")
        if D > 2 and not self._covers_several_outputs():
            raise InputError(  # its first sentence is scikit-learn's, word for word
                f"Only binary classification is supported. The type of the target is {type_of_target(y)}. Closure "
                f'{self.closure!r}, and biases at depth, have one output; use closure="global" without biases.'
            )
        self._infer(X, 2.0 * index - 1.0 if D == 2 else np.eye(D)[index])
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, "n *D"]:
        """Φ⁻¹(p), p as in `predict_proba`.

        Args:
            X: (n, features).

        Returns:
            Of two classes Φ⁻¹(P(f > 0)) (n,), for one Gaussian process mean/std, without a limit; of more (n, D), as
            far as 4096 points can tell a probability from 0 or 1.
        """
        if len(self._classes()) > 2:
            return ndtri(np.clip(self.predict_proba(X), 0.5 / DRAWS, 1.0 - 0.5 / DRAWS))
        return _probit(self._predict(self._checked(X)))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class by `predict_proba`.

        Where close scores have different variances it may not be the one of the largest mean, whose accuracy
        `posterior_.score` tells.

        Args:
            X: (n, features).

        Returns:
            Labels (n,).
        """
        if len(self._classes()) > 2:
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return self.classes_[(self.decision_function(X) > 0.0).astype(int)]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n D"]:
        """The probability that a network drawn from the posterior gives each class the largest score; rows sum to one.

        Args:
            X: (n, features).

        Returns:
            (n, D), in the order of `classes_`; of more than two classes to about 1e-3, from 4096 quasi-random points.
        """
        prediction = self._predict(self._checked(X))
        if len(self.classes_) > 2:
            settings = self._monte_carlo()
            return prediction.class_probabilities(seed=0 if settings is None else settings.seed)
        positive = prediction.probability_positive()
        return np.stack([1.0 - positive, positive], axis=1)

    def _classes(self) -> np.ndarray:
        check_is_fitted(self)
        return self.classes_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = self._covers_several_outputs()
        return tags


def _probit(prediction: Prediction) -> Float[np.ndarray, " n"]:
    """Φ⁻¹(Σ_g w_g Φ(m_g/s_g)) of one output, by whichever tail is small."""
    means = prediction.mean[None] if prediction.means is None else prediction.means
    variances = prediction.variance[None] if prediction.variances is None else prediction.variances
    z = means / np.sqrt(np.maximum(variances, np.finfo(float).tiny))
    above, below = (logsumexp(log_ndtr(s * z), b=prediction.weights[:, None], axis=0) for s in (1.0, -1.0))
    return np.where(above < below, ndtri_exp(above), -ndtri_exp(below))
