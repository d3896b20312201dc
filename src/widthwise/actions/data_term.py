"""What the data say about a matrix-valued order parameter: the interface that every architecture with one answers."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class DataTerms:
    """log N(y; 0, A) and its gradient, for A = T I + K_R(Q) with K_R linear in the symmetric Q (m, m).

    log N(y; 0, A) = −½ (log_det + quadratic + count log 2π); with the entries of Q varied freely,
    ∂(log det A + yᵀA⁻¹y)/∂Q = trace − dual.

    Args:
        log_det: log det A.
        quadratic: yᵀA⁻¹y.
        trace: ∂ log det A/∂Q, positive semi-definite (m, m).
        dual: −∂(yᵀA⁻¹y)/∂Q, positive semi-definite (m, m).
    """

    log_det: float
    quadratic: float
    trace: Float[np.ndarray, "m m"]
    dual: Float[np.ndarray, "m m"]

    @property
    def value(self) -> float:
        """log det A + yᵀA⁻¹y."""
        return self.log_det + self.quadratic

    @property
    def gradient(self) -> Float[np.ndarray, "m m"]:
        """∂(log det A + yᵀA⁻¹y)/∂Q, symmetric (m, m)."""
        return self.trace - self.dual


class AbstractDataTerm(abc.ABC):
    """The likelihood of the targets, given the order parameter: all that an action needs to know of the data."""

    @property
    @abc.abstractmethod
    def side(self) -> int:
        """m, the rows of Q: outputs, patches, or their product."""

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """The number of target entries, P D."""

    @abc.abstractmethod
    def terms(self, Q: Float[np.ndarray, "m m"]) -> DataTerms:
        """The answers at a symmetric positive semi-definite Q.

        Raises:
            NumericalError: A is not positive definite at working precision.
        """

    def terms_of_all(self, Q: Float[np.ndarray, "C m m"]) -> list[DataTerms]:
        """The answers at C order parameters; overridden where doing them together is cheaper."""
        return [self.terms(one) for one in Q]
