"""One output: the effective action of the one order parameter Q that multiplies the kernel.

    S(Q) = Q − log Q + (1/N_1) [ log det(T I + Q K) + yᵀ (T I + Q K)⁻¹ y ],   p(log Q | D) ∝ exp(−N_1 S(Q)/2)
                                        [Pacelli et al. 2023, arXiv 2209.04882; Baglioni et al. 2024, arXiv 2401.11004]

Q = λ_1|v|²/N_1 ~ χ²_{N_1}/N_1 is the readout's squared norm: given Q the network is the Gaussian process Q K.
Everything here works in u = log Q, where the measure is flat. Of a deeper network Q is the product of its layers' order
parameters, whose prior is `ChainPrior`: Q − log Q and χ² above are its case of one layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise.actions.chain import ChainPrior
from widthwise.errors import NumericalError
from widthwise.numerics.spectra import AbstractSpectrum, AnswersTerms, FactoredSpectrum, GaussianTerms
from widthwise.saddle import Saddle, StationaryPoint, Status, minimise_scalar, refine
from widthwise.saddle.scalar import Jet

_WINDOW = 4.0  # how far (in log Q) from its centre a surrogate is trusted before it is made anew
_LOST = 1e-3  # a rounding error in log Q that makes the minimum meaningless
_DROP = 40.0  # the quadrature ends where log p(log Q) has fallen by this much


def zero_temperature_order_parameter(load: float, s: float) -> float:
    """Q* at T → 0 with K invertible, in closed form.

        Q* = [ (1 − α) + √((1 − α)² + 4 α s) ]/2,   s = yᵀK⁻¹y/P            [Pacelli et al. 2023, arXiv 2209.04882]

    Args:
        load: α = P/N_1, more than zero.
        s: yᵀK⁻¹y/P, not negative. Finite width lowers the variance exactly when s < 1.
    """
    root = math.hypot(1.0 - load, 2.0 * math.sqrt(load * s))
    # for α > 1 the two terms cancel: use the product of the roots, −α s, instead
    return 0.5 * (1.0 - load + root) if load <= 1.0 else 2.0 * load * s / (root - (1.0 - load))


@dataclass(frozen=True)
class Quadrature:
    """Nodes Q_g and weights (summing to 1) of p(Q | D).

    Args:
        Q: nodes, ascending (G,).
        weights: (G,).
        layers: E[Q_ℓ | Q_g] (L, G).
        log_evidence: log ∫ p(Q) N(y; 0, T I + Q K) dQ.
        error: relative change of the normaliser and of ⟨Q⟩ when every second node is dropped.
    """

    Q: Float[np.ndarray, " G"]
    weights: Float[np.ndarray, " G"]
    layers: Float[np.ndarray, "L G"]
    log_evidence: float
    error: float


@dataclass(frozen=True)
class ScalarAction:
    """S(Q) on any spectrum.

    Args:
        spectrum: of a kernel K₀, with the target.
        width: N_L, of the last hidden layer.
        temperature: T.
        scale: K = scale · K₀ (another readout precision on the same spectrum).
        below: N_1 … N_{L-1}, where there are more hidden layers.
    """

    spectrum: AbstractSpectrum
    width: int
    temperature: float
    scale: float = 1.0
    below: tuple[int, ...] = ()

    @cached_property
    def prior(self) -> ChainPrior:
        """The law of Q before the data."""
        return ChainPrior((*self.below, self.width))

    def terms(self, Q: float) -> GaussianTerms:
        """The spectrum's answers about A = T I + Q K; their K is K₀, so a factor Q K is q K₀ with q = scale · Q."""
        return self.spectrum.terms(self.scale * Q, self.temperature)

    def jet(self, u: float) -> Jet:
        """S, dS/du and d²S/du² at u = log Q."""
        return self._jet(u, self.spectrum)

    def _jet(self, u: float, spectrum: AnswersTerms) -> Jet:
        q = self.scale * math.exp(u)
        f = spectrum.terms(q, self.temperature)
        first = q * (f.trace - f.dual_energy)
        second = first + q * q * (2.0 * f.dual_curvature - f.trace_square)
        N, prior = self.width, self.prior.jet(u)
        return Jet(prior.value + (f.log_det + f.quadratic) / N, prior.slope + first / N, prior.curvature + second / N)

    def bounds(self) -> tuple[float, float]:
        """An interval of u that holds every stationary point: for one layer 1/(1 + tr K/(T N)) ≤ Q ≤ 1 + |y|²/(4 T N).

        At a stationary point N_ℓ(Q_ℓ − 1) = q aᵀK₀a − q tr(A⁻¹K₀) in every layer, where q aᵀK₀a ≤ |y|²/(4T), since
        q k/(T + q k)² ≤ 1/(4T), and q tr(A⁻¹K₀) ≤ Q tr K/T. The narrowest layer gives the lower bound.
        """
        target, widths = self.spectrum.target, np.array([*self.below, self.width], dtype=float)
        lower = -len(widths) * math.log1p(self.scale * self.spectrum.trace_K / (self.temperature * widths.min()))
        upper = float(np.log1p(float(target @ target) / (4.0 * self.temperature * widths)).sum())
        return lower - 0.1, upper + 0.1

    @cached_property
    def saddle(self) -> Saddle:
        """The lowest minimum of S, with every other stationary point found."""
        found = self._search()
        if found.status is Status.CONVERGED and self._rounding(found.best) > _LOST:
            return replace(found, status=Status.ROUNDING)
        return found

    @property
    def rounding(self) -> float:
        """How far the kernel's own rounding errors may have moved log Q*."""
        return self._rounding(self.saddle.best)

    def _rounding(self, best: StationaryPoint) -> float:
        """ε ‖QK‖ (|a|² + tr A⁻¹)/(N_1 S''): first order in an error ε ‖K‖ of every eigenvalue of K."""
        if float(best.hessian[0]) <= 0.0:
            return math.inf  # not a minimum: nothing is known of it
        q = self.scale * math.exp(float(best.x[0]))
        change = np.finfo(float).eps * q * self.spectrum.norm_K * self.spectrum.sensitivity(q, self.temperature)
        return float(change / (self.width * float(best.hessian[0])))

    def _search(self) -> Saddle:
        lower, upper = self.bounds()
        starts = max(33, math.ceil(3.0 * (upper - lower)))
        if not isinstance(self.spectrum, FactoredSpectrum):
            return minimise_scalar(self.jet, lower, upper, starts=starts)
        centre = 0.0
        for _ in range(4):
            guess = self.spectrum.surrogate(self.scale * math.exp(centre), self.temperature)
            found = minimise_scalar(lambda u: self._jet(u, guess), lower, upper, starts=starts)  # noqa: B023
            if abs(float(found.best.x[0]) - centre) <= math.log(_WINDOW):
                break
            centre = float(found.best.x[0])
        if found.status in (Status.NO_MINIMUM, Status.DEGENERATE):
            return found
        return refine(self.jet, found)

    @property
    def Q(self) -> float:
        """The order parameter at the minimum: what multiplies the kernel."""
        return math.exp(float(self.saddle.best.x[0]))

    @property
    def layers(self) -> Float[np.ndarray, " L"]:
        """Q_1 … Q_L at the minimum; their product is Q."""
        return self.prior.layers(float(self.saddle.best.x[0]))

    @property
    def shares(self) -> tuple[float, float]:
        """τ = tr(A⁻¹K)/N and ρ = (aᵀKa/N)/(1 + τ) at the minimum: with one layer Q* = 1/((1 + τ)(1 − ρ))."""
        terms = self.terms(self.Q)
        tau = self.scale * terms.trace / self.width
        return tau, self.scale * terms.dual_energy / self.width / (1.0 + tau)

    @cached_property
    def quadrature(self) -> Quadrature:
        """p(Q | D) by the trapezoidal rule in log Q, which converges geometrically for this integrand."""
        minima = [point for point in self.saddle.points if point.kind == "minimum"]
        if not minima:
            raise NumericalError("integral over the order parameter: no minimum to start from; raise the temperature.")
        lowest = min(minima, key=lambda point: point.value)
        half = 0.5 * self.width
        step = min(0.4, 0.5 / math.sqrt(half * float(lowest.hessian[0])))
        centre = float(lowest.x[0])
        top = self._log_joint(centre)

        near = [float(point.x[0]) for point in minima if half * (point.value - lowest.value) < _DROP]
        nodes = {0: 0.0}
        for direction, last in ((1, max(near)), (-1, min(near))):
            i = direction
            while True:
                nodes[i] = self._log_joint(centre + i * step) - top
                if nodes[i] < -_DROP and (centre + i * step - last) * direction > 0:
                    break
                i += direction
        index = np.array(sorted(nodes))
        u = centre + step * index
        Q, weights = np.exp(u), np.exp(np.array([nodes[i] for i in index]))
        total = float(weights.sum())
        even = index % 2 == 0
        coarse = 2.0 * float(weights[even].sum())
        mean, coarse_mean = float(weights @ Q) / total, 2.0 * float(weights[even] @ Q[even]) / coarse
        error = max(abs(coarse / total - 1.0), abs(coarse_mean / mean - 1.0))
        layers = np.array([self.prior.layer_means(float(v)) for v in u]).T
        return Quadrature(Q, weights / total, layers, math.log(total * step) + top, error)

    def _log_joint(self, u: float) -> float:
        """log p(u) N(y; 0, T I + Q K), exact."""
        return self.prior.log_density(u) + self._log_likelihood(math.exp(u))

    def _log_likelihood(self, Q: float) -> float:
        f = self.terms(Q)
        return -0.5 * (f.log_det + f.quadratic + self.spectrum.size * math.log(2.0 * math.pi))

    def log_evidence_integrated(self) -> float:
        """log ∫ p(Q) N(y; 0, T I + Q K) dQ."""
        return self.quadrature.log_evidence

    def log_evidence_saddle(self) -> float:
        """Its Laplace approximation in log Q_1 … log Q_L, at the minimum."""
        best, L = self.saddle.best, 1 + len(self.below)
        u = float(best.x[0])
        data_curvature = float(best.hessian[0]) - self.prior.jet(u).curvature
        gaussian = 0.5 * (L * math.log(4.0 * math.pi / self.width) - self.prior.log_hessian(u, data_curvature))
        constants = self.prior.laplace_constant() - 0.5 * self.spectrum.size * math.log(2.0 * math.pi)
        return constants - 0.5 * self.width * best.value + gaussian

    def log_evidence_infinite(self) -> float:
        """log N(y; 0, T I + K): infinite width."""
        return self._log_likelihood(1.0)
