"""Convolutional networks with one kernel: the average-pooled readout, and infinitely many channels.

    pooled:    K = (1/(λ_1 n²)) Σ_ij κ_ij      v_{c,i} = v_c/√n: the fully connected theory, scalar Q or Q_D ⊗ K
    infinite:  K = (1/(λ_1 n)) Σ_i κ_ii        K_R(Q) at Q = I: dense readout, N_c → ∞
                                                            [Aiudi, Pacelli et al. 2025, Nat. Commun., arXiv 2307.11807]

No more than one K and a working tile are held.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from widthwise.kernels.layer import map_cross, map_symmetric
from widthwise.kernels.nngp import CrossKernel, TrainingKernel
from widthwise.kernels.patches import PatchSet
from widthwise.networks import Convolutional
from widthwise.numerics.lapack import gram

Images = Float[np.ndarray, "P H W C"]
NewImages = Float[np.ndarray, "G H W C"]


def _pooled_mean(images: PatchSet) -> Float[np.ndarray, " P"] | None:
    """m/√λ_1 with m = (1/n) Σ_i m(c_ii), or None where φ has no mean."""
    if not images.dual.has_mean:
        return None
    m = images.dual.mean(images.variances.ravel()).reshape(images.variances.shape)
    return m.mean(axis=0) / np.sqrt(images.network.precisions[1])


def pooled_training(network: Convolutional, X: Images) -> TrainingKernel:
    """(1/(λ_1 n²)) Σ_ij κ_ij among images (P, H, W, C); its mean is that of the pooled features."""
    images = PatchSet.of(network, X)
    K = np.empty((images.size, images.size))
    for rows, columns in images.own_tiles():
        tile = images.block(rows, images, columns).sum(axis=(0, 2)) / images.patches
        if rows == columns:
            tile = np.triu(tile) + np.triu(tile, 1).T
        else:
            K[columns, rows] = tile.T
        K[rows, columns] = tile
    return TrainingKernel(K, _pooled_mean(images))


def pooled_cross(network: Convolutional, X_new: NewImages, X: Images) -> CrossKernel:
    """(1/(λ_1 n²)) Σ_ij κ_ij between new images (G, H, W, C) and images (P, H, W, C)."""
    new, images = PatchSet.of(network, X_new), PatchSet.of(network, X)
    k = np.empty((new.size, images.size))
    for rows, columns in new.tiles(images):
        k[rows, columns] = new.block(rows, images, columns).sum(axis=(0, 2)) / images.patches
    diagonal = np.array([own.sum() for own in new.own_blocks()]) / new.patches
    return CrossKernel(k, diagonal, _pooled_mean(new))


def infinite_training(network: Convolutional, X: Images) -> TrainingKernel:
    """(1/(λ_1 n)) Σ_i κ_ii among images (P, H, W, C). No mean: that of a dense readout has one part per patch."""
    images = PatchSet.of(network, X)
    K = np.zeros((images.size, images.size))
    for vectors in images.vectors:
        kappa = gram(vectors, 1.0)
        kappa += network.bias_variances[0]
        K += map_symmetric(images.dual, kappa, network.precisions[1] * images.patches, 0.0)
    return TrainingKernel(K, None)


def infinite_cross(network: Convolutional, X_new: NewImages, X: Images) -> CrossKernel:
    """(1/(λ_1 n)) Σ_i κ_ii between new images (G, H, W, C) and images (P, H, W, C)."""
    new, images = PatchSet.of(network, X_new), PatchSet.of(network, X)
    k, precision = np.zeros((new.size, images.size)), network.precisions[1] * images.patches
    for left, right, c_left, c_right in zip(new.vectors, images.vectors, new.variances, images.variances):
        k += map_cross(images.dual, left @ right.T + network.bias_variances[0], c_left, c_right, precision, 0.0)
    own = images.dual.diagonal(new.variances.ravel()).reshape(new.variances.shape)
    return CrossKernel(k, own.sum(axis=0) / precision, None)
