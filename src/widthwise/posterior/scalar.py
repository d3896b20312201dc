"""One number multiplies the kernel: the law of one output, at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import ScalarAction, TwoParameterAction
from widthwise.errors import InputError, NumericalError
from widthwise.networks import FullyConnected
from widthwise.numerics.spectra import EigenSpectrum
from widthwise.posterior import certificate, checks
from widthwise.posterior.certificate import LAYERS, NUMBER, Certificate, Validity, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.fit import Node
from widthwise.posterior.gaussianity import gaussianity
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.mixture import Mixture, components, condition
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.sources import AbstractSource


@dataclass(frozen=True)
class ScalarLaw(AbstractLaw):
    """K_R = Q K, or Q (K − M) + c M, averaged over weighted order parameters.

    Args:
        engine: the training data and their spectrum.
        temperature: T.
        mixture: the order parameters with their weights.
        found: S(Q) on that spectrum, its minimum already found; made when needed where it is left out.
    """

    engine: Engine = field(repr=False)
    temperature: float
    mixture: Mixture = field(repr=False)
    found: ScalarAction | None = field(default=None, repr=False)
    kind = "scalar"

    @property
    def source(self) -> AbstractSource:  # type: ignore[override]
        return self.engine.source

    @property
    def targets(self) -> Float[np.ndarray, " P"]:
        return self.engine.y

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        parameters = {"Q": self.mixture.layers @ self.mixture.weights}
        if self.mixture.c is not None:
            parameters["Q_conjugate"] = np.array([1.0 / self.mixture.mean_c - 1.0])
        return parameters

    @property
    def solver(self) -> str:
        return self.engine.spectrum.kind

    @cached_property
    def action(self) -> ScalarAction:
        """S(Q)."""
        return self.found if self.found is not None else self.engine.action(self.temperature)

    def validity(self, *, exact: bool) -> Validity:
        action, along, network = self.action, None, self.engine.network
        if isinstance(network, FullyConnected) and network.depth == 1:
            a = self.engine.spectrum.dual_vector(action.scale * action.Q, self.temperature)
            along = gaussianity(network, self.engine.X, a, action.Q)
        found = validity(*action.shares, along, exact=exact, limits=LAYERS if action.below else NUMBER)
        if found.verdict == "outside" and along is not None:
            return replace(found, reason=f'{found.reason}; approximation="cavity" lets them specialise')
        return found

    def nodes(self) -> Iterator[Node]:
        T = self.temperature
        for weight, component in components(self.engine, self.mixture, T):
            yield Node(weight, T * component.a, component.degrees_of_freedom)

    def dual_vector(self) -> Float[np.ndarray, " P"]:
        a = self.fit.residual / self.temperature
        return self.engine.spectrum.rotate_back(a[:, None])[:, 0]

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        means, variances, full = [], [], None
        for cross, rotated, prior in self.engine.blocks(X_new, diagonal, covariance):
            moments = condition(self.engine, self.mixture, self.temperature, cross, rotated, prior)
            means.append(moments.means)
            variances.append(moments.variances)
            full = moments.covariance
        m, v = np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        return Prediction.of_mixture(self.mixture.weights, m, v, self.temperature, covariance=full)

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
        mixture, source = self.mixture, self.source
        if not source.pairs:
            if X2 is not None:
                raise InputError("X2: expected nothing with PrecomputedKernel, got an array; pass the kernel as X1.")
            return mixture.mean_Q * checks.real_array("X1", X1, (1, 2), "(n, P), a kernel")
        X1 = source.check(X1, "X1")
        X2 = X1 if X2 is None else source.check(X2, "X2")
        kernel = source.at(X2).cross(X1)
        if mixture.c is None or kernel.mean is None:
            return mixture.mean_Q * kernel.k
        other = source.at(X1[:1]).cross(X2).mean
        M = np.outer(kernel.mean, kernel.mean if other is None else other)
        return mixture.mean_Q * (kernel.k - M) + mixture.mean_c * M

    def arrays(self) -> dict[str, np.ndarray]:
        mixture = self.mixture
        parts = {"Q": mixture.Q, "weights": mixture.weights, "layers": mixture.layers}
        return parts if mixture.c is None else parts | {"c": mixture.c}


def infer_scalar(
    action: ScalarAction, engine: Engine, approximation: str, *, throw: bool
) -> tuple[ScalarLaw, Certificate]:
    """The law of one number, by the approximation named, and how it was found.

    Args:
        action: on the engine's spectrum.
        engine: the training data.
        approximation: "saddle", "infinite", "integrated" or "two-parameter".
        throw: whether a search that did not converge raises.
    """
    N, T = action.width, action.temperature
    one = np.ones(1)
    kind = engine.spectrum.kind
    if approximation == "infinite":
        mixture = Mixture(one, one, np.ones((engine.network.depth, 1)))
        return ScalarLaw(engine, T, mixture, action), certificate.closed_form(kind)
    if approximation == "two-parameter":
        spectrum, mean = engine.spectrum, engine.rotated_mean
        if not isinstance(spectrum, EigenSpectrum) or mean is None:
            raise InputError(
                'approximation: "two-parameter" is for activations with a mean (relu, quadratic, cos, …), got '
                f'{engine.network.name}; use "saddle".'
            )
        two = TwoParameterAction(spectrum, mean, N, T, engine.scale)
        if throw:
            two.saddle.check("two-parameter action", "raise the temperature, or use approximation='saddle'.")
        mixture = Mixture(np.array([two.Q]), one, np.array([[two.Q]]), np.array([two.c]))
        return ScalarLaw(engine, T, mixture, action), certificate.of_saddle(two.saddle, kind)
    saddle = action.saddle
    if throw:
        saddle.check("effective action", "raise the temperature, or pass throw=False to look at the certificate.")
    if approximation == "saddle":
        mixture, error = Mixture(np.array([action.Q]), one, action.layers[:, None]), None
    else:
        quadrature = action.quadrature
        if throw and quadrature.error > 1e-2:  # of every second node: its own error is about the square
            raise NumericalError(
                f"integral over the order parameter: {quadrature.error:.1g} between two grids; "
                "use approximation='saddle', or pass throw=False."
            )
        mixture, error = Mixture(quadrature.Q, quadrature.weights, quadrature.layers), quadrature.error
    found = certificate.of_saddle(saddle, kind, rounding=action.rounding, quadrature_error=error)
    return ScalarLaw(engine, T, mixture, action), found
