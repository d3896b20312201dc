"""The characteristic function of the prior, E exp(i s·f(X)), of the network and of the laws that stand for it.

    mixture    det(I + SᵀKS/N_1)^{−N_1/2},  of one output (1 + sᵀKs/N_1)^{−N_1/2}
    gaussian   exp(−tr(SᵀKS)/2)
    network    ( E_h exp(−|Sᵀφ(h)|²/(2 λ_1 N_1)) )^{N_1},  h ~ N(0, K_0) one unit on the P points
                                        [Pacelli et al. 2023, arXiv 2209.04882, (iii); Ariosto 2025, arXiv 2501.19281]

The law of f is even, so all of them are real. As a density in s, for N_1 > P, the mixture's is a multivariate Student's
t with ν = N_1 − P degrees of freedom and the shape matrix N_1 K⁻¹/(N_1 − P). With g = s·φ(h) and its fourth cumulant
κ_4 = E g⁴ − 3 (E g²)²,

    log χ_network − log χ_mixture = κ_4/(8 λ_1² N_1) + O(1/N_1²),        zero for the identity
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.kernels import PatchKernels
from widthwise.networks import FullyConnected
from widthwise.posterior import checks
from widthwise.prior.forward import features
from widthwise.prior.laws import Asked, ask, stream, whole
from widthwise.prior.mellin import laplace
from widthwise.prior.unit import BATCHES, one_layer
from widthwise.prior.wishart import triangles

Pair = tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]


def characteristic_function(
    network: Any,
    X: Any,
    s: Any,
    *,
    law: str = "mixture",
    outputs: int | None = None,
    degrees_of_freedom: float | None = None,
    draws: int = 1 << 14,
    key: int = 0,
    standard_error: bool = False,
) -> Any:
    """E exp(i s·f(X)) under the prior.

    Closed form: mixture of one layer, gaussian. One integral, to rounding: mixture of several layers, student-t.
    Estimated, with a standard error: network (one unit's law by scrambled Sobol points, by quadrature where its
    pre-activations are of rank one; several layers and convolutions by drawing networks), and the mixture of several
    layers with several outputs.

    Assumes: zero-mean Gaussian priors; the mixture stands for the network exactly if φ is the identity, else with an
    error of order 1/N_1 (see above). An activation with a mean counts with its whole kernel.
    Reduces to: gaussian as the widths grow (`test_all_laws_become_gaussian`).

    Args:
        network: `FullyConnected`, `Convolutional` or, but for law="network", `PrecomputedKernel`.
        X: inputs (P, N_0); images; the kernel (P, P).
        s: conjugate field (P,), or (…, P) for many; with `outputs` (P, D) or (…, P, D).
        law: "mixture", "network", "gaussian" or "student-t" (of shape K).
        outputs: D, where f has that axis.
        degrees_of_freedom: ν of "student-t"; N_L by default.
        draws: of what is estimated: points of one unit's law, or networks; at least 16.
        key: whole number, of what is drawn.
        standard_error: whether to return the standard error, too (zero of what is exact).

    Returns:
        value, shape (…): a float for one s. With `standard_error` the pair (value, standard error).

    Raises:
        InputError: s does not fit the inputs, or the network does not have this law.
    """
    asked = ask(network, X, law, outputs, degrees_of_freedom)
    fields, shape = _fields(s, asked)
    draws, key = whole("draws", draws, least=BATCHES), whole("key", key, least=0)
    value, error = _values(asked, fields, draws, key)
    pair = value.reshape(shape)[()], error.reshape(shape)[()]
    return pair if standard_error else pair[0]


def _fields(s: Any, asked: Asked) -> tuple[Float[np.ndarray, "m P D"], tuple[int, ...]]:
    """s as (m, P, D), and the shape of the answer."""
    P, D = asked.source.size, asked.outputs
    tail, words = ((P,), f"(…, {P})") if D is None else ((P, D), f"(…, {P}, {D})")
    s = checks.real_array("s", s, tuple(range(1, 9)), words)
    if s.shape[-len(tail) :] != tail:
        advice = "one number per input; pass outputs=D where f has several" if D is None else "one per input and output"
        raise InputError(f"s: expected shape {words}, got {s.shape}; {advice}.")
    return s.reshape(-1, P, D or 1), s.shape[: -len(tail)]


def _values(asked: Asked, s: Float[np.ndarray, "m P D"], draws: int, key: int) -> Pair:
    if asked.law == "network":
        network = asked.network
        one = isinstance(network, FullyConnected) and network.depth == 1
        return one_layer(network, asked.source.X, s, draws, key) if one else _drawn(asked, s, draws, key)
    if asked.dense:  # sᵀK_R(Q)s = tr(Q B), Q ~ Wishart_n(N_c)/N_c
        images = PatchKernels.of(asked.network, asked.source.X)
        return _exact(_determinants(images.contract(s[..., 0, None] * s[:, None, :, 0]), asked.network.widths[0]))
    T = np.einsum("mpd,pq,mqe->mde", s, asked.kernel(), s, optimize=True)
    if asked.law == "gaussian":
        return _exact(np.exp(-0.5 * np.trace(T, axis1=1, axis2=2)))
    if asked.law == "student-t":
        return _exact(np.array([laplace(float(np.trace(t)), (asked.degrees,), -1) for t in T]))
    widths = asked.network.widths
    if len(widths) == 1:
        return _exact(_determinants(T, widths[0]))
    if T.shape[1] == 1:
        return _exact(np.array([laplace(float(t), tuple(map(float, widths))) for t in T[:, 0, 0]]))
    return _chain(widths, T, draws, key)


def _exact(value: Float[np.ndarray, " m"]) -> Pair:
    return value, np.zeros_like(value)


def _determinants(T: Float[np.ndarray, "*m D D"], N: int) -> Float[np.ndarray, "*m"]:
    """det(I + T/N)^{−N/2}."""
    values = np.maximum(np.linalg.eigvalsh(T), 0.0)
    return np.exp(-0.5 * N * np.log1p(values / N).sum(axis=-1))


def _chain(widths: tuple[int, ...], T: Float[np.ndarray, "m D D"], draws: int, key: int) -> Pair:
    """Q_L … Q_2 drawn, Q_1 | Q_2 ~ Wishart integrated: E det(I + BᵀTB/N_1)^{−N_1/2}, B Bᵀ = Q_2."""
    D, rng = T.shape[1], stream(key, 1)
    B = np.broadcast_to(np.eye(D), (draws, D, D))
    for N in reversed(widths[1:]):
        B = B @ triangles(rng, N, D, draws)
    values = [_determinants(np.swapaxes(B, 1, 2) @ t @ B, widths[0]) for t in T]
    return _averages(np.array(values))


def _averages(values: Float[np.ndarray, "m n"]) -> Pair:
    return values.mean(axis=1), values.std(axis=1, ddof=1) / math.sqrt(values.shape[1])


def _drawn(asked: Asked, s: Float[np.ndarray, "m P D"], draws: int, key: int) -> Pair:
    """E exp(−Σ_d |Ψᵀs_d|²/2) over networks: the readout is Gaussian given the scaled features Ψ."""
    values, start = np.empty((len(s), draws)), 0
    for Psi in features(asked.network, asked.source.X, draws, stream(key, 0)):
        g = np.einsum("mpd,bpf->mbdf", s, Psi, optimize=True)
        values[:, start : start + len(Psi)] = np.exp(-0.5 * np.einsum("mbdf,mbdf->mb", g, g))
        start += len(Psi)
    return _averages(values)
