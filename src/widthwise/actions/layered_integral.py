"""The integral over the order parameters of a few layers: Gauss–Hermite or Sobol points, reweighted.

    ∫ p(u) du,   u = (log Q_1 … log Q_L);   in w = Q^{1/3} a χ²_N/N is nearly normal at every N
                                                              [Wilson, Hilferty 1931, Proc. Natl. Acad. Sci. 17, 684]

so that in w the posterior is nearly a Gaussian of its own mean and covariance. Points of that Gaussian are weighed by
the ratio of the two densities, and the Gaussian is moved to the weighed points' moments until two rules agree.
                                             [adaptive Gauss–Hermite quadrature: Naylor, Smith 1982, JRSS C 31, 214]
It knows the density's value alone: no kernel, no network. `LayeredAction` says what is integrated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from widthwise.errors import NumericalError

Layers = Float[np.ndarray, " L"]
_AXIS = 5  # points on every axis, at least, for a tensor of them to beat Sobol points
_MOST = 40  # on one axis
_ROUNDS = 4
_CUT = 1e-2  # of the Gaussian outside the domain, w ≤ 0 included: the density's edge, which no tensor grid forgives
_AGREED = 1e-3  # between two rules: no further round
_WIDER = 1.1  # than the moments say, under Sobol points: the tails then have bounded weights
_NEGLIGIBLE = 1e-7  # of the largest weight: not worth a kernel in every prediction


class Joint(NamedTuple):
    """log p(u) N(y; 0, T I + K_R) at one u, −∞ outside the domain, and |A⁻¹y|², whose average is watched."""

    log_density: float
    dual_square: float


@dataclass(frozen=True)
class LayersIntegral:
    """p(Q_1 … Q_L | D) as weighted nodes.

    Args:
        Q: (G, L).
        weights: sum to 1 (G,).
        log_evidence: log of the integral.
        error: the largest change between the last two rules: of ⟨|A⁻¹y|²⟩ and ⟨Q_ℓ⟩ relative, of `log_evidence` not.
        standard_error: that of `log_evidence` alone.
        ess: effective number of nodes, G (Σ b r)²/Σ b r² of shares b and ratios r: how Gaussian the posterior is in w.
        nodes: points of the last rule, negligible ones included.
        evaluations: of the density, over all rules.
        tensor: whether they are Gauss–Hermite's, else Sobol's.
    """

    Q: Float[np.ndarray, "G L"]
    weights: Float[np.ndarray, " G"]
    log_evidence: float
    error: float
    standard_error: float
    ess: float
    nodes: int
    evaluations: int
    tensor: bool


def integrate(
    joint: Callable[[Layers], Joint],
    centre: Layers,
    covariance: Float[np.ndarray, "L L"],
    *,
    nodes: int = 256,
    seed: int = 0,
) -> LayersIntegral:
    """The posterior of Q_1 … Q_L and its normaliser.

    Up to three layers by Gauss–Hermite points on a tensor grid (of two layers to 1e-7 where N_ℓ ≥ 5); deeper, and
    where the domain cuts the density off, by scrambled Sobol points, whose error is some per cent of its spread.

    Args:
        joint: the log density at u = log Q, to be integrated over du.
        centre: about its maximum (L,).
        covariance: about that of u there (L, L), positive definite.
        nodes: evaluations of `joint` in a round, at most; there are two rounds, seldom more.
        seed: of the scrambling.

    Raises:
        NumericalError: the density vanishes at every point.
    """
    w = np.exp(centre / 3.0)
    C = covariance * np.outer(w, w) / 9.0
    this, error, smooth = _weigh(joint, w, C, _rule(len(w), nodes, 0, seed, smooth=True)), math.inf, True
    evaluations = len(this.w)
    for k in range(1, _ROUNDS):
        before, (w, C) = this, this.moments(w, C)
        smooth = smooth and this.outside < _CUT
        this = _weigh(joint, w, C, _rule(len(w), nodes, k, seed, smooth=smooth))
        evaluations, error = evaluations + len(this.w), this.change(before)
        if error < _AGREED and this.tensor == before.tensor:
            break
    kept = this.weights > _NEGLIGIBLE * this.weights.max()
    return LayersIntegral(
        Q=this.w[kept] ** 3,
        weights=this.weights[kept] / this.weights[kept].sum(),
        log_evidence=this.log_evidence,
        error=error,
        standard_error=abs(this.log_evidence - before.log_evidence),
        ess=this.ess,
        nodes=len(this.w),
        evaluations=evaluations,
        tensor=this.tensor,
    )


class _Rule(NamedTuple):
    """Points of the standard normal law (G, L) and their shares of it (G,)."""

    z: Float[np.ndarray, "G L"]
    shares: Float[np.ndarray, " G"]
    tensor: bool


def _rule(L: int, nodes: int, turn: int, seed: int, *, smooth: bool) -> _Rule:
    """Every other turn a grid with a point less on each axis, or another scrambling: the next rule is independent."""
    axis = min(math.floor(nodes ** (1.0 / L) + 1e-9), _MOST)
    if axis < _AXIS or not smooth:
        from scipy.stats import qmc  # dear to import, seldom needed

        power = max(math.floor(math.log2(nodes)), 1)
        unit = qmc.Sobol(L, seed=np.random.default_rng((seed, turn))).random_base2(power)
        return _Rule(ndtri(np.clip(unit, 1e-12, 1.0 - 1e-12)), np.full(len(unit), 1.0 / len(unit)), False)
    x, share = np.polynomial.hermite_e.hermegauss(axis - 1 + turn % 2)
    z = np.stack(np.meshgrid(*[x] * L, indexing="ij"), axis=-1).reshape(-1, L)
    shares = np.stack(np.meshgrid(*[share / share.sum()] * L, indexing="ij"), axis=-1).reshape(-1, L).prod(axis=1)
    return _Rule(z, shares, True)


@dataclass(frozen=True)
class _Weighed:
    """One rule's points in w, their weights, and its answers."""

    w: Float[np.ndarray, "G L"]
    weights: Float[np.ndarray, " G"]
    dual_square: float
    log_evidence: float
    ess: float
    outside: float
    tensor: bool

    def change(self, before: _Weighed) -> float:
        """The largest relative difference between two rules."""
        Q, other = self.weights @ self.w**3, before.weights @ before.w**3
        return max(
            abs(self.log_evidence - before.log_evidence),
            abs(before.dual_square / self.dual_square - 1.0) if self.dual_square > 0.0 else 0.0,
            float(np.abs(other / Q - 1.0).max()),
        )

    def moments(self, w: Layers, C: Float[np.ndarray, "L L"]) -> tuple[Layers, Float[np.ndarray, "L L"]]:
        """Mean and covariance of the weighed points; of too few the mean, with a covariance wider than the last."""
        mean = self.weights @ self.w
        if self.ess < 5 * len(w):
            return mean, 4.0 * C
        shift = self.w - mean
        return mean, (shift * self.weights[:, None]).T @ shift


