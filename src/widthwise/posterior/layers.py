"""Order parameters that reshape the kernel layer by layer: the law of the closures `nested` and `linearised`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import LayeredAction, MonteCarlo
from widthwise.errors import InputError, NumericalError
from widthwise.kernels.closures import AbstractClosure, Linearised, Nested
from widthwise.numerics.spectra import FactoredSpectrum
from widthwise.posterior import certificate, checks
from widthwise.posterior.certificate import LAYERS, Certificate, Validity, validity
from widthwise.posterior.engine import Engine
from widthwise.posterior.fit import Node
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.mixture import Mixture
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.scalar import ScalarLaw
from widthwise.posterior.sources import AbstractSource, Closed, Inputs

_CLOSURES: dict[str, type[AbstractClosure]] = {"nested": Nested, "linearised": Linearised}
_DISAGREE = 0.05  # two rules of the integral, at most
_CROWDED = 0.05  # effective nodes for each node, at least
_HELD = 2**24  # entries of factorised kernels kept between answers


@dataclass(frozen=True)
class LayersLaw(AbstractLaw):
    """K_R(Q_1 … Q_L) at weighted order parameters: of each a Gaussian process whose kernel was computed at it.

    Args:
        inputs: the training inputs.
        y: targets (P,).
        temperature: T.
        Q: Q_1 … Q_L of each node (G, L); at the saddle one.
        weights: sum to 1 (G,).
        monte_carlo: nodes and seed of the integral.
        found: S(Q_1 … Q_L), its minimum already found; made when needed where it is left out.
    """

    inputs: Inputs = field(repr=False)
    y: Float[np.ndarray, " P"] = field(repr=False)
    temperature: float
    Q: Float[np.ndarray, "G L"] = field(repr=False)
    weights: Float[np.ndarray, " G"] = field(repr=False)
    monte_carlo: MonteCarlo = field(default_factory=MonteCarlo, repr=False)
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
        return {"Q": self.weights @ self.Q}

    @cached_property
    def action(self) -> LayeredAction:
        """S(Q_1 … Q_L)."""
        if self.found is not None:
            return self.found
        return action_of(self.inputs, self.y, self.temperature, self.monte_carlo)

    def process(self, Q: Float[np.ndarray, " L"]) -> ScalarLaw:
        """The Gaussian process with kernel K_R(Q), nothing left to multiply it."""
        one, closure = np.ones(1), self.action.closure
        source = Closed(self.inputs.network, self.inputs.X, closure, Q)
        engine = Engine(source, self.y, lambda: FactoredSpectrum(source.training().K, self.y), None)
        return ScalarLaw(engine, self.temperature, Mixture(one, one, Q[:, None]))

    @property
    def processes(self) -> Iterator[tuple[float, ScalarLaw]]:
        """(weight, Gaussian process) of every node; more kernels than fit are made again for each answer."""
        if len(self.Q) * len(self.y) ** 2 <= _HELD or len(self.Q) == 1:
            yield from self._kept
        else:
            for weight, Q in zip(self.weights, self.Q):
                yield float(weight), self.process(Q)

    @cached_property
    def _kept(self) -> list[tuple[float, ScalarLaw]]:
        return [(float(weight), self.process(Q)) for weight, Q in zip(self.weights, self.Q)]

    def nodes(self) -> Iterator[Node]:
        for weight, process in self.processes:
            yield Node(weight, self.temperature * process.dual_vector(), process.fit.freedom)

    def validity(self, *, exact: bool) -> Validity:
        # an integral is judged, as for one number, by its saddle
        process = self._kept[0][1] if len(self.Q) == 1 else self.process(self.action.layers)
        terms = process.engine.spectrum.terms(1.0, self.temperature)
        own = float(process.mixture.layers[-1, 0]) * self.inputs.network.widths[-1]  # ∂K_R/∂Q_L = K_R/Q_L
        tau = terms.trace / own
        return validity(tau, terms.dual_energy / own / (1.0 + tau), None, exact=exact, limits=LAYERS)

    def dual_vector(self) -> Float[np.ndarray, " P"]:
        return self.fit.residual / self.temperature

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        X_new = X_new.X if isinstance(X_new, PreparedInputs) else X_new  # the preparation's kernel is not this one
        means, variances, second = [], [], None
        for weight, process in self.processes:
            one = process.predict(X_new, diagonal, covariance=covariance)
            means.append(one.mean)
            variances.append(one.variance)
            if one.covariance is not None:
                part = weight * (one.covariance + np.outer(one.mean, one.mean))
                second = part if second is None else second + part
        m, v = np.array(means), np.array(variances)
        mean = self.weights @ m
        full = None if second is None else second - np.outer(mean, mean)
        return Prediction.of_mixture(self.weights, m, v, self.temperature, covariance=full)

    def renormalised_kernel(self, X1: Any, X2: Any) -> Float[np.ndarray, "n m"]:
        parts = (weight * process.renormalised_kernel(X1, X2) for weight, process in self.processes)
        return np.asarray(sum(parts))

    def arrays(self) -> dict[str, np.ndarray]:
        return {"Q": self.Q, "weights": self.weights, "monte_carlo": np.array(astuple(self.monte_carlo))}


def closure_of(inputs: Inputs) -> AbstractClosure:
    """How the network's order parameters renormalise its kernel; with biases `global` is not defined: `nested`."""
    name = inputs.network.closure
    return _CLOSURES["nested" if name == "global" else name](inputs.network, inputs.X)


