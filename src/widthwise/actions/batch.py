"""The scalar action for many (width, temperature, readout precision) at once, on one eigendecomposition.

Thousands of saddles cost a few passes over (points × eigenvalues): the eigenvalues are first gathered in bins, on which
every stationary point is looked for; a few exact Newton steps on all of them follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Vector = Float[np.ndarray, " G"]
_BINS = 64
_SCAN = 32
_BINNED_STEPS = 6
_STEPS = 40
_BLOCK = 2**17  # entries of (points × eigenvalues) worked on at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Saddles:
    """The minima of S for G points.

    Args:
        Q: order parameters (G,).
        value: S there.
        residual: |dS/d log Q|.
        curvature: d²S/d(log Q)².
        trace: tr(A⁻¹K) of the spectrum's own K.
        dual_energy: aᵀKa, likewise.
        log_det: log det A.
        quadratic: yᵀA⁻¹y.
        dual_norm: aᵀa.
        converged: whether the residual is at rounding, and rounding small (see `ScalarAction.rounding`).
        minima: how many minima the scan saw.
    """

    Q: Vector
    value: Vector
    residual: Vector
    curvature: Vector
    trace: Vector
    dual_energy: Vector
    log_det: Vector
    quadratic: Vector
    dual_norm: Vector
    converged: Bool[np.ndarray, " G"]
    minima: Vector


def minimise_all(
    k: Float[np.ndarray, " P"], power: Float[np.ndarray, " P"], width: Vector, temperature: Vector, scale: Vector
) -> Saddles:
    """The lowest minimum of S for every (width, temperature, scale).

    Args:
        k: eigenvalues of the spectrum's kernel (P,).
        power: squares of the target's coordinates (P,).
        width, temperature, scale: N_1, T and the readout's factor on k, one per point (G,).
    """
    u, minima = _guess(k, power, width, temperature, scale)
    P = len(k)
    ones = np.ones(P)
    for _ in range(_STEPS):
        slope, curvature = _slopes(k, ones, power, u, width, temperature, scale)
        step = np.where(curvature > 0.0, -slope / np.where(curvature > 0.0, curvature, 1.0), -np.sign(slope))
        u = u + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-8:  # the step just taken left an error of its square
            break
    Q = np.exp(u)
    q = scale * Q
    log_det, quadratic, trace, energy, trace2, curve, norm = _terms(k, power, q, temperature)
    first = q * (trace - energy)
    second = first + q * q * (2.0 * curve - trace2)
    slope, curvature = Q - 1.0 + first / width, Q + second / width
    null = k == 0.0  # exactly so: see `EigenSpectrum.sensitivity`
    sensitivity = norm - power[null].sum() / temperature**2 + (P - null.sum() - q * trace) / temperature
    rounding = np.finfo(float).eps * q * float(k.max()) * sensitivity / (width * np.abs(curvature))
    return Saddles(
        Q=Q,
        value=Q - u + (log_det + quadratic) / width,
        residual=np.abs(slope),
        curvature=curvature,
        trace=trace,
        dual_energy=energy,
        log_det=log_det,
        quadratic=quadratic,
        dual_norm=norm,
        converged=(np.abs(slope) <= 1e-9 * np.maximum(1.0, np.abs(curvature))) & (curvature > 0.0) & (rounding < 1e-3),
        minima=minima,
    )


def _guess(
    k: Float[np.ndarray, " P"], power: Float[np.ndarray, " P"], width: Vector, temperature: Vector, scale: Vector
) -> tuple[Vector, Vector]:
    """log Q of the lowest minimum on the binned spectrum, and the number of minima there."""
    nodes, count, share = _binned(k, power)
    lower = -np.log1p(scale * float(k.sum()) / (temperature * width)) - 0.1
    upper = np.log1p(float(power.sum()) / (4.0 * temperature * width)) + 0.1
    grid = lower + (upper - lower) * np.linspace(0.0, 1.0, _SCAN)[:, None]  # (scan, G)
    tiled = [np.tile(a, _SCAN) for a in (width, temperature, scale)]
    slopes = _slopes(nodes, count, share, grid.ravel(), *tiled)[0].reshape(grid.shape)
    i, point = np.nonzero((slopes[:-1] < 0.0) & (slopes[1:] >= 0.0))  # every bracket of a minimum
    N, T, c = width[point], temperature[point], scale[point]
    a, b = grid[i, point], grid[i + 1, point]
    u = 0.5 * (a + b)
    for _ in range(_BINNED_STEPS):  # Newton steps, bisecting where one leaves its bracket
        slope, curvature = _slopes(nodes, count, share, u, N, T, c)
        a, b = np.where(slope < 0.0, u, a), np.where(slope < 0.0, b, u)
        newton = u - slope / np.where(curvature == 0.0, 1.0, curvature)
        u = np.where((newton > a) & (newton < b), newton, 0.5 * (a + b))
    Q = np.exp(u)
    A = T[:, None] + (c * Q)[:, None] * nodes
    value = Q - u + (np.log(A) @ count + (1.0 / A) @ share) / N
    best = np.zeros_like(lower)
    order = np.argsort(-value)  # the lowest is written last
    best[point[order]] = u[order]
    return best, np.bincount(point, minlength=len(lower)).astype(float)


def _binned(
    k: Float[np.ndarray, " P"], power: Float[np.ndarray, " P"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Eigenvalues gathered in logarithmic bins: (means, counts, shares of |y|²)."""
    floor = max(float(k.max()), np.finfo(float).tiny) * 1e-14
    logs = np.log(np.maximum(k, floor))
    width = max((logs.max() - logs.min()) / _BINS, 1e-12)
    index = np.minimum(((logs - logs.min()) / width).astype(int), _BINS - 1)
    count = np.bincount(index, minlength=_BINS).astype(float)
    held = count > 0
    mean = np.bincount(index, weights=k, minlength=_BINS)[held] / count[held]
    return mean, count[held], np.bincount(index, weights=power, minlength=_BINS)[held]


