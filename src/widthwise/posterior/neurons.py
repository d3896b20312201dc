"""The first layer as neurons see it: coordinates of the training inputs, and weights that reach beyond their span."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from widthwise.networks import FullyConnected


@dataclass(frozen=True)
class InputFrame:
    """Orthonormal coordinates of what the training inputs span, biases included as one more input.

        x̃ = (x/√(λ_0 N_0), σ_b),   h = w·x̃,  w ~ N(0, I):   the data meet w's projection on span{x̃_μ} alone

    Args:
        precision: λ_0.
        bias_variance: σ_b².
        basis: of the span, orthonormal columns (N_0 + 1, r).
    """

    precision: float
    bias_variance: float
    basis: Float[np.ndarray, "M r"] = field(repr=False)

    @classmethod
    def of(cls, network: FullyConnected, X: Float[np.ndarray, "P N0"]) -> InputFrame:
        """That of the training inputs, for the first layer of a network."""
        lam, bias = network.precisions[0], network.bias_variances[0]
        _, s, Vt = np.linalg.svd(_augmented(X, lam, bias), full_matrices=False)
        rank = int(np.sum(s > s[0] * max(X.shape) * np.finfo(float).eps))
        return cls(lam, bias, Vt[: max(rank, 1)].T.copy())

    def augmented(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n M"]:
        """x̃ of every input."""
        return _augmented(X, self.precision, self.bias_variance)

    def coordinates(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n r"]:
        """Of every input in the span."""
        return self.augmented(X) @ self.basis

    def whole(self, W: Float[np.ndarray, "G k r"], seed: int) -> Float[np.ndarray, "G k M"]:
        """Weights with their part outside of the span, where they keep their prior: drawn from a seed.

        Args:
            W: coordinates in the span.
            seed: of what sticks out; the same seed gives the same functions.
        """
        M, r = self.basis.shape
        inside = W @ self.basis.T
        if r == M:
            return inside
        rest = np.random.default_rng(seed).normal(size=(*W.shape[:2], M))
        return inside + rest - (rest @ self.basis) @ self.basis.T


def _augmented(X: Float[np.ndarray, "n N0"], lam: float, bias: float) -> Float[np.ndarray, "n M"]:
    return np.hstack([X / math.sqrt(lam * X.shape[1]), np.full((len(X), 1), math.sqrt(bias))])