def action_of(
    inputs: Inputs, y: Float[np.ndarray, " P"], temperature: float, monte_carlo: MonteCarlo | None = None
) -> LayeredAction:
    """The effective action of the network's closure."""
    how = monte_carlo or MonteCarlo()
    return LayeredAction(closure_of(inputs), y, inputs.network.widths, temperature, how)


def infer_layers(
    inputs: Inputs,
    y: Float[np.ndarray, "P *D"],
    temperature: float,
    approximation: str = "saddle",
    monte_carlo: MonteCarlo | None = None,
    *,
    throw: bool,
) -> tuple[LayersLaw, Certificate]:
    """The law at the saddle of the closure's action or averaged over p(Q | D), and how it was found.

    Args:
        inputs: the training inputs of a network of several hidden layers.
        y: targets (P,).
        temperature: T.
        approximation: "saddle" or "integrated".
        monte_carlo: nodes and seed of the integral.
        throw: whether a search that did not converge, a minimum outside the closure's domain, or an integral on which
            two rules disagree raises.
    """
    if y.ndim == 2:
        raise InputError(
            f"y: expected one output with the closure {inputs.network.closure!r} or with biases at depth, got "
            f'{y.shape[1]}; several outputs are covered by closure="global" without biases.'
        )
    checks.estimate_memory(inputs.size, copies=inputs.network.depth + 4)
    how = monte_carlo or MonteCarlo()
    action = action_of(inputs, y, temperature, how)
    saddle = action.saddle
    if throw:
        saddle.check(
            f"effective action, {inputs.network.closure} closure", 'use closure="global", or pass throw=False.'
        )
    found = certificate.of_saddle(saddle, "Cholesky", rounding=action.rounding)
    if approximation == "saddle":
        return LayersLaw(inputs, y, temperature, action.layers[None], np.ones(1), how, action), found
    integral = action.integral
    settled = integral.error <= _DISAGREE and integral.ess >= _CROWDED * integral.nodes
    if throw and not settled:
        raise NumericalError(
            f"integral over the order parameters: {integral.error:.1g} between two rules (at most {_DISAGREE}), "
            f"{integral.ess:.0f} effective nodes of {integral.nodes}; take more, e.g. "
            f"monte_carlo=MonteCarlo(nodes={8 * how.nodes}), use approximation='saddle', or pass throw=False."
        )
    found = replace(
        found,
        status=found.status if settled or not found.converged else "not settled",
        evaluations=found.evaluations + integral.evaluations,
        quadrature_error=integral.error,
        ess=None if integral.tensor else integral.ess,
    )
    return LayersLaw(inputs, y, temperature, integral.Q, integral.weights, how, action), found
