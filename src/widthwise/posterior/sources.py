"""Where a kernel comes from: training inputs together with the network that turns them, and new ones, into kernels."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.activations import resolve
from widthwise.errors import InputError
from widthwise.kernels import (
    CrossKernel,
    TrainingKernel,
    cross_kernel,
    infinite_cross,
    infinite_training,
    pooled_cross,
    pooled_training,
    stack_cross,
    stack_training,
    training_kernel,
)
from widthwise.kernels.closures import AbstractClosure
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.posterior import checks

Network = FullyConnected | Convolutional | PrecomputedKernel


class AbstractSource(abc.ABC):
    """Training inputs and the kernel among them, and between them and any new ones.

    Attributes:
        network: as described by the user.
        X: its training inputs, checked.
        pairs: whether the kernel between any two sets of inputs can be had.
    """

    network: Any
    X: np.ndarray
    pairs = True

    @property
    def size(self) -> int:
        """P."""
        return len(self.X)

    @abc.abstractmethod
    def training(self) -> TrainingKernel:
        """The kernel among the training inputs, in fresh memory that the caller may overwrite."""

    @abc.abstractmethod
    def check(self, X_new: Any, name: str = "X_new") -> np.ndarray:
        """New inputs as an array of the training inputs' kind.

        Raises:
            InputError: another shape, or not finite.
        """

    @abc.abstractmethod
    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        """The kernel between new inputs and the training inputs.

        Args:
            X_new: new inputs; k (n, P) for a precomputed kernel.
            diagonal: for a precomputed kernel the new points' own variances (n,), or their kernel (n, n).
        """

    @abc.abstractmethod
    def at(self, X: np.ndarray) -> AbstractSource:
        """The same kernel with other (checked) inputs in the place of the training inputs."""

    def of(self, network: Any) -> AbstractSource:
        """The same inputs with a network of other widths or another readout precision."""
        return replace(self, network=network)  # type: ignore[type-var]

    def among(self, X_new: Any, diagonal: Any = None) -> Float[np.ndarray, "n n"]:
        """The kernel among new inputs."""
        X_new = self.check(X_new)
        kernel = self.at(X_new).cross(X_new)
        np.fill_diagonal(kernel.k, kernel.diagonal)
        return kernel.k


def _no_diagonal(diagonal: Any) -> None:
    if diagonal is not None:
        raise InputError("diagonal: expected only with PrecomputedKernel; this network computes its own, leave it out.")


@dataclass(frozen=True)
class Inputs(AbstractSource):
    """Vectors (P, N_0) and a fully connected network's infinite-width kernel.

    Args:
        network: as described.
        X: (P, N_0).
    """

    network: FullyConnected
    X: Float[np.ndarray, "P N0"]

    def training(self) -> TrainingKernel:
        return training_kernel(self.network, self.X)

    def check(self, X_new: Any, name: str = "X_new") -> np.ndarray:
        return checks.inputs(X_new, name, self.X.shape[1])

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        _no_diagonal(diagonal)
        return cross_kernel(self.network, self.check(X_new), self.X)

    def at(self, X: np.ndarray) -> Inputs:
        return Inputs(self.network, X)


@dataclass(frozen=True)
class Matrix(AbstractSource):
    """A precomputed kernel (P, P)."""

    network: PrecomputedKernel
    X: Float[np.ndarray, "P P"]
    pairs = False

    def training(self) -> TrainingKernel:
        return TrainingKernel(self.X.copy(), None)

    def check(self, X_new: Any, name: str = "X_new") -> np.ndarray:
        k = checks.real_array("k", X_new, (2,), "(n, P): the kernel of new points with training points")
        if k.shape[1] != len(self.X):
            raise InputError(f"k: expected {len(self.X)} columns, one per training point, got {k.shape[1]}.")
        return k

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        k = self.check(X_new)
        if diagonal is None:
            raise InputError(
                "diagonal: expected the new points' own variances (n,), got nothing; pass predict(k, diagonal)."
            )
        own = checks.real_array("diagonal", diagonal, (1, 2), "(n,) or (n, n)")
        if own.shape not in ((len(k),), (len(k), len(k))):
            raise InputError(f"diagonal: expected shape ({len(k)},) or ({len(k)}, {len(k)}), got {own.shape}.")
        variances = own.diagonal().copy() if own.ndim == 2 else own
        if float(variances.min()) < 0.0:
            raise InputError(f"diagonal: expected variances of at least zero, got {variances.min():.3g}.")
        return CrossKernel(k, variances, None)

    def at(self, X: np.ndarray) -> Matrix:
        raise InputError("PrecomputedKernel: expected kernels (n, P), got other inputs; their kernel is not known.")

    def among(self, X_new: Any, diagonal: Any = None) -> Float[np.ndarray, "n n"]:
        own = np.asarray(diagonal, float)
        if own.ndim != 2:
            raise InputError(
                "covariance: expected the new points' kernel (n, n) as `diagonal`, got only variances; pass K**."
            )
        return own


@dataclass(frozen=True)
class Closed(AbstractSource):
    """Vectors (P, N_0) and the kernel to which a closure renormalises a deep network's at given order parameters.

    Args:
        network: as described.
        X: (P, N_0).
        closure: on these inputs.
        Q: Q_1 … Q_L.
    """

    network: FullyConnected
    X: Float[np.ndarray, "P N0"]
    closure: AbstractClosure
    Q: Float[np.ndarray, " L"]

    def training(self) -> TrainingKernel:
        return TrainingKernel(self.closure.training(self.Q).copy(), None)

    def check(self, X_new: Any, name: str = "X_new") -> np.ndarray:
        return checks.inputs(X_new, name, self.X.shape[1])

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        _no_diagonal(diagonal)
        return self.closure.cross(self.Q, self.check(X_new))

    def at(self, X: np.ndarray) -> Closed:
        return Closed(self.network, X, type(self.closure)(self.network, X), self.Q)


@dataclass(frozen=True)
class Images(AbstractSource):
    """Images (P, H, W, C) and the one kernel of a convolutional network: pooled, or of infinitely many channels.

    With a dense readout of finitely many channels, and with any of several layers, there is a kernel for each pair of
    patches: `posterior.patches`.
    """

    network: Convolutional
    X: Float[np.ndarray, "P H W C"]

    def training(self) -> TrainingKernel:
        if self.network.depth > 1:
            return stack_training(self.network, self.X)
        pooled = self.network.readout == "average"
        return (pooled_training if pooled else infinite_training)(self.network, self.X)

    def check(self, X_new: Any, name: str = "X_new") -> np.ndarray:
        return checks.images(X_new, name, self.X.shape[1:])

    def cross(self, X_new: Any, diagonal: Any = None) -> CrossKernel:
        _no_diagonal(diagonal)
        if self.network.depth > 1:
            return stack_cross(self.network, self.check(X_new), self.X)
        pooled = self.network.readout == "average"
        return (pooled_cross if pooled else infinite_cross)(self.network, self.check(X_new), self.X)

    def at(self, X: np.ndarray) -> Images:
        return Images(self.network, X)


def is_linear(network: Network) -> bool:
    """Whether φ is the identity, for which the integral over the order parameters is exact."""
    return not isinstance(network, PrecomputedKernel) and network.phi == resolve("identity")


def source_of(network: Any, X: Any, *, copies: int) -> AbstractSource:
    """The checked training inputs of a network.

    Args:
        network: what the user described.
        X: its training inputs.
        copies: how many P × P matrices the caller will hold, for the memory estimate.

    Raises:
        InputError: not a network, or X is not finite, not of the right shape, empty, or too large for this machine.
    """
    if isinstance(network, PrecomputedKernel):
        return Matrix(network, checks.kernel(X))
    if isinstance(network, FullyConnected):
        X = checks.inputs(X)
        checks.estimate_memory(len(X), copies)
        return Inputs(network, X)
    if isinstance(network, Convolutional):
        X = checks.images(X)
        network.patches(*X.shape[1:3])  # its fault before any work
        checks.estimate_memory(len(X), copies)
        return Images(network, X)
    raise InputError(
        f"network: expected FullyConnected, Convolutional or PrecomputedKernel, got {type(network).__name__}; "
        "build one, e.g. FullyConnected(widths=[200])."
    )
