"""The memorisation coefficient of any fit: how much of a change of its labels it follows, and the gap that follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound.measurement import Measurement
from widthwise.bound.predictors import Fitter, predictions
from widthwise.errors import InputError
from widthwise.numerics.factors import of_kernel, precision

STEP = 0.05  # of a perturbation, in standard deviations of the targets
_SAME = 1e-3  # two fits of the same labels may differ by so much of the perturbation
_ROUNDING = 1e-12  # two ratios that differ by less are equal


@dataclass(frozen=True)
class Memorisation:
    """m of one fit, and (ε_g − ε_t)/ε_g = 1 − (1 − m)² beside the measured one.

    Args:
        value: m, 0 where the labels' noise is ignored, 1 where it is learnt by rote. An estimate: not clipped.
        standard_error: over the repeats; NaN of one. Itself known to 1/√(2(repeats − 1)) of it: 27 % at 8. It sees the
            perturbations' draws, not another sample of the data.
        method: "noise" or "perturbation".
        size: σ or δ.
        warm: whether the perturbed fits began at the unperturbed one.
        deterministic: whether the same labels were fitted by the same predictions.
        training_error: ε_t of the fit to the labels as given; sums over the outputs, means over the examples.
        generalisation_error: ε_g, None without test data.
        measured_ratio: (ε_g − ε_t)/ε_g; None without test data, or where ε_g = 0.
        repeats: how many pairs of fits.
    """

    value: float
    standard_error: float
    method: str
    size: float
    warm: bool
    deterministic: bool
    training_error: float
    generalisation_error: Measurement | None
    measured_ratio: Measurement | None
    repeats: int

    @property
    def predicted_ratio(self) -> Measurement:
        """1 − (1 − m)²; its error √(4(1 − m)² s² + 2s⁴), s that of m."""
        u, s = 1.0 - self.value, self.standard_error
        return Measurement(1.0 - u * u, math.sqrt(4.0 * u * u * s * s + 2.0 * s**4))

    @property
    def predicted_error(self) -> Measurement:
        """ε_t/(1 − m)², what ε_g is expected to be (generalised cross-validation); NaN where m may be 1."""
        u, s = 1.0 - self.value, self.standard_error
        if u <= max(2.0 * s if s == s else 0.0, 1e-6):
            return Measurement(math.nan, math.nan)
        return Measurement(self.training_error / u**2, 2.0 * self.training_error * s / u**3)

    @property
    def agrees(self) -> bool | None:
        """Whether predicted and measured ratio are within two combined standard errors; None where unknown."""
        if self.measured_ratio is None:
            return None
        predicted, measured = self.predicted_ratio, self.measured_ratio
        error = math.hypot(predicted.standard_error, measured.standard_error)
        return None if math.isnan(error) else abs(predicted.value - measured.value) <= 2.0 * error + _ROUNDING

    def __str__(self) -> str:
        pairs = "one pair" if self.repeats == 1 else f"{self.repeats} pairs"
        how = f"{pairs} of {'warm ' if self.warm else ''}refits, labels ± {self.size:.3g} "
        how += "× Gaussian noise" if self.method == "noise" else "(random signs)"
        how += "" if self.deterministic else "; the fit is not deterministic"
        lines = [
            f"memorisation   m = {Measurement(self.value, self.standard_error)}   ({how})",
            f"training error     {self.training_error:.4g}",
            f"(ε_g − ε_t)/ε_g    {self.predicted_ratio} predicted, 1 − (1 − m)²",
        ]
        if self.measured_ratio is not None:
            verdict = {True: "agrees", False: "differs", None: "error unknown"}[self.agrees]
            lines.append(f"                   {self.measured_ratio} measured: {verdict}")
        return "\n".join(lines)


def memorisation(
    fit: Any,
    X: Any,
    y: Any,
    *,
    noise: float | None = None,
    repeats: int = 8,
    key: int = 0,
    X_test: Any = None,
    y_test: Any = None,
    perturbation: float | None = None,
) -> Memorisation:
    """The memorisation coefficient m of any fit, from refits to changed labels, and the gap that it predicts.

        noise          m = ⟨(f[y + σξ] − f₀)·σξ⟩/⟨σ²|ξ|²⟩,   ξ ~ N(0, 1)
        perturbation   the same with small ±δ, random signs, instead of σξ: generalised degrees of freedom per label
                                                       [Ye 1998, JASA 93, 120; Efron 2004, JASA 99, 619]

    For a linear smoother f = H y both are tr H/P, without bias; of D outputs per label, tr ∂f/∂y/(P D). A baseline f₀
    that does not see ξ adds nothing to the mean, only noise; every ξ comes with −ξ, so that m = (f₊ − f₋)·ξ/2σ|ξ|²,
    where f₀, and with it all that is even in ξ, is gone. `noise` asks for the response to noise of that size,
    `perturbation` for the derivative; where f is not linear in y they differ.

    Assumes, for the ratio: squared loss; large P; Gaussian-equivalent data, or a trained network that behaves so; f a
        mean predictor (of a posterior its mean, never its draws).
    Reduces to: tr K(K + λ)⁻¹/P (`kernel_memorisation`) for kernel ridge regression; `posterior.memorisation`.

    Args:
        fit: fit(X, y) → predictor, a function or an object with `.predict`, whose values are an array or have `.mean`;
            or a scikit-learn regressor, of which every fit is that of a clone, so that `warm_start` has no effect. If
            it takes a keyword `start` it is refitted warm: start = the predictor of the labels as given. A warm refit
            of an over-realised student stays near its start, so that m is then a lower estimate.
        X: inputs (P, …), handed to `fit` as they are; arrays as copies.
        y: labels (P,) or (P, D), handed on as float64 in this shape.
        noise: σ > 0, at best that of the labels; None for the perturbation.
        repeats: pairs of fits; 2·repeats + 2 fits in all.
        key: of the perturbations: whole number, not negative. More repeats keep the first ones.
        X_test, y_test: test data, for the measured ratio.
        perturbation: δ > 0; by default 0.05 standard deviations of the targets. Below the fit's own tolerance it
            measures that.

    Returns:
        `Memorisation`.

    Warns:
        DataWarning: a perturbation, and the same labels were fitted differently: its noise is divided by δ.

    Raises:
        InputError: what does not fit or predict, shapes, numbers that are not finite; noise and perturbation together;
            constant targets and neither.
    """
    method, repeats = "perturbation" if noise is None else "noise", checks.whole("repeats", repeats, 1)
    key = checks.whole("key", key, 0)
    P = _length("X", X)
    Y = checks.columns(y, P, "y")
    shape, D = np.shape(y), Y.shape[1]
    test = _test(X_test, y_test, D)
    size = _size(noise, perturbation, Y)
    train = Fitter.of(fit, X, shape)
    start = train(Y)
    residuals = _squares(Y, start, X, "at X")
    errors = None if test is None else _squares(test[1], start, test[0], "at X_test")

    def refit(change: Float[np.ndarray, "P D"]) -> Float[np.ndarray, "P D"]:
        return predictions(train(Y + change, start), X, P, D, "of a refit at X")

    each, deterministic = np.empty(repeats), True
    for r in range(repeats):
        random = np.random.default_rng([key, r])
        xi = random.standard_normal(Y.shape) if noise is not None else random.choice([-1.0, 1.0], size=Y.shape)
        above = refit(size * xi)
        if r == 0:
            deterministic = float(np.sqrt(np.mean((above - refit(size * xi)) ** 2))) <= _SAME * size
        each[r] = np.sum((above - refit(-size * xi)) * xi) / (2.0 * size * np.sum(xi * xi))
    if not deterministic and noise is None:
        checks.warn(
            f"fit: expected the same predictions for the same labels, got others; their noise is divided by the "
            f"perturbation {size:.3g}: seed the fit, or pass noise=σ of the labels' size."
        )
    m = Measurement.of_mean(each)
    return Memorisation(
        m.value,
        m.standard_error,
        method,
        size,
        train.warm,
        deterministic,
        float(np.mean(residuals)),
        None if errors is None else Measurement.of_mean(errors),
        None if errors is None else _ratio(residuals, errors),
        repeats,
    )


def kernel_memorisation(K: Any, ridge: float) -> float:
    """The memorisation coefficient of kernel ridge regression, from the kernel's eigenvalues.

        m = tr[K (K + λ)⁻¹]/P,   at λ = 0 the rank over P       [Hastie, Tibshirani 1990, Generalized Additive Models]

    The mean predictor of a Gaussian process with noise variance λ is the same. Eigenvalues below the rounding of the
    precision that K was born with (single, where it holds all of it) are zero: `kernel_readout(K, y).memorisation`.

    Args:
        K: the kernel on the training points (P, P), positive semi-definite.
        ridge: λ ≥ 0, not divided by P.

    Raises:
        InputError: not square, not symmetric, a negative eigenvalue, or λ < 0.
    """
    matrix, lam = checks.kernel(K), checks.ridge(ridge)
    _, k = of_kernel(matrix, precision(K))
    return float(np.sum(k / (k + lam))) / len(matrix)


def _length(name: str, X: Any) -> int:
    try:
        return len(X)
    except TypeError:
        raise InputError(f"{name}: expected examples (P, …), got {type(X).__name__}; pass an array.") from None


def _size(noise: float | None, perturbation: float | None, Y: Float[np.ndarray, "P D"]) -> float:
    """σ or δ."""
    if noise is not None and perturbation is not None:
        raise InputError("noise: expected it or perturbation, got both; pass one.")
    for name, value in (("noise", noise), ("perturbation", perturbation)):
        if value is not None:
            size = checks.number(name, value, 0.0)
            if size == 0.0:
                raise InputError(f"{name}: expected a number above zero, got 0; leave it out for the default.")
            return size
    scale = float(np.sqrt(np.mean((Y - Y.mean(axis=0)) ** 2)))
    if scale <= 1e-12 * float(np.abs(Y).max()):
        raise InputError(
            "perturbation: expected targets that vary, to scale it by, got constant ones; pass perturbation=δ."
        )
    return STEP * scale


def _test(X_test: Any, y_test: Any, D: int) -> tuple[Any, Float[np.ndarray, "n D"]] | None:
    if (X_test is None) != (y_test is None):
        raise InputError("X_test: expected with y_test, got one of them; pass both or neither.")
    if X_test is None:
        return None
    return X_test, checks.columns(y_test, _length("X_test", X_test), "y_test", outputs=D)


def _squares(Y: Float[np.ndarray, "n D"], predictor: Any, X: Any, where: str) -> Float[np.ndarray, " n"]:
    """|y − f|² of every example."""
    return np.sum((Y - predictions(predictor, X, len(Y), Y.shape[1], where)) ** 2, axis=1)


def _ratio(training: Float[np.ndarray, " P"], test: Float[np.ndarray, " n"]) -> Measurement | None:
    """1 − ε_t/ε_g, its error from those of both means."""
    low, high = Measurement.of_mean(training), Measurement.of_mean(test)
    if high.value == 0.0:
        return None
    error = math.hypot(low.standard_error, low.value / high.value * high.standard_error) / high.value
    return Measurement(1.0 - low.value / high.value, error)
