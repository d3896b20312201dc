"""The first layer, reduced to the span of the training inputs: exact, since the prior is rotation invariant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr


@dataclass(frozen=True)
class Frame:
    """Orthonormal coordinates of the training inputs' span (of all their patches'), biases included as one more input.

        x̃ = (x/√(λ_0 N_0), σ_b),   h^1 = z x̃,  z ~ N(0, 1):   only z's projection on span{x̃_μ} meets the data

    Args:
        basis: of the span, orthonormal columns ("N0+1 r").
        precision: λ_0.
        bias_variance: σ_b² of the first layer.
    """

    basis: Float[np.ndarray, "M r"]
    precision: float
    bias_variance: float

    @classmethod
    def of(cls, X: Float[np.ndarray, "P N0"], precision: float, bias_variance: float) -> Frame:
        """The frame of the training inputs X: their right singular vectors."""
        everything = cls(np.eye(X.shape[1] + 1), precision, bias_variance)
        _, s, Vt = np.linalg.svd(everything._augmented(X), full_matrices=False)
        rank = int(np.sum(s > s[0] * max(X.shape) * np.finfo(float).eps))
        return cls(Vt[: max(rank, 1)].T.copy(), precision, bias_variance)

    def _augmented(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n M"]:
        bias = np.full((len(X), 1), math.sqrt(self.bias_variance))
        return np.hstack([X / math.sqrt(self.precision * X.shape[1]), bias])

    def inside(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n r"]:
        """Coordinates in the span."""
        return self._augmented(X) @ self.basis

    def outside(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n m"]:
        """A root of the Gram matrix of what sticks out of the span; no columns when nothing does."""
        augmented = self._augmented(X)
        rest = augmented - (augmented @ self.basis) @ self.basis.T
        scale = np.linalg.norm(augmented, axis=1).max(initial=0.0)
        if np.linalg.norm(rest, axis=1).max(initial=0.0) <= 1e-12 * scale:
            return np.empty((len(X), 0))
        # fewer points than inputs: the triangular factor has the same Gram matrix and needs fewer normals
        return rest if rest.shape[0] >= rest.shape[1] else qr(rest.T, mode="r")[0][: len(X)].T.copy()