def _weigh(joint: Callable[[Layers], Joint], centre: Layers, C: Float[np.ndarray, "L L"], rule: _Rule) -> _Weighed:
    """The rule's points in w, weighed: shares times density over the Gaussian's."""
    L, wider = len(centre), 1.0 if rule.tensor else _WIDER
    R = wider * np.linalg.cholesky(C)
    w = centre + rule.z @ R.T
    log_gaussian = -0.5 * (rule.z**2).sum(axis=1) - float(np.log(R.diagonal()).sum()) - 0.5 * L * math.log(2 * math.pi)
    log_ratios, squares = np.full(len(w), -np.inf), np.zeros(len(w))
    for g in np.flatnonzero((w > 0.0).all(axis=1)):
        log_density, squares[g] = joint(3.0 * np.log(w[g]))
        log_ratios[g] = log_density + float(np.log(3.0 / w[g]).sum()) - log_gaussian[g]
    top = float(log_ratios.max())
    if not math.isfinite(top):
        raise NumericalError(
            "integral over the order parameters: its density vanishes at every node; raise the temperature, or use "
            "approximation='saddle'."
        )
    weights = rule.shares * np.exp(log_ratios - top)
    total = float(weights.sum())
    weights = weights / total
    counted = weights > _NEGLIGIBLE * weights.max()
    ess = len(w) / float((weights[counted] ** 2 / rule.shares[counted]).sum())
    outside = float(rule.shares[np.isneginf(log_ratios)].sum())
    return _Weighed(w, weights, float(weights @ squares), top + math.log(total), ess, outside, rule.tensor)
