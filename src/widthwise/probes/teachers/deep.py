"""A deep random teacher on Gaussian inputs."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.callables import parities
from widthwise.activations.phi import Activation
from widthwise.errors import InputError
from widthwise.probes.teachers import moments
from widthwise.probes.teachers.streams import Stream, generator
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import apply, frozen, named, positive, readout


@dataclass(frozen=True, eq=False)
class Deep(Teacher):
    """f*(x) = v·φ(W_L φ(… φ(W_1 x))),   W^ℓ_ij ~ N(0, g²/N_{ℓ−1}) where drawn,   x ~ N(0, 1_{N0}).

    The prior of a finite network at λ = 1/g², one draw of it.     [Poole et al. 2016, arXiv 1606.05340]
    Of one hidden layer, and of identities, the population quantities are exact (`moments`); of an odd φ the mean is 0;
    the others are None.

    Args:
        weights: W_1 … W_L, each (N_ℓ, N_{ℓ−1}).
        readout: v (N_L,).
        activation: φ, a name or a callable.
        gain: g.
    """

    weights: tuple[Float[np.ndarray, "_ _"], ...]
    readout: Float[np.ndarray, "M"]
    activation: Any = "erf"
    gain: float = 1.0
    units: Float[np.ndarray, "N1 N0"] = field(init=False, repr=False)  # rows of W_1, normalised
    phi: Activation = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name, phi = named(self.activation)
        put = object.__setattr__
        put(self, "activation", name)
        put(self, "phi", phi)
        put(self, "gain", positive("gain", self.gain))
        put(self, "weights", tuple(frozen(W) for W in self.weights))
        put(self, "readout", frozen(self.readout))
        put(self, "units", frozen(self.weights[0] / np.linalg.norm(self.weights[0], axis=1, keepdims=True)))

    @property
    def input_size(self) -> int:
        return self.weights[0].shape[1]

    @property
    def name(self) -> str:
        widths = "-".join(str(len(W)) for W in self.weights)
        return f"random {self.phi.name} network {widths} of gain {self.gain:g} on {self.input_size} inputs"

    @property
    def _shallow(self) -> Float[np.ndarray, "M N0"] | None:
        """W of f* = Σ_k v_k φ(w_k·x), where it has this form."""
        if len(self.weights) == 1 or self.phi.name == "identity":
            return functools.reduce(lambda below, W: W @ below, self.weights)
        return None

    @property
    def mean(self) -> float | None:
        W = self._shallow
        if W is not None:
            return moments.mean(W, self.readout, self.phi)
        return None if parities(self.phi)[0] else 0.0

    @property
    def power(self) -> float | None:
        W = self._shallow
        return None if W is None else moments.power(W, self.readout, self.phi)

    def spectrum(self, degree: int = 8) -> Float[np.ndarray, "degrees"] | None:
        W, degree = self._shallow, moments.checked_degree(degree)
        return None if W is None else moments.spectrum(W, self.readout, self.phi, degree)

    def _hidden(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n M"]:
        for W in self.weights:
            X = apply(self.phi, X @ W.T)
        return X

    def _targets(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n"]:
        return self._hidden(X) @ self.readout


def draw(inputs: int, widths: Any, activation: Any, gain: float, values: Any, key: int) -> Deep:
    """A `Deep` with Gaussian weights; the first layers do not depend on how many follow."""
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise InputError(f"widths: expected one whole number per hidden layer, got {widths!r}; pass e.g. [10, 10].")
    sizes = [checks.whole("inputs", inputs, 1), *(checks.whole("widths", N, 1) for N in widths)]
    if len(sizes) < 2:
        raise InputError("widths: expected at least one hidden layer, got none; pass e.g. [10, 10].")
    g, rng = positive("gain", gain), generator(Stream.TEACHER, key)
    weights = tuple(g / np.sqrt(below) * rng.standard_normal((N, below)) for below, N in pairwise(sizes))
    return Deep(weights, readout(values, sizes[-1], key), activation, g)