def _slopes(
    k: Float[np.ndarray, " P"],
    count: Float[np.ndarray, " P"],
    power: Float[np.ndarray, " P"],
    u: Vector,
    width: Vector,
    temperature: Vector,
    scale: Vector,
) -> tuple[Vector, Vector]:
    """dS/du and d²S/du² at u = log Q, one per point."""
    Q = np.exp(u)
    q = scale * Q
    trace, energy, trace2, curve = (np.empty_like(u) for _ in range(4))
    kc, kp = k * count, k * power
    k2c, k2p = k * kc, k * kp
    rows = max(1, _BLOCK // len(k))
    for i in range(0, len(u), rows):
        s = slice(i, i + rows)
        r = np.multiply.outer(q[s], k)
        r += temperature[s, None]
        np.reciprocal(r, out=r)
        trace[s] = r @ kc
        r2 = r * r
        energy[s], trace2[s] = r2 @ kp, r2 @ k2c
        r2 *= r
        curve[s] = r2 @ k2p
    first = q * (trace - energy)
    return Q - 1.0 + first / width, Q + (first + q * q * (2.0 * curve - trace2)) / width


def _terms(
    k: Float[np.ndarray, " P"], power: Float[np.ndarray, " P"], q: Vector, temperature: Vector
) -> tuple[Vector, Vector, Vector, Vector, Vector, Vector, Vector]:
    """log det, yᵀA⁻¹y, tr A⁻¹K, aᵀKa, tr (A⁻¹K)², aᵀKA⁻¹Ka and aᵀa, one per point."""
    out = np.empty((7, len(q)))
    kp, k2, k2p = k * power, k * k, k * k * power
    rows = max(1, _BLOCK // len(k))
    for i in range(0, len(q), rows):
        s = slice(i, i + rows)
        A = np.multiply.outer(q[s], k)
        A += temperature[s, None]
        r = 1.0 / A
        r2 = r * r
        out[0, s] = np.log(A, out=A).sum(axis=1)
        out[1, s], out[2, s] = r @ power, r @ k
        out[3, s], out[4, s], out[6, s] = r2 @ kp, r2 @ k2, r2 @ power
        r2 *= r
        out[5, s] = r2 @ k2p
    return tuple(out)  # type: ignore[return-value]
