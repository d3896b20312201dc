"""The posterior of a network: order parameters, errors, evidence and predictions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.posterior import checks
from widthwise.posterior.calibration import LEVELS, Calibration, calibration
from widthwise.posterior.cavity import CavityLaw
from widthwise.posterior.certificate import Certificate, Validity
from widthwise.posterior.error_bar import Points, error_bar, some
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.phases import Phase, Specialisation
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.scalar import ScalarLaw
from widthwise.posterior.score import Errors, Score, score, together
from widthwise.posterior.sources import Network

if TYPE_CHECKING:
    from widthwise.posterior.features import Alignment


@dataclass(frozen=True)
class Posterior:
    """What `infer` returns. Every error is a Gibbs average: bias + variance, no temperature added.

    Args:
        network: the network, as inferred.
        temperature: T.
        approximation: "saddle", "infinite", "integrated", "two-parameter" or "cavity".
        certificate: how the order parameters were found.
        exact: whether this approximation is exact for this network.
        law: the order parameters with their weights, and the training data.
    """

    network: Network
    temperature: float
    approximation: str
    certificate: Certificate
    exact: bool = field(repr=False)
    law: AbstractLaw = field(repr=False)

    def __post_init__(self) -> None:
        judged = self.certificate.judged_by(lambda: self.training_error.error_bar)
        object.__setattr__(self, "certificate", judged)

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        """{"Q": one per hidden layer (L,)}, and "Q_conjugate" for the two-parameter action.

        For D outputs Q is a matrix per layer (L, D, D), for a convolutional network one over its n patches (n, n), or
        (n D, n D) with entry (i D + d, j D + e). At infinite width Q = 1; for `integrated` the posterior mean ⟨Q⟩.
        """
        return self.law.order_parameters

    @property
    def targets(self) -> Float[np.ndarray, "P *D"]:
        """The training targets y (P,) or (P, D)."""
        return self.law.targets

    @property
    def load(self) -> tuple[float, ...]:
        """α_ℓ = P/N_ℓ, one per hidden layer."""
        return tuple(len(self.targets) / N for N in self.network.widths)

    @cached_property
    def validity(self) -> Validity:
        """τ, ρ, their product, the neurons' kurtosis, and in one word: sound, doubtful or outside."""
        return self.law.validity(exact=self.exact)

    @cached_property
    def log_evidence(self) -> float:
        """log p(y | X) = log ∫ p(Q) N(y; 0, T I + K_R) dQ, normalised.

        The integral itself ("integrated"), its Laplace approximation in log Q ("saddle", and "two-parameter" too, whose
        evidence is the same at leading order), or log N(y; 0, T I + K) ("infinite").
        """
        return self.law.log_evidence(self.approximation)

    @cached_property
    def log_evidence_gain(self) -> float:
        """log p(y | X) − log N(y; 0, T I + K), in nats: what finite width explains of the data beyond infinite width.

        The logarithm of the Bayes factor between the two: positive where the data speak for finite width.
        """
        return self.log_evidence - self.law.log_evidence("infinite")

    @cached_property
    def training_error(self) -> Errors:
        """ε_t on the training set: .total .bias .variance; of D outputs the sum over them."""
        found = self.law.training_error()
        return found.judged_by(lambda: error_bar(self, found))

    @property
    def memorisation(self) -> float:
        """m̄, the response of the mean predictor to a change of the training labels, per label: 0 none, 1 by rote.

            m̄ = tr ∂⟨f⟩/∂y /(P D) = ⟨|f − ⟨f⟩|²⟩/(T P D),   at the saddle tr[K_R (T + K_R)⁻¹]/(P D)

        (∂⟨f_μ⟩/∂y_ν = Cov(f_μ, f_ν)/T: a Gaussian likelihood's average moves as it fluctuates.) So the Gibbs average
        is ε_t = ε_t(mean) + T D m̄, and of the *mean* predictor alone (ε_g − ε_t)/ε_g ≈ 1 − (1 − m̄)²: `ww.memorisation`.

        Of `integrated` and `infinite` the whole response: to `ww.memorisation` of refits equal within its standard
        error. The saddle's order parameters are held; found again for every perturbed label the response differs by
        O(1/P): erf and relu at load 1, T = 0.1, P = 16 to 128, by 0.06/P to 0.17/P upwards.
        """
        return self.law.fit.memorisation

    @cached_property
    def dual_vector(self) -> Float[np.ndarray, "P *D"]:
        """(y − ⟨f⟩)/T on the training points: what predictions are linear in, for one component A⁻¹y."""
        return self.law.dual_vector()

    @property
    def specialisation(self) -> Specialisation:
        """Which neurons left the Gaussian regime: ⟨m⟩, ⟨m⟩/N, kurtosis, share of Q. With approximation="cavity" only.

        A neuron is specialised when its own share q_i = λ_1⟨v_i | W⟩²/N of the order parameter is O(1), not O(1/N).

        Raises:
            InputError: another approximation, in which no neuron can specialise.
        """
        return self._cavity("specialisation").specialisation

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The posterior by its number of specialised neurons: probability, log evidence, ε_t; which one is stable.

        Raises:
            InputError: another approximation than "cavity".
        """
        return self._cavity("phases").phases

    def _cavity(self, what: str) -> CavityLaw:
        if not isinstance(self.law, CavityLaw):
            raise InputError(
                f'{what}: expected approximation="cavity", got "{self.approximation}", in which every neuron is '
                'Gaussian; infer again with approximation="cavity".'
            )
        return self.law

    def action(self, Q: Any) -> Float[np.ndarray, " n"]:
        """S(Q) of the one-parameter effective action, for a figure or a check.

        Args:
            Q: any positive numbers (n,).

        Raises:
            InputError: this posterior's order parameter is not one number, or a Q is not above zero.
        """
        if not isinstance(self.law, ScalarLaw):
            raise InputError(f"action: expected one number as order parameter, got a matrix ({self.network.name}).")
        values = checks.real_array("Q", np.atleast_1d(Q), (1,), "(n,)")
        if not (values > 0).all():
            raise InputError(f"Q: expected numbers above zero, got {values.min():g}.")
        return np.array([self.law.action.jet(float(np.log(q))).value for q in values.ravel()])

    def predict(self, X_new: Any, diagonal: Any = None, *, covariance: bool = False) -> Prediction:
        """The posterior of f at new points.

        Args:
            X_new: inputs (n, N_0) or images, as in training, or `prepared.at(...)`; for a precomputed kernel k (n, P).
            diagonal: for a precomputed kernel the new points' own variances (n,), or kernel (n, n).
            covariance: whether the full matrix is wanted.

        Returns:
            `Prediction` with .mean and .variance (n,) or (n, D), .interval(level, observed=...), .covariance (n, n) or
            (n, D, n, D), and for D outputs .output_covariance (n, D, D).

        Raises:
            InputError: wrong shape, not finite, or a covariance that a diagonal cannot give.
        """
        return self.law.predict(X_new, diagonal, covariance=covariance)

    def score(self, X_test: Any, y_test: Any, diagonal: Any = None) -> Score:
        """Errors, accuracy and negative log likelihood on test data.

        Args:
            X_test: inputs (n, N_0) or images, or `prepared.at(...)`; for a precomputed kernel k (n, P).
            y_test: targets (n,), or (n, D) as in training.
            diagonal: for a precomputed kernel the test points' own variances (n,).
        """
        parts = [(score(prediction, y), len(y)) for prediction, y in self._predicted(X_test, y_test, diagonal)]
        whole = together([part for part, _ in parts], [size for _, size in parts])
        at = some(self.law, Points(X_test, y_test, diagonal))  # now: the arrays may change before the bar is asked for
        return whole.judged_by(lambda: error_bar(self, whole, at))

    def calibration(self, X_test: Any, y_test: Any, levels: Any = LEVELS, *, diagonal: Any = None) -> Calibration:
        """Whether test targets fall into the predicted intervals as often as these promise, and how wide they are.

        Args:
            X_test: inputs (n, N_0) or images, or `prepared.at(...)`; for a precomputed kernel k (n, P).
            y_test: targets (n,), or (n, D) as in training.
            levels: of the central intervals, probabilities between 0 and 1.
            diagonal: for a precomputed kernel the test points' own variances (n,).

        Returns:
            `Calibration`: per level coverage and width; negative log likelihood; for labels ±1 the Brier score.

        Raises:
            InputError: a level is not between 0 and 1, or the data are not as in training.
        """
        return calibration(self._predicted(X_test, y_test, diagonal), levels)

    def _predicted(self, X_test: Any, y_test: Any, diagonal: Any) -> Iterator[tuple[Prediction, np.ndarray]]:
        """Predictions with their targets, checked, of as many points at a time as memory allows."""
        outputs = None if self.targets.ndim == 1 else self.targets.shape[1]
        rows = self.law.points_at_a_time
        few = not hasattr(X_test, "__len__") or len(X_test) <= rows  # what is no array at all `predict` refuses
        if diagonal is not None or isinstance(X_test, PreparedInputs) or few:
            prediction = self.predict(X_test, diagonal)
            yield prediction, checks.targets(y_test, len(prediction.mean), "y_test", outputs)
            return
        X_test = self.law.source.check(X_test)
        y_test = checks.targets(y_test, len(X_test), "y_test", outputs)
        for start in range(0, len(X_test), rows):
            block = slice(start, start + rows)
            yield self.predict(X_test[block]), y_test[block]

    def renormalised_kernel(self, X1: Any, X2: Any = None) -> np.ndarray:
        """K_R between two sets of inputs: the kernel that finite width predicts with, averaged over p(Q | D).

        Args:
            X1, X2: inputs (n, N_0) and (m, N_0), or images; X2 = X1 where it is left out.

        Returns:
            (n, m); for D outputs (n, D, m, D).
        """
        return self.law.renormalised_kernel(X1, X2)

    def feature_kernel(self, X1: Any, X2: Any = None, *, layer: int | None = None) -> Float[np.ndarray, "n m"]:
        """The posterior mean Gram matrix of a hidden layer: an observable, no kernel to predict with.

            ⟨ΦΦᵀ⟩/(λ_1 N_1) = K + (1/N_1) ⟨Q K (a aᵀ − A⁻¹) K⟩,   A = T I + QK,  a = A⁻¹y,   averaged over p(Q | D)

        In the units of the layer's NNGP kernel K_ℓ, which it is before the data and at infinite width: divided by
        λ_ℓ N_ℓ, and for (linear) patches summed over them and divided by n too. What helps to predict is in Q already.

        Exact, with `integrated`, for the identity: at any depth, for D outputs, for one layer of patches. Assumes
        Gaussian features otherwise; for several non-linear layers also leading order in 1/N, each layer's response
        carried to those above by κ.                               [posterior.features; docs/theory.md, Feature kernel]

        Args:
            X1, X2: inputs (n, N_0) and (m, N_0), or images; X2 = X1 where it is left out. For a precomputed kernel X1
                is k (n, P), and the answer is between the new points and the training points.
            layer: ℓ from 1 to L; the last where it is left out.

        Returns:
            (n, m).

        Raises:
            InputError: another layer; an order parameter or architecture for which no formula was verified.
        """
        from widthwise.posterior.features import feature_kernel

        return feature_kernel(self, X1, X2, layer)

    def alignment(self, layer: int | None = None, *, centred: bool = False) -> Alignment:
        """How far a hidden layer turned towards the targets: its kernel's alignment before and after the data.

            ⟨K, YYᵀ⟩_F/(‖K‖_F ‖YYᵀ‖_F) on the training points             [Cristianini et al. 2001, NeurIPS 14]

        Args:
            layer: ℓ from 1 to L; the last where it is left out.
            centred: whether mean feature and mean target are taken off first.     [Cortes et al. 2012, arXiv 1203.0550]

        Returns:
            `Alignment` with .before (of the NNGP kernel) and .after (of `feature_kernel`).

        Raises:
            InputError: as `feature_kernel`; constant targets where they are centred.
        """
        from widthwise.posterior.features import alignment

        return alignment(self, layer, centred=centred)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the posterior to one file, whole or not at all; `widthwise.load` reads it back."""
        from widthwise.posterior.storage import save

        save(self, path)
