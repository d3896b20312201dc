"""Is the data-averaged theory's Gaussian equivalence true of these features? One number says it: τ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError
from widthwise.numerics.factors import of_features, precision
from widthwise.numerics.hat import smooth
from widthwise.replica.population import sample

TOLERANCE = 0.1  # on τ: a departure that changes the gap by less is none
FEWEST_ROWS = 30  # below, the standard error is not to be believed


def tau(
    residuals: Float[np.ndarray, "P"] | Float[np.ndarray, "P D"], mahalanobis: Float[np.ndarray, "P"]
) -> tuple[float, float]:
    """τ and its standard error from residuals and squared Mahalanobis lengths of the features.

        τ = E[r² M] / (E[r²] E[M]),   M = φᵀΩ⁻¹φ,  E[M] = N

    Self-normalised, so neither the scale of r nor that of M matters. The standard error is the delta method's: that of
    the mean of τ (r²M/⟨r²M⟩ − r²/⟨r²⟩ − M/⟨M⟩ + 1).

    Assumes: independent rows; lengths left out of their own fit, M = h/(1 − h), and residuals half so, r/√(1 − h): then
        τ = 1 has no bias. Residuals wholly left out, r/(1 − h), raise it by about 2/n. With tails so heavy that r²M has
        no variance the standard error is an underestimate.
    Args:
        residuals: (P,), or (P, D) for D outputs, whose squares are summed.
        mahalanobis: (P,), at least 0, in any unit.
    Returns:
        (τ, standard error); both nan where every residual or every length is 0, the latter nan for one row.
    Raises:
        InputError: shapes that do not agree, entries that are not finite, a negative length.
    """
    r, M = np.asarray(residuals, dtype=np.float64), np.asarray(mahalanobis, dtype=np.float64)
    if M.ndim != 1 or r.ndim not in (1, 2) or len(r) != len(M) or not len(M):
        raise InputError(
            f"τ: expected residuals (P,) or (P, D) and P Mahalanobis lengths, got {r.shape} and {M.shape}; "
            "pass one row per datum."
        )
    if not (np.isfinite(r).all() and np.isfinite(M).all() and (M >= 0).all()):
        raise InputError(
            "τ: expected finite residuals and finite lengths of at least 0, got some that are not; "
            "leave out rows whose leverage is 1."
        )
    top = np.max(np.abs(r))
    if top == 0 or not M.any():
        return math.nan, math.nan
    square = ((r / top) ** 2).reshape(len(r), -1).sum(axis=1)
    square, M = square / square.mean(), M / M.mean()
    both = square * M
    value = float(both.mean())
    if len(M) == 1:
        return value, math.nan
    influence = both - value * (square + M - 1)
    return value, float(np.sqrt(np.mean((influence - influence.mean()) ** 2) / (len(M) - 1)))


@dataclass(frozen=True)
class Equivalence:
    """Whether features are as good as Gaussian for the gap.

    Args:
        tau: the factor on the asymptotic gap 2 ε_R N/P; 1 is the universal case, nan where undefined.
        standard_error: of τ.
        verdict: "universal" where τ ± 2 standard errors lies within 1 ± 0.1, "departs" where it lies outside, else, or
            where fewer than 30 rows carry the average, "inconclusive"; "undefined" without residuals.
        rows: how many rows carry E[r²M]: (Σw)²/Σw², w = r²M.
    """

    tau: float
    standard_error: float
    verdict: str
    rows: float


def gaussian_equivalence(features: Any, targets: Any, *, ridge: float = 0.0, constant: bool = True) -> Equivalence:
    """Whether the data-averaged theory of Gaussian features applies to these.

        gap → 2 ε_R N τ/P  (P → ∞),   τ = E[r² φᵀΩ⁻¹φ]/(N ε_R),   r = y − θ·φ

    M is that of the fit without the row, h/(1 − h), and r² is the product of the residuals with and without it,
    r²/(1 − h): its mean is ε_R at any n where the residual's size does not go with the features, so that τ has no bias
    there. τ = 1 when the residual's size does not go with the features' length; one feature x with y = x³, x normal,
    has τ = 7 (without a constant), the sum of N such features 1 + 6/N.

    Dead and dependent features count for nothing, as in `bound.readout`: the rank is that of the precision that they
    were born with.

    Assumes: independent rows, many more than features: τ has a bias of order N/n where it departs from 1.
    Args:
        features: (n, N), no constant among them.
        targets: (n,) or (n, D).
        ridge: λ of the fit that r is of, not divided by n; the constant is not penalised.
        constant: whether the fit has a constant; it counts as a feature.

    Raises:
        InputError: shapes that do not agree, entries that are not finite, a negative ridge.
    """
    X, Y = sample(features, targets)
    lam = checks.ridge(ridge)
    power = float((Y**2).sum())
    parts = of_features(X, constant, precision(features))
    if constant:
        Y = Y - Y.mean(axis=0)
    fit = smooth(parts.U, Y, lam, constant, lambda: (parts.spectrum[0], parts.spectrum[1] ** 2))
    left = 1 - fit.leverages
    if (left <= 1e-10).any() or float((fit.residuals**2).sum()) <= 1e-24 * power:
        return Equivalence(math.nan, math.nan, "undefined", 0.0)
    half, M = fit.residuals / np.sqrt(left)[:, None], fit.leverages / left
    value, error = tau(half, M)
    w = (half**2).sum(axis=1) * M
    rows = float(w.sum() ** 2 / (w @ w)) if w.any() else 0.0
    return Equivalence(value, error, _verdict(value, error, rows), rows)


def _verdict(value: float, error: float, rows: float) -> str:
    if math.isnan(value):
        return "undefined"
    if rows < FEWEST_ROWS or math.isnan(error):
        return "inconclusive"
    if abs(value - 1) + 2 * error <= TOLERANCE:
        return "universal"
    return "departs" if abs(value - 1) - 2 * error > TOLERANCE else "inconclusive"
