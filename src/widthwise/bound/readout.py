"""A linear readout of fixed features, fitted and judged on one sample: leverages, GCV, leave-one-out, τ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound.measurement import Measurement, students
from widthwise.errors import InputError
from widthwise.numerics.factors import Factors, of_features, of_kernel, precision
from widthwise.numerics.hat import Decomposition, Smoothed, smooth, square
from widthwise.replica.equivalence import tau


@dataclass(frozen=True)
class Readout:
    """A fitted readout and what its own training set says of it.

    Errors are plain mean squares: sums over the outputs, means over the examples. Their standard errors see the
    sampling noise of the examples, the fit given. `press`, `gap` and `ratio` estimate the mean over samples of this
    size, which this fit's own may miss by more; barely above N_eff and at λ = 0 they have no variance to speak of.

    Args:
        P: examples.
        features: N, those handed in; examples for a kernel.
        effective_size: N_eff, the rank of the features with the constant.
        ridge: λ, not divided by P; the constant is not penalised.
        leverages: h, the diagonal of the hat matrix H (P,).
        memorisation: m = tr H/P, between 0 and 1.
        training_error: ε_t.
        gcv: generalised cross-validation, ε_t/(1 − m)².
        press: mean of (r/(1 − h))², the error at examples left out of the fit.
        gap: `press` − ε_t, example by example.
        ratio: `gap`/`press`.
        tau: how far the features are from Gaussian to this readout, 1 where equivalent; of the examples with h < 1 at
            λ = 0, None where there are none.
        residuals: y − ŷ, of the targets' shape.
        left_out: r/(1 − h), of the targets' shape.
    """

    P: int
    features: int
    effective_size: int
    ridge: float
    leverages: Float[np.ndarray, " P"] = field(repr=False)
    memorisation: float
    training_error: float
    gcv: float
    press: Measurement
    gap: Measurement
    ratio: Measurement
    tau: Measurement | None
    residuals: Float[np.ndarray, " P"] | Float[np.ndarray, "P D"] = field(repr=False)
    left_out: Float[np.ndarray, " P"] | Float[np.ndarray, "P D"] = field(repr=False)
    _weights: Float[np.ndarray, "N D"] = field(repr=False)
    _offset: Float[np.ndarray, " D"] = field(repr=False)

    @property
    def predicted_ratio(self) -> float:
        """(ε_g − ε_t)/ε_g = 1 − (1 − m)², at large P and N for Gaussian-equivalent features."""
        return 1.0 - (1.0 - self.memorisation) ** 2

    def predict(self, features: Any) -> Float[np.ndarray, " n"] | Float[np.ndarray, "n D"]:
        """ŷ at other features (n, N); at kernels with the training inputs (n, P).

        Raises:
            InputError: another number of columns than in training.
        """
        X = checks.features(features, columns=len(self._weights))
        values = X @ self._weights + self._offset
        return values[:, 0] if self.residuals.ndim == 1 else values


def readout(features: Any, targets: Any, *, ridge: float = 0.0, constant: bool = True) -> Readout:
    """Ridge regression on given features, with an unpenalised constant, and its own diagnostics.

        v = argmin Σ_μ |y_μ − c − v·φ_μ|² + λ|v|²,   ŷ = H y
        PRESS = ⟨(r/(1 − h))²⟩                            [Allen 1974, Technometrics 16, 125]
        GCV = ε_t/(1 − m)²,   m = tr H/P                  [Craven, Wahba 1979, Numer. Math. 31, 377]

    At λ = 0 the solution of least norm; an example of leverage 1 is left out exactly, by the limit λ → 0. Dead and
    duplicated features and a constant one count for nothing: the rank is taken at the precision that the features were
    born with (single, where it holds all of them), whatever their units.

    Assumes: nothing for the fit; `press` and `gcv` say something of new examples only if the features did not see the
        targets.

    Args:
        features: Φ (P, N), any array.
        targets: y (P,) or (P, D).
        ridge: λ ≥ 0, not divided by P.
        constant: whether to add a constant feature for the bias.

    Returns:
        A `Readout`.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, λ < 0, fewer than 2 examples.
    """
    Phi = checks.features(features)
    y, ridge = _targets(targets, len(Phi)), checks.ridge(ridge)
    return fitted(of_features(Phi, constant, precision(features)), y, ridge, constant, single=_single(targets))


def fitted(parts: Factors, y: Float[np.ndarray, "P D"], ridge: float, constant: bool, single: bool) -> Readout:
    """`readout` of features that are factorised already.

    Args:
        parts: of the features, with the same constant.
        y, ridge, constant: as there.
        single: whether residuals and predictions are (P,).
    """
    offset = y.mean(axis=0) if constant else np.zeros(y.shape[1])
    weights = parts.weights(y - offset, ridge)

    def spectrum() -> Decomposition:
        U, s, _ = parts.spectrum
        return U, np.maximum(s, np.finfo(float).eps * s.max(initial=0.0)) ** 2  # no double holds what lies below

    shift = offset - parts.mean @ weights
    return _judged(parts.U, y - offset, ridge, constant, spectrum, weights, shift, len(weights), single)


def kernel_readout(K: Any, targets: Any, *, ridge: float) -> Readout:
    """Kernel ridge regression from its Gram matrix, without a constant, and its own diagnostics: as `readout`'s.

        ŷ = K(K + λ)⁻¹ y,   m = tr K(K + λ)⁻¹/P

    Args:
        K: (P, P), symmetric and positive semi-definite.
        targets: y (P,) or (P, D).
        ridge: λ ≥ 0, not divided by P; at 0 the solution of least norm.

    Returns:
        A `Readout`, which predicts from kernels with the training inputs (n, P).

    Raises:
        InputError: a matrix that is not square, symmetric or positive semi-definite; else as `readout`.
    """
    gram = checks.kernel(K)
    y, ridge = _targets(targets, len(gram)), checks.ridge(ridge)
    U, squares = of_kernel(gram, precision(K))
    weights = U @ ((U.T @ y) / (squares + ridge)[:, None])
    return _judged(U, y, ridge, False, lambda: (U, squares), weights, np.zeros(y.shape[1]), len(gram), _single(targets))


def _targets(values: Any, P: int) -> Float[np.ndarray, "P D"]:
    if P < 2:
        raise InputError("features: expected at least 2 examples, got 1; nothing is left when one is left out.")
    return checks.targets(values, P)


def _single(values: Any) -> bool:
    return np.ndim(values) == 1


def _judged(
    U: Any, y: Any, ridge: float, constant: bool, spectrum: Any, weights: Any, offset: Any, N: int, single: bool
) -> Readout:
    """The `Readout` of a fit known by its basis, spectrum and weights."""
    fit = smooth(U, y, ridge, constant, spectrum)
    missed, trained = np.sum(fit.left_out**2, axis=1), np.sum(fit.residuals**2, axis=1)
    press, gap = (Measurement.of_mean(each, fit.inflation) for each in (missed, missed - trained))
    share = gap.value / press.value if press.value > 0.0 else 0.0
    spread = Measurement.of_mean(missed - trained - share * missed)
    return Readout(
        P=len(y),
        features=N,
        effective_size=U.shape[1] + int(constant),
        ridge=ridge,
        leverages=fit.leverages,
        memorisation=fit.memorisation,
        training_error=square(fit.residuals),
        gcv=fit.gcv,
        press=press,
        gap=gap,
        ratio=Measurement(share, (spread / press.value).standard_error, spread.factor)
        if press.value > 0.0
        else Measurement(0.0, 0.0),
        tau=None if fit.alone.all() else _tau(fit),
        residuals=fit.residuals[:, 0] if single else fit.residuals,
        left_out=fit.left_out[:, 0] if single else fit.left_out,
        _weights=weights,
        _offset=offset,
    )


def _tau(fit: Smoothed) -> Measurement | None:
    """Lengths as they are outside the fit, h/(1 − h), and residuals half outside it, r/√(1 − h): no bias at τ = 1.

    An example of leverage 1 has no finite length, and does not count.
    """
    rows = ~fit.alone
    h, half = fit.unpenalised[rows], fit.left_out[rows] * np.sqrt(1.0 - fit.leverages[rows])[:, None]
    value, error = tau(half, h / (1.0 - h))
    if not np.isfinite(value):
        return None
    share = np.sum(half**2, axis=1) * h / (1.0 - h)
    share = share / share.max() if share.any() else np.ones(len(h))
    return Measurement(value, error, students(float(share.sum() ** 2 / (share @ share)) - 1.0))
