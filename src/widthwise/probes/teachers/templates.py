"""Noisy copies of a few templates, to be told apart."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import unknown_name
from widthwise.probes.teachers.streams import Stream, generator
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import directions, frozen, positive

LABELS = ("sign", "onehot")


@dataclass(frozen=True, eq=False)
class Templates(Teacher):
    """x = μ_k + s z,   k uniform on 1 … K,   z ~ N(0, 1_{N0});   y the label of k.

    [Refinetti, Goldt, Krzakala, Zdeborová 2021, arXiv 2102.11742]

    x does not settle y: f*(x) = E[y | x] = Σ_k y_k p_k(x), p_k ∝ exp(−|x − μ_k|²/2s²), the best that squared loss
    allows; `sample` gives y itself, and E y, E|y|² are y's.

    Args:
        centres: μ_k, rows (K, N0).
        labels: y_k: (K,) of ±1, or (K, K) one-hot.
        spread: s > 0.
    """

    centres: Float[np.ndarray, "K N0"]
    labels: Float[np.ndarray, "K *D"]
    spread: float = 1.0
    units: Float[np.ndarray, "K N0"] = field(init=False, repr=False)  # μ_k, normalised

    readout = activation = gain = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "spread", positive("spread", self.spread))
        put(self, "centres", frozen(self.centres))
        put(self, "labels", frozen(self.labels))
        put(self, "units", frozen(self.centres / np.linalg.norm(self.centres, axis=1, keepdims=True)))

    @property
    def input_size(self) -> int:
        return self.centres.shape[1]

    @property
    def outputs(self) -> int:
        return 1 if self.labels.ndim == 1 else self.labels.shape[1]

    @property
    def name(self) -> str:
        K, N0 = self.centres.shape
        distance = np.linalg.norm(self.centres, axis=1).mean()
        return f"{K} templates {distance:g} from the origin, spread {self.spread:g}, on {N0} inputs"

    @property
    def input_mean(self) -> Float[np.ndarray, "N0"]:
        return self.centres.mean(0)

    @property
    def input_covariance(self) -> Float[np.ndarray, "N0 N0"]:
        centred = self.centres - self.input_mean
        return self.spread**2 * np.eye(self.input_size) + centred.T @ centred / len(centred)

    @property
    def mean(self) -> float | Float[np.ndarray, "D"]:
        mean = self.labels.mean(0)
        return mean if mean.ndim else float(mean)

    @property
    def power(self) -> float:
        return float((self.labels**2).sum() / len(self.labels))

    def spectrum(self, degree: int = 8) -> None:
        return None

    def _draw(self, n: int, key: int) -> tuple[Float[np.ndarray, "n N0"], Float[np.ndarray, "n *D"]]:
        k = generator(Stream.CLASSES, key).integers(len(self.centres), size=n)
        z = generator(Stream.INPUTS, key).standard_normal((n, self.input_size))
        return self.centres[k] + self.spread * z, self.labels[k]

    def _hidden(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n K"]:
        """p_k(x)."""
        score = (X @ self.centres.T - 0.5 * (self.centres**2).sum(1)) / self.spread**2
        p = np.exp(score - score.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True)

    def _targets(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n *D"]:
        return self._hidden(X) @ self.labels


def draw(
    inputs: int, templates: int, separation: float, spread: float, labels: str, orthonormal: bool, key: int
) -> Templates:
    """`Templates` along `directions`; the labels +1 and −1 by turns, or one column for each template."""
    K, radius = checks.whole("templates", templates, 2), positive("separation", separation)
    if labels not in LABELS:
        raise unknown_name("labels", labels, LABELS)
    y = 1.0 - 2.0 * (np.arange(K) % 2) if labels == "sign" else np.eye(K)
    return Templates(radius * directions(inputs, K, orthonormal, key, "templates"), y, spread)
