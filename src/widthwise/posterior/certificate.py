"""How a prediction was found, and how far to trust the theory behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from widthwise.actions import MatrixAction
from widthwise.errors import NumericalError
from widthwise.posterior.gaussianity import Gaussianity
from widthwise.posterior.judged import Judged
from widthwise.saddle import Saddle

MIXED = 1.05  # R-hat of the chains over a matrix-valued order parameter, at most
INDEPENDENT = 100  # effective draws of it, at least
CROWDED = 0.1  # rows of a matrix Q for each unit, beyond which its saddle is doubted

EXACT = "exact at every width for this network and approximation"
PATCHY = 0.5  # patches for each channel, beyond which the integral over Q is doubted too


@dataclass(frozen=True)
class Certificate(Judged):
    """How the order parameters were found; `error_bar` is the theory's own on the training error.

    Args:
        status: "converged", or what went wrong.
        residual: the largest entry of the gradient of S in log order parameters; None where no saddle was sought.
        hessian: eigenvalues of its Hessian there, ascending; all positive at a minimum.
        kind: "minimum", "saddle" for the two-parameter action, "draws" for an integral over matrices.
        starts: starting points tried.
        agreeing: how many of them lead to the point reported.
        stationary_points: (Q, S, kind) of every stationary point found, by S; of a matrix det(Q)^(1/m) for Q.
        solver: the spectrum that served.
        evaluations: of the action.
        rounding: bound on what the kernel's rounding errors did to log Q; above 1e-3 the status is "lost to rounding".
        quadrature_error: relative, of the integral over p(log Q | D); None where none was taken.
        monte_carlo_error: relative standard error of the fit's averages over draws of a matrix Q, of a cavity that of
            its training error; None where none was drawn.
        ess: effective sample size of those draws, the smallest of what was watched.
        rhat: their R-hat, the largest.
    """

    status: str
    residual: float | None
    hessian: tuple[float, ...]
    kind: str
    starts: int
    agreeing: int
    stationary_points: tuple[tuple[float, float, str], ...]
    solver: str
    evaluations: int
    rounding: float | None = None
    quadrature_error: float | None = None
    monte_carlo_error: float | None = None
    ess: float | None = None
    rhat: float | None = None

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
        rho: the data's share in the order parameter, ρ ≥ 0, and below 1 at a saddle.
        kurtosis: excess kurtosis of aᵀφ(h) over the prior; None where the neurons are not known or several layers deep.
        nats: what that changes in the log evidence, at first order.
        verdict: "sound" (ρτ < 0.5 and, unless `nats` is below 0.15, kurtosis within ±0.2; of several layers ρτ < 0.04;
            of a matrix Q ρτ < 0.05, at its saddle at most a tenth as many rows as units, and of patches at most half as
            many as channels), "doubtful", or "outside" (ρτ ≥ 0.8, of several layers 0.25). Of a cavity: "sound" where
            it agrees with the saddle or a phase of specialised neurons stands apart, "doubtful" where they specialise
            by degrees, "outside" where more neurons specialise than were kept.
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


@dataclass(frozen=True)
class Limits:
    """Where ρτ told sound predictions from others among the sampled networks of docs/evidence.md and docs/truth.md.

    Args:
        sound: below it.
        outside: from it on.
        within, between, beyond: what the sampled test errors did below, between and from there on.
    """

    sound: float
    outside: float
    within: str
    between: str
    beyond: str


NUMBER = Limits(
    0.5,
    0.8,
    "within 2.5 % in nine of ten such networks, 6.7 % off at worst",
    "off by up to 38 %",
    "off by 0.5 to 160 %",
)
LAYERS = Limits(
    0.04,
    0.25,
    "within 6.2 % in nine of ten such deep networks, 6.9 % off at worst",
    "off by 0.7 to 8 % in nine of ten",
    "off by 3 to 11 %, training errors by more",
)
MATRIX = Limits(0.05, 0.8, "within 0.8 % in such networks", "off by 0.6 to 4 %", "off by 8 to 21 %")


def validity(
    tau: float,
    rho: float,
    along: Gaussianity | None,
    *,
    exact: bool,
    limits: Limits = NUMBER,
    crowding: float = 0.0,
    patches: float = 0.0,
) -> Validity:
    """ρ, τ and the kurtosis at the minimum of an action, and what they say.

    Args:
        tau: fitted degrees of freedom per neuron.
        rho: the data's share in the order parameter.
        along: the neurons' kurtosis along the dual vector, where it is known.
        exact: whether the approximation in use is exact for this network at every width.
        limits: of ρτ, for one number, several layers or a matrix.
        crowding: rows of a matrix Q for each unit of the layer, where its saddle stands for the integral.
        patches: for each channel, where Q is integrated over.
    """
    verdict, reason = _verdict(rho * tau, along, exact=exact, limits=limits, crowding=crowding, patches=patches)
    kurtosis, nats = (None, None) if along is None else (along.kurtosis, along.nats)
    return Validity(tau, rho, kurtosis, nats, verdict, reason)


def neuron_shares(
    trace: Float[np.ndarray, "m m"], dual: Float[np.ndarray, "m m"], width: int
) -> tuple[float, float, Float[np.ndarray, " m"]]:
    """τ and ρ of a matrix-valued order parameter along the direction where ρ is largest, and that direction (m,).

    With 𝒯 = ∂ log det A/∂Q/N and ℛ = −∂(yᵀA⁻¹y)/∂Q/N the saddle of one layer has Q⁻¹ = I + 𝒯 − ℛ, and ρ is the largest
    eigenvalue of (I + 𝒯)^(−½) ℛ (I + 𝒯)^(−½); for one output both are the numbers of `Validity`.

    Args:
        trace, dual: the data term's derivatives.
        width: N_L.
    """
    T, R = trace / width, dual / width
    values, vectors = scipy.linalg.eigh(R, np.eye(len(T)) + T)
    direction = vectors[:, -1] / np.linalg.norm(vectors[:, -1])
    return float(direction @ T @ direction), max(float(values[-1]), 0.0), direction


def _verdict(
    product: float, along: Gaussianity | None, *, exact: bool, limits: Limits, crowding: float, patches: float
) -> tuple[str, str]:
    if exact:
        return "sound", EXACT
    if product >= limits.outside:
        return "outside", f"rho*tau = {product:.2g}: neurons may specialise; sampled test errors were {limits.beyond}"
    if along is not None and abs(along.kurtosis) > 0.2 and abs(along.nats) > 0.15:
        return "doubtful", (
            f"neurons are not Gaussian along the labels (excess kurtosis {along.kurtosis:.2g}): sampled test errors "
            "were off by 0.2 to 38 %"
        )
    if crowding > CROWDED:
        return "doubtful", (
            f"Q has {crowding:.2g} rows for each unit of the layer, and its fluctuations are not small: the saddle was "
            "off by 0.5 to 12 % where the integral is exact; use approximation='integrated'"
        )
    if patches > PATCHY:
        return "doubtful", (
            f"{patches:.2g} patches for each channel: features of patches that look alike are not Gaussian together; "
            "sampled test errors were off by 1.4 to 12 %"
        )
    if product >= limits.sound:
        return "doubtful", f"rho*tau = {product:.2g}: beyond {limits.sound:g} sampled test errors were {limits.between}"
    unseen = "" if along is not None else "; whether the neurons are Gaussian along the labels is not known here"
    return "sound", f"rho*tau = {product:.2g}: sampled test errors were {limits.within}{unseen}"


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


def of_matrix_action(
    action: MatrixAction, approximation: str, solver: str, *, throw: bool
) -> tuple[Any, Float[np.ndarray, " G"], Certificate]:
    """The order parameters Q_1 … Q_L (L, G, m, m) of a matrix action, their weights, and how they were found.

    Those of several convolutional layers are one array each, (G, m_ℓ, m_ℓ).

    Args:
        action: S(Q).
        approximation: "saddle" or "integrated".
        solver: what reduced the kernel.
        throw: whether a search that did not converge, or chains that have not mixed, raise.
    """
    if approximation == "saddle":
        saddle = action.saddle
        if throw:
            saddle.check("effective action", "raise the temperature, or pass throw=False to look at the certificate.")
        side = action.data.side
        diagonal = np.flatnonzero(np.equal(*np.triu_indices(side)))
        points = tuple((math.exp(float(p.x[diagonal].mean())), p.value, p.kind) for p in saddle.points)
        found = replace(of_saddle(saddle, solver), stationary_points=points)
        return action.layers[:, None], np.ones(1), found
    draws, how = action.draws, action.monte_carlo
    mixed = draws.rhat <= MIXED and draws.ess >= INDEPENDENT
    if throw and not mixed:
        raise NumericalError(
            f"integral over the order parameter: R-hat {draws.rhat:.3f} (at most {MIXED}), {draws.ess:.0f} effective "
            f"draws (at least {INDEPENDENT}); sample longer, e.g. monte_carlo=MonteCarlo(draws={4 * how.draws}, "
            f"warmup={2 * how.warmup}), or pass throw=False."
        )
    found = Certificate(
        status="converged" if mixed else "not mixed",
        residual=None,
        hessian=(),
        kind="draws",
        starts=how.chains,
        agreeing=how.chains if mixed else 0,
        stationary_points=(),
        solver=solver,
        evaluations=how.chains * (how.draws + how.warmup),
        monte_carlo_error=draws.error,
        ess=draws.ess,
        rhat=draws.rhat,
    )
    return draws.layers, draws.weights, found
