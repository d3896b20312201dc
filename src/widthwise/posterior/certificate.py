"""How a prediction was found, and how far to trust the theory behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from widthwise.actions import ScalarAction
from widthwise.posterior.gaussianity import Gaussianity
from widthwise.saddle import Saddle


@dataclass(frozen=True)
class Certificate:
    """How the order parameters were found.

    Args:
        status: "converged", or what went wrong.
        residual: the largest entry of the gradient of S in log order parameters.
        hessian: eigenvalues of its Hessian there, ascending; all positive at a minimum.
        kind: "minimum", or "saddle" for the two-parameter action.
        starts: starting points tried.
        agreeing: how many of them lead to the point reported.
        stationary_points: (Q, S, kind) of every stationary point found, by S.
        solver: the spectrum that served.
        evaluations: of the action.
        rounding: bound on what the kernel's rounding errors did to log Q; above 1e-3 the status is "lost to rounding".
        quadrature_error: relative, of the integral over p(log Q | D); None where none was taken.
    """

    status: str
    residual: float
    hessian: tuple[float, ...]
    kind: str
    starts: int
    agreeing: int
    stationary_points: tuple[tuple[float, float, str], ...]
    solver: str
    evaluations: int
    rounding: float | None = None
    quadrature_error: float | None = None

    @property
    def converged(self) -> bool:
        """Whether the numbers can be used."""
        return self.status in ("converged", "closed form")


@dataclass(frozen=True)
class Validity:
    """Where the saddle stops being true: quantities that need no sampling.

        τ = tr(A⁻¹K)/N_L,   ρ = (aᵀKa/N_L)/(1 + τ),   A = T I + Q*K,   a = A⁻¹y
        with one hidden layer Q* = 1/((1 + τ)(1 − ρ))

    ρτ tells apart networks whose neurons specialise. The excess kurtosis of a neuron along a tells apart data on which
    its features are not Gaussian: few inputs, easy tasks. Neither is a guarantee; where the thresholds come from, and
    the misses, are in docs/theory.md and docs/evidence.md.

    Args:
        tau: fitted degrees of freedom per neuron, τ ≥ 0.
        rho: the data's share in the order parameter, 0 ≤ ρ < 1.
        kurtosis: excess kurtosis of aᵀφ(h) over the prior; None where the neurons are not known or several layers deep.
        nats: what that changes in the log evidence, at first order.
        verdict: "sound" (ρτ < 0.5 and, unless `nats` is below 0.15, kurtosis within ±0.2), "doubtful", or "outside"
            (ρτ ≥ 0.8).
        reason: the verdict in words.
    """

    tau: float
    rho: float
    kurtosis: float | None
    nats: float | None
    verdict: str
    reason: str

    @property
    def product(self) -> float:
        """ρτ."""
        return self.rho * self.tau


def validity(action: ScalarAction, along: Gaussianity | None, *, exact: bool) -> Validity:
    """ρ, τ and the kurtosis at the minimum of the action, and what they say.

    Args:
        action: the one-parameter action.
        along: the neurons' kurtosis along the dual vector, where it is known.
        exact: whether the approximation in use is exact for this network at every width.
    """
    terms = action.terms(action.Q)
    tau = action.scale * terms.trace / action.width
    rho = action.scale * terms.dual_energy / action.width / (1.0 + tau)
    verdict, reason = _verdict(rho * tau, along, exact=exact, deep=bool(action.below))
    kurtosis, nats = (None, None) if along is None else (along.kurtosis, along.nats)
    return Validity(tau, rho, kurtosis, nats, verdict, reason)


def _verdict(product: float, along: Gaussianity | None, *, exact: bool, deep: bool) -> tuple[str, str]:
    if exact:
        return "sound", "exact at every width for this network and approximation"
    if product >= 0.8:
        return (
            "outside",
            f"rho*tau = {product:.2g}: neurons may specialise; sampled test errors were off by 0.5 to 160 %",
        )
    if along is not None and abs(along.kurtosis) > 0.2 and abs(along.nats) > 0.15:
        return "doubtful", (
            f"neurons are not Gaussian along the labels (excess kurtosis {along.kurtosis:.2g}): sampled test errors "
            "were off by 0.2 to 38 %"
        )
    if product >= 0.5:
        return "doubtful", f"rho*tau = {product:.2g}: beyond 0.5 sampled test errors were off by up to 36 %"
    if deep:
        return "sound", f"rho*tau = {product:.2g}, by the thresholds of one hidden layer"
    if along is None:
        return "sound", f"rho*tau = {product:.2g}; whether the neurons are Gaussian along the labels is not known here"
    return "sound", f"rho*tau = {product:.2g}: sampled test errors were within 1 % in ten of eleven such networks"


def of_saddle(
    saddle: Saddle, solver: str, *, rounding: float | None = None, quadrature_error: float | None = None
) -> Certificate:
    """The certificate of a search in log order parameters; the first of them is Q."""
    points = tuple((math.exp(float(point.x[0])), point.value, point.kind) for point in saddle.points)
    return Certificate(
        status=str(saddle.status),
        residual=saddle.best.residual,
        hessian=tuple(float(h) for h in saddle.best.hessian),
        kind=saddle.best.kind,
        starts=saddle.starts,
        agreeing=saddle.agreeing,
        stationary_points=points,
        solver=solver,
        evaluations=saddle.evaluations,
        rounding=rounding,
        quadrature_error=quadrature_error,
    )


def closed_form(solver: str) -> Certificate:
    """The certificate where nothing had to be searched for (infinite width)."""
    return Certificate("closed form", 0.0, (), "none", 0, 0, (), solver, 0)
