"""Order parameters that reshape the kernel layer by layer: the law of the closures `nested` and `linearised`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import LayeredAction
from widthwise.errors import InputError
from widthwise.kernels.closures import AbstractClosure, Linearised, Nested
from widthwise.numerics.spectra import FactoredSpectrum
from widthwise.posterior import certificate, checks
from widthwise.posterior.certificate import LAYERS, Certificate, Validity, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.mixture import Mixture
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.scalar import ScalarLaw
from widthwise.posterior.score import Errors
from widthwise.posterior.sources import AbstractSource, Closed, Inputs

_CLOSURES: dict[str, type[AbstractClosure]] = {"nested": Nested, "linearised": Linearised}


@dataclass(frozen=True)
class LayersLaw(AbstractLaw):
    """K_R(Q_1 … Q_L) at one set of order parameters: a Gaussian process whose kernel was computed at them.

    Args:
        inputs: the training inputs.
        y: targets (P,).
        temperature: T.
        Q: Q_1 … Q_L (L,).
        found: S(Q_1 … Q_L), its minimum already found; made when needed where it is left out.
    """

    inputs: Inputs = field(repr=False)
    y: Float[np.ndarray, " P"] = field(repr=False)
    temperature: float
    Q: Float[np.ndarray, " L"] = field(repr=False)
    found: LayeredAction | None = field(default=None, repr=False)
    kind = "layers"
    solver = "Cholesky"

    @property
    def source(self) -> AbstractSource:  # type: ignore[override]
        return self.inputs

    @property
    def targets(self) -> Float[np.ndarray, " P"]:
        return self.y

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        return {"Q": self.Q}

    @cached_property
    def action(self) -> LayeredAction:
        """S(Q_1 … Q_L)."""
        return self.found if self.found is not None else action_of(self.inputs, self.y, self.temperature)

    @cached_property
    def process(self) -> ScalarLaw:
        """The Gaussian process with kernel K_R, nothing left to multiply it."""
        source = Closed(self.inputs.network, self.inputs.X, closure_of(self.inputs), self.Q)
        one = np.ones(1)
        engine = Engine(source, self.y, lambda: FactoredSpectrum(source.training().K, self.y), None)
        return ScalarLaw(engine, self.temperature, Mixture(one, one, self.Q[:, None]))

    def validity(self, *, exact: bool) -> Validity:
        terms = self.process.engine.spectrum.terms(1.0, self.temperature)
        own = float(self.Q[-1]) * self.inputs.network.widths[-1]  # ∂K_R/∂Q_L = K_R/Q_L
        tau = terms.trace / own
        return validity(tau, terms.dual_energy / own / (1.0 + tau), None, exact=exact, limits=LAYERS)

    def training_error(self) -> Errors:
        return self.process.training_error()

    def dual_vector(self) -> Float[np.ndarray, " P"]:
        return self.process.dual_vector()

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        X_new = X_new.X if isinstance(X_new, PreparedInputs) else X_new  # the preparation's kernel is not this one
        return self.process.predict(X_new, diagonal, covariance=covariance)

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
        return self.process.renormalised_kernel(X1, X2)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"Q": self.Q}


def closure_of(inputs: Inputs) -> AbstractClosure:
    """How the network's order parameters renormalise its kernel; with biases `global` is not defined: `nested`."""
    name = inputs.network.closure
    return _CLOSURES["nested" if name == "global" else name](inputs.network, inputs.X)


def action_of(inputs: Inputs, y: Float[np.ndarray, " P"], temperature: float) -> LayeredAction:
    """The effective action of the network's closure."""
    return LayeredAction(closure_of(inputs), y, inputs.network.widths, temperature)


def infer_layers(
    inputs: Inputs, y: Float[np.ndarray, "P *D"], temperature: float, *, throw: bool
) -> tuple[LayersLaw, Certificate]:
    """The law at the saddle of the closure's action, and how it was found.

    Args:
        inputs: the training inputs of a network of several hidden layers.
        y: targets (P,).
        temperature: T.
        throw: whether a search that did not converge, or a minimum outside the closure's domain, raises.
    """
    if y.ndim == 2:
        raise InputError(
            f"y: expected one output with the closure {inputs.network.closure!r} or with biases at depth, got "
            f'{y.shape[1]}; several outputs are covered by closure="global" without biases.'
        )
    checks.estimate_memory(inputs.size, copies=inputs.network.depth + 4)
    action = action_of(inputs, y, temperature)
    saddle = action.saddle
    if throw:
        saddle.check(
            f"effective action, {inputs.network.closure} closure", 'use closure="global", or pass throw=False.'
        )
    found = certificate.of_saddle(saddle, "Cholesky", rounding=action.rounding)
    return LayersLaw(inputs, y, temperature, action.layers, action), found
