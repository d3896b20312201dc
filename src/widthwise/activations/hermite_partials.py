"""The derivatives of a dual kernel by its Hermite expansion: exact in the coefficients that the kernel itself uses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from widthwise.activations.abstract_dual import Partials
from widthwise.activations.hermite import HermiteSide


def series_partials(
    cxy: Float[np.ndarray, "p q"],
    left: HermiteSide,
    right: HermiteSide,
    pairs: tuple[Int[np.ndarray, "p q"], Int[np.ndarray, "p q"]] | None = None,
) -> Partials:
    """The derivatives of the expansion, exact in its coefficients a_k, b_k of either side: by Stein's lemma

        ∂κ/∂cxy = Σ_k k a_k b_k u^{k−1}/√(cxx cyy),   ∂κ/∂cxx = Σ_k √((k+1)(k+2)) a_{k+2} b_k u^k/(2 cxx)

    Orders beyond the expansion are left out, so a φ with a kink loses digits towards |u| = 1, where the series of
    derivatives converges as k^{−1/2} only; for a smooth φ the error is that of κ times the last order.

    Args:
        cxy: covariances (p, q).
        left, right: the two sides; rows and columns of cxy, or indexed by `pairs`.
        pairs: for each entry of cxy its row in either side.
    """
    i, j = pairs if pairs is not None else (np.arange(cxy.shape[0])[:, None], np.arange(cxy.shape[1])[None, :])
    scale_left, scale_right = left.inverse_scale[i], right.inverse_scale[j]
    u = np.clip(cxy * scale_left * scale_right, -1.0, 1.0)
    first, step = left.first, left.step
    count = min(len(left.coefficients), len(right.coefficients))
    order = first + step * np.arange(count, dtype=float)
    a, b = left.coefficients[:count], right.coefficients[:count]
    ahead = 2 // step
    raised = np.sqrt((order + 1) * (order + 2))[:-ahead, None]
    x = u * u if step == 2 else u

    def total(A: np.ndarray, B: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Σ_k A_k B_k u^{k − k_0}, up to the last order that counts."""
        largest = float(np.abs(u).max(initial=0.0))
        size = np.abs(A).max(1, initial=0.0) * np.abs(B).max(1, initial=0.0) * largest ** (k - k[0])
        kept = int(np.flatnonzero(size >= 1e-17 * size.max(initial=0.0))[-1]) + 1 if size.size else 0
        out = np.zeros_like(u)
        for n in range(kept - 1, -1, -1):
            out *= x
            out += A[n][i] * B[n][j]
        return out

    skip = 1 if order[0] == 0.0 else 0  # k = 0 has no slope in u
    xy = total(order[skip:, None] * a[skip:], b[skip:], order[skip:])
    xx = total(raised * a[ahead:], b[:-ahead], order[:-ahead])
    yy = total(a[:-ahead], raised * b[ahead:], order[:-ahead])
    if order[skip] == 2.0:
        xy *= u
    if first == 1:
        xx, yy = xx * u, yy * u
    return 0.5 * xx * scale_left**2, xy * scale_left * scale_right, 0.5 * yy * scale_right**2
