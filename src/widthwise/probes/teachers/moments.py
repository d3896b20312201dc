"""Population quantities of f(x) = Σ_k v_k φ(w_k·x), x ~ N(0, 1): mean, power, power per Hermite degree."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.duals import dual_of
from widthwise.activations.hermite import hermite_dual
from widthwise.activations.phi import Activation
from widthwise.errors import InputError
from widthwise.numerics.guarded import divide

HIGHEST = 500  # degree: the expansion of a kink is not carried further

Rows = Float[np.ndarray, "M N0"]
Vector = Float[np.ndarray, "M"]


def mean(W: Rows, v: Vector, phi: Activation) -> float:
    """E f = Σ_k v_k m(|w_k|²), m the dual's mean."""
    return float(v @ dual_of(phi).mean((W * W).sum(1)))


def power(W: Rows, v: Vector, phi: Activation) -> float:
    """E f² = Σ_kl v_k v_l κ(|w_k|², w_k·w_l, |w_l|²), κ the dual kernel."""
    C = W @ W.T
    c = np.diag(C)
    return float(v @ dual_of(phi).kappa(c[:, None], C, c[None, :]) @ v)


def spectrum(W: Rows, v: Vector, phi: Activation, degree: int) -> Float[np.ndarray, "degrees"]:
    """The power of f's part of each degree, 0 … `degree`; all degrees add up to E f².

    s_j = Σ_kl v_k v_l a_j(|w_k|²) a_j(|w_l|²) cos(w_k, w_l)^j,   a_j(c) = E[φ(√c z) h_j(z)]
                                          [Mehler; Daniely, Frostig, Singer 2016, arXiv 1602.05897, Sect. 4]
    """
    c = (W * W).sum(1)
    side = hermite_dual(phi).expand(c, limit=np.inf)
    a = np.zeros((degree + 1, len(c)))
    own = a[side.first :: side.step]
    kept = min(len(own), len(side.coefficients))  # beyond what smooth φ has, nothing is left
    own[:kept] = side.coefficients[:kept]
    scale = divide(np, 1.0, np.sqrt(c))
    u = np.clip(W @ W.T * scale[:, None] * scale, -1.0, 1.0)
    return np.array([(v * a[j]) @ u**j @ (v * a[j]) for j in range(degree + 1)])


def checked_degree(degree: int) -> int:
    """A degree of 0 … `HIGHEST`."""
    if checks.whole("degree", degree, 0) > HIGHEST:
        raise InputError(f"degree: expected at most {HIGHEST}, got {degree}; the rest is power − spectrum.sum().")
    return int(degree)
