"""A Bayesian network of finite width as a scikit-learn regressor."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import column_or_1d, validate_data

from widthwise.errors import InputError
from widthwise.sklearn.draws import draw
from widthwise.sklearn.estimator import AbstractFiniteWidth


class FiniteWidthRegressor(MultiOutputMixin, RegressorMixin, AbstractFiniteWidth):
    """Regression by the posterior of a Bayesian network of finite width: `infer` as a scikit-learn estimator.

        y = f(x) + √T·noise,   f | Q, D: a Gaussian process,   Q ~ p(Q | D)   [Pacelli et al. 2023, arXiv 2209.04882]

    The parameters describe one of three architectures: with `kernel` any Gaussian process of finite width, with
    `channels` a `Convolutional` network, else a `FullyConnected` one. A parameter of another architecture is refused.

    Assumes: `fit`, `predict` and `sample_y` speak of f as `GaussianProcessRegressor` does, with `temperature` as its
    `alpha`: the noise is in the likelihood and never in what is returned. An observation's variance is
    std² + `noise_variance_`. Inputs are taken as they come: standardise them.
    Reduces to: `GaussianProcessRegressor` (arcsine kernel for erf, `DotProduct` for the identity) with alpha = T and
    optimizer=None as the widths go to infinity, or for approximation="infinite" at any.

    Args:
        widths: N_1 … N_L, units of each hidden layer; of a `kernel` one.
        activation: a name such as "erf", "relu", "identity", or any elementwise callable.
        weight_precisions: λ_0 … λ_L, one number for all or L+1 of them.
        bias_variance: σ_b² of the hidden layers.
        closure: "global", "nested" or "linearised"; the last two have one output.
        channels: N_c of a convolutional network.
        patch: its (height, width), or one number.
        stride: from patch to patch; by default the patch.
        padding: "valid" or "same".
        readout: "dense" or "average".
        image_shape: (H, W) or (H, W, C) of the rows of X, in C order; by default (1, features), a signal.
        kernel: a kernel of `sklearn.gaussian_process.kernels`, at the hyperparameters that it has.
        temperature: T > 0, the noise variance; with `normalize_y` of the normalised targets.
        approximation: "saddle", "infinite", "integrated", "two-parameter"; by default what suits the network.
        monte_carlo: `widthwise.MonteCarlo`, how matrix-valued order parameters are integrated over.
        normalize_y: whether each output has its mean removed and is divided by its standard deviation s before `infer`,
            undone in every prediction. Prior, temperature and evidence are then those of the normalised targets: in
            units of y the prior variance is s²K_R and the noise variance s²T, and the log density of y itself is
            `log_marginal_likelihood()` − P Σ_d log s_d.
        random_state: gives the seed of `monte_carlo`; None leaves that as it is. Nothing else is random in `fit`.

    Attributes:
        posterior_: the `Posterior`, of the normalised targets; `order_parameters`, `certificate`, `validity` are there.
        y_mean_, y_scale_: what `normalize_y` took off and divided by, () or (D,); 0 and 1 without it.
        noise_variance_: T y_scale_², in units of y.
        log_marginal_likelihood_value_: the log evidence, computed when first asked for.
        kernel_: a copy of `kernel`.
        n_features_in_, feature_names_in_: as in scikit-learn.

    A pickled estimator holds its training set and order parameters, not the spectrum; the first prediction after
    unpickling makes it again, O(P³).
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
        normalize_y: Any = False,
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
        self.normalize_y = normalize_y
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> FiniteWidthRegressor:
        """Infers the posterior.

        Args:
            X: (P, features).
            y: (P,) or (P, D).

        Raises:
            InputError: a parameter or the data cannot be used; the message says why.
            NumericalError: the saddle did not converge, or chains did not mix.
        """
        if not isinstance(self.normalize_y, bool | np.bool_):
            raise InputError(f"normalize_y: expected True or False, got {self.normalize_y!r}.")
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=not self._covers_several_outputs())
        outputs = y.shape[1:]
        self.y_mean_, self.y_scale_ = np.zeros(outputs), np.ones(outputs)
        if self.normalize_y:
            self.y_mean_ = y.mean(axis=0)
            self.y_scale_ = np.where(np.ptp(y, axis=0) > 0.0, y.std(axis=0), 1.0)
        self._infer(X, (y - self.y_mean_) / self.y_scale_)
        self.noise_variance_ = self.posterior_.temperature * self.y_scale_**2
        return self

    def predict(
        self, X: Any, return_std: bool = False, return_cov: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The posterior mean of f, with its standard deviation or covariance; the noise is in neither.

        Args:
            X: (n, features).
            return_std: whether the standard deviation (n,) or (n, D) comes with it.
            return_cov: whether the covariance (n, n), or (n, D, n, D), does: the outputs of a network are correlated.

        Returns:
            The mean (n,) or (n, D); or a pair.

        Raises:
            InputError: both are asked for.
        """
        if return_std and return_cov:
            raise InputError("predict: expected return_std or return_cov, got both; ask for one of them.")
        prediction = self._predict(self._checked(X), covariance=return_cov)
        mean = self.y_mean_ + self.y_scale_ * prediction.mean
        if return_std:
            return mean, self.y_scale_ * prediction.standard_deviation
        if return_cov:
            scale = np.broadcast_to(self.y_scale_, mean.shape)
            return mean, prediction.covariance * np.multiply.outer(scale, scale)
        return mean

    def sample_y(self, X: Any, n_samples: int = 1, random_state: Any = 0) -> Float[np.ndarray, "*n n_samples"]:
        """Joint draws of f at all points, without noise: of the order parameters, then of the process that they make.

        Args:
            X: (n, features).
            n_samples: how many, at least 1.
            random_state: an integer, a `RandomState`, or None.

        Returns:
            (n, n_samples), or (n, D, n_samples).
        """
        if isinstance(n_samples, bool) or not isinstance(n_samples, numbers.Integral) or n_samples < 1:
            raise InputError(f"n_samples: expected a whole number of at least 1, got {n_samples!r}.")
        X, random = self._checked(X), check_random_state(random_state)
        f = draw(self.posterior_.law, lambda law: self._predict(X, covariance=True, law=law), int(n_samples), random)
        return self.y_mean_[..., None] + self.y_scale_[..., None] * f

    def log_marginal_likelihood(self) -> float:
        """log p(y | X), normalised, by the approximation in use; with `normalize_y` of the normalised targets.

        Its hyperparameters are this estimator's parameters: refit to compare others.
        """
        return self.log_marginal_likelihood_value_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self._covers_several_outputs()
        return tags
