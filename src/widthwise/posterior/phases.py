"""Which neurons specialise: the order parameter of the cavity's neurons, and the phases that it tells apart.

A neuron's share of the order parameter, q_i = λ_1⟨v_i | W⟩²/N, is O(1/N) in the Gaussian regime. Of a specialised one
it is O(1), whatever the width: it carries a part of the function alone. Where the two kinds are separated by a valley
in log q they can be counted, and since any of the N neurons may be the specialised ones while only k are explicit, a
draw with m of them stands for C(N, m)/C(k, m).                                          [docs/cavity.md, Multiplicity]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d
from scipy.special import gammaln
from scipy.stats import beta, norm

SHARE = 0.5  # of the order parameter, that makes a neuron specialised where no valley tells
DEEP = 1 / 3  # a valley's density, of the lower of its two modes
MACROSCOPIC = 0.2  # least q of the upper mode
SEEN = 20  # draws with a specialised neuron, at least: the upper mode can be made out
SEEN_SHARE = 2e-3  # of all draws, at least
OTHERS = 0.02  # of all shares, below the valley, at least
CLEAR = 4.0  # standard deviations of counts, between the valley and the lower of its modes
STRETCHES, IN = 8, 3  # of the draws, and in how many of them it is seen
RARE = 1e-3  # a sector of less probability is none
_SMOOTH = 0.2  # of the density in log q, its Gaussian's deviation
_STEP = 0.02
_LOWEST = 1e-6  # q below says nothing


@dataclass(frozen=True)
class Specialisation:
    """The order parameter of specialisation, of all N neurons.

    Args:
        count: ⟨m⟩, neurons with λ_1 v_i²/N above the threshold.
        fraction: ⟨m⟩/N.
        kurtosis: excess kurtosis of a readout weight v_i: −6/(N + 2) where all neurons are alike and Q does not move.
        share: of Q = Σ_i λ_1 v_i²/N, that the specialised carry.
        threshold: q from which a neuron is specialised: the valley, else ½.
        separated: whether there is a valley.
        saturated: whether in more than half of the weight every explicit neuron is specialised: too few are explicit.
    """

    count: float
    fraction: float
    kurtosis: float
    share: float
    threshold: float
    separated: bool
    saturated: bool


@dataclass(frozen=True)
class Phase:
    """The networks with so many specialised neurons.

    Args:
        specialised: m; None where no valley tells specialised neurons from others, and all is one phase.
        probability: of the phase.
        standard_error: of it, from the ladders.
        log_evidence: log of its part of p(y | X).
        training_error: ε_t in it.
        bath: Q of the Gaussian neurons in it.
        stable: whether it is the most probable.
    """

    specialised: int | None
    probability: float
    standard_error: float
    log_evidence: float
    training_error: float
    bath: float
    stable: bool


def valley(q: Float[np.ndarray, "G k"]) -> tuple[float, bool]:
    """Where specialised neurons begin, and whether a valley of the density of log q says so; ½ without one.

    A valley is a minimum of a third at most of both modes beside it, the upper one macroscopic, and seen often enough,
    at several times, to be no accident of a tail.

    Args:
        q: shares of the explicit neurons, draws in the order in which they came.
    """
    x = np.sort(np.log(q[q > _LOWEST]))
    if not x.size:
        return SHARE, False
    edges = np.arange(math.log(_LOWEST) - 5 * _SMOOTH, max(float(x[-1]), 0.0) + 5 * _SMOOTH, _STEP)
    middle = 0.5 * (edges[1:] + edges[:-1])
    density = gaussian_filter1d(np.histogram(x, edges)[0].astype(float), _SMOOTH / _STEP, mode="constant")
    below, above = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    modes = np.minimum(below, above)
    relative = np.divide(density, modes, out=np.ones_like(density), where=modes > 0.0)
    upper = above[np.searchsorted(middle, math.log(MACROSCOPIC))]  # of what lies above that, the highest
    fewest = max(SEEN, SEEN_SHARE * len(q))
    largest = np.log(np.maximum(q.max(axis=1), _LOWEST))
    known = np.searchsorted(x, middle) >= max(SEEN, OTHERS * len(x))
    known &= len(q) - np.searchsorted(np.sort(largest), middle) >= fewest
    known &= above <= upper
    effective = 2.0 * math.sqrt(math.pi) * _SMOOTH / _STEP  # bins that the Gaussian averages
    known &= (modes - density) * effective >= CLEAR * np.sqrt((modes + density) * effective)
    if not known.any():
        return SHARE, False
    deepest = float(relative[known].min())
    bottom = np.flatnonzero(known & (relative <= deepest + 1e-9))
    threshold = math.exp(middle[bottom[len(bottom) // 2]])
    seen = q.max(axis=1) > threshold
    stretches = sum(part.any() for part in np.array_split(seen, STRETCHES))
    return (threshold, True) if deepest <= DEEP and stretches >= IN else (SHARE, False)


def multiplicities(q: Float[np.ndarray, "G k"], threshold: float, width: int) -> Float[np.ndarray, " G"]:
    """C(N, m)/C(k, m) of every draw, m its specialised neurons; the log of their mean is what log p(y | X) gains.

    Args:
        q: shares of the explicit neurons.
        threshold: from which a neuron is specialised.
        width: N ≥ k.
    """
    m = _specialised(q, threshold)
    return np.exp(_log_choose(width, m) - _log_choose(q.shape[1], m))


def specialisation_of(
    q: Float[np.ndarray, "G k"],
    bath: Float[np.ndarray, " G"],
    weights: Float[np.ndarray, " G"],
    width: int,
    threshold: float,
    separated: bool,
    variance: Float[np.ndarray, "G k"] | None = None,
) -> Specialisation:
    """The order parameter from weighted draws.

    An explicit neuron's readout is Gaussian given its weights. That of the M = N − k others is uniform on a sphere: of
    their Q each has a share Beta(½, (M − 1)/2). For the identity it is the same whatever k.

    Args:
        q: shares of the explicit neurons.
        bath: Q of the others together.
        weights: of the draws, with any normalisation: `multiplicities` where there is a valley.
        width: N > k.
        threshold, separated: from `valley`.
        variance: λ_1 var(v_i | W) of the explicit neurons, in (0, 1]; None counts it as none.
    """
    (G, k), N = q.shape, width
    s2, w, M = np.zeros((G, k)) if variance is None else variance / N, weights / weights.sum(), N - k
    chance, carried = _beyond(np.sqrt(q), np.sqrt(s2), math.sqrt(threshold))
    radius, rest = np.maximum(bath, np.finfo(float).tiny), 0.5 * max(M - 1, 1e-9)
    count = float(w @ chance.sum(axis=1) + M * w @ beta.sf(threshold / radius, 0.5, rest))
    share = float(w @ carried.sum(axis=1) + w @ (bath * beta.sf(threshold / radius, 1.5, rest)))
    Q = float(w @ ((q + s2).sum(axis=1) + bath))
    fourth = float(w @ (q**2 + 6.0 * q * s2 + 3.0 * s2**2).sum(axis=1) + 3.0 / (M + 2) * w @ bath**2)
    return Specialisation(
        count=count,
        fraction=count / N,
        kurtosis=N * fourth / Q**2 - 3.0,
        share=share / Q,
        threshold=threshold,
        separated=separated,
        saturated=bool(separated and w @ (q > threshold).all(axis=1) > 0.5),
    )


def _beyond(
    mean: Float[np.ndarray, "G k"], deviation: Float[np.ndarray, "G k"], a: float
) -> tuple[Float[np.ndarray, "G k"], Float[np.ndarray, "G k"]]:
    """P(|u| > a) and E[u²; |u| > a] of Gaussian u."""
    s = np.maximum(deviation, 1e-12)
    up, down = (a - mean) / s, (a + mean) / s
    chance = norm.sf(up) + norm.sf(down)
    tails = s * ((a + mean) * norm.pdf(up) + (a - mean) * norm.pdf(down))
    return chance, (mean**2 + s**2) * chance + tails


def phases_of(
    q: Float[np.ndarray, "C S k"],
    bath: Float[np.ndarray, "C S"],
    error: Float[np.ndarray, "C S"],
    weights: Float[np.ndarray, "C S"],
    threshold: float,
    log_evidence: float,
    separated: bool = True,
) -> tuple[Phase, ...]:
    """Sectors of so many specialised neurons, by their number; the rarest left out.

    Args:
        q: shares of the explicit neurons, of every draw of every ladder.
        bath: Q of the others together.
        error: ε_t of each draw.
        weights: of the draws, with any normalisation.
        threshold: from which a neuron is specialised.
        log_evidence: log p(y | X) of all sectors.
        separated: whether there is a valley there; without one all is one phase.
    """
    if not separated:
        w = weights / weights.sum()
        return (Phase(None, 1.0, 0.0, log_evidence, float((w * error).sum()), float((w * bath).sum()), stable=True),)
    m = _specialised(q, threshold)
    found = []
    for count in range(q.shape[2] + 1):
        w = weights * (m == count)
        probability = float(w.sum() / weights.sum())
        if probability >= RARE:
            found.append((count, probability, _jackknife(w.sum(axis=1), weights.sum(axis=1)), w / w.sum()))
    likeliest = max(probability for _, probability, _, _ in found)
    return tuple(
        Phase(
            count, probability, deviation, log_evidence + math.log(probability), float((w * error).sum()),
            float((w * bath).sum()), stable=probability == likeliest,
        )
        for count, probability, deviation, w in found
    )  # fmt: skip


def of_all(
    q: Float[np.ndarray, "G k"], weights: Float[np.ndarray, " G"], width: int, threshold: float
) -> Float[np.ndarray, "G k"]:
    """Weights of every explicit neuron of every draw, with which their law is that of all N neurons; they sum to 1.

    A specialised one stands for itself, the others for those of the bath too.

    Args:
        q: shares of the explicit neurons.
        weights: of the draws, with any normalisation.
        width: N.
        threshold: from which a neuron is specialised.
    """
    special, w = q > threshold, weights / weights.sum()
    known = float(w @ (~special).sum(axis=1))
    each = (width - float(w @ special.sum(axis=1))) / known if known > 0.0 else 0.0
    found = w[:, None] * np.where(special, 1.0, each)
    return np.asarray(found / found.sum())


def _specialised(q: Float[np.ndarray, "*G k"], threshold: float) -> Int[np.ndarray, "*G"]:
    return (q > threshold).sum(axis=-1)


def _log_choose(n: int, m: Int[np.ndarray, " G"]) -> Float[np.ndarray, " G"]:
    return np.asarray(gammaln(n + 1.0) - gammaln(m + 1.0) - gammaln(n - m + 1.0))


def _jackknife(part: Float[np.ndarray, " C"], whole: Float[np.ndarray, " C"]) -> float:
    """Standard error of Σ part/Σ whole over independent ladders; infinite of one."""
    C = len(part)
    if C == 1:
        return math.inf
    without = (part.sum() - part) / (whole.sum() - whole)
    return math.sqrt((C - 1) * float(without.var()))
