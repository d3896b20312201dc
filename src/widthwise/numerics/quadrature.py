"""One-dimensional nodes and weights: composite Gauss–Legendre, Gauss rules of a discrete measure, Hermite functions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, "n"]


def composite_gauss_legendre(boundaries: Float[np.ndarray, "m"], order: int) -> tuple[Vector, Vector]:
    """Gauss–Legendre nodes and weights on each panel between neighbouring boundaries.

    Args:
        boundaries: increasing, at least two.
        order: nodes per panel.

    Returns:
        nodes and weights, each of length order · (panels), increasing.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half, middle = np.diff(boundaries) / 2, (boundaries[1:] + boundaries[:-1]) / 2
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()


def gauss_of_measure(x: Float[np.ndarray, "m"], mass: Float[np.ndarray, "m"], order: int) -> tuple[Vector, Vector]:
    """The Gauss rule of the measure Σ_i mass_i δ(x − x_i): exact for polynomials of degree < 2·order.

    By Lanczos on diag(x) and the eigenvectors of its tridiagonal matrix (Golub, Welsch 1969, Math. Comp. 23, 221).

    Args:
        x: support, more points than `order`.
        mass: non-negative.
        order: nodes of the rule.
    """
    basis = np.zeros((order, x.size))
    diagonal, off_diagonal = np.zeros(order), np.zeros(order - 1)
    vector = np.sqrt(mass / mass.sum())
    for k in range(order):
        basis[k] = vector
        vector = x * vector
        diagonal[k] = basis[k] @ vector
        for _ in range(2):  # once loses orthogonality
            vector = vector - basis[: k + 1].T @ (basis[: k + 1] @ vector)
        if k < order - 1:
            off_diagonal[k] = np.linalg.norm(vector)
            vector = vector / off_diagonal[k]
    nodes, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1))
    return nodes, mass.sum() * vectors[0] ** 2


def hermite_functions(z: Float[np.ndarray, "m"], count: int) -> Float[np.ndarray, "count m"]:
    """ψ_k(z) = h_k(z) √g(z), k < count: h_k the orthonormal Hermite polynomials of the standard normal density g.

        ψ_{k+1} = ( z ψ_k − √k ψ_{k−1} ) / √(k+1),   ψ_0 = √g        [DLMF 18.9; forward recurrence, stable]

    ∫ ψ_j ψ_k dz = δ_jk. Points where √g underflows (|z| > 38) are out of range.
    """
    psi = np.empty((count, z.size))
    psi[0] = np.exp(-0.25 * z * z) / (2 * np.pi) ** 0.25
    if count > 1:
        psi[1] = z * psi[0]
    for k in range(1, count - 1):
        psi[k + 1] = (z * psi[k] - np.sqrt(k) * psi[k - 1]) / np.sqrt(k + 1)
    return psi
