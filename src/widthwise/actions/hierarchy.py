"""The prior of the order parameters of several convolutional layers: a chain of Wishart matrices of growing grids.

    Q_L = (λ_L/N_L) Σ_c v_c v_cᵀ,   Q_ℓ | Q_{ℓ+1} ~ Wishart(N_ℓ, R_{ℓ+1}(Q_{ℓ+1}))/N_ℓ
    R(Q)_ii' = (1/|p|) Σ_δ Q_{o(i,δ) o(i',δ)} = (1/|p|) Σ_δ (S_δ Q S_δᵀ)_ii'
    f | Q_1 ~ GP,   K_R = (1/(λ_1⋯λ_L n_L)) Σ_ii' (Q_1)_ii' c_ii' + Σ_{ℓ≥2} σ_ℓ² (1ᵀQ_ℓ1)/(λ_ℓ⋯λ_L n_L)

Exact for the identity activation at any number of channels. From the top: the readout v, pulled down through layer L,
is u_c = Σ_{c'δ} S_δ v_{c'} W^L_{c'cδ}/√(N_L|p|), Gaussian given v, independent over the channels c of the layer below,
of covariance R(Q_L)/(λ_L λ_{L-1}); so u plays the readout's part one layer below. o(i, δ) is the patch whose entry δ
is position i. Of D outputs every position has D rows, (i, d) at i D + d; R acts on the positions. Of an average readout
v_{c,o} = v_c/√n_L: Q_L has rank D.

In the factors Q_ℓ = B_ℓ B_ℓᵀ the chain has no roots and no inverses: B_ℓ = [S_δ B_{ℓ+1}]_δ M_ℓ/√|p|, smooth where Q_ℓ
is singular (few channels, positions in no patch).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from widthwise.actions.wishart import Block, Part
from widthwise.kernels.stack import shifts
from widthwise.networks import Convolutional, Patches

Positions = Float[np.ndarray, "C d"]
Factor = Float[np.ndarray, "C m r"]


@dataclass(frozen=True)
class Spread:
    """The map R from the patches of one layer to the positions below, on factors: B ↦ [S_δ B]_δ/√|p|.

    Args:
        place: where the patches lie.
        outputs: D, the rows of each position.
    """

    place: Patches
    outputs: int

    @property
    def entries(self) -> int:
        """|p|."""
        return self.place.patch[0] * self.place.patch[1]

    @property
    def below(self) -> int:
        """Positions of the layer below."""
        return self.place.image[0] * self.place.image[1]

    @cached_property
    def shifts(self) -> tuple[tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]], ...]:
        """(o, i) of each S_δ's entries."""
        return tuple(shifts(self.place))

    def factor(self, B: Factor) -> Float[np.ndarray, "C k s"]:
        """(C, n_above D, r) to (C, n_below D, |p| r)."""
        C, D, r = len(B), self.outputs, B.shape[2]
        out = np.zeros((C, self.below, D, self.entries, r))
        above = B.reshape(C, -1, D, r) / math.sqrt(self.entries)
        for delta, (o, i) in enumerate(self.shifts):
            out[:, :, :, delta][:, i] = above[:, o]
        return out.reshape(C, self.below * D, -1)

    def adjoint(self, G: Factor) -> Float[np.ndarray, "C k s"]:
        """∂/∂B from G = ∂/∂(factor(B))."""
        C, D = len(G), self.outputs
        parts = G.reshape(C, self.below, D, self.entries, -1)
        out = np.zeros((C, self.place.count, D, parts.shape[4]))
        for delta, (o, i) in enumerate(self.shifts):
            out[:, o] += parts[:, :, :, delta][:, i]
        return out.reshape(C, self.place.count * D, -1) / math.sqrt(self.entries)

    def matrix(self, Q: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "k k"]:
        """R(Q)."""
        D = self.outputs
        above = Q.reshape(self.place.count, D, self.place.count, D)
        out = np.zeros((self.below, D, self.below, D))
        for o, i in self.shifts:
            out[i[:, None], :, i] += above[o[:, None], :, o] / self.entries
        return out.reshape(self.below * D, -1)


