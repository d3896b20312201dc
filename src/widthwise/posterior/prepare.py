"""A kernel and its eigendecomposition, kept for every width, temperature, readout precision and target to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.kernels import CrossKernel, TrainingKernel, training_kernel
from widthwise.networks import FullyConnected, PrecomputedKernel
from widthwise.numerics.spectra import Eigensystem
from widthwise.posterior import checks
from widthwise.posterior.engine import Network, cross


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
    X: Float[np.ndarray, "n N0"]
    system: Eigensystem


@dataclass(frozen=True)
class Prepared:
    """What `prepare` returns: everything about (network, X) that no width, temperature or target changes.

    Args:
        network: as it was prepared.
        X: inputs (P, N_0), or the kernel of a `PrecomputedKernel`.
        system: eigenvalues and eigenvectors of K.
        mean: m/√λ_1 on the training points (P,), where φ has one.
    """

    network: Network
    X: Float[np.ndarray, "P N0"]
    system: Eigensystem
    mean: Float[np.ndarray, " P"] | None

    def at(self, X_new: Any, diagonal: Any = None) -> PreparedInputs:
        """New points (n, N_0), their kernel computed and rotated once.

        Args:
            X_new: inputs (n, N_0); for a precomputed kernel k (n, P).
            diagonal: for a precomputed kernel the new points' own variances (n,).
        """
        kernel = cross(self.network, X_new, self.X, diagonal)
        return PreparedInputs(kernel, self.system.U.T @ kernel.k.T, np.asarray(X_new, float), self.system)


def prepare(network: Network, X: Any) -> Prepared:
    """The kernel of `network` on X and its eigendecomposition, once: O(P³) now, O(P) for each later `infer`.

    Args:
        network: `FullyConnected`, or `PrecomputedKernel` (X is then the kernel (P, P)).
        X: inputs (P, N_0), any array.

    Raises:
        InputError: X is not finite, not two-dimensional, empty, or too large for this machine's memory.
    """
    if not isinstance(network, FullyConnected | PrecomputedKernel):
        raise unknown_network(network)
    X, kernel = training(network, X, copies=3)
    return Prepared(network, X, Eigensystem.of(kernel.K, overwrite=True), kernel.mean)


def unknown_network(network: Any) -> InputError:
    """The error for something that is not a network."""
    return InputError(
        f"network: expected FullyConnected or PrecomputedKernel, got {type(network).__name__}; "
        "build one, e.g. FullyConnected(widths=[200])."
    )


def training(network: Network, X: Any, *, copies: int) -> tuple[Float[np.ndarray, "P N0"], TrainingKernel]:
    """Checked inputs and a fresh kernel that the caller may overwrite.

    Args:
        network: the network.
        X: its inputs.
        copies: how many P × P matrices the caller will hold, for the memory estimate.
    """
    if isinstance(network, FullyConnected):
        X = checks.inputs(X)
        checks.estimate_memory(len(X), copies)
        return X, training_kernel(network, X)
    K = checks.kernel(X)
    return K, TrainingKernel(K.copy(), None)
