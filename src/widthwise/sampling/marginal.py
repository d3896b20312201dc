"""The readout integrated out: p(y | Φ), its gradient and the predictive law of f, in whichever form is smaller.

With A = T I + ΦΦᵀ/c, c = λ_L N_L, a = A^{-1} y and w = Φᵀa/c (the mean of v/√N_L given the hidden weights):

    log p(y|Φ) = −½ [ yᵀA^{-1}y + log det A + P log 2π ],   ∂/∂Φ = a wᵀ − A^{-1}Φ/c

    P × P form   A is factorised
    N × N form   M = cT I + ΦᵀΦ is: A^{-1}Φ/c = ΦM^{-1}, w = M^{-1}Φᵀy, a = (y − Φw)/T     (Woodbury's identity)
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

Scalar = Float[Array, ""] | float


class Readout(NamedTuple):
    """The law of the readout given the features of the training points.

    Attributes:
        root: Cholesky factor of A ("P P") or of M ("N N").
        weights: w ("N D"), the mean of v/√N_L.
        solved: A^{-1}Φ/c ("P N").
        residual: a = A^{-1} y ("P D").
        log_evidence: log p(y|Φ), summed over the D outputs.
        small: whether it is M that was factorised.
    """

    root: Array
    weights: Array
    solved: Array
    residual: Array
    log_evidence: Array
    small: bool


def readout_P(Phi: Float[Array, "P N"], y: Float[Array, "P D"], T: Scalar, c: Scalar) -> Readout:
    """The law of the readout from the P × P matrix A."""
    (P, N), D = Phi.shape, y.shape[1]
    root = jnp.linalg.cholesky(T * jnp.eye(P) + Phi @ Phi.T / c)
    # y rides along as more columns: a triangular solve with a single right-hand side is slow in JAX
    solved = cho_solve((root, True), jnp.hstack([Phi, y]))
    solved_Phi, a = solved[:, :N] / c, solved[:, N:]
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
    return Readout(root, Phi.T @ a / c, solved_Phi, a, _log_normal(jnp.sum(y * a), log_det, P, D), False)


def readout_N(Phi: Float[Array, "P N"], y: Float[Array, "P D"], T: Scalar, c: Scalar) -> Readout:
    """The law of the readout from the N × N matrix M."""
    (P, N), D = Phi.shape, y.shape[1]
    root = jnp.linalg.cholesky(c * T * jnp.eye(N) + Phi.T @ Phi)
    solved = cho_solve((root, True), jnp.hstack([Phi.T, Phi.T @ y]))
    solved_Phi, w = solved[:, :P].T, solved[:, P:]
    rest = y - Phi @ w
    log_det = (P - N) * jnp.log(T) - N * jnp.log(c) + 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
    quadratic = jnp.sum(rest**2) / T + c * jnp.sum(w**2)
    return Readout(root, w, solved_Phi, rest / T, _log_normal(quadratic, log_det, P, D), True)


def _log_normal(quadratic: Array, log_det: Array, P: int, D: int) -> Array:
    return -0.5 * (quadratic + D * log_det + P * D * math.log(2.0 * math.pi))


def readout(Phi: Float[Array, "P N"], y: Float[Array, "P D"], T: Scalar, c: Scalar) -> Readout:
    """The law of the readout, from the smaller of its two forms."""
    return (readout_N if Phi.shape[1] < Phi.shape[0] else readout_P)(Phi, y, T, c)


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def log_evidence(Phi: Float[Array, "P N"], y: Float[Array, "P D"], T: Scalar, c: Scalar, form=readout) -> Array:
    """log p(y|Φ) = Σ_d log N(y_d; 0, T I + ΦΦᵀ/c).

    Its gradient is written out, for the features alone: y, T and c count as constants.

    Args:
        Phi: the last hidden layer's features of the training points.
        y: targets.
        T: temperature.
        c: λ_L N_L, the readout's precision times the last width.
        form: `readout_P`, `readout_N`, or `readout` (the smaller).
    """
    return form(Phi, y, T, c).log_evidence


def _forward(Phi, y, T, c, form):
    law = form(Phi, y, T, c)
    return law.log_evidence, law.residual @ law.weights.T - y.shape[1] * law.solved


def _backward(form, gradient, cotangent):
    return cotangent * gradient, None, None, None


log_evidence.defvjp(_forward, _backward)


def predictive(
    law: Readout, Phi: Float[Array, "P N"], points: Float[Array, "n N"], T: Scalar, c: Scalar
) -> tuple[Float[Array, "n D"], Float[Array, " n"]]:
    """Mean and variance of f given the hidden weights (the variance is the same for every output).

        ⟨f⟩ = φ*·w,   var f = |φ*|²/c − φ*ᵀΦᵀA^{-1}Φφ*/c² = T φ*ᵀM^{-1}φ*

    Args:
        law: from `readout`.
        Phi: the features of the training points.
        points: the features φ* of the points to predict.
        T: temperature.
        c: λ_L N_L.
    """
    mean = points @ law.weights
    if law.small:
        return mean, T * jnp.sum(solve_triangular(law.root, points.T, lower=True) ** 2, axis=0)
    shrink = jnp.sum(solve_triangular(law.root, Phi @ points.T, lower=True) ** 2, axis=0)
    return mean, jnp.maximum(jnp.sum(points**2, axis=1) / c - shrink / c**2, 0.0)