@dataclass(frozen=True)
class PatchHierarchy:
    """The prior of Q_1 … Q_L, Q_ℓ (n_ℓ D, n_ℓ D), with the questions that `WishartChain` answers.

    Where the layers above the first have biases, Q_1 is given D rows more, the last: Σ_ℓ a_ℓ 1ᵀQ_ℓ1, which multiplies a
    kernel of ones (`StackKernels`).

    Args:
        widths: N_1 … N_L.
        places: where the patches of every layer lie.
        outputs: D.
        pooled: whether the readout is the average.
        biases: a_2 … a_L, a_ℓ = σ_ℓ²/(λ_ℓ⋯λ_L n_L).
        triangular: whether all factors are triangular, so that z ↔ (Q_1 … Q_L) is one to one where the grids allow it.
    """

    widths: tuple[int, ...]
    places: tuple[Patches, ...]
    outputs: int
    pooled: bool
    biases: tuple[float, ...]
    triangular: bool = False

    @classmethod
    def of(cls, network: Convolutional, image: tuple[int, int], outputs: int) -> PatchHierarchy:
        """The prior of a network on images (H, W)."""
        places, lam = network.stack(*image), network.precisions
        n = places[-1].count
        biases = tuple(
            variance / (math.prod(lam[layer:]) * n) for layer, variance in enumerate(network.bias_variances[1:], 2)
        )
        return cls(network.widths, places, outputs, network.readout == "average", biases)

    @property
    def biased(self) -> bool:
        """Whether Q_1 has rows for biases."""
        return any(self.biases)

    @property
    def side(self) -> int:
        """m, the rows of Q_1."""
        return (self.places[0].count + self.biased) * self.outputs

    @property
    def unique(self) -> PatchHierarchy:
        """The same prior in coordinates that no rotation of the channels changes."""
        return replace(self, triangular=True)

    @cached_property
    def spreads(self) -> tuple[Spread, ...]:
        """R_L … R_2."""
        return tuple(Spread(place, self.outputs) for place in self.places[:0:-1])

    @cached_property
    def top(self) -> Float[np.ndarray, "m r"]:
        """B_L = top M_L."""
        n, D = self.places[-1].count, self.outputs
        return np.tile(np.eye(D), (n, 1)) / math.sqrt(n) if self.pooled else np.eye(n * D)

    @cached_property
    def expected(self) -> Float[np.ndarray, "m m"]:
        """Q_1 at infinitely many channels, where all matrices are their means."""
        Q, D = self.top @ self.top.T, self.outputs
        constant = np.zeros((D, D))
        for spread, a in zip(self.spreads, reversed(self.biases)):
            n = spread.place.count
            constant += a * Q.reshape(n, D, n, D).sum(axis=(0, 2))
            Q = spread.matrix(Q)
        if not self.biased:
            return Q
        out = np.zeros((self.side, self.side))
        out[:-D, :-D], out[-D:, -D:] = Q, constant
        return out

    # --- draws ----------------------------------------------------------------------------------------------------

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The layers' factors M_L … M_1."""
        blocks, rows, first = [], self.top.shape[1], 0
        for N, spread in zip(reversed(self.widths), (*self.spreads, None)):
            block = Block(N, rows, first, self.triangular or rows < N)
            blocks.append(block)
            first += block.size
            if spread is not None:
                rows = spread.entries * block.columns
        return tuple(blocks)

    @property
    def dimension(self) -> int:
        """d, the number of coordinates z."""
        return sum(block.size for block in self.blocks)

    def _chain(self, z: Positions) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """What M_ℓ is multiplied by, M_ℓ itself, and their product B_ℓ; the last layer's first."""
        left, M, B = [np.broadcast_to(self.top, (len(z), *self.top.shape))], [], []
        for block, spread in zip(self.blocks, (*self.spreads, None)):
            M.append(block.matrix(z))
            B.append(left[-1] @ M[-1])
            if spread is not None:
                left.append(spread.factor(B[-1]))
        return left, M, B

    def _sums(self, B: Factor) -> Float[np.ndarray, "C D r"]:
        """1ᵀB: over the positions of each output."""
        return np.asarray(B.reshape(len(B), -1, self.outputs, B.shape[2]).sum(axis=1))

    def _with_biases(self, B: list[np.ndarray]) -> Factor:
        """B with Q_1 = B Bᵀ, its rows for biases included."""
        if not self.biased:
            return B[-1]
        more = [math.sqrt(a) * self._sums(one) for one, a in zip(B[:-1], reversed(self.biases))]
        out = np.zeros((len(B[-1]), self.side, sum(part.shape[2] for part in (B[-1], *more))))
        rows, columns = B[-1].shape[1:]
        out[:, :rows, :columns] = B[-1]
        out[:, rows:, columns:] = np.concatenate(more, axis=2)
        return out

    def factors(self, z: Positions) -> Factor:
        """B with Q_1 = B Bᵀ, for coordinates z, N(0, 1) or nearly so (C, d)."""
        return self._with_biases(self._chain(z)[2])

    def all_layers(self, z: Positions) -> tuple[np.ndarray, ...]:
        """Q_1 … Q_L of every draw, Q_1 with its rows for biases."""
        _, _, B = self._chain(z)
        return tuple(one @ np.swapaxes(one, 1, 2) for one in (self._with_biases(B), *B[-2::-1]))

    def log_prior(self, z: Positions) -> tuple[Float[np.ndarray, " C"], Positions]:
        """log p(z) − log N(z; 0, I), normalised, and its gradient."""
        values, gradients = zip(*(block.log_prior(z) for block in self.blocks))
        return np.sum(values, axis=0), np.concatenate(gradients, axis=1)

    def pull_back(self, z: Positions, gradient: Float[np.ndarray, "C m m"]) -> Positions:
        """∂F/∂z from ∂F/∂Q_1, symmetric, the entries of Q_1 varied freely."""
        left, M, B = self._chain(z)
        D, parts = self.outputs, []
        rows = self.places[0].count * D
        G = 2.0 * gradient[:, :rows, :rows] @ B[-1]  # ∂F/∂B_1, then layer by layer up
        for k in range(len(M) - 1, -1, -1):
            parts.append(self.blocks[k].pull_back(M[k], np.swapaxes(left[k], 1, 2) @ G))
            if k == 0:
                break
            G = self.spreads[k - 1].adjoint(G @ np.swapaxes(M[k], 1, 2))
            if self.biased:
                own = 2.0 * self.biases[-k] * gradient[:, rows:, rows:] @ self._sums(B[k - 1])
                G = G + np.tile(own, (1, G.shape[1] // D, 1))
        return np.concatenate(parts[::-1], axis=1)

    def same_in(self, other: PatchHierarchy, z: Positions) -> Part:
        """The coordinates in `other`, all triangular, of the same Q_1 … Q_L.

        From the last layer on, M_ℓ = L_ℓ U_ℓ with orthogonal U_ℓ, which goes to the left of M_{ℓ-1}, once for each δ.
        """
        parts, U = [], np.broadcast_to(np.eye(self.top.shape[1]), (len(z), *self.top.shape[1:] * 2))
        for own, new in zip(self.blocks, other.blocks):
            M = own.matrix(z)
            pieces = M.reshape(len(z), -1, U.shape[2], M.shape[2])  # of each δ
            rotated = (U[:, None] @ pieces).reshape(len(z), -1, M.shape[2])
            Ut, R = np.linalg.qr(np.swapaxes(rotated, 1, 2))
            sign = np.where(np.diagonal(R, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
            parts.append(new.coordinates(np.swapaxes(sign[:, :, None] * R, 1, 2)))
            U = np.swapaxes(sign[:, None, :] * Ut, 1, 2)
        return np.concatenate(parts, axis=1)
