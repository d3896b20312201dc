"""A kernel and its eigendecomposition, kept for every width, temperature, readout precision and target to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.kernels import CrossKernel
from widthwise.numerics.spectra import Eigensystem
from widthwise.posterior.sources import AbstractSource, Network, source_of


@dataclass(frozen=True)
class PreparedInputs:
    """New points in the eigenvectors' coordinates: what `predict` and `score` take in place of X to stay O(P).

    Args:
        cross: their kernel with the training points.
        rotated: Uᵀkᵀ (P, n).
        X: the inputs themselves.
        system: the eigenvectors in whose coordinates they are.
    """

    cross: CrossKernel
    rotated: Float[np.ndarray, "P n"]
    X: np.ndarray
    system: Eigensystem


@dataclass(frozen=True)
class Prepared:
    """What `prepare` returns: everything about (network, X) that no width, temperature or target changes.

    Args:
        source: the training inputs and their kernel.
        system: eigenvalues and eigenvectors of K.
        mean: m/√λ_1 on the training points (P,), where φ has one.
    """

    source: AbstractSource
    system: Eigensystem
    mean: Float[np.ndarray, " P"] | None

    @property
    def network(self) -> Network:
        """As it was prepared."""
        return self.source.network

    @property
    def X(self) -> np.ndarray:
        """The training inputs, or the kernel of a `PrecomputedKernel`."""
        return self.source.X

    def at(self, X_new: Any, diagonal: Any = None) -> PreparedInputs:
        """New points (n, N_0), their kernel computed and rotated once.

        Args:
            X_new: inputs (n, N_0); for a precomputed kernel k (n, P).
            diagonal: for a precomputed kernel the new points' own variances (n,).
        """
        kernel = self.source.cross(X_new, diagonal)
        return PreparedInputs(kernel, self.system.U.T @ kernel.k.T, np.asarray(X_new, float), self.system)


def prepare(network: Network, X: Any) -> Prepared:
    """The kernel of `network` on X and its eigendecomposition, once: O(P³) now, O(P) for each later `infer`.

    Args:
        network: `FullyConnected`, `PrecomputedKernel` (X is then the kernel (P, P)), or `Convolutional` with an average
            readout.
        X: inputs (P, N_0), any array; images (P, H, W) or (P, H, W, C).

    Raises:
        InputError: X is not finite, of another shape, empty, or too large for this machine's memory.
    """
    source = source_of(network, X, copies=3)
    kernel = source.training()
    return Prepared(source, Eigensystem.of(kernel.K, overwrite=True), kernel.mean)
