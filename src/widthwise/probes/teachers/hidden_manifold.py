"""Inputs on a curved manifold of few dimensions, with targets of the point on it or of its image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.duals import dual_of
from widthwise.activations.phi import Activation
from widthwise.errors import unknown_name
from widthwise.probes.teachers import one_hidden_layer
from widthwise.probes.teachers.moments import checked_degree
from widthwise.probes.teachers.one_hidden_layer import OneHiddenLayer
from widthwise.probes.teachers.streams import Stream, generator
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import apply, frozen, named

TARGETS = ("latent", "inputs")


@dataclass(frozen=True, eq=False)
class HiddenManifold(Teacher):
    """x = ψ(F c/√D),   c ~ N(0, 1_D),   F_ij ~ N(0, 1) where drawn;   y = t(c) or t(x), t of one hidden layer.

    [Goldt, Mézard, Krzakala, Zdeborová 2020, PRX 10, 041044, arXiv 1909.11500]

    The inputs' mean and covariance are exact, by ψ's dual. So are the targets' quantities where t sees c (degrees are
    then those of c) or is linear; elsewhere they are None.

    Args:
        factors: F (N0, D).
        task: t; its inputs are c or x.
        fold: ψ, a name or a callable.
        target: what t sees, "latent" or "inputs".
    """

    factors: Float[np.ndarray, "N0 D"]
    task: OneHiddenLayer
    fold: Any = "erf"
    target: str = "latent"
    psi: Activation = field(init=False, repr=False)
    has_function: bool = field(init=False, repr=False)  # whether t sees x
    units: Float[np.ndarray, "M N0"] | None = field(init=False, repr=False)  # t's, where it does; else `task.units`
    readout: Float[np.ndarray, "M"] = field(init=False, repr=False)  # these of t, wherever it looks
    activation: Any = field(init=False, repr=False)
    gain: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise unknown_name("target", self.target, TARGETS)
        name, psi = named(self.fold)
        put = object.__setattr__
        put(self, "fold", name)
        put(self, "psi", psi)
        put(self, "factors", frozen(self.factors))
        put(self, "has_function", self.target == "inputs")
        put(self, "units", self.task.units if self.has_function else None)
        for shared in ("readout", "activation", "gain"):
            put(self, shared, getattr(self.task, shared))

    @property
    def input_size(self) -> int:
        return self.factors.shape[0]

    @property
    def name(self) -> str:
        N0, D = self.factors.shape
        return f"{self.psi.name} manifold of {D} dimensions in {N0}; of the {self.target}: {self.task.name}"

    @property
    def input_mean(self) -> Float[np.ndarray, "N0"]:
        return dual_of(self.psi).mean(np.diag(self._field_covariance))

    @property
    def input_covariance(self) -> Float[np.ndarray, "N0 N0"]:
        C, m = self._field_covariance, self.input_mean
        c = np.diag(C)
        return dual_of(self.psi).kappa(c[:, None], C, c[None, :]) - np.outer(m, m)

    @property
    def _field_covariance(self) -> Float[np.ndarray, "N0 N0"]:
        return self.factors @ self.factors.T / self.factors.shape[1]

    @property
    def _linear(self) -> Float[np.ndarray, "N0"] | None:
        """w, where y = w·x."""
        if self.has_function and self.task.phi.name == "identity":
            return self.task.gain * (self.readout @ self.task.units)
        return None

    @property
    def mean(self) -> float | None:
        if not self.has_function:
            return self.task.mean
        w = self._linear
        return None if w is None else float(w @ self.input_mean)

    @property
    def power(self) -> float | None:
        if not self.has_function:
            return self.task.power
        w = self._linear
        return None if w is None else float(w @ self.input_covariance @ w + (w @ self.input_mean) ** 2)

    def spectrum(self, degree: int = 8) -> Float[np.ndarray, "degrees"] | None:
        degree = checked_degree(degree)
        return None if self.has_function else self.task.spectrum(degree)

    def latent(self, n: int, key: int = 0) -> Float[np.ndarray, "n D"]:
        """The c behind `inputs(n, key)`.

        Args:
            n: how many.
            key: the seed.
        """
        shape = (checks.whole("n", n, 1), self.factors.shape[1])
        return generator(Stream.INPUTS, key).standard_normal(shape)

    def _image(self, c: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n N0"]:
        return apply(self.psi, c @ self.factors.T / math.sqrt(self.factors.shape[1]))

    def _draw(self, n: int, key: int) -> tuple[Float[np.ndarray, "n N0"], Float[np.ndarray, "n"]]:
        c = self.latent(n, key)
        X = self._image(c)
        return X, self.task(X if self.has_function else c)

    def _hidden(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n M"] | None:
        return self.task.hidden(X) if self.has_function else None

    def _targets(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n"]:
        return self.task(X)


def draw(
    inputs: int,
    latent: int,
    units: int,
    activation: Any,
    fold: Any,
    target: str,
    gain: float,
    orthonormal: bool,
    values: Any,
    key: int,
) -> HiddenManifold:
    """A `HiddenManifold` with Gaussian F; its task does not depend on F."""
    N0, D = checks.whole("inputs", inputs, 1), checks.whole("latent", latent, 1)
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
    task = one_hidden_layer.draw(D if target == "latent" else N0, units, activation, gain, orthonormal, values, key)
    return HiddenManifold(generator(Stream.FACTORS, key).standard_normal((N0, D)), task, fold, target)
