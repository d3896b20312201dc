"""The patches of images and the kernels between them: what a convolutional layer of shared weights sees.

    c_ij(x, x') = x_i·x'_j/(λ_0 d) + σ_b²,   κ_ij(x, x') = E[φ(h)φ(h')],  (h, h') ~ N(0, [[c_ii, c_ij], [c_ij, c'_jj]])
                                                            [Aiudi, Pacelli et al. 2025, Nat. Commun., arXiv 2307.11807]

x_i is patch i of n, its d = |patch| C entries in one row. κ_ji = κ_ijᵀ, so with r ≤ s over the images every number is
met once. Kernels leave this room divided by λ_1 n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual, dual_of
from widthwise.kernels.layer import TILE, map_cross
from widthwise.networks import Convolutional

WORK = 2**22  # entries of κ worked on at a time: 32 MiB


def extract(network: Convolutional, X: Float[np.ndarray, "P H W C"]) -> Float[np.ndarray, "n P d"]:
    """The patch vectors of images, zeros where a patch reaches over the border.

    Args:
        network: whose patch, stride and padding are meant.
        X: images (P, H, W, C).

    Returns:
        (n, P, d), d = |patch| C: patch i sits at row i // columns of the grid; its entries run over height, width,
        channel.

    Raises:
        InputError: the patch does not fit into the image.
    """
    P, height, width, _ = X.shape
    place = network.patches(height, width)
    padding = ((0, 0), *zip(place.before, place.after), (0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(X, padding), place.patch, axis=(1, 2))
    (rows, columns), (down, across) = place.grid, place.stride
    chosen = windows[:, ::down, ::across][:, :rows, :columns]  # (P, rows, columns, C, height, width)
    return np.ascontiguousarray(chosen.transpose(1, 2, 0, 4, 5, 3)).reshape(place.count, P, -1)


@dataclass(frozen=True)
class PatchSet:
    """A set of images as patches, and the kernels between two such sets.

    Args:
        network: the convolutional network.
        vectors: x_i/√(λ_0 d), (n, P, d).
    """

    network: Convolutional
    vectors: Float[np.ndarray, "n P d"]

    @classmethod
    def of(cls, network: Convolutional, X: Float[np.ndarray, "P H W C"]) -> PatchSet:
        """The patches of the images X (P, H, W, C)."""
        vectors = extract(network, X)
        return cls(network, vectors / np.sqrt(network.precisions[0] * vectors.shape[2]))

    @property
    def patches(self) -> int:
        """n."""
        return self.vectors.shape[0]

    @property
    def size(self) -> int:
        """P, the images."""
        return self.vectors.shape[1]

    @cached_property
    def dual(self) -> AbstractDual:
        """κ of the activation."""
        return dual_of(self.network.phi)

    @cached_property
    def variances(self) -> Float[np.ndarray, "n P"]:
        """c_ii per patch and image."""
        return np.einsum("ipd,ipd->ip", self.vectors, self.vectors) + self.network.bias_variances[0]

    def block(self, rows: slice, other: PatchSet, columns: slice) -> Float[np.ndarray, "n b n m"]:
        """κ_ij(x_r, x'_s)/(λ_1 n) at [i, r, j, s], r in `rows` of these images and s in `columns` of the others."""
        n, d = self.patches, self.vectors.shape[2]
        left, right = self.vectors[:, rows], other.vectors[:, columns]
        c = left.reshape(-1, d) @ right.reshape(-1, d).T + self.network.bias_variances[0]
        own, others = self.variances[:, rows].ravel(), other.variances[:, columns].ravel()
        map_cross(self.dual, c, own, others, self.network.precisions[1] * n, 0.0)
        return c.reshape(n, left.shape[1], n, right.shape[1])

    def spans(self) -> list[slice]:
        """The images in runs so short that a `block` of two of them is small."""
        side = max(1, min(TILE, int((WORK / self.patches**2) ** 0.5)))
        return [slice(start, min(start + side, self.size)) for start in range(0, self.size, side)]

    def own_tiles(self) -> Iterator[tuple[slice, slice]]:
        """Pairs of runs that cover every r ≤ s among these images; on the diagonal whole squares."""
        spans = self.spans()
        return ((rows, columns) for k, rows in enumerate(spans) for columns in spans[k:])

    def tiles(self, other: PatchSet) -> Iterator[tuple[slice, slice]]:
        """Pairs of runs that cover every image here with every image there."""
        return ((rows, columns) for rows in self.spans() for columns in other.spans())

    def own_blocks(self) -> Iterator[Float[np.ndarray, "n n"]]:
        """κ_ij(x_r, x_r)/(λ_1 n) of each image r."""
        for r in range(self.size):
            one = slice(r, r + 1)
            yield self.block(one, self, one)[:, 0, :, 0]
