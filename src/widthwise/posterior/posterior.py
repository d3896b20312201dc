"""The posterior of a network: order parameters, errors, evidence and predictions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import ScalarAction
from widthwise.errors import InputError
from widthwise.kernels import CrossKernel, cross_kernel
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior import checks
from widthwise.posterior.certificate import Certificate, Validity, validity
from widthwise.posterior.engine import Engine, Network
from widthwise.posterior.engine import cross as network_kernel
from widthwise.posterior.gaussianity import gaussianity
from widthwise.posterior.mixture import Mixture, condition, mean_dual_vector, training_error
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.score import Errors, Score, score

_BLOCK = 2**25  # entries of a cross kernel held at a time


@dataclass(frozen=True)
class Posterior:
    """What `infer` returns. Every error is a Gibbs average: bias + variance, no temperature added.

    Args:
        network: the network, as inferred.
        temperature: T.
        approximation: "saddle", "infinite", "integrated" or "two-parameter".
        certificate: how the order parameters were found.
        mixture: the order parameters with their weights.
        exact: whether this approximation is exact for this network.
        engine: the training data and their spectrum.
        effective_action: S(Q) on that spectrum, its minimum already found; made when needed where it is left out.
    """

    network: Network
    temperature: float
    approximation: str
    certificate: Certificate
    mixture: Mixture = field(repr=False)
    exact: bool = field(repr=False)
    engine: Engine = field(repr=False)
    effective_action: ScalarAction | None = field(default=None, repr=False)

    @property
    def order_parameters(self) -> dict[str, Float[np.ndarray, " L"]]:
        """{"Q": one per hidden layer (L,)}, and "Q_conjugate" for the two-parameter action.

        At infinite width Q = 1; for `integrated` the posterior mean ⟨Q⟩.
        """
        parameters = {"Q": self.mixture.layers @ self.mixture.weights}
        if self.mixture.c is not None:
            parameters["Q_conjugate"] = np.array([1.0 / self.mixture.mean_c - 1.0])
        return parameters

    @property
    def targets(self) -> Float[np.ndarray, " P"]:
        """The training targets y (P,)."""
        return self.engine.y

    @property
    def load(self) -> tuple[float, ...]:
        """α_ℓ = P/N_ℓ, one per hidden layer."""
        return tuple(len(self.engine.y) / N for N in self.network.widths)

    @cached_property
    def _action(self) -> ScalarAction:
        if self.effective_action is not None:
            return self.effective_action
        return self.engine.action(self.temperature)

    @cached_property
    def validity(self) -> Validity:
        """τ, ρ, their product, the neurons' kurtosis, and in one word: sound, doubtful or outside."""
        action, along = self._action, None
        if isinstance(self.network, FullyConnected) and self.network.depth == 1:
            a = self.engine.spectrum.dual_vector(action.scale * action.Q, self.temperature)
            along = gaussianity(self.network, self.engine.X, a, action.Q)
        return validity(action, along, exact=self.exact)

    @cached_property
    def log_evidence(self) -> float:
        """log p(y | X) = log ∫ p(Q) N(y; 0, T I + QK) dQ, normalised.

        The integral itself ("integrated"), its Laplace approximation in log Q ("saddle", and "two-parameter" too, whose
        evidence is the same at leading order), or log N(y; 0, T I + K) ("infinite").
        """
        if self.approximation == "infinite":
            return self._action.log_evidence_infinite()
        if self.approximation == "integrated":
            return self._action.log_evidence_integrated()
        return self._action.log_evidence_saddle()

    @cached_property
    def training_error(self) -> Errors:
        """ε_t on the training set: .total .bias .variance."""
        return training_error(self.engine, self.mixture, self.temperature)

    @cached_property
    def dual_vector(self) -> Float[np.ndarray, " P"]:
        """(y − ⟨f⟩)/T on the training points (P,): what predictions are linear in, for one component A⁻¹y."""
        a = mean_dual_vector(self.engine, self.mixture, self.temperature)
        return self.engine.spectrum.rotate_back(a[:, None])[:, 0]

    def action(self, Q: Any) -> Float[np.ndarray, " n"]:
        """S(Q) of the one-parameter effective action, for a figure or a check.

        Args:
            Q: any positive numbers (n,).
        """
        values = checks.real_array("Q", np.atleast_1d(Q), (1,), "(n,)")
        if not (values > 0).all():
            raise InputError(f"Q: expected numbers above zero, got {values.min():g}.")
        return np.array([self._action.jet(float(np.log(q))).value for q in values.ravel()])

    def predict(self, X_new: Any, diagonal: Any = None, *, covariance: bool = False) -> Prediction:
        """The posterior of f at new points.

        Args:
            X_new: inputs (n, N_0), or `prepared.at(...)`; for a precomputed kernel k (n, P).
            diagonal: for a precomputed kernel the new points' own variances (n,), or kernel (n, n).
            covariance: whether the full matrix is wanted.

        Returns:
            `Prediction` with .mean and .variance (n,), .interval(level, observed=...), .covariance (n, n).

        Raises:
            InputError: wrong shape, not finite, or a covariance that a diagonal cannot give.
        """
        means, variances, full = [], [], None
        for cross, rotated, prior in self._blocks(X_new, diagonal, covariance):
            moments = condition(self.engine, self.mixture, self.temperature, cross, rotated, prior)
            means.append(moments.means)
            variances.append(moments.variances)
            full = moments.covariance
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        weights = self.mixture.weights
        mean = weights @ m
        spread = weights @ (m - mean) ** 2
        return Prediction(mean, weights @ v + spread, self.temperature, full, weights, m, v)

    def score(self, X_test: Any, y_test: Any, diagonal: Any = None) -> Score:
        """Errors, accuracy and negative log likelihood on test data.

        Args:
            X_test: inputs (n, N_0), or `prepared.at(...)`; for a precomputed kernel k (n, P).
            y_test: targets (n,).
            diagonal: for a precomputed kernel the test points' own variances (n,).
        """
        prediction = self.predict(X_test, diagonal)
        return score(prediction, checks.targets(y_test, len(prediction.mean), "y_test"))

    def renormalised_kernel(self, X1: Any, X2: Any = None) -> Float[np.ndarray, "n m"]:
        """K_R between two sets of inputs: the kernel that finite width predicts with, averaged over p(Q | D).

        Args:
            X1, X2: inputs (n, N_0) and (m, N_0); X2 = X1 where it is left out.
        """
        if isinstance(self.network, PrecomputedKernel):
            if X2 is not None:
                raise InputError("X2: expected nothing with PrecomputedKernel, got an array; pass the kernel as X1.")
            k = checks.real_array("X1", X1, (1, 2), "(n, P), a kernel")
            return self.mixture.mean_Q * k
        X1 = checks.inputs(X1, "X1", self.engine.X.shape[1])
        X2 = X1 if X2 is None else checks.inputs(X2, "X2", self.engine.X.shape[1])
        kernel = cross_kernel(self.network, X1, X2)
        other = cross_kernel(self.network, X2, X1[:1]).mean
        if self.mixture.c is None or kernel.mean is None or other is None:
            return self.mixture.mean_Q * kernel.k
        M = np.outer(kernel.mean, other)
        return self.mixture.mean_Q * (kernel.k - M) + self.mixture.mean_c * M

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the posterior to one file, whole or not at all; `widthwise.load` reads it back."""
        from widthwise.posterior.storage import save

        save(self, path)

    def _blocks(
        self, X_new: Any, diagonal: Any, covariance: bool
    ) -> Iterator[tuple[CrossKernel, Float[np.ndarray, "P n"], Float[np.ndarray, "n n"] | None]]:
        """(cross kernel, its rotation, prior covariance or None) by blocks of rows that fit in memory."""
        spectrum, scale = self.engine.spectrum, self.engine.scale
        if isinstance(X_new, PreparedInputs):
            if not (isinstance(spectrum, EigenSpectrum) and spectrum.system is X_new.system):
                raise InputError(
                    "X_new: expected points of the preparation that this posterior was inferred from, got another's; "
                    "pass the inputs themselves."
                )
            yield X_new.cross, X_new.rotated, self._prior(X_new.X, None) / scale if covariance else None
            return
        P = len(self.engine.y)
        n = len(X_new) if hasattr(X_new, "__len__") else 1
        rows = n if covariance or isinstance(self.network, PrecomputedKernel) else max(1, _BLOCK // P)
        if n > rows:
            X_new = checks.inputs(X_new, "X_new", self.engine.X.shape[1])
        for start in range(0, max(n, 1), rows):
            block = X_new if n <= rows else X_new[start : start + rows]
            cross = self.engine.cross(block, diagonal)
            rotated = spectrum.rotate(np.asfortranarray(cross.k.T))
            yield cross, rotated, self._prior(block, diagonal) / scale if covariance else None

    def _prior(self, X_new: Any, diagonal: Any) -> Float[np.ndarray, "n n"]:
        """The network's infinite-width kernel among new points."""
        if isinstance(self.network, PrecomputedKernel):
            own = np.asarray(diagonal, float)
            if own.ndim != 2:
                raise InputError(
                    "covariance: expected the new points' kernel (n, n) as `diagonal`, got only variances; pass K**."
                )
            return own
        X_new = checks.inputs(X_new, "X_new", self.engine.X.shape[1])
        kernel: CrossKernel = network_kernel(self.network, X_new, X_new)
        np.fill_diagonal(kernel.k, kernel.diagonal)
        return kernel.k
