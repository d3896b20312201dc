"""One number about a student, beside what chance would have given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from widthwise.bound.measurement import Measurement


@dataclass(frozen=True)
class Null:
    """The law of a number where nothing was learnt.

    Args:
        mean: of it.
        deviation: its standard deviation, ≥ 0.
    """

    mean: float
    deviation: float


@dataclass(frozen=True)
class Probe:
    """A value with its error bar and its null; or no value, and why.

    Args:
        value: None where the student or the task lacks what it takes.
        standard_error: over the fresh inputs or the refits; None where the value is exact, or its error unknown.
        null_mean: of the same number where nothing was learnt; None where there is no such law.
        null_deviation: of it.
        reason: why there is no value; None where there is one.
    """

    value: float | None
    standard_error: float | None = None
    null_mean: float | None = None
    null_deviation: float | None = None
    reason: str | None = None

    @property
    def effect(self) -> float | None:
        """(value − null mean)/null deviation: a size, not a p-value. None without a null, or where it does not vary."""
        if self.value is None or self.null_mean is None or not self.null_deviation:
            return None
        return (self.value - self.null_mean) / self.null_deviation

    @classmethod
    def of(cls, value: float | Measurement, null: Null | None = None) -> Probe:
        """A number, or one with its error; what is not finite becomes None, the value with a reason.

        Args:
            value: a number, or a `Measurement`.
            null: the law where nothing was learnt.
        """
        number, error = (value.value, value.standard_error) if isinstance(value, Measurement) else (value, math.nan)
        if not math.isfinite(number):
            return cls.missing("it is not finite here")
        mean, deviation = (None, None) if null is None else (null.mean, null.deviation)
        return cls(float(number), float(error) if math.isfinite(error) else None, mean, deviation)

    @classmethod
    def missing(cls, reason: str) -> Probe:
        """No value.

        Args:
            reason: why, and what would give one.
        """
        return cls(None, reason=reason)

    def records(self) -> dict[str, float | str | None]:
        """As plain values, for files."""
        return {
            "value": self.value,
            "standard_error": self.standard_error,
            "null_mean": self.null_mean,
            "null_deviation": self.null_deviation,
            "effect": self.effect,
            "reason": self.reason,
        }
