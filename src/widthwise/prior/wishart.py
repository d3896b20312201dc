"""The readout's Gram matrix as a triangle: Q = A Aᵀ ~ Wishart_D(N)/N, singular where N < D."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2


def triangles(rng: np.random.Generator, N: int, D: int, n: int) -> Float[np.ndarray, "n D D"]:
    """A, lower triangular, A Aᵀ ~ Wishart_D(N)/N: A_ii² ~ χ²_{N−i}/N (i from 0), A_ij ~ N(0, 1)/√N below.

    By quantiles of uniform numbers, so that A_00 of the same stream grows with the uniform number in every law that
    uses it. Columns from N on are zero.                                  [Bartlett 1933, Proc. R. Soc. Edinb. 53, 260]
    """
    uniform, below = rng.random((n, D)), rng.standard_normal((n, D, D))
    A = np.tril(below, -1)
    i = np.arange(min(N, D))
    A[:, i, i] = np.sqrt(chi2.ppf(uniform[:, : len(i)], N - i))
    A[:, :, len(i) :] = 0.0
    return A / np.sqrt(N)
