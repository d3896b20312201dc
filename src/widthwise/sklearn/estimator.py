"""What the regressor and the classifier share: parameters to `infer`, tables to inputs, and how they are pickled."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from widthwise.actions import MonteCarlo
from widthwise.errors import InputError
from widthwise.networks import Convolutional, PrecomputedKernel
from widthwise.posterior import Prediction, infer, load
from widthwise.posterior.infer import covers_several_outputs
from widthwise.posterior.law import AbstractLaw
from widthwise.sklearn.architecture import images_of, network_of


class AbstractFiniteWidth(BaseEstimator):
    """An estimator whose parameters describe a network, and whose fit is `infer`."""

    def _covers_several_outputs(self) -> bool:
        """For scikit-learn's tags, which must not raise."""
        try:
            return covers_several_outputs(network_of(vars(self)))
        except InputError:
            return True

    def _infer(self, X: np.ndarray, y: np.ndarray) -> None:
        """Sets `posterior_`, with `kernel_` and the training inputs where the network is a kernel."""
        network = network_of(vars(self))
        if isinstance(network, PrecomputedKernel):
            self.kernel_ = clone(self.kernel)
            self._X_train = np.array(X)
            inputs = self.kernel_(X)
        else:
            inputs = images_of(X, self.image_shape) if isinstance(network, Convolutional) else X
        self.posterior_ = infer(
            network,
            inputs,
            y,
            temperature=self.temperature,
            approximation=self.approximation,
            monte_carlo=self._monte_carlo(),
        )

    def _monte_carlo(self) -> MonteCarlo | None:
        """The settings, with the seed that `random_state` gives."""
        if self.monte_carlo is not None and not isinstance(self.monte_carlo, MonteCarlo):
            raise InputError(
                f"monte_carlo: expected widthwise.MonteCarlo, got {type(self.monte_carlo).__name__}; "
                "pass e.g. MonteCarlo(draws=2000)."
            )
        if self.random_state is None:
            return self.monte_carlo
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return replace(self.monte_carlo or MonteCarlo(), seed=seed)

    def _checked(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=np.float64)

    def _predict(self, X: np.ndarray, *, covariance: bool = False, law: AbstractLaw | None = None) -> Prediction:
        """The posterior, or one of its components, at checked rows of X."""
        law = self.posterior_.law if law is None else law
        network = self.posterior_.network
        if isinstance(network, PrecomputedKernel):
            own = self.kernel_(X) if covariance else self.kernel_.diag(X)
            return law.predict(self.kernel_(X, self._X_train), own, covariance=covariance)
        inputs = images_of(X, self.image_shape) if isinstance(network, Convolutional) else X
        return law.predict(inputs, None, covariance=covariance)

    @property
    def log_marginal_likelihood_value_(self) -> float:
        """log p(y | X) of the targets as they were inferred from; computed when first asked for."""
        check_is_fitted(self)
        return self.posterior_.log_evidence

    def __getstate__(self) -> dict[str, Any]:
        """The posterior in its file format: the spectrum is not stored, and made again when it is first needed."""
        state = dict(super().__getstate__())
        if "posterior_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "posterior.npz"
                state["posterior_"].save(path)
                state["posterior_"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.get("posterior_")
        if stored is not None:
            activation = state["activation"]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "posterior.npz"
                path.write_bytes(stored)
                own = callable(activation) and not getattr(activation, "builtin", False)
                state = state | {"posterior_": load(path, activation=activation if own else None)}
        super().__setstate__(state)
