"""What a linear smoother does to its own training set: residuals, leverages and what leaving one out would give.

With Φ − ⟨Φ⟩ = U diag(s) Vᵀ and an unpenalised constant, ŷ = H y with

    H = 11ᵀ/P + U diag(s²/(s² + λ)) Uᵀ

Where an example's leverage is 1 at λ = 0, both its residual and 1 − h vanish with λ, and their ratio is taken at its
limit: the error of the minimum-norm fit to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# A leverage closer to 1 than this is 1: orthonormality holds to about 1e-13.
_ROUNDING = 1e-9

Decomposition = tuple[Float[np.ndarray, "P r"], Float[np.ndarray, " r"]]


@dataclass(frozen=True)
class Smoothed:
    """One fit, seen from its training set.

    Args:
        residuals: y − ŷ (P, D).
        left_out: y_μ − ŷ₋μ, the errors at examples left out of the fit (P, D).
        leverages: the diagonal of H (P,).
        unpenalised: the same at λ = 0.
        alone: where that is 1.
        memorisation: m = tr H/P.
        gcv: ε_t/(1 − m)².
        inflation: how much the residuals' correlation adds to the variance of their mean square,
            P tr (1 − H)⁴/(tr (1 − H)²)²: 1/(1 − m) at λ = 0.
    """

    residuals: Float[np.ndarray, "P D"]
    left_out: Float[np.ndarray, "P D"]
    leverages: Float[np.ndarray, " P"]
    unpenalised: Float[np.ndarray, " P"]
    alone: Bool[np.ndarray, " P"]
    memorisation: float
    gcv: float
    inflation: float


def smooth(
    U: Float[np.ndarray, "P r"],
    y: Float[np.ndarray, "P D"],
    ridge: float,
    constant: bool,
    spectrum: Callable[[], Decomposition],
) -> Smoothed:
    """The fit's residuals, leverages and leave-one-out errors.

    Args:
        U: an orthonormal basis of the (centred) features' column space.
        y: targets, centred if there is a constant.
        ridge: λ.
        constant: whether an unpenalised constant is fitted too.
        spectrum: U and s² in the features' own units, called only where λ or a leverage of 1 asks for them.
    """
    P, rank = U.shape
    leverages = np.sum(U**2, axis=1) + (1.0 / P if constant else 0.0)
    spare = 1.0 - leverages
    alone = spare < _ROUNDING
    spare = np.where(alone, 0.0, spare)
    rest = np.where(alone[:, None], 0.0, y - U @ (U.T @ y))
    free = P - rank - int(constant)
    if ridge == 0.0 and not alone.any():
        m, gcv = 1.0 - free / P, square(rest) / (free / P) ** 2
        return Smoothed(rest, rest / spare[:, None], 1.0 - spare, leverages, alone, m, gcv, P / free)
    U, squares = spectrum()
    weight = 1.0 / (squares + ridge)
    inner, trace = U @ (weight[:, None] * (U.T @ y)), U**2 @ weight  # of U (s² + λ)⁻¹ Uᵀ: its action, its diagonal
    residuals, complement = rest + ridge * inner, spare + ridge * trace
    left_out = np.where(alone[:, None], inner, residuals) / np.where(alone, trace, complement)[:, None]
    missing = free + ridge * weight.sum()  # tr (1 − H)
    gcv = square(residuals) / (missing / P) ** 2 if free else square(inner) / (weight.sum() / P) ** 2
    kept = (ridge * weight if free else weight / weight.max(initial=0.0)) ** 2  # of 1 − H, which is 1 on `free` more
    inflation = P * (free + np.sum(kept**2)) / (free + kept.sum()) ** 2
    m = 1.0 - float(missing) / P
    return Smoothed(residuals, left_out, 1.0 - complement, leverages, alone, m, gcv, float(inflation))


def square(r: Float[np.ndarray, "P D"]) -> float:
    """Mean square: summed over the outputs, averaged over the examples."""
    return float(np.mean(np.sum(r**2, axis=1)))
