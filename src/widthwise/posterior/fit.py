"""What a law does to the targets that it was inferred from: the training error and the memorisation coefficient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from widthwise.posterior.score import Errors, standard_error


@dataclass(frozen=True)
class Node:
    """One Gaussian process of the law on its training points, A = T I + K_R.

    Args:
        weight: of it; they sum to 1.
        residual: y − f = T A⁻¹y, in orthonormal coordinates that all nodes share (P,), (P, D) or (D P,).
        freedom: degrees of freedom tr[K_R A⁻¹].
    """

    weight: float
    residual: Float[np.ndarray, "..."] = field(repr=False)
    freedom: float


@dataclass(frozen=True)
class Fit:
    """All nodes together.

    Args:
        temperature: T.
        residual: y − ⟨f⟩, in the nodes' coordinates.
        freedom: ⟨tr[K_R A⁻¹]⟩.
        spread: ⟨|f − ⟨f⟩|²⟩ of the nodes' means about their own.
        each: |y − f|² + T tr[K_R A⁻¹] of every node (G,).
        weights: of the nodes (G,).
    """

    temperature: float
    residual: Float[np.ndarray, "..."] = field(repr=False)
    freedom: float
    spread: float
    each: Float[np.ndarray, " G"] = field(repr=False)
    weights: Float[np.ndarray, " G"] = field(repr=False)

    @classmethod
    def of(cls, nodes: Iterator[Node], temperature: float) -> Fit:
        """The weighted mean and spread in one pass, never a difference of large numbers [West 1979, CACM 22, 532]."""
        residual, freedom, spread, seen = np.zeros(()), 0.0, 0.0, 0.0
        each, weights = [], []
        for node in nodes:
            r, w = node.residual, node.weight
            each.append(float(np.sum(r * r)) + temperature * node.freedom)
            weights.append(w)
            if w == 0.0:
                continue
            shift = r - residual
            freedom += w * node.freedom
            spread += float(np.sum(shift * shift)) * w * seen / (seen + w)
            seen += w
            residual = residual + shift * (w / seen)
        return cls(temperature, residual, freedom, spread, np.array(each), np.array(weights))

    @property
    def memorisation(self) -> float:
        """(⟨tr[K_R A⁻¹]⟩ + spread/T)/(P D) = Var f/T, per target."""
        return (self.freedom + self.spread / self.temperature) / self.residual.size

    def errors(self, P: int, *, drawn: bool, chains: Int[np.ndarray, " G"] | None = None) -> Errors:
        """ε_t: means over the P examples, sums over the outputs.

        Args:
            P: examples.
            drawn: whether the nodes are random draws, whose averages have a Monte-Carlo error.
            chains: which independent chain each comes from (G,).
        """
        bias = float(np.sum(self.residual**2)) / P
        variance = (self.temperature * self.freedom + self.spread) / P
        noise = standard_error(self.weights, self.each / P, chains) if drawn else None
        return Errors(bias + variance, bias, variance, monte_carlo_error=noise)
