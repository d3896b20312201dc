"""Several hidden layers whose order parameters reshape the kernel: the effective action of (Q_1 … Q_L), one output.

    S({Q_ℓ}) = Σ_ℓ (N_ℓ/N_L)(Q_ℓ − log Q_ℓ) + (1/N_L) [ log det(T I + K_R) + yᵀ (T I + K_R)⁻¹ y ]
                                [Pacelli et al. 2023, arXiv 2209.04882; Baglioni et al. 2026, arXiv 2605.29684]

on any closure K_R(Q_1 … Q_L). Everything works in u_ℓ = log Q_ℓ. Where one number multiplies the kernel, `ScalarAction`
does the same on a spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import blas, lapack

from widthwise.actions.chain import ChainPrior
from widthwise.actions.layered_integral import Joint, LayersIntegral, integrate
from widthwise.actions.matrix import MonteCarlo
from widthwise.actions.scalar import ScalarAction
from widthwise.errors import InputError, NumericalError
from widthwise.kernels.closures import AbstractClosure
from widthwise.numerics.lapack import cholesky, cholesky_solve
from widthwise.numerics.spectra import FactoredSpectrum, TridiagonalSpectrum
from widthwise.saddle import Saddle, StationaryPoint, Status
from widthwise.saddle.search import Search
from widthwise.saddle.trust import hessian_of, minimise_few

Layers = Float[np.ndarray, " L"]
_WIDER = (1 / 64, 1 / 16, 1 / 4, 1.0)  # the continuation: N_ℓ is divided by these, one after the other
_TRIDIAGONAL_UP_TO = 1200  # examples; above, one Cholesky factorisation is faster
_OTHER_STARTS = (0.0, -2.0, 1.0)  # log Q_ℓ, the same in every layer
_INDEFINITE = 1e-10  # of the largest variance: eigenvalues of K_R down to minus this are rounding
_LOST = 1e-3  # a rounding error in log Q that makes the minimum meaningless


class DataTerm(NamedTuple):
    """log det A + yᵀA⁻¹y at A = T I + K_R, its gradient in log Q_ℓ, and |A⁻¹y|² + tr A⁻¹: what an error of K moves."""

    value: float
    gradient: Layers
    sensitivity: float


@dataclass(frozen=True, eq=False)
class LayeredAction:
    """S(Q_1 … Q_L) on a closure.

    Args:
        closure: K_R(Q) and its pull-back.
        y: targets (P,).
        widths: N_1 … N_L.
        temperature: T.
        monte_carlo: nodes and seed of the integral over Q.
    """

    closure: AbstractClosure
    y: Float[np.ndarray, " P"]
    widths: tuple[int, ...]
    temperature: float
    monte_carlo: MonteCarlo = field(default_factory=MonteCarlo)

    def __post_init__(self) -> None:
        depth, P = self.closure.network.depth, len(self.closure.X)
        if len(self.widths) != depth or len(self.y) != P:
            raise InputError(
                f"layered action: expected {depth} widths and {P} targets, got {len(self.widths)} and {len(self.y)}; "
                "pass those of the closure's network and inputs."
            )

    @property
    def _N(self) -> Layers:
        return np.array(self.widths, dtype=float)

    @cached_property
    def _constant(self) -> float:
        """The prior's, of densities in u."""
        return ChainPrior(self.widths).laplace_constant()

    def value(self, u: Layers) -> float:
        """S at u = log Q: one Cholesky factorisation; infinite where T I + K_R is not positive definite."""
        Q = np.exp(u)
        try:
            R, a = self._solve(self.closure.training(Q))
        except NumericalError:
            return math.inf
        return self._prior(u, Q)[0] + (_log_det(R) + float(self.y @ a)) / self.widths[-1]

    def value_and_gradient(self, u: Layers) -> tuple[float, Layers]:
        """S and ∂S/∂log Q_ℓ at u = log Q; infinite, with gradient 0, where T I + K_R is not positive definite.

        Args:
            u: log Q_1 … log Q_L.
        """
        return self._widened(u, 1.0)

    def _widened(self, u: Layers, share: float) -> tuple[float, Layers]:
        """S with every width divided by `share`: the data term multiplied by it."""
        prior, slope = self._prior(u, np.exp(u))
        data = self.data_term(u)
        weight = share / self.widths[-1]
        return prior + weight * data.value, slope + weight * data.gradient

    def _prior(self, u: Layers, Q: Layers) -> tuple[float, Layers]:
        ratio = self._N / self._N[-1]
        return float((ratio * (Q - u)).sum()), ratio * (Q - 1.0)

    def data_term(self, u: Layers) -> DataTerm:
        """log det A + yᵀA⁻¹y and its gradient, without differentiating a factorisation.

            d(log det A + yᵀA⁻¹y) = Σ_ab W_ab dK_R,ab,   W = A⁻¹ − a aᵀ,   a = A⁻¹y

        W is what the closure pulls back through its layers; only a uses A⁻¹ to solve with, through the factor.
        """
        Q = np.exp(u)
        K, pull_back = self.closure.forward(Q)
        try:
            R, a = self._solve(K)
        except NumericalError:
            return DataTerm(math.inf, np.zeros(len(Q)), math.inf)
        value = _log_det(R) + float(self.y @ a)
        inverse, _ = lapack.dpotri(R.T, lower=1, overwrite_c=1)
        sensitivity = float(inverse.diagonal().sum() + a @ a)
        W = blas.dsyr(-1.0, a, lower=1, a=inverse, overwrite_a=1).T
        return DataTerm(value, Q * pull_back(W), sensitivity)

    def _solve(self, K: Float[np.ndarray, "P P"]) -> tuple[np.ndarray, np.ndarray]:
        """The Cholesky factor of A = T I + K, and A⁻¹y."""
        A = K.copy()
        A.reshape(-1)[:: len(A) + 1] += self.temperature
        R = cholesky(A, "T I + K_R")
        return R, cholesky_solve(R, self.y)

    @property
    def saddle(self) -> Saddle:
        """The lowest minimum of S in log Q, with every other stationary point found.

        From the saddle of one number for all layers, and from other starts, infinite width among them (should the first
        fail, by continuation in the width); each end polished by Newton steps and judged by its Hessian; between two
        minima the point that parts them.

        Status OUTSIDE_DOMAIN: no minimum has a positive semi-definite K_R (the linearised closure at small Q_ℓ); the
        lowest minimum is then `best`, not to be predicted with.

        Raises:
            NumericalError: T I + K is not positive definite at infinite width.
        """
        return self._found[0]

    @cached_property
    def _found(self) -> tuple[Saddle, float]:
        """The saddle, and how far rounding may have moved it."""
        if not self.closure.everywhere and not math.isfinite(self.value(np.zeros(len(self.widths)))):
            self._solve(self.closure.training(np.ones(len(self.widths))))  # says which minor, and what to do
        search = Search(self.value_and_gradient)
        search.descend(*self._one_number())
        if not any(point.kind == "minimum" for point in search.points):
            search.descend(*self._continued(search))
        for level in _OTHER_STARTS:
            u = np.full(len(self.widths), level)
            while not (self.closure.everywhere or math.isfinite(self.value(u))):
                u = 0.5 * u
            search.descend(u, np.diag(self._N / self._N[-1]) * max(1.0, math.exp(level)))
        search.between()
        if not search.points:
            self._solve(self.closure.training(np.ones(len(self.widths))))  # a singular kernel says so itself
        return self._chosen(search)

    def _one_number(self) -> tuple[Layers, Float[np.ndarray, "L L"]]:
        """The saddle and Hessian that there would be if the layers' product multiplied the kernel: one spectrum.

        Infinite width where that has none.
        """
        K = self.closure.training(np.ones(len(self.widths))).copy()
        spectrum = TridiagonalSpectrum.of(K, self.y) if len(K) <= _TRIDIAGONAL_UP_TO else FactoredSpectrum(K, self.y)
        action = ScalarAction(spectrum, self.widths[-1], self.temperature, below=self.widths[:-1])
        prior = self._N / self._N[-1]
        if action.saddle.status is not Status.CONVERGED:
            return np.zeros(len(prior)), np.diag(prior)
        u = float(action.saddle.best.x[0])
        data = max(action.jet(u).curvature - action.prior.jet(u).curvature, 0.0)
        return np.log(action.layers), np.diag(prior * action.layers) + data

    def _continued(self, search: Search) -> tuple[Layers, Float[np.ndarray, "L L"]]:
        """Where the minimum at infinite width goes as the widths shrink, nearly; and the Hessian's approximation."""
        u, H = np.zeros(len(self.widths)), np.diag(self._N / self._N[-1])
        for share in _WIDER[:-1]:
            end = minimise_few(lambda v: self._widened(v, share), u, H, tolerance=1e-2, steps=30)  # noqa: B023
            u, H = end.x, end.hessian
            search.evaluations += end.evaluations
        return u, H

    def _chosen(self, search: Search) -> tuple[Saddle, float]:
        points = tuple(sorted(search.points, key=lambda point: point.value))
        minima = [point for point in points if point.kind == "minimum"]
        inside = [point for point in minima if self.closure.everywhere or self.semi_definite(np.exp(point.x))]
        if not minima:
            degenerate = [point for point in points if point.kind == "degenerate"]
            best = degenerate[0] if degenerate else search.ends[0]
            status = Status.DEGENERATE if degenerate else Status.NOT_CONVERGED
        elif not inside:
            best, status = minima[0], Status.OUTSIDE_DOMAIN
        else:
            best, status = inside[0], Status.CONVERGED
        rounding = self._rounding(best)
        if status is Status.CONVERGED and rounding > _LOST:
            status = Status.ROUNDING
        return Saddle(best, points, len(search.ends), search.agreeing(best), search.evaluations, status), rounding

    def semi_definite(self, Q: Layers) -> bool:
        """Whether K_R(Q) is positive semi-definite: its eigenvalues at least −1e-10 of its largest variance."""
        K = self.closure.training(Q).copy()
        if not K.any():  # of zero inputs: nothing to factorise
            return True
        K.reshape(-1)[:: len(K) + 1] += _INDEFINITE * float(K.diagonal().max())
        try:
            cholesky(K, "K_R")
        except NumericalError:
            return False
        return True

    @property
    def rounding(self) -> float:
        """How far the kernel's own rounding errors may have moved log Q*: ε ‖K_R‖ (|a|² + tr A⁻¹)/(N_L S'')."""
        return self._found[1]

    def _rounding(self, best: StationaryPoint) -> float:
        smallest = float(best.hessian[0])
        if not smallest > 0.0:
            return math.inf
        norm = float(np.abs(self.closure.training(np.exp(best.x))).sum(axis=1).max())
        change = np.finfo(float).eps * norm * self.data_term(best.x).sensitivity
        return change / (float(self._N[-1]) * smallest)

    @property
    def layers(self) -> Layers:
        """Q_1 … Q_L at the minimum."""
        return np.exp(self.saddle.best.x)

    def log_evidence_saddle(self) -> float:
        """The Laplace approximation in log Q_1 … log Q_L of log ∫ p(Q) N(y; 0, T I + K_R(Q)) dQ, at the minimum."""
        best, L, N = self.saddle.best, len(self.widths), float(self._N[-1])
        H = hessian_of(self.value_and_gradient, best.x)  # the search's own is of a point nearby, good to 1e-3
        exact = np.isfinite(H).all() and float(np.linalg.eigvalsh(H)[0]) > 0.0
        log_det = float(np.linalg.slogdet(H)[1]) if exact else float(np.log(best.hessian).sum())
        gaussian = 0.5 * (L * math.log(4.0 * math.pi / N) - log_det)
        constants = self._constant - 0.5 * len(self.y) * math.log(2.0 * math.pi)
        return constants - 0.5 * N * best.value + gaussian

    # --- the integral ---------------------------------------------------------------------------------------------

    @cached_property
    def integral(self) -> LayersIntegral:
        """p(Q_1 … Q_L | D) as weighted nodes, from the Laplace approximations of every minimum inside the domain.

        Raises:
            NumericalError: the density vanishes at every node.
        """
        points = [p for p in self.saddle.points if p.kind == "minimum" and self._inside(np.exp(p.x))]
        points = points or [self.saddle.best]
        half, shapes, logs = 0.5 * float(self._N[-1]), [], []
        for point in points:
            shape = self._covariance(point)
            shapes.append(shape)
            logs.append(0.5 * float(np.linalg.slogdet(shape)[1]) - half * point.value)
        weights = np.exp(np.array(logs) - max(logs))
        weights /= weights.sum()
        x = np.array([point.x for point in points])
        centre = weights @ x
        between = ((x - centre) * weights[:, None]).T @ (x - centre)
        covariance = np.tensordot(weights, np.array(shapes), 1) + between
        how = self.monte_carlo
        return integrate(self._joint, centre, covariance, nodes=how.nodes, seed=how.seed)

    def _covariance(self, point: StationaryPoint) -> Float[np.ndarray, "L L"]:
        """2 (N_L ∂²S)⁻¹ in u; where that is not positive definite, of the prior alone."""
        H = hessian_of(self.value_and_gradient, point.x)
        if np.isfinite(H).all():
            curvatures, axes = np.linalg.eigh(H)
            if curvatures[0] > 0.0:
                return (2.0 / float(self._N[-1])) * (axes / curvatures) @ axes.T
        return np.diag(2.0 / (self._N * np.maximum(np.exp(point.x), 1.0)))

    def _inside(self, Q: Layers) -> bool:
        return self.closure.everywhere or self.semi_definite(Q)

    def _joint(self, u: Layers) -> Joint:
        """log p(u) N(y; 0, T I + K_R(e^u)), exact, with |A⁻¹y|²; −∞ where K_R is not positive semi-definite."""
        Q = np.exp(u)
        if not self._inside(Q):
            return Joint(-math.inf, 0.0)
        try:
            R, a = self._solve(self.closure.training(Q))
        except NumericalError:
            return Joint(-math.inf, 0.0)
        data = _log_det(R) + float(self.y @ a) + len(self.y) * math.log(2.0 * math.pi)
        prior = self._constant - 0.5 * float((self._N * (Q - u)).sum())
        return Joint(prior - 0.5 * data, float(a @ a))

    def log_evidence_integrated(self) -> float:
        """log ∫ p(Q) N(y; 0, T I + K_R(Q)) dQ over the closure's domain; its standard error is in `integral`."""
        return self.integral.log_evidence

    def log_evidence_infinite(self) -> float:
        """log N(y; 0, T I + K): infinite width."""
        R, a = self._solve(self.closure.training(np.ones(len(self.widths))))
        return -0.5 * (_log_det(R) + float(self.y @ a) + len(self.y) * math.log(2.0 * math.pi))


def _log_det(R: Float[np.ndarray, "P P"]) -> float:
    return 2.0 * float(np.log(R.diagonal()).sum())
