"""How several hidden layers renormalise the kernel: closures K_R(Q_1 … Q_L), with their derivatives.

    global:      K_R = (Π Q_ℓ) K_NNGP: one number, which needs none of this
    nested:      K_ℓ = (Q_ℓ/λ_ℓ) κ[K_{ℓ-1} + σ_b²],   K_R = K_L                  [Pacelli et al. 2023, arXiv 2209.04882]
    linearised:  the part of κ that is linear in the change of the layer below  [Baglioni et al. 2026, arXiv 2605.29684]

No order parameter multiplies a bias. The last two agree to first order around Q = 1; for homogeneous activations
without biases all three coincide. A mean of the activation is part of K, nothing more: the theory of Q alone.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual, dual_of
from widthwise.kernels.layer import map_cross, map_symmetric
from widthwise.kernels.nngp import CrossKernel, cross_kernel
from widthwise.kernels.tangent import mirror, pull_symmetric, push_cross, push_symmetric, symmetric_dot, symmetric_sum
from widthwise.networks import FullyConnected
from widthwise.numerics.lapack import gram

Layers = Float[np.ndarray, " L"]
Matrix = Float[np.ndarray, "P P"]
PullBack = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class AbstractClosure(abc.ABC):
    """K_R(Q_1 … Q_L) of a network on its training inputs.

    Args:
        network: fully connected, any depth.
        X: training inputs (P, N_0).
    """

    network: FullyConnected
    X: Float[np.ndarray, "P N0"]
    everywhere: ClassVar[bool] = True  # whether K_R is positive semi-definite at every Q

    @abc.abstractmethod
    def forward(self, Q: Layers) -> tuple[Matrix, PullBack]:
        """K_R(Q), not to be written to, and the function W ↦ Σ_ab W_ab ∂K_R,ab/∂Q_ℓ, which overwrites W (P, P)."""

    @abc.abstractmethod
    def cross(self, Q: Layers, X_new: Float[np.ndarray, "n N0"]) -> CrossKernel:
        """K_R(Q) between new points and the training points, and the new points' own variances.

        Args:
            Q: Q_1 … Q_L, positive.
            X_new: (n, N_0).
        """

    def training(self, Q: Layers) -> Matrix:
        """K_R(Q) among the training points (P, P).

        Args:
            Q: Q_1 … Q_L, positive.
        """
        return self.forward(Q)[0]

    def pull_back(self, Q: Layers, W: Matrix) -> Layers:
        """Σ_ab W_ab ∂K_R,ab/∂Q_ℓ, in one reverse pass (L,).

        Args:
            Q: Q_1 … Q_L, positive.
            W: symmetric; its upper triangle (C order) is read.
        """
        return self.forward(Q)[1](W.copy())

    @property
    def _dual(self) -> AbstractDual:
        return dual_of(self.network.phi)

    @property
    def _following(self) -> list[tuple[float, float]]:
        """(λ_ℓ, σ_b² of layer ℓ+1) for ℓ = 1 … L; the readout has no bias."""
        return list(zip(self.network.precisions[1:], (*self.network.bias_variances[1:], 0.0)))

    @property
    def _scale(self) -> float:
        return 1.0 / (self.network.precisions[0] * self.X.shape[1])

    def _inputs(self) -> Matrix:
        """K_0 + σ_b², upper triangle."""
        C = gram(self.X, self._scale)
        C += self.network.bias_variances[0]
        return C


@dataclass(frozen=True, eq=False)
class Nested(AbstractClosure):
    """K_ℓ = (Q_ℓ/λ_ℓ) κ[K_{ℓ-1} + σ_b²]: the NNGP kernel of the network with weight precisions λ_ℓ/Q_ℓ.

    Keeps κ[K_0]/λ_1; a forward pass holds L more matrices (P, P) until its pull-back is dropped.
                                                                          [Pacelli et al. 2023, arXiv 2209.04882]
    """

    @cached_property
    def _first(self) -> Matrix:
        """K_1 at Q_1 = 1."""
        return map_symmetric(self._dual, self._inputs(), self.network.precisions[1], 0.0)

    def forward(self, Q: Layers) -> tuple[Matrix, PullBack]:
        dual, following = self._dual, self._following
        C = float(Q[0]) * self._first
        C += following[0][1]
        covariances = [C]
        for q, (precision, bias) in zip(Q[1:], following[1:]):
            covariances.append(map_symmetric(dual, covariances[-1].copy(), precision / float(q), bias))

        def pull_back(W: np.ndarray) -> np.ndarray:
            slopes = np.empty(len(Q))
            for layer in range(len(Q) - 1, -1, -1):
                precision, bias = following[layer]
                slopes[layer] = symmetric_dot(W, covariances[layer]) / Q[layer]
                if bias:
                    slopes[layer] -= bias * symmetric_sum(W) / Q[layer]
                if layer:
                    pull_symmetric(dual, covariances[layer - 1], W, precision / float(Q[layer]))
            return slopes

        return covariances[-1], pull_back

    def cross(self, Q: Layers, X_new: Float[np.ndarray, "n N0"]) -> CrossKernel:
        lam = self.network.precisions
        renormalised = (lam[0], *(p / float(q) for p, q in zip(lam[1:], Q)))
        return replace(cross_kernel(replace(self.network, weight_precisions=renormalised), X_new, self.X), mean=None)


@dataclass(frozen=True, eq=False)
class Linearised(AbstractClosure):
    """K̃_1 = Q_1 K_1,  K̃_ℓ = Q_ℓ { K_ℓ + J_ℓ[K̃_{ℓ-1} − K_{ℓ-1}] }, J_ℓ the derivative of κ[·]/λ_ℓ at infinite width.

        K_R = Σ_m c_m(Q) B_m,   B_m = J_L … J_{m+1} K_m,   c_m = (Q_m − 1) Π_{ℓ>m} Q_ℓ for m < L,   c_L = Q_L
                                                                       [Baglioni et al. 2026, arXiv 2605.29684]
    Not positive semi-definite for every Q. Keeps its L matrices: `memory`.
    """

    everywhere: ClassVar[bool] = False

    @property
    def memory(self) -> int:
        """Bytes that the basis takes at its largest, while it is made."""
        return 8 * (self.network.depth + 1) * len(self.X) ** 2

    @cached_property
    def basis(self) -> tuple[Matrix, ...]:
        """B_1 … B_L."""
        dual, C = self._dual, self._inputs()
        basis: list[Matrix] = []
        for precision, bias in self._following:
            if basis:
                push_symmetric(dual, C, basis, precision)
            map_symmetric(dual, C, precision, 0.0)
            basis.append(C.copy())
            C += bias
        for B in basis[:-1]:
            mirror(B)
        return tuple(basis)

    @staticmethod
    def coefficients(Q: Layers) -> Layers:
        """c_1 … c_L."""
        above = _products_above(Q)
        return (Q - np.append(np.ones(len(Q) - 1), 0.0)) * above

    @staticmethod
    def coefficient_slopes(Q: Layers) -> Float[np.ndarray, "L L"]:
        """∂c_m/∂Q_k, row m, column k."""
        c = Linearised.coefficients(Q)
        return np.triu(c[:, None] / Q[None, :], 1) + np.diag(_products_above(Q))

    def forward(self, Q: Layers) -> tuple[Matrix, PullBack]:
        K = np.zeros((len(self.X), len(self.X)))
        for c, B in zip(self.coefficients(Q), self.basis):
            K += c * B

        def pull_back(W: np.ndarray) -> np.ndarray:
            return np.array([symmetric_dot(W, B) for B in self.basis]) @ self.coefficient_slopes(Q)

        return K, pull_back

    def cross(self, Q: Layers, X_new: Float[np.ndarray, "n N0"]) -> CrossKernel:
        dual, c = self._dual, self.coefficients(Q)
        left, right = self._own(X_new), self._own(self.X)
        C = (X_new @ self.X.T) * self._scale + self.network.bias_variances[0]
        basis: list[np.ndarray] = []
        for layer, (precision, bias) in enumerate(self._following):
            if basis:
                own = (left.changes[layer - 1], right.changes[layer - 1])
                push_cross(dual, C, left.variances[layer], right.variances[layer], list(zip(basis, *own)), precision)
            map_cross(dual, C, left.variances[layer], right.variances[layer], precision, 0.0)
            basis.append(C.copy())
            C += bias
        k = np.zeros_like(C)
        for weight, B in zip(c, basis):
            k += weight * B
        return CrossKernel(k, np.asarray(c @ np.array(left.changes[-1])), None)

    def _own(self, X: Float[np.ndarray, "n N0"]) -> _Diagonals:
        """The recursion of C and of the B_m on single points."""
        dual = self._dual
        variances = [self._scale * np.einsum("ij,ij->i", X, X) + self.network.bias_variances[0]]
        changes: list[list[np.ndarray]] = []
        for precision, bias in self._following:
            c = variances[-1]
            slope = dual.diagonal_slope(c) / precision
            K = dual.diagonal(c) / precision
            changes.append([*(slope * B for B in (changes[-1] if changes else [])), K])
            variances.append(K + bias)
        return _Diagonals(variances, changes)


@dataclass(frozen=True)
class _Diagonals:
    """Pre-activation variances layer by layer, and after each layer the diagonals of B_1 … B_ℓ."""

    variances: list[np.ndarray]
    changes: list[list[np.ndarray]]


def _products_above(Q: Layers) -> Layers:
    """Π_{k>ℓ} Q_k."""
    return np.append(np.cumprod(Q[:0:-1])[::-1], 1.0)
