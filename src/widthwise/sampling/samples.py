"""What a sampler found: draws of the real network, and the averages that a prediction is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from widthwise.errors import InputError
from widthwise.sampling import checks, predictive
from widthwise.sampling.burn_in import burn_in
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.diagnostics import Diagnostics, diagnose
from widthwise.sampling.estimates import Estimate, GibbsError, estimate, gibbs_error
from widthwise.sampling.patches import Network, above, inputs, rows
from widthwise.sampling.predictive import Prediction, moments
from widthwise.sampling.samplers import AbstractSampler
from widthwise.sampling.tempering import Tempering, tempering

if TYPE_CHECKING:
    from widthwise.sampling.features import FeatureKernel
    from widthwise.sampling.specialisation import Specialisation
    from widthwise.sampling.weights import LayerWeights

OF_EVERY_DRAW = (
    "log_likelihood",
    "acceptance",
    "divergent",
    "leapfrog_steps",
    "train_mean",
    "train_spread",
    "test_mean",
    "test_variance",
)
OF_EVERY_LADDER = ("level_log_likelihood", "replicas")
SHORTEST = 20  # draws of a chain that a burn-in can be told from


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Draws from the posterior of a network's weights, by what they predict.

    C chains of S draws; P training and n test points; D outputs. Averages are properties, each with its error.

    Attributes:
        network, temperature, sampler, key: what was asked for.
        frame, inputs: the first layer's coordinates, and the training inputs in them ("P r"), or all their patches.
        X_test: test inputs as they came ("n N0", "n H W" or "n H W C"; n = 0 without).
        y, y_test: targets ("P D", "n D"; None without).
        scalar: whether y came as (P,).
        train_mean: f on the training points given each draw's sampled weights ("C S P D").
        train_spread: variance of f given them, averaged over the training points and summed over outputs ("C S").
        test_mean, test_variance: the same on the test points ("C S n D", "C S n"; n = 0 without).
        log_likelihood, acceptance, divergent, leapfrog_steps: of each draw ("C S").
        weights: standardised weights of some of the draws ("C S' dimension").
        step_size, seconds: of the run.
        dropped: log likelihood of the draws before the chains had settled ("C b"): those are nowhere else.
        drift: what has not settled, in words; empty when everything has.
        betas: of a tempered run's levels (" L"); None of others, as the next two.
        level_log_likelihood, replicas: of every draw at every level, and which replica is there ("C S L").
    """

    network: Network
    temperature: float
    sampler: AbstractSampler
    key: tuple[int, ...]
    frame: Frame
    inputs: Float[np.ndarray, "rows r"]
    X_test: Float[np.ndarray, "n *shape"]
    y: Float[np.ndarray, "P D"]
    y_test: Float[np.ndarray, "n D"] | None
    scalar: bool
    train_mean: Float[np.ndarray, "C S P D"]
    train_spread: Float[np.ndarray, "C S"]
    test_mean: Float[np.ndarray, "C S n D"]
    test_variance: Float[np.ndarray, "C S n"]
    log_likelihood: Float[np.ndarray, "C S"]
    acceptance: Float[np.ndarray, "C S"]
    divergent: np.ndarray
    leapfrog_steps: np.ndarray
    weights: Float[np.ndarray, "C kept dimension"]
    step_size: float
    seconds: float
    dropped: Float[np.ndarray, "C b"]
    drift: str = ""
    betas: Float[np.ndarray, " L"] | None = None
    level_log_likelihood: Float[np.ndarray, "C S L"] | None = None
    replicas: Int[np.ndarray, "C S L"] | None = None

    def __repr__(self) -> str:
        C, S = self.log_likelihood.shape
        return f"Samples({self.network.name}, {self.sampler.name}: {C} chains × {S} draws, {self.diagnostics.status})"

    @cached_property
    def training_error(self) -> GibbsError:
        """ε_t, the Gibbs error on the training points."""
        return gibbs_error(self.y, self.train_mean, self.train_spread)

    @cached_property
    def generalisation_error(self) -> GibbsError:
        """ε_g, the Gibbs error on the test points."""
        y_test = self._test_targets()
        return gibbs_error(y_test, self.test_mean, self.test_variance.mean(axis=2) * y_test.shape[1])

    @cached_property
    def accuracy(self) -> Estimate:
        """Share of test points whose ±1 label is the sign of the mean predictor.

        Its error bounds what the noise of the mean can do: Σ √(p(1−p))/n, p the chance that the noise turns a sign.
        """
        y, draw = self._signs(), self.draw_accuracy
        margin = np.abs(self.mean) / np.maximum(self.mean_standard_error, np.finfo(float).tiny)
        turned = ndtr(-margin)
        error = float(np.mean(np.sqrt(turned * (1.0 - turned))))
        return Estimate(float(np.mean(y * self.mean > 0)), error, draw.ess, draw.ess_tail, draw.rhat)

    @cached_property
    def draw_accuracy(self) -> Estimate:
        """Share of test points whose ±1 label is the sign of f in a draw from the posterior, on average over draws."""
        margin = self._signs() * self.test_mean[..., 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            right = np.where(self.test_variance > 0, ndtr(margin / np.sqrt(self.test_variance)), margin > 0)
        return estimate(right.mean(axis=2))

    @cached_property
    def prediction(self) -> Prediction:
        """The posterior law of f on the test points."""
        if self.test_mean.shape[2] == 0:
            raise InputError("no test points: expected X_test in ww.sample, got none; pass it, or use samples.predict.")
        return moments(self.test_mean, self.test_variance, self.scalar)

    @property
    def mean(self) -> np.ndarray:
        """⟨f⟩ on the test points."""
        return self.prediction.mean

    @property
    def variance(self) -> np.ndarray:
        """⟨f²⟩ − ⟨f⟩² on the test points."""
        return self.prediction.variance

    @property
    def mean_standard_error(self) -> np.ndarray:
        """Monte Carlo error of `mean`."""
        return self.prediction.mean_standard_error

    @property
    def variance_standard_error(self) -> np.ndarray:
        """Monte Carlo error of `variance`."""
        return self.prediction.variance_standard_error

    @cached_property
    def negative_log_likelihood(self) -> Estimate:
        """Mean of −log p(y) of the test targets under the sampled predictive law, T added; of D outputs together."""
        y = self._test_targets()
        return predictive.negative_log_likelihood(self.test_mean, self.test_variance + self.temperature, y)

    def coverage(self, lower: Any, upper: Any) -> Estimate:
        """Posterior probability that f of the sampled network lies in [lower, upper], averaged over the test points.

        Args:
            lower, upper: (n,), or (n, D) for D outputs: a predicted interval, say.

        Raises:
            InputError: no test points, bounds of another shape or not finite, or a lower one above its upper.
        """
        bounds = predictive.bounds(lower, upper, self.mean.shape)
        return predictive.coverage(self.test_mean, self.test_variance, *bounds)

    def interval(self, level: Any = 0.9, *, observed: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The central interval at the test points that holds f (`observed`: a noisy target) with probability `level`.

        Returns:
            (lower, upper), each (n,) or (n, D): of each output on its own.

        Raises:
            InputError: no test points, or a level that is not between 0 and 1.
        """
        shape, variance = self.mean.shape, self.test_variance + self.temperature * observed
        lower, upper = predictive.interval(self.test_mean, variance, level)
        return lower.reshape(shape), upper.reshape(shape)

    def probability_below(self, values: Any, *, observed: bool = False) -> np.ndarray:
        """P(f < value), `observed`: of a noisy target, at the test points, under the sampled law.

        Args:
            values: (n,), or (n, D) for D outputs; the test targets give their probability integral transform.

        Raises:
            InputError: no test points, or values of another shape or not finite.
        """
        shape, variance = self.mean.shape, self.test_variance + self.temperature * observed
        values = predictive.per_point("values", values, shape)
        return predictive.below(self.test_mean, variance, values).reshape(shape)

    def predict(self, X: Any, *, key: int = 0) -> Prediction:
        """The posterior law of f on new points, from the kept weights.

        Weights that the training inputs never touch are drawn from the prior, one draw for all rows of X together.

        Args:
            X: inputs (n, N0), or images of the training images' shape.
            key: seed of the draws outside the training inputs' span.

        Returns:
            mean and variance of f, (n,) or (n, D), each with its standard error.

        Raises:
            InputError: X of another shape than the training inputs, or not finite; too few weights were kept.
        """
        from widthwise.sampling.chains import predict
        from widthwise.sampling.cost import check_prediction

        C, kept = self.weights.shape[:2]
        if C * (kept // 2) < 2:
            raise InputError(
                f"weights_memory: expected the weights of a few draws, got those of {kept} from each of {C} chains; "
                f"sample with more than weights_memory={self.sampler.weights_memory:g}."
            )
        X = inputs("X", X, self.network, self.X_test.shape[1:])
        check_prediction(samples=self, X=X)
        X = rows(self.network, X)
        points = self.frame.inside(X), self.frame.outside(X)
        training = self.inputs, self.y
        stack = above(self.network, self.X_test.shape[1:])
        collapsed, T = self.sampler.collapsed, self.temperature
        draws = predict(self.network, collapsed, T, training, stack, points, self.weights, key)
        return moments(*draws, self.scalar)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """Whether the chains can be believed."""
        return diagnose(self)

    @cached_property
    def tempering(self) -> Tempering | None:
        """How well the ladders of `Tempered` carry, and the network's log evidence; None from other samplers."""
        if self.betas is None or self.level_log_likelihood is None or self.replicas is None:
            return None
        return tempering(self.betas, self.level_log_likelihood, self.replicas)

    @cached_property
    def readout_shares(self) -> Float[np.ndarray, "C S N"]:
        """q_i = λ_L ⟨v_i | W⟩²/N_L of every neuron of the last hidden layer: one that specialised has a share of O(1).

        Of the draws whose weights were kept, summed over outputs.

        Raises:
            InputError: a convolutional network.
        """
        from widthwise.sampling.specialisation import readout_shares

        return readout_shares(self)[0]

    @cached_property
    def specialisation(self) -> Specialisation:
        """How many neurons are specialised, and what they carry, each with its error.

        Raises:
            InputError: a convolutional network, or too few weights were kept.
        """
        from widthwise.sampling.specialisation import specialisation

        return specialisation(self)

    def network_weights(self, *, key: int = 0, draws: int | None = None) -> list[LayerWeights]:
        """The weights of the real network, in its own units: W ~ N(0, 1/λ_ℓ) under the prior.

        What was integrated out or never met the training inputs is drawn from its law given the rest.

        Args:
            key: seed of those draws.
            draws: of each chain at most, evenly spaced among those whose weights were kept; None: all of these.

        Returns:
            of each layer, the readout last: `.weights` (C, S', N_ℓ, N_{ℓ−1}), `.biases` (C, S', N_ℓ) or None.
        """
        from widthwise.sampling.weights import network_weights

        return network_weights(self, key, draws=draws)

    def feature_kernel(
        self, X1: Any, X2: Any = None, *, layer: int | None = None, key: int = 0, draws: int | None = None
    ) -> FeatureKernel:
        """The mean Gram matrix of a hidden layer, ⟨φφᵀ⟩/(λ_ℓ N_ℓ), by forward passes with the kept weights.

        For patches summed over them and divided by their number n_ℓ too; of an average readout's last layer the Gram
        matrix of the averages. So it is in the units of the layer's infinite-width kernel.

        Args:
            X1, X2: inputs (n, N0) and (m, N0), or images of the training images' shape; X2 = X1 where it is left out.
            layer: ℓ from 1 to L; the last where it is left out.
            key, draws: as in `network_weights`.

        Returns:
            `.value` and `.standard_error`, (n, m) each.

        Raises:
            InputError: X1 or X2 of another shape or not finite, another layer, too few draws.
        """
        from widthwise.sampling.features import feature_kernel

        return feature_kernel(self, X1, X2, layer, key, draws)

    def series(self) -> dict[str, Float[np.ndarray, "C S"]]:
        """What every draw has and every check looks at: log likelihood, training and generalisation error."""
        found = {
            "log_likelihood": self.log_likelihood,
            "training_error": np.mean(np.sum((self.y - self.train_mean) ** 2, axis=3), axis=2) + self.train_spread,
        }
        if self.y_test is not None:
            spread = self.test_variance.mean(axis=2) * self.y.shape[1]
            rest = np.sum((self.y_test - self.test_mean) ** 2, axis=3)
            found["generalisation_error"] = np.mean(rest, axis=2) + spread
        return found

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """The average of each of the `series`."""
        return {name: estimate(series) for name, series in self.series().items()}

    def to_arviz(self) -> Any:
        """An `arviz.InferenceData`: f on the test (else training) points, errors and sampler statistics of every draw.

        Raises:
            MissingExtra: without ArviZ.
        """
        az = checks.extra("arviz")
        axis = 2 + (self.y.shape[1] > 1)
        squeeze = (lambda f: f) if axis == 3 else (lambda f: f[..., 0])
        posterior = {"f_train": squeeze(self.train_mean)}
        if self.test_mean.shape[2]:
            posterior |= {"f_test": squeeze(self.test_mean), "f_test_variance": self.test_variance}
        posterior |= {name: series for name, series in self.series().items() if name != "log_likelihood"}
        statistics = {
            "lp": self.log_likelihood,
            "acceptance_rate": self.acceptance,
            "diverging": self.divergent,
            "n_steps": self.leapfrog_steps,
        }
        return az.from_dict(posterior=posterior, sample_stats=statistics, observed_data={"y": self.y.squeeze()})

    def save(self, path: Any) -> None:
        """Write everything to one .npz file (arrays and a JSON header), whole or not at all.

        Args:
            path: of the file; an existing one is replaced. `widthwise.sampling.load` reads it back.

        Raises:
            InputError: the folder does not exist or cannot be written.
        """
        from widthwise.sampling.storage import save

        save(self, path)

    def _test_targets(self) -> np.ndarray:
        if self.y_test is None:
            raise InputError("no test targets: expected X_test and y_test in ww.sample, got none; pass both.")
        return self.y_test

    def _signs(self) -> np.ndarray:
        y = self._test_targets()
        if y.shape[1] != 1 or not np.all(np.abs(y) == 1.0):
            raise InputError("accuracy: expected test targets ±1 of one output, got others; map the two classes to ±1.")
        return y[:, 0]


def settle(samples: Samples, thinning: int) -> Samples:
    """The same without the draws made before its chains had settled.

    Args:
        samples: all draws.
        thinning: one in how many of them has its weights: the first, and so on.
    """
    if samples.log_likelihood.shape[1] < SHORTEST:
        return samples
    series = samples.series()
    found = burn_in(np.stack(list(series.values())), list(series))
    b = found.draws
    names = OF_EVERY_DRAW if samples.betas is None else (*OF_EVERY_DRAW, *OF_EVERY_LADDER)
    later: dict[str, Any] = {name: getattr(samples, name)[:, b:] for name in names}
    later["weights"] = samples.weights[:, math.ceil(b / thinning) :]
    drift = "" if found.settled else found.reason
    return replace(samples, **later, dropped=samples.log_likelihood[:, :b], drift=drift)
