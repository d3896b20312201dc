"""A matrix over the patches combines their kernels: the law of a convolutional network with a dense readout.

f | Q ~ GP,   Cov(f_d(x), f_e(x')) = (1/(λ_1 n)) Σ_ij Q_{(i,d),(j,e)} κ_ij(x, x')
of several layers:   n_1/(λ_2⋯λ_L n_L) times that of Q_1, and a constant from the biases above      (identity only)
                                                        [Aiudi, Pacelli et al. 2025, Nat. Commun., arXiv 2307.11807]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.actions import MatrixAction, MonteCarlo, PatchHierarchy, PatchTerm
from widthwise.errors import InputError
from widthwise.kernels import PatchKernels, StackKernels, patch_kernels
from widthwise.numerics.lapack import cholesky, cholesky_solve, half_solve
from widthwise.posterior import certificate, checks
from widthwise.posterior.certificate import MATRIX, Certificate, Validity, neuron_shares, validity
from widthwise.posterior.fit import Node
from widthwise.posterior.law import AbstractLaw
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import PreparedInputs
from widthwise.posterior.sources import AbstractSource

_BLOCK = 2**25  # entries of a cross kernel held at a time
_GROUP = 32  # order parameters whose kernels are held at a time, at most
_HELD = 2**28  # entries of those kernels
_COPIES = 5  # of A that one order parameter's gradient takes


@dataclass(frozen=True)
class PatchLaw(AbstractLaw):
    """K_R = Σ_ij Q_ij κ_ij/(λ_1 n) averaged over weighted matrices Q.

    Args:
        source: the training images.
        kernels: the patch kernels among them.
        y: targets (P,) or (P, D).
        temperature: T.
        Q: the order parameters (G, n D, n D), entry (i D + d, j D + e); of several layers Q_1, with D rows more where
            those above have biases.
        weights: sum to 1 (G,).
        monte_carlo: how the evidence is integrated, and Q was.
        found: S(Q), its minimum already found; made when needed where it is left out.
        above: of several layers Q_2 … Q_L, (G, n_ℓ D, n_ℓ D) each.
    """

    source: AbstractSource = field(repr=False)
    kernels: PatchKernels | StackKernels = field(repr=False)
    y: Float[np.ndarray, "P *D"] = field(repr=False)
    temperature: float
    Q: Float[np.ndarray, "G m m"] = field(repr=False)
    weights: Float[np.ndarray, " G"] = field(repr=False)
    monte_carlo: MonteCarlo = field(default_factory=MonteCarlo, repr=False)
    found: MatrixAction | None = field(default=None, repr=False)
    above: tuple[np.ndarray, ...] = field(default=(), repr=False)
    kind = "patches"
    drawn = True

    @classmethod
    def of(
        cls,
        source: AbstractSource,
        y: np.ndarray,
        temperature: float,
        Q: np.ndarray,
        weights: np.ndarray,
        monte_carlo: MonteCarlo,
        above: tuple[np.ndarray, ...] = (),
    ) -> PatchLaw:
        """The law at given order parameters, its patch kernels computed."""
        kernels = patch_kernels(source.network, source.X, skew=y.ndim == 2)
        return cls(source, kernels, y, temperature, Q, weights, monte_carlo, above=above)

    @property
    def targets(self) -> Float[np.ndarray, "P *D"]:
        return self.y

    @property
    def outputs(self) -> int:
        """D."""
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    @property
    def solver(self) -> str:
        return "patches"

    @property
    def order_parameters(self) -> dict[str, np.ndarray]:
        side = self.source.network.patches(*self.source.X.shape[1:3]).count * self.outputs  # without biases
        layers = {"Q": self.Q[:, :side, :side]} | {f"Q_{k}": Q for k, Q in enumerate(self.above, 2)}
        return {name: np.tensordot(self.weights, Q, 1) for name, Q in layers.items()}

    @property
    def infinite(self) -> Float[np.ndarray, "m m"]:
        """Q at infinitely many channels: the identity for one layer, what the patches above see of it for more."""
        side = len(self.order_parameters["Q"])
        return self.action.prior.expected[:side, :side]

    @cached_property
    def term(self) -> PatchTerm:
        """What the data say given Q."""
        return PatchTerm(self.kernels, self.y.reshape(len(self.y), -1), self.temperature)

    @cached_property
    def action(self) -> MatrixAction:
        """S(Q)."""
        if self.found is not None:
            return self.found
        return action_of(self.source, self.term, self.monte_carlo)

    def validity(self, *, exact: bool) -> Validity:
        terms = self.term.terms(np.tensordot(self.weights, self.Q, 1))
        N = self.source.network.widths[-1]
        tau, rho, _ = neuron_shares(terms.trace, terms.dual, N)
        saddle = len(self.Q) == 1
        rows = self.Q.shape[1] / N
        crowds = {"crowding": rows if saddle else 0.0, "patches": 0.0 if saddle else rows}
        return validity(tau, rho, None, exact=exact, limits=MATRIX, **crowds)

    def _factors(self) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """(weight, Cholesky factor of A, a = A⁻¹y output-major (D P,)) of every component."""
        y = self.term.Y.T.ravel()
        group = min(_GROUP, max(1, _HELD // y.size**2))
        for start in range(0, len(self.Q), group):
            for g, A in enumerate(self.term.matrices(self.Q[start : start + group]), start):
                R = cholesky(A, "T I + K_R(Q)")
                yield float(self.weights[g]), R, cholesky_solve(R, y)

    def nodes(self) -> Iterator[Node]:
        T = self.temperature
        for weight, R, a in self._factors():
            root = half_solve(R, np.eye(len(R)))
            yield Node(weight, T * a, len(R) - T * float(np.sum(root * root)))

    def dual_vector(self) -> Float[np.ndarray, "P *D"]:
        a = (self.fit.residual / self.temperature).reshape(self.outputs, -1).T
        return a[:, 0] if self.y.ndim == 1 else a

    def predict(self, X_new: Any, diagonal: Any, *, covariance: bool) -> Prediction:
        if diagonal is not None:
            raise InputError("diagonal: expected only with PrecomputedKernel, got one; leave it out.")
        X_new = self.source.check(X_new.X if isinstance(X_new, PreparedInputs) else X_new)
        G, D, n, P = len(self.Q), self.outputs, len(X_new), len(self.y)
        means, own = np.empty((G, n, D)), np.empty((G, n, D, D))
        full = self._prior(X_new) if covariance else None
        rows = n if covariance else max(1, _BLOCK // (P * D * D * min(G, _GROUP)))
        factors = list(self._factors()) if G * (P * D) ** 2 * 8 < 2**31 else None
        for start in range(0, n, rows):
            block = X_new[start : start + rows]
            at = slice(start, start + len(block))
            crosses = self._crosses(block)
            for g, (weight, R, a) in enumerate(self._factors() if factors is None else factors):
                k, prior = next(crosses)
                means[g, at] = k @ a
                C = k.reshape(-1, D * P).T  # columns (point, output)
                half = half_solve(R, C).reshape(D * P, -1, D)
                own[g, at] = prior - np.einsum("pnd,pne->nde", half, half)
                if full is not None:
                    full += weight * (_outer(means[g], means[g]) - np.einsum("pnd,pme->ndme", half, half))
        variance = np.maximum(np.einsum("gndd->gnd", own), 0.0)
        if full is not None:
            centre = np.tensordot(self.weights, means, 1)
            full -= _outer(centre, centre)
        drawn = G > 1
        if self.y.ndim == 1:
            flat = None if full is None else full[:, 0, :, 0]
            return Prediction.of_mixture(
                self.weights, means[..., 0], variance[..., 0], self.temperature, covariance=flat, drawn=drawn
            )
        np.einsum("gndd->gnd", own)[...] = variance
        return Prediction.of_mixture(
            self.weights, means, variance, self.temperature, covariance=full, covariances=own, drawn=drawn
        )

    def _crosses(self, X_new: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """K_R of every component between new images and the training images (b, D, D P) and at each (b, D, D)."""
        D, n = self.outputs, self.kernels.patches
        for start in range(0, len(self.Q), _GROUP):
            Q = self.Q[start : start + _GROUP].reshape(-1, n, D, n, D).transpose(0, 2, 4, 1, 3)
            k, own = self.kernels.cross(Q.reshape(-1, n, n), X_new)
            b = len(X_new)
            k = k.reshape(-1, D, D, b, len(self.y)).transpose(0, 3, 1, 2, 4).reshape(-1, b, D, D * len(self.y))
            own = own.reshape(-1, D, D, b).transpose(0, 3, 1, 2)
            yield from zip(k, 0.5 * (own + own.swapaxes(-1, -2)))

    def _prior(self, X_new: np.ndarray) -> Float[np.ndarray, "n D n D"]:
        """⟨K_R(Q)⟩ = K_R(⟨Q⟩) between all outputs of all new images."""
        mean = np.tensordot(self.weights, self.Q, 1)
        return kernel_between(self.source, mean, self.outputs, X_new, X_new)

    def renormalised_kernel(self, X1: Any, X2: Any) -> np.ndarray:
        X1 = self.source.check(X1, "X1")
        X2 = X1 if X2 is None else self.source.check(X2, "X2")
        k = kernel_between(self.source, np.tensordot(self.weights, self.Q, 1), self.outputs, X1, X2)
        return k[:, 0, :, 0] if self.y.ndim == 1 else k

    def arrays(self) -> dict[str, np.ndarray]:
        above = {f"Q_{k}": Q for k, Q in enumerate(self.above, 2)}
        return {"Q": self.Q, **above, "weights": self.weights, "monte_carlo": np.array(astuple(self.monte_carlo))}


def _outer(a: Float[np.ndarray, "n D"], b: Float[np.ndarray, "m D"]) -> Float[np.ndarray, "n D m D"]:
    return np.multiply.outer(a, b)


def kernel_between(
    source: AbstractSource, Q: Float[np.ndarray, "m m"], D: int, X1: np.ndarray, X2: np.ndarray
) -> Float[np.ndarray, "a D b D"]:
    """K_R(Q) between two sets of images."""
    kernels = patch_kernels(source.network, X2, skew=D > 1, hold=False)
    n = kernels.patches
    parts = Q.reshape(n, D, n, D).transpose(1, 3, 0, 2).reshape(D * D, n, n)
    return kernels.cross(parts, X1)[0].reshape(D, D, len(X1), len(X2)).transpose(2, 0, 3, 1)


def action_of(source: AbstractSource, term: PatchTerm, monte_carlo: MonteCarlo) -> MatrixAction:
    """The effective action of a convolutional network on its training images, at any depth."""
    network = source.network
    if network.depth == 1:
        return MatrixAction(term, network.widths, monte_carlo)
    height, width = source.X.shape[1:3]
    return MatrixAction(term, network.widths, monte_carlo, PatchHierarchy.of(network, (height, width), term.outputs))


def infer_patches(
    source: AbstractSource,
    y: Float[np.ndarray, "P *D"],
    temperature: float,
    approximation: str,
    monte_carlo: MonteCarlo | None,
    *,
    throw: bool,
) -> tuple[PatchLaw, Certificate]:
    """The law over the patches, by the approximation named, and how it was found.

    Args:
        source: the training images.
        y: targets (P,) or (P, D).
        temperature: T.
        approximation: "saddle" or "integrated".
        monte_carlo: how to integrate.
        throw: whether a search that did not converge, or chains that have not mixed, raise.
    """
    network, D, how = source.network, 1 if y.ndim == 1 else y.shape[1], monte_carlo or MonteCarlo()
    checks.estimate_memory(source.size, _COPIES * (how.chains if approximation == "integrated" else 1), D)
    kernels = patch_kernels(network, source.X, skew=D > 1)
    term = PatchTerm(kernels, y.reshape(len(y), -1), temperature)
    action = action_of(source, term, how)
    layers, weights, found = certificate.of_matrix_action(action, approximation, "patches", throw=throw)
    above = tuple(layers[1:])
    return PatchLaw(source, kernels, y, temperature, layers[0], weights, how, action, above), found
