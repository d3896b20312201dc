"""A spectrum known only through random vectors: shift-and-invert Lanczos quadrature, a guess good to about 1e-3.

One Cholesky factor of A₀ = t I + q₀ K (single precision where that is safe) makes each Lanczos step on A₀⁻¹ two
triangular solves. In that Krylov space (t I + q K)⁻¹ is a smooth function of A₀⁻¹ for every q near q₀, so that five
steps serve where dozens on K itself would not, at any temperature.      [Ubaru, Chen, Saad 2017; Ruhe 1984]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal, lapack

from widthwise.numerics import guarded
from widthwise.numerics.lapack import cholesky, cholesky_solve
from widthwise.numerics.spectra.abstract import GaussianTerms
from widthwise.numerics.spectra.eigen import sums

Columns = Float[np.ndarray, "P c"]
PROBES = 24
STEPS = 5
_SAFE = 3e6  # condition number up to which a single-precision factor still guides a start; if it fails, double is tried


@dataclass(frozen=True)
class RitzSpectrum:
    """Quadrature nodes and weights for traces (from random probes) and for the target.

    Args:
        nodes: Ritz values of K from the probes.
        multiplicity: their weights; they sum to P.
        target_nodes: Ritz values of K from the target.
        power: their shares of |y|².
    """

    nodes: Float[np.ndarray, " m"]
    multiplicity: Float[np.ndarray, " m"]
    target_nodes: Float[np.ndarray, " s"]
    power: Float[np.ndarray, " s"]

    @classmethod
    def of(cls, K: Float[np.ndarray, "P P"], y: Float[np.ndarray, " P"], q: float, t: float) -> RitzSpectrum:
        """Runs the Lanczos iterations of y and of seeded random signs on (t I + q K)⁻¹.

        Args:
            K: (P, P), C order; left as it is.
            y: the target (P,).
            q, t: the shift's centre.
        """
        P = len(y)
        norm = float(y @ y)
        solve, dtype = _inverse(K, q, t)
        signs = np.random.default_rng(P).integers(0, 2, size=(P, PROBES)) * 2.0 - 1.0
        start: Columns = np.column_stack([y if norm > 0 else np.ones(P), signs]).astype(dtype)
        mu, weight = _lanczos(solve, start, min(STEPS, P))
        # kept to what K can have: rounding moves a node, and one beyond an exhausted Krylov space (no weight) is 0
        k = np.clip((guarded.divide(np, 1.0, mu, t) - t) / q, 0.0, np.trace(K))
        return cls(k[1:].ravel(), (weight[1:] * (P / PROBES)).ravel(), k[0], weight[0] * norm)

    def terms(self, q: float, t: float) -> GaussianTerms:
        """The scalar answers at (q, t), estimated."""
        traces = sums(self.nodes, self.multiplicity, 0.0 * self.nodes, q, t)
        duals = sums(self.target_nodes, 0.0, self.power, q, t)
        return replace(duals, log_det=traces.log_det, trace=traces.trace, trace_square=traces.trace_square)


def _inverse(K: Float[np.ndarray, "P P"], q: float, t: float) -> tuple[Callable[[Columns], Columns], type]:
    """B ↦ (t I + q K)⁻¹B and its precision: single where the condition number allows, else double."""
    P = len(K)
    some = K[:: max(1, P // 64)]  # a few rows: the order of magnitude is enough
    if q * float(np.abs(some).sum(axis=1).max()) < _SAFE * t:
        A = np.multiply(K, q, dtype=np.float32, casting="same_kind")
        A.reshape(-1)[:: P + 1] += np.float32(t)
        L, info = lapack.spotrf(A.T, lower=1, overwrite_a=1, clean=0)
        if info == 0:
            return lambda B: lapack.spotrs(L, B, lower=1)[0], np.float32
    A = K * q
    A.reshape(-1)[:: P + 1] += t
    R = cholesky(A, "T I + Q K")
    return lambda B: cholesky_solve(R, B), np.float64


def _lanczos(
    apply: Callable[[Columns], Columns], start: Columns, steps: int
) -> tuple[Float[np.ndarray, "c s"], Float[np.ndarray, "c s"]]:
    """Ritz values and weights of one Lanczos process per column of `start`, fully reorthogonalised."""
    V = np.asfortranarray(start / np.linalg.norm(start, axis=0))
    basis = [V]
    alpha, beta = [], []
    for step in range(steps):
        W = apply(V)
        alpha.append(np.einsum("ij,ij->j", W, V))
        for U in (*basis, *basis):
            W = W - np.einsum("ij,ij->j", W, U) * U
        b = np.linalg.norm(W, axis=0)
        b[b <= np.finfo(W.dtype).eps * alpha[0]] = 0.0  # the Krylov space is exhausted
        beta.append(b)
        if step + 1 < steps:
            V = np.asfortranarray(guarded.divide(np, W, b))
            basis.append(V)
    values, weights = [], []
    for column in range(start.shape[1]):
        theta, vectors = eigh_tridiagonal(
            np.array([a[column] for a in alpha], float), np.array([b[column] for b in beta[:-1]], float)
        )
        values.append(theta)
        weights.append(vectors[0] ** 2)
    return np.array(values), np.array(weights)
