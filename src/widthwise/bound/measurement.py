"""A number that came from finitely many examples, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

_FEWEST = 0.2  # a factor of a million: nothing is known
_KURTOSIS = 12.0  # excess, of the square of a normal number
_ROUNDING = 1e-12
_TWO_SIDES = 0.9772498680518208  # what of a normal law lies below two standard deviations


@dataclass(frozen=True)
class Measurement:
    """A value ± its standard error; NaN where the examples are too few to know it.

    Args:
        value: the estimate.
        standard_error: one standard deviation of it, ≥ 0 or NaN.
        factor: how many standard errors to either side hold it with 95.45 %; more than two where the standard error
            comes from few examples, which do not know it well either.
    """

    value: float
    standard_error: float
    factor: float = 2.0

    def __str__(self) -> str:
        """To two digits of the standard error: 0.1234 ± 0.0056."""
        value, error = self.value, self.standard_error
        if not math.isfinite(error) or error <= 0.0:
            return f"{value:.4g}" if error == 0.0 else f"{value:.4g} ± ?"
        digits = 1 - math.floor(math.log10(error))
        if digits > 8 or digits < -3:
            return f"{value:.4g} ± {error:.2g}"
        return f"{value:.{max(digits, 0)}f} ± {error:.{max(digits, 0)}f}"

    def __truediv__(self, scale: float) -> Measurement:
        """Value and error divided by a positive number known without error."""
        return Measurement(self.value / scale, self.standard_error / scale, self.factor)

    def __sub__(self, other: Measurement) -> Measurement:
        """The difference of independent measurements.

        Its factor, √(k₁²s₁² + k₂²s₂²)/s, holds at least as much as they do [Banerjee 1960, Sankhyā 22, 391], also where
        one of the errors is small by chance, of which Welch's degrees of freedom make a certainty.
        """
        error = math.hypot(self.standard_error, other.standard_error)
        width = math.hypot(self.factor * self.standard_error, other.factor * other.standard_error)
        return Measurement(self.value - other.value, error, width / error if error > 0.0 else 2.0)

    def records(self) -> dict[str, float | None]:
        """As plain values, for files: None for what is unknown."""
        pairs = (("value", self.value), ("standard_error", self.standard_error))
        return {name: number if math.isfinite(number) else None for name, number in pairs}

    def below(self, bound: float) -> bool | None:
        """Whether it lies below a bound by `factor` standard errors (True) or above by as many (False); else None."""
        if not math.isfinite(self.value) or math.isnan(self.standard_error):
            return None
        width = self.factor * self.standard_error
        rounding = _ROUNDING * max(abs(self.value), abs(bound))
        if self.value + width <= bound + rounding:
            return True
        return False if self.value - width > bound + rounding else None

    @classmethod
    def of_mean(cls, values: Float[np.ndarray, " n"], inflation: float = 1.0) -> Measurement:
        """The mean of values and its standard error, s √(inflation/n); NaN for one value.

        The values are squared errors: few that happen to be small happen to agree, too. With the kurtosis of squared
        normal numbers the variance of n of them has 2/(2/(n − 1) + 12/n) degrees of freedom, and `factor` is Student's.

        Args:
            values: any.
            inflation: the variance of their mean over that of as many independent values.
        """
        n, top = len(values), float(np.abs(values).max(initial=0.0))
        if n < 2:
            return cls(float(np.mean(values)), math.nan)
        error = top * float(np.std(values / top, ddof=1)) * math.sqrt(inflation / n) if top > 0.0 else 0.0
        independent = max(n / inflation, 1.0 + 1e-9)
        freedom = 2.0 / (2.0 / (independent - 1.0) + _KURTOSIS / independent)
        return cls(float(np.mean(values)), error, students(freedom))


def students(degrees_of_freedom: float) -> float:
    """The standard errors to either side that hold 95.45 % of Student's t: 2 of infinitely many degrees of freedom."""
    return float(stdtrit(max(degrees_of_freedom, _FEWEST), _TWO_SIDES))
