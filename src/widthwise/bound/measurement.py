"""A number that came from finitely many examples, with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Measurement:
    """A value ± its standard error; NaN where the examples are too few to know it.

    Args:
        value: the estimate.
        standard_error: one standard deviation of it, ≥ 0 or NaN.
    """

    value: float
    standard_error: float

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
        return Measurement(self.value / scale, self.standard_error / scale)

    def records(self) -> dict[str, float | None]:
        """As plain values, for files: None for what is unknown."""
        pairs = (("value", self.value), ("standard_error", self.standard_error))
        return {name: number if math.isfinite(number) else None for name, number in pairs}

    def below(self, bound: float) -> bool | None:
        """Whether it lies below a bound by two standard errors (True) or above it by as many (False); None between."""
        if not math.isfinite(self.value) or math.isnan(self.standard_error):
            return None
        if self.value + 2.0 * self.standard_error <= bound:
            return True
        return False if self.value - 2.0 * self.standard_error > bound else None

    @classmethod
    def of_mean(cls, values: Float[np.ndarray, " n"], inflation: float = 1.0) -> Measurement:
        """The mean of values and its standard error, s √(inflation/n); NaN for one value.

        Args:
            values: any.
            inflation: the variance of their mean over that of as many independent values.
        """
        n = len(values)
        error = float(np.std(values, ddof=1)) * math.sqrt(inflation / n) if n > 1 else math.nan
        return cls(float(np.mean(values)), error)
