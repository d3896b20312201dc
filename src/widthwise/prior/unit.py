"""One hidden layer's characteristic function: its units are independent, so it is a power of one unit's average."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

from widthwise.activations.callables import evaluate
from widthwise.kernels import training_kernel
from widthwise.networks import FullyConnected
from widthwise.numerics.quadrature import composite_gauss_legendre
from widthwise.prior.laws import stream

BATCHES = 16  # independent scramblings, whose spread is the standard error
_ROWS = 1 << 21  # numbers held at once


def normal_rule(panels: int) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nodes and weights of E over one standard normal; an even number of panels meets at 0, where φ may have a kink."""
    z, w = composite_gauss_legendre(np.linspace(-13.0, 13.0, panels + 1), 12)
    w = w * np.exp(-0.5 * z * z)
    return z, w / w.sum()


def one_layer(
    network: FullyConnected, X: Float[np.ndarray, "P N0"], s: Float[np.ndarray, "m P D"], draws: int, key: int
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """( E_h exp(−|Sᵀφ(h)|²/(2 λ_1 N_1)) )^{N_1} and its standard error.

    By quadrature where h = a z with one normal z (one point, one input): the second number is then the difference to
    the rule of half as many panels. Else by 16 scramblings of Sobol points, with x = |Sᵀφ(h)|²/(2 λ_1 N_1), of which
    the kernel knows the mean, as control variate of 1 − e^{−x}: the error of log χ falls as 1/N_1.

    Args:
        network: of one hidden layer.
        X: inputs.
        s: conjugate fields.
        draws: points, over all scramblings; each a power of two.
        key: of the scramblings.
    """
    seen = np.any(s != 0.0, axis=(0, 2))
    if not seen.any():
        return np.ones(len(s)), np.zeros(len(s))
    s, root, N = s[:, seen], _root(network, X[seen]), network.widths[0]

    def moments(z: Float[np.ndarray, "r n"], weights: Float[np.ndarray, " n"]) -> Float[np.ndarray, "4 m"]:
        """Averages of 1 − e^{−x}, x, their product and x²: what is missing to 1 keeps its digits at any width."""
        total, rows = np.zeros((4, len(s))), max(1, _ROWS // (len(s) * s.shape[2] + len(root)))
        for i in range(0, z.shape[1], rows):
            h, w = root @ z[:, i : i + rows], weights[i : i + rows]
            phi = evaluate(network.phi, h.ravel()).reshape(h.shape)
            square = (np.einsum("mpd,pn->mdn", s, phi, optimize=True) ** 2).sum(axis=1)
            x = 0.5 / (network.precisions[1] * N) * square
            missing = -np.expm1(-x)
            total += np.array([missing @ w, x @ w, (missing * x) @ w, (x * x) @ w])
        return total

    def power(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return np.exp(N * np.log1p(-p))

    if root.shape[1] == 1:
        fine, coarse = (power(moments(z[None], w)[0]) for z, w in (normal_rule(128), normal_rule(64)))
        return fine, np.abs(fine - coarse)
    exponent, batches = max(math.ceil(math.log2(draws / BATCHES)), 0), []
    for number in range(BATCHES):
        unit = qmc.Sobol(root.shape[1], seed=stream(key, number)).random_base2(exponent)
        z = ndtri(np.clip(unit, 1e-300, 1.0 - 1e-16)).T
        batches.append(moments(np.ascontiguousarray(z), np.full(z.shape[1], 1.0 / z.shape[1])))
    y, x, xy, xx = np.array(batches).transpose(1, 0, 2)
    exact = 0.5 / N * np.einsum("mpd,pq,mqd->m", s, training_kernel(network, X[seen]).K, s, optimize=True)
    spread = np.maximum(xx.mean(axis=0) - x.mean(axis=0) ** 2, np.finfo(float).tiny)
    beta = (xy.mean(axis=0) - x.mean(axis=0) * y.mean(axis=0)) / spread
    each = y - beta * (x - exact)
    p = np.minimum(each.mean(axis=0), 1.0 - np.finfo(float).eps)  # of an s so large that χ is zero
    value = power(p)
    return value, value * N / (1.0 - p) * each.std(axis=0, ddof=1) / math.sqrt(BATCHES)


def _root(network: FullyConnected, X: Float[np.ndarray, "P N0"]) -> Float[np.ndarray, "P r"]:
    """R with R Rᵀ = X Xᵀ/(λ_0 N_0) + σ_b², of full column rank."""
    A, bias = X / math.sqrt(network.precisions[0] * X.shape[1]), network.bias_variances[0]
    if bias:
        A = np.column_stack([A, np.full(len(X), math.sqrt(bias))])
    U, k, _ = np.linalg.svd(A, full_matrices=False)
    rank = max(int((k > 1e-13 * k[0]).sum()), 1)
    return U[:, :rank] * k[:rank]
