"""A teacher of one hidden layer on Gaussian inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.phi import Activation
from widthwise.errors import InputError
from widthwise.probes.teachers import moments
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import apply, directions, frozen, named, positive, readout


@dataclass(frozen=True, eq=False)
class OneHiddenLayer(Teacher):
    """f*(x) = Σ_k v_k φ(g u_k·x),   |u_k| = 1,   x ~ N(0, 1_{N0}).     [Saad, Solla 1995, Phys. Rev. E 52, 4225]

    Population quantities are exact: `moments`, with w_k = g u_k.

    Args:
        units: u_k, rows (M, N0).
        readout: v (M,).
        activation: φ, a name or a callable.
        gain: g > 0.

    Raises:
        InputError: units of another length than 1, a readout of another, an unknown activation, g ≤ 0.
    """

    units: Float[np.ndarray, "M N0"]
    readout: Float[np.ndarray, "units"]  # as many as units: checked in words
    activation: Any = "erf"
    gain: float = 2.0
    phi: Activation = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name, phi = named(self.activation)
        put = object.__setattr__
        put(self, "activation", name)
        put(self, "phi", phi)
        put(self, "gain", positive("gain", self.gain))
        units, v = checks.features(self.units, "units"), checks.real("readout", self.readout, (1,), "(units,)")
        lengths = np.linalg.norm(units, axis=1)
        if np.abs(lengths - 1.0).max() > 1e-9:
            raise InputError(f"units: expected rows of length 1, got {lengths.max():g}; normalise them, and use gain.")
        if len(v) != len(units):
            raise InputError(f"readout: expected one number per unit ({len(units)}), got {len(v)}.")
        put(self, "units", frozen(units))
        put(self, "readout", frozen(v))

    @property
    def input_size(self) -> int:
        return self.units.shape[1]

    @property
    def name(self) -> str:
        M = len(self.units)
        return f"{M} {self.phi.name} unit{'s' * (M > 1)} of gain {self.gain:g} on {self.input_size} inputs"

    @property
    def mean(self) -> float:
        return moments.mean(self.gain * self.units, self.readout, self.phi)

    @property
    def power(self) -> float:
        return moments.power(self.gain * self.units, self.readout, self.phi)

    def spectrum(self, degree: int = 8) -> Float[np.ndarray, "degrees"]:
        degree = moments.checked_degree(degree)
        return moments.spectrum(self.gain * self.units, self.readout, self.phi, degree)

    def _hidden(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n M"]:
        return apply(self.phi, X @ (self.gain * self.units).T)

    def _targets(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n"]:
        return self._hidden(X) @ self.readout


def draw(
    inputs: int, units: int, activation: Any, gain: float, orthonormal: bool, values: Any, key: int
) -> OneHiddenLayer:
    """A `OneHiddenLayer` with units of `directions` and the readout of `readout`."""
    U = directions(inputs, units, orthonormal, key)
    return OneHiddenLayer(U, readout(values, len(U), key), activation, gain)
