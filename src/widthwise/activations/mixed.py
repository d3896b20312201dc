"""κ(cxx, cxy, cyy) = E[φ(h)ψ(h')] of two different activations: what features have in common with another's teacher."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from widthwise.activations.abstract_dual import Partials
from widthwise.activations.duals import dual_of
from widthwise.activations.hermite import Hermite, HermiteSide, contract_tile
from widthwise.activations.hermite_partials import series_partials
from widthwise.activations.phi import Activation, resolve
from widthwise.errors import NumericalError
from widthwise.numerics.guarded import divide

REFUSED = 1e-6  # a bound on what the expansions leave out, relative to √(E[φ²] E[ψ²]), that is no longer accepted


@runtime_checkable
class MixedDual(Protocol):
    """E[φ(h)ψ(h')] and its derivatives, for rows h of one network and columns h' of the other."""

    def kappa(self, cxx: Any, cxy: Any, cyy: Any) -> Any:
        """κ; cxx (n, 1), cxy (n, m), cyy (1, m)."""
        ...

    def partials(self, cxx: Any, cxy: Any, cyy: Any) -> Partials:
        """∂κ/∂cxx, ∂κ/∂cxy, ∂κ/∂cyy, the three varied independently."""
        ...


@dataclass(frozen=True)
class Kinked:
    """φ = p h + q|h|, ψ = p' h + q'|h|:  κ = p p' cxy + q q' E|h h'|."""

    linear: float
    absolute: float

    def kappa(self, cxx: Any, cxy: Any, cyy: Any) -> np.ndarray:
        return self.linear * cxy + self.absolute * _ABSOLUTE.kappa(cxx, cxy, cyy)

    def partials(self, cxx: Any, cxy: Any, cyy: Any) -> Partials:
        xx, xy, yy = _ABSOLUTE.partials(cxx, cxy, cyy)
        return self.absolute * xx, self.linear + self.absolute * xy, self.absolute * yy


@dataclass(frozen=True)
class ErfKinked:
    """φ = erf, ψ = p h + q|h|: the even part sees nothing of an odd φ, so κ = p E[φ(h)h'] = p cxy E φ'(h),

        κ = 2p cxy / √(π (1 + 2cxx))                                                             [Stein's lemma]

    Args:
        linear: p.
        swapped: whether erf is the second.
    """

    linear: float
    swapped: bool = False

    def kappa(self, cxx: Any, cxy: Any, cyy: Any) -> np.ndarray:
        return 2 * self.linear / math.sqrt(math.pi) * cxy / np.sqrt(1 + 2 * (cyy if self.swapped else cxx))

    def partials(self, cxx: Any, cxy: Any, cyy: Any) -> Partials:
        cxx, cxy, cyy = np.broadcast_arrays(cxx, cxy, cyy)
        A = 1 + 2 * (cyy if self.swapped else cxx)
        xy = 2 * self.linear / np.sqrt(math.pi * A)
        along, none = -xy * cxy / A, np.zeros(cxy.shape)
        return (none, xy, along) if self.swapped else (along, xy, none)


@dataclass(frozen=True)
class Series:
    """κ = Σ_k a_k(cxx) b_k(cyy) u^k of any two, by the Hermite coefficients of either.

    Of n orders Σ_{k≥n} is left out: of either parity at most 2 t_n t'_n |u|^n, t the expansions' tails.
                                               [theory: Daniely, Frostig, Singer 2016, arXiv 1602.05897, Sect. 4]

    Args:
        first: φ.
        second: ψ.
        limit: largest bound, relative to √(E[φ²] E[ψ²]), that is let through.
    """

    first: Activation
    second: Activation
    limit: float = REFUSED

    def _sides(self, cxx: Any, cxy: Any, cyy: Any) -> tuple[HermiteSide, HermiteSide]:
        sides = [
            Hermite(phi, even=True, odd=True).expand(np.ravel(c), limit=math.inf)
            for phi, c in ((self.first, cxx), (self.second, cyy))
        ]
        count = min(len(side.tails) for side in sides)
        left, right = sides
        u = np.clip(np.abs(cxy) * left.inverse_scale[:, None] * right.inverse_scale, 0.0, 1.0)
        rest = [divide(np, side.tails[count - 2 : count].max(axis=0), side.norm) for side in sides]
        bound = float((4 * np.outer(*rest) * u ** (count - 2)).max(initial=0.0))
        if bound > self.limit:
            raise NumericalError(
                f"E[φψ] of {self.first.name} and {self.second.name} is known to {bound:.0e} only, {self.limit:.0e} is "
                "needed: both have a kink, and some weights are parallel; use one activation for both, or a smoother "
                "activation."
            )
        return left, right

    def kappa(self, cxx: Any, cxy: Any, cyy: Any) -> np.ndarray:
        return contract_tile(np.array(cxy, float), *self._sides(cxx, cxy, cyy))

    def partials(self, cxx: Any, cxy: Any, cyy: Any) -> Partials:
        return series_partials(np.array(cxy, float), *self._sides(cxx, cxy, cyy))


_ABSOLUTE = dual_of(resolve("leaky_relu(-1)"))


def _parts(activation: Activation) -> tuple[float, float] | None:
    """p and q of φ = p h + q|h|, of those that are."""
    if not activation.builtin:
        return None
    slope = {"identity": 1.0, "relu": 0.0}.get(activation.name, activation.slope)
    return None if slope is None else (0.5 * (1 + slope), 0.5 * (1 - slope))


def mixed_dual(first: Activation, second: Activation, limit: float = REFUSED) -> MixedDual:
    """E[φ(h)ψ(h')]: the dual kernel of two that are one, in closed form for erf and the rectified, else by expansion.

    Args:
        first: φ, of the rows.
        second: ψ, of the columns.
        limit: relative bound on an expansion's error above which it is a `NumericalError`.
    """
    if first == second:
        return dual_of(first)
    p, q = _parts(first), _parts(second)
    if p and q:
        return Kinked(p[0] * q[0], p[1] * q[1])
    erf = resolve("erf")
    if first == erf and q:
        return ErfKinked(q[0])
    if second == erf and p:
        return ErfKinked(p[0], swapped=True)
    return Series(first, second, limit)


def products(
    W: Float[np.ndarray, "n D"], V: Float[np.ndarray, "m D"]
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "n m"], Float[np.ndarray, "1 m"]]:
    """|w_i|², w_i·v_k and |v_k|²: the overlaps, ready to broadcast."""
    return (W * W).sum(1)[:, None], W @ V.T, (V * V).sum(1)[None, :]
