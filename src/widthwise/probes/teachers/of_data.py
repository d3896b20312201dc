"""Real data as a task: drawn from without replacement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError
from widthwise.probes.teachers.streams import Stream, generator
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import frozen


@dataclass(frozen=True, eq=False)
class OfData(Teacher):
    """(x, y) uniform on the rows of a data set, no row twice. Nobody knows f*; the population is the data set.

    Args:
        X: (n, N0), (n, H, W) or (n, H, W, C).
        y: (n,) or (n, D).
    """

    X: Float[np.ndarray, "n *shape"]
    y: Float[np.ndarray, "labels *D"]  # as many as examples: checked in words

    units = readout = activation = gain = None
    has_function = False

    def __post_init__(self) -> None:
        X = checks.real("X", self.X, (2, 3, 4), "(examples, inputs), or images (examples, H, W[, C])")
        y = checks.real("y", self.y, (1, 2), "(examples,) or (examples, outputs)")
        if len(X) != len(y):
            raise InputError(f"y: expected one row per example ({len(X)}), got {len(y)}; pass the same examples.")
        object.__setattr__(self, "X", frozen(X))
        object.__setattr__(self, "y", frozen(y))

    @property
    def input_size(self) -> int:
        return math.prod(self.X.shape[1:])

    @property
    def outputs(self) -> int:
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    @property
    def size(self) -> int:
        return len(self.X)

    @property
    def name(self) -> str:
        return f"{self.size} examples of {self.input_size} inputs"

    @property
    def input_mean(self) -> Float[np.ndarray, "N0"]:
        return self.X.reshape(self.size, -1).mean(0)

    @property
    def input_covariance(self) -> Float[np.ndarray, "N0 N0"]:
        centred = self.X.reshape(self.size, -1) - self.input_mean
        return centred.T @ centred / self.size

    @property
    def mean(self) -> float | Float[np.ndarray, "D"]:
        mean = self.y.mean(0)
        return mean if mean.ndim else float(mean)

    @property
    def power(self) -> float:
        return float((self.y**2).sum() / self.size)

    def spectrum(self, degree: int = 8) -> None:
        return None

    def _draw(self, n: int, key: int) -> tuple[Float[np.ndarray, "n *shape"], Float[np.ndarray, "n *D"]]:
        rows = generator(Stream.INPUTS, key).permutation(self.size)[:n]
        return self.X[rows], self.y[rows]

    def _hidden(self, X: Any) -> None:
        return None

    def _targets(self, X: Any) -> Any:
        raise NotImplementedError  # unreachable: has_function is False
