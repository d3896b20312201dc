"""One layer's map K ↦ κ[K]/λ on a matrix, in place and by tiles that stay in the processor's cache."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual

TILE = 256


def map_symmetric(
    dual: AbstractDual, K: Float[np.ndarray, "P P"], precision: float, bias_variance: float
) -> Float[np.ndarray, "P P"]:
    """κ[K]/λ + σ_b² in K's own memory, both triangles.

    Args:
        dual: of the activation.
        K: pre-activation covariances; the upper triangle (C order) is read.
        precision: λ of the weights that follow.
        bias_variance: σ_b² of the layer that follows, zero before the readout.
    """
    P = len(K)
    side = dual.prepare(K.diagonal().copy())
    diagonal = dual.diagonal(K.diagonal().copy()) / precision + bias_variance
    for i in range(0, P, TILE):
        rows = slice(i, i + TILE)
        for j in range(i, P, TILE):
            columns = slice(j, j + TILE)
            block = dual.tile(np.ascontiguousarray(K[rows, columns]), side[rows], side[columns])
            if precision != 1.0:
                block /= precision
            if bias_variance:
                block += bias_variance
            if i == j:
                block = np.triu(block) + np.triu(block, 1).T
            else:
                K[columns, rows] = block.T
            K[rows, columns] = block
    np.fill_diagonal(K, diagonal)
    return K


def map_cross(
    dual: AbstractDual,
    K: Float[np.ndarray, "n P"],
    left: Float[np.ndarray, " n"],
    right: Float[np.ndarray, " P"],
    precision: float,
    bias_variance: float,
) -> Float[np.ndarray, "n P"]:
    """κ[K]/λ + σ_b² between two sets of points, in K's own memory.

    Args:
        dual: of the activation.
        K: pre-activation covariances between the two sets.
        left, right: the pre-activation variances of either.
        precision: λ of the weights that follow.
        bias_variance: σ_b² of the layer that follows, zero before the readout.
    """
    n, P = K.shape
    side_left, side_right = dual.prepare(left), dual.prepare(right)
    for i in range(0, n, TILE):
        rows = slice(i, i + TILE)
        for j in range(0, P, TILE):
            columns = slice(j, j + TILE)
            block = dual.tile(np.ascontiguousarray(K[rows, columns]), side_left[rows], side_right[columns])
            K[rows, columns] = block / precision + bias_variance
    return K
