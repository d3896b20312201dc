"""Too few units for the teacher: all but one copy a teacher's unit each, the last averages those that are left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float

from widthwise.activations.phi import resolve
from widthwise.errors import InputError
from widthwise.probes.overlap import overlaps
from widthwise.probes.population import Population, population_of

_ORTHONORMAL = 1e-8


@dataclass(frozen=True)
class CopyAverage:
    """One copy-average student of an orthonormal teacher.

    Args:
        loss: its population loss.
        relative_loss: loss / E f*².
        overlap: q = [(n − 1) + 1/√m]/M, m = M − n + 1.
        weights: (n, N0); the copies first, the averaging unit last.
        readout: (n,).
        gradient: largest entry of the gradient of the population loss there.
        critical: whether the gradient vanishes, to 1e-9 of the teacher's power.
    """

    loss: float
    relative_loss: float
    overlap: float
    weights: Float[np.ndarray, "n N0"]
    readout: Float[np.ndarray, "n"]
    gradient: float
    critical: bool


def copy_average(teacher: Any, width: int) -> CopyAverage:
    """n − 1 units copy a teacher's unit each, one averages the other m = M − n + 1: w = c Σ_k u_k/√m, readout a.

    For erf, with γ = 2g²/(1 + 2g²),

        c² = γ/(2(m − γ)) = g²/(m + 2g²(m − 1)),   a = m v,   L = (2/π) v² m [arcsin γ − m arcsin(γ/m)]

    The residual a φ(w·x) − v Σ_k φ(g u_k·x) of the averaging unit has L = (2/π)[a² arcsin S − 2avm arcsin z + v²m
    arcsin γ], S = 2c²/(1 + 2c²), z = √(Sγ/m); ∂L/∂a = ∂L/∂S = 0 are h(z) = h(S) with h(t) = √(1 − t²) arcsin t/t, which
    only falls: so z = S, that is S = γ/m, and then a = m v. There E[residual · x] = 0 too, so that no copy is pulled
    away from its unit: the whole student is a critical point.
                           [Simsek, Bendjeddou, Gerstner, Brea 2023, NeurIPS, arXiv 2311.01644; derived anew for any g]
    A critical point, not always the optimum: from n = M − 1 = 5 on, at small gains, `infinite_data` finds students that
    are better, each unit leaning a little on the one left over.

    For any other activation c and a minimise the same loss numerically (c/g within e^±6: of some, gelu among them, the
    best unit is infinitely long). The n − 1 exact copies then feel the residual's mean and linear part, and `critical`
    is False but for n = 1 and n = M, where symmetry and L = 0 make it true.

    Assumes: orthonormal units and readouts of one size |v|; of one sign, too, unless φ is odd.

    Args:
        teacher: `Teacher.one_hidden_layer` with orthonormal units.
        width: n, 1 … M.

    Raises:
        InputError: a width beyond 1 … M, units that are not orthonormal, or unequal readouts.
    """
    population, _ = population_of(teacher)
    U, v = np.asarray(teacher.units, float), population.readout
    M, gain = len(v), float(teacher.gain)
    if isinstance(width, bool) or not isinstance(width, int | np.integer) or not 1 <= width <= M:
        raise InputError(f"width: expected a whole number from 1 to the teacher's {M} units, got {width!r}.")
    defect = float(np.abs(U @ U.T - np.eye(M)).max())
    if defect > _ORTHONORMAL:
        raise InputError(
            f"copy_average: expected a teacher of orthonormal units, got UUᵀ off by {defect:.2g}; "
            "ask for orthonormal ones, or use infinite_data."
        )
    size, odd = float(v[0]), not population.own.has_mean
    signs = np.sign(v) * np.sign(size) if odd else np.ones(M)  # an odd φ takes them into the direction
    if size == 0 or np.abs(v - size * signs).max() > _ORTHONORMAL * abs(size):
        raise InputError(
            f"copy_average: expected readouts of one size (and of one sign, unless φ is odd), got {v.min():.4g} … "
            f"{v.max():.4g}; use infinite_data."
        )
    m = M - width + 1
    phi = resolve(teacher.activation)
    length, amplitude = _averaging(population, gain, size, m, phi == resolve("erf"), phi.homogeneous)
    weights = gain * U[:width].copy()
    weights[-1] = length * signs[width - 1 :] @ U[width - 1 :] / math.sqrt(m)
    readout = v[:width].copy()
    readout[-1] = amplitude
    value, slope, pull = population.value_and_gradient(weights, readout)
    gradient = float(max(np.abs(slope).max(), np.abs(pull).max()))
    return CopyAverage(
        loss=max(value, 0.0),
        relative_loss=max(value, 0.0) / population.power,
        overlap=overlaps(weights, U).overlap,
        weights=weights,
        readout=readout,
        gradient=gradient,
        critical=gradient <= 1e-9 * population.power,
    )


def _averaging(
    population: Population, gain: float, v: float, m: int, erf: bool, homogeneous: bool
) -> tuple[float, float]:
    """Length and readout of the unit that averages m."""
    if m == 1:
        return gain, v
    if erf:
        return gain / math.sqrt(m + 2 * gain**2 * (m - 1)), m * v
    own, T = population.own, gain**2

    def parts(log_length: float) -> tuple[float, float, float]:
        """E φφ', E φ² and d/d log c of log[(E φφ')²/E φ²]: that is what the best readout leaves to maximise."""
        c = math.exp(2 * log_length)
        r = math.exp(log_length) * gain / math.sqrt(m)
        cross, square = float(own.kappa(c, r, T)), float(own.kappa(c, c, c))
        if cross == 0.0 or square == 0.0:  # of a long unit of sin or cos, which e^−c has silenced
            return 0.0, 1.0, -1.0
        xx, xy, _ = (float(d) for d in own.partials(c, r, T))
        slope = float(own.diagonal_slope(np.array([c]))[0])
        return cross, square, 2 * (2 * c * xx + r * xy) / cross - 2 * c * slope / square

    at = math.log(gain)
    if not homogeneous:
        grid = at + np.linspace(-6.0, 6.0, 25)
        best = int(np.argmax([cross**2 / square for cross, square, _ in map(parts, grid)]))
        at, low, high = grid[best], grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        if parts(low)[2] > 0 > parts(high)[2]:
            at = float(scipy.optimize.brentq(lambda t: parts(t)[2], low, high, xtol=1e-14))
    cross, square, _ = parts(at)
    return math.exp(at), m * v * cross / square
