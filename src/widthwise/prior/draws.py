"""Draws of f(X) from the prior: of the network, and of the laws that stand for it on the same Gaussian field."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from widthwise.kernels import PatchKernels
from widthwise.numerics.lapack import symmetric_root
from widthwise.prior.forward import features
from widthwise.prior.laws import Asked, ask, stream, whole
from widthwise.prior.wishart import triangles

_FIELD, _SCALE, _WEIGHTS = 0, 1, 2  # streams of one key
_BLOCK = 1 << 22


def draw(
    network: Any,
    X: Any,
    n: int,
    key: int = 0,
    *,
    law: str = "network",
    outputs: int | None = None,
    degrees_of_freedom: float | None = None,
) -> Float[np.ndarray, "n P *D"]:
    """n draws of f(X) under the prior.

        network    weights drawn and run forward: any depth, width, activation and bias, convolutions included
        mixture    f = √Q g,  Q = Π_ℓ χ²_{N_ℓ}/N_ℓ;  D outputs f = g Bᵀ, B Bᵀ a product of Wisharts;  g ~ GP(0, K)
        gaussian   f = g
        student-t  f = √(ν/χ²_ν) g: shape matrix K, one scale for all outputs
                                [Pacelli et al. 2023, arXiv 2209.04882; Shah, Wilson, Ghahramani 2014, arXiv 1402.4306]

    One key is one NumPy generator with three streams: the field g, the scale, the weights. Mixture, gaussian and
    student-t of one key share g, and their scales are the same quantiles (one layer, one output): what differs between
    them is the law, not the noise.

    Args:
        network: `FullyConnected`, `Convolutional` or, but for law="network", `PrecomputedKernel`.
        X: inputs (P, N_0); images; the kernel (P, P).
        n: draws.
        key: whole number.
        law: see above.
        outputs: D; None for one output without its axis.
        degrees_of_freedom: ν of "student-t"; N_L by default.

    Returns:
        (n, P), or (n, P, D) with `outputs`.

    Raises:
        InputError: the network does not have this law, or a number out of range.
    """
    asked = ask(network, X, law, outputs, degrees_of_freedom)
    n, key = whole("n", n, least=1), whole("key", key, least=0)
    f = _network(asked, n, key) if law == "network" else _scaled(asked, n, key)
    return f[..., 0] if outputs is None else f


def _network(asked: Asked, n: int, key: int) -> Float[np.ndarray, "n P D"]:
    rng, readout = stream(key, _WEIGHTS), stream(key, _FIELD)
    D = asked.outputs or 1
    blocks = features(asked.network, asked.source.X, n, rng)
    return np.concatenate([Psi @ readout.standard_normal((len(Psi), Psi.shape[-1], D)) for Psi in blocks])


def _scaled(asked: Asked, n: int, key: int) -> Float[np.ndarray, "n P D"]:
    P, D = asked.source.size, asked.outputs or 1
    z, scale = stream(key, _FIELD).standard_normal((n, P, D)), stream(key, _SCALE)
    if asked.dense:
        return _patched(asked, z, scale)
    g = symmetric_root(asked.kernel()) @ z
    if asked.law == "gaussian":
        return g
    if asked.law == "student-t":  # a large χ² is a small scale: the same quantile from the other end
        uniform = scale.random((n, D))[:, 0]
        chi = np.maximum(chi2.isf(uniform, asked.degrees), np.finfo(float).tiny)  # of few degrees it underflows
        return g * np.sqrt(asked.degrees / chi)[:, None, None]
    B = np.broadcast_to(np.eye(D), (n, D, D))
    for N in reversed(asked.network.widths):
        B = B @ triangles(scale, N, D, n)
    return g @ np.swapaxes(B, 1, 2)


def _patched(asked: Asked, z: Float[np.ndarray, "n P 1"], scale: np.random.Generator) -> Float[np.ndarray, "n P 1"]:
    """f ~ N(0, K_R(Q)), Q ~ Wishart_n(N_c)/N_c over the patches: one root for each draw."""
    kernels = PatchKernels.of(asked.network, asked.source.X)
    A = triangles(scale, asked.network.widths[0], kernels.patches, len(z))
    Q, rows = A @ np.swapaxes(A, 1, 2), max(1, _BLOCK // kernels.size**2)
    blocks = [slice(i, i + rows) for i in range(0, len(z), rows)]
    return np.concatenate([symmetric_root(kernels.combine(Q[b])) @ z[b] for b in blocks])
