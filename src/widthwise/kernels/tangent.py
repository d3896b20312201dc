"""The derivative of one layer's map K ↦ κ[K]/λ: pushed forward, and its adjoint pulled back, by tiles and in place.

    J[Δ]_ab = (∂κ/∂cxx Δ_aa + ∂κ/∂cxy Δ_ab + ∂κ/∂cyy Δ_bb)/λ,   J[Δ]_aa = (d/dc κ(c, c, c)) Δ_aa/λ

Matrices are symmetric; of each the upper triangle (C order) is read and written; what lies below has no meaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from widthwise.activations.duals import AbstractDual

ROWS, COLUMNS = 64, 512


def _tiles(P: int) -> Iterator[tuple[slice, slice]]:
    """Blocks (rows, columns) that cover the upper triangle; those on the diagonal have rows *is* columns."""
    for i in range(0, P, ROWS):
        rows = slice(i, min(i + ROWS, P))
        yield rows, rows
        for j in range(rows.stop, P, COLUMNS):
            yield rows, slice(j, min(j + COLUMNS, P))


def symmetric_dot(A: Float[np.ndarray, "P P"], B: Float[np.ndarray, "P P"]) -> float:
    """Σ_ab A_ab B_ab of two symmetric matrices."""
    total = 0.0
    for rows, columns in _tiles(len(A)):
        if rows is columns:
            block = A[rows, rows] * B[rows, rows]
            total += 2.0 * float(np.triu(block, 1).sum()) + float(np.trace(block))
        else:
            total += 2.0 * float(np.einsum("ij,ij->", A[rows, columns], B[rows, columns]))
    return total


def symmetric_sum(A: Float[np.ndarray, "P P"]) -> float:
    """Σ_ab A_ab of a symmetric matrix."""
    return 2.0 * sum(float(A[i, i + 1 :].sum()) for i in range(len(A))) + float(np.trace(A))


def mirror(A: Float[np.ndarray, "P P"]) -> None:
    """The upper triangle copied into the lower one."""
    for rows, columns in _tiles(len(A)):
        if rows is columns:
            A[rows, rows] = np.triu(A[rows, rows]) + np.triu(A[rows, rows], 1).T
        else:
            A[columns, rows] = A[rows, columns].T


def push_symmetric(
    dual: AbstractDual,
    C: Float[np.ndarray, "P P"],
    changes: Sequence[Float[np.ndarray, "P P"]],
    precision: float,
) -> None:
    """Δ ← J[Δ] for each of the changes Δ, in their own memory.

    Args:
        dual: of the activation.
        C: pre-activation covariances at which J is taken.
        changes: matrices Δ; each derivative of κ is evaluated once for all.
        precision: λ of the weights that follow.
    """
    c = C.diagonal().copy()
    side = dual.prepare_partials(c)
    before = [D.diagonal().copy() for D in changes]
    for rows, columns in _tiles(len(C)):
        xx, xy, yy = dual.partials_tile(C[rows, columns], side[rows], side[columns])
        for D, diagonal in zip(changes, before):
            block = xy * D[rows, columns] + xx * diagonal[rows, None] + yy * diagonal[columns]
            D[rows, columns] = block / precision
    slope = dual.diagonal_slope(c) / precision
    for D, diagonal in zip(changes, before):
        np.fill_diagonal(D, slope * diagonal)


def pull_symmetric(
    dual: AbstractDual, C: Float[np.ndarray, "P P"], W: Float[np.ndarray, "P P"], precision: float
) -> None:
    """W ← Jᵀ[W], in W's own memory: Σ_ab W_ab J[Δ]_ab = Σ_ab Jᵀ[W]_ab Δ_ab for every symmetric Δ.

    Args:
        dual: of the activation.
        C: pre-activation covariances at which J is taken.
        W: symmetric weights.
        precision: λ of the weights that follow.
    """
    c = C.diagonal().copy()
    side = dual.prepare_partials(c)
    onto = W.diagonal() * dual.diagonal_slope(c)
    for rows, columns in _tiles(len(C)):
        xx, xy, yy = dual.partials_tile(C[rows, columns], side[rows], side[columns])
        block = W[rows, columns]
        if rows is columns:
            strict = np.triu(block, 1)
            onto[rows] += 2.0 * (np.einsum("ij,ij->i", strict, xx) + np.einsum("ij,ij->j", strict, yy))
            block[...] = strict * xy + np.tril(block)
        else:
            onto[rows] += 2.0 * np.einsum("ij,ij->i", block, xx)
            onto[columns] += 2.0 * np.einsum("ij,ij->j", block, yy)
            block *= xy
        block /= precision
    np.fill_diagonal(W, onto / precision)


def push_cross(
    dual: AbstractDual,
    C: Float[np.ndarray, "n P"],
    left: Float[np.ndarray, " n"],
    right: Float[np.ndarray, " P"],
    changes: Sequence[tuple[Float[np.ndarray, "n P"], Float[np.ndarray, " n"], Float[np.ndarray, " P"]]],
    precision: float,
) -> None:
    """Δ ← J[Δ] between two sets of points, in its own memory, for each (Δ, its diagonal on the left, on the right)."""
    side_left, side_right = dual.prepare_partials(left), dual.prepare_partials(right)
    n, P = C.shape
    for i in range(0, n, ROWS):
        rows = slice(i, i + ROWS)
        for j in range(0, P, COLUMNS):
            columns = slice(j, j + COLUMNS)
            xx, xy, yy = dual.partials_tile(C[rows, columns], side_left[rows], side_right[columns])
            for D, on_left, on_right in changes:
                block = xy * D[rows, columns] + xx * on_left[rows, None] + yy * on_right[columns]
                D[rows, columns] = block / precision
