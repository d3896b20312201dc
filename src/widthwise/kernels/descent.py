"""The kernel of several convolutional layers of infinitely many channels, for any activation.

    c^1_ii' = x_i·x_i'/(λ_0 d) + σ_1²,   c^{ℓ+1}_oo' = (1/(λ_ℓ|p|)) Σ_δ κ[c^ℓ]_{i(o,δ) i(o',δ)} + σ_{ℓ+1}²
    K = (1/(λ_L n_L)) Σ_o κ[c^L]_oo  (dense),   K = (1/(λ_L n_L²)) Σ_oo' κ[c^L]_oo'  (average)
                                                                       [Novak et al. 2019, ICLR, arXiv 1810.05148]

A dense readout needs every position with itself only, at every layer. Images go in tiles: no more than one K and a
working tile are held.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.kernels.layer import TILE, map_cross
from widthwise.kernels.nngp import CrossKernel, TrainingKernel
from widthwise.kernels.patches import WORK, PatchSet
from widthwise.kernels.stack import shifts
from widthwise.networks import Convolutional, Patches

Images = Float[np.ndarray, "P H W C"]
NewImages = Float[np.ndarray, "G H W C"]


@dataclass(frozen=True)
class _Stack:
    """A set of images before a stack of layers.

    Args:
        images: as patches of the first layer.
        places: of every layer.
    """

    images: PatchSet
    places: tuple[Patches, ...]

    @classmethod
    def of(cls, network: Convolutional, X: Images) -> _Stack:
        return cls(PatchSet.of(network, X), network.stack(*X.shape[1:3]))

    @property
    def network(self) -> Convolutional:
        return self.images.network

    @property
    def pooled(self) -> bool:
        """Whether pairs of positions are needed."""
        return self.network.readout == "average"

    @cached_property
    def variances(self) -> list[Float[np.ndarray, "n P"]]:
        """c^ℓ_oo of every image with itself, layer by layer."""
        q, out, dual = self.images.variances, [self.images.variances], self.images.dual
        for place, lam, bias in self.steps:
            q = _one_below(dual.diagonal(q.ravel()).reshape(q.shape), place) / lam + bias
            out.append(q)
        return out

    @property
    def steps(self) -> list[tuple[Patches, float, float]]:
        """(place, λ_ℓ, σ_{ℓ+1}²) of the layers above the first."""
        net = self.network
        return list(zip(self.places[1:], net.precisions[1:], net.bias_variances[1:]))

    def spans(self) -> list[slice]:
        """The images in runs so short that a tile of two of them is small."""
        entries = self.places[0].count ** (2 if self.pooled else 1)
        side = max(1, min(TILE, int((WORK / entries) ** 0.5)))
        size = self.images.size
        return [slice(start, min(start + side, size)) for start in range(0, size, side)]

    def tile(self, rows: slice, other: _Stack, columns: slice) -> Float[np.ndarray, "b m"]:
        """K between `rows` of these images and `columns` of the others."""
        left, right = self.images.vectors[:, rows], other.images.vectors[:, columns]
        c = np.tensordot(left, right, axes=(2, 2)) if self.pooled else left @ right.swapaxes(1, 2)
        c += self.network.bias_variances[0]
        for layer, (place, lam, bias) in enumerate(self.steps):
            kappa = self._map(c, self.variances[layer][:, rows], other.variances[layer][:, columns])
            c = (_both_below if self.pooled else _one_below)(kappa, place) / lam + bias
        kappa = self._map(c, self.variances[-1][:, rows], other.variances[-1][:, columns])
        n, lam = self.places[-1].count, self.network.precisions[-1]
        return kappa.sum(axis=(0, 2)) / (lam * n * n) if self.pooled else kappa.sum(axis=0) / (lam * n)

    def _map(
        self, c: Float[np.ndarray, "n b *rest"], left: Float[np.ndarray, "n b"], right: Float[np.ndarray, "n m"]
    ) -> Float[np.ndarray, "n b *rest"]:
        """κ[c], in c's memory where that is in order."""
        dual = self.images.dual
        if self.pooled:
            flat = np.ascontiguousarray(c).reshape(left.size, right.size)
            return map_cross(dual, flat, left.ravel(), right.ravel(), 1.0, 0.0).reshape(c.shape)
        return np.stack([map_cross(dual, one, a, b, 1.0, 0.0) for one, a, b in zip(c, left, right)])

    @cached_property
    def diagonal(self) -> Float[np.ndarray, " P"]:
        """K of every image with itself."""
        if self.pooled:
            each = [slice(r, r + 1) for r in range(self.images.size)]
            return np.array([self.tile(one, self, one)[0, 0] for one in each])
        q = self.variances[-1]
        own = self.images.dual.diagonal(q.ravel()).reshape(q.shape)
        return own.sum(axis=0) / (self.network.precisions[-1] * len(q))

    @property
    def mean(self) -> Float[np.ndarray, " P"] | None:
        """Of the pooled features, over √λ_L; None where φ has none or the readout has one part per position."""
        dual, q = self.images.dual, self.variances[-1]
        if not (dual.has_mean and self.pooled):
            return None
        return dual.mean(q.ravel()).reshape(q.shape).mean(axis=0) / np.sqrt(self.network.precisions[-1])


def _one_below(kappa: Float[np.ndarray, "n *rest"], place: Patches) -> Float[np.ndarray, "m *rest"]:
    """(1/|p|) Σ_δ κ_{i(o,δ)}."""
    out = np.zeros((place.count, *kappa.shape[1:]))
    for o, i in shifts(place):
        out[o] += kappa[i]
    return out / (place.patch[0] * place.patch[1])


def _both_below(kappa: Float[np.ndarray, "n b n m"], place: Patches) -> Float[np.ndarray, "k b k m"]:
    """(1/|p|) Σ_δ κ_{i(o,δ) i(o',δ)}."""
    out = np.zeros((place.count, kappa.shape[1], place.count, kappa.shape[3]))
    for o, i in shifts(place):
        rows = out[o]
        rows[:, :, o] += kappa[i][:, :, i]
        out[o] = rows
    return out / (place.patch[0] * place.patch[1])


def stack_training(network: Convolutional, X: Images) -> TrainingKernel:
    """K among images (P, H, W, C); its mean is that of the pooled features."""
    stack = _Stack.of(network, X)
    K, spans = np.empty((len(X), len(X))), stack.spans()
    for k, rows in enumerate(spans):
        for columns in spans[k:]:
            tile = stack.tile(rows, stack, columns)
            K[rows, columns] = tile
            K[columns, rows] = tile.T
    np.fill_diagonal(K, stack.diagonal)
    return TrainingKernel(np.triu(K) + np.triu(K, 1).T, stack.mean)


def stack_cross(network: Convolutional, X_new: NewImages, X: Images) -> CrossKernel:
    """K between new images (G, H, W, C) and images (P, H, W, C)."""
    new, stack = _Stack.of(network, X_new), _Stack.of(network, X)
    k = np.empty((len(X_new), len(X)))
    for rows in new.spans():
        for columns in stack.spans():
            k[rows, columns] = new.tile(rows, stack, columns)
    return CrossKernel(k, new.diagonal, new.mean)
