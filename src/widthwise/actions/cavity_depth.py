"""A few neurons of the last hidden layer as they are, in a bath of Gaussian ones, at depth L.

k of N_L neurons are kept. Together with the bath, weighed by its readouts, they are k + 1 directions in the layer
below, whose Gram matrix is a chain of Wishart matrices. In Bartlett's factors the bath comes last; its row is Gaussian
and is integrated out. The pre-activations are h_i = Σ_j B_ij ζ_j, ζ_j ~ GP(0, C), the bath sees the same ζ, and

    p(ζ, B, Q | D) ∝ p(ζ) p(B) p(Q) N(y; 0, T I + Π_ℓ Q_ℓ K̃ + Q_L J ζΓζᵀ J/λ_L + ΦΦᵀ/(λ_L N_L)),  Φ = φ(ζBᵀ)  (P, k)
    B = B_{L-1} … B_1,   Γ_ℓ = (B_{<ℓ})ᵀ B_{<ℓ}/N_ℓ + Q_ℓ Γ_{ℓ-1},   Γ = Γ_{L-1},   N_ℓ Q_ℓ ~ χ²_{N_ℓ − k}

with C the covariance of a last-layer pre-activation at infinite width, K = κ(C)/λ_L and J = diag E φ'. What of K is not
linear takes no part in ζ; K̃ = K + (K − JCJ/λ_L)(1/Π_{ℓ<L}(1 − k/N_ℓ) − 1) keeps it whole, so that before the data the
bath's kernel is K on average. Exact for the identity at every k and L. For another φ two things are approximate beside
the bath's Gaussian neurons: the layers below the last enter by their scales alone, as in the global closure, and a bath
neuron shares with ζ its linear part alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from widthwise.actions.cavity import Cavity, activated, check_traced
from widthwise.actions.cavity_outputs import RESERVOIR
from widthwise.actions.matrix import MatrixAction, MonteCarlo
from widthwise.actions.outputs import OutputsTerm
from widthwise.actions.scalar import ScalarAction
from widthwise.activations.phi import Activation
from widthwise.errors import InputError
from widthwise.numerics.spectra import EigenSpectrum, Eigensystem

if TYPE_CHECKING:
    from widthwise.actions.cavity_depth_density import Numbers
    from widthwise.numerics.tempering import Tempered


class Parts(NamedTuple):
    """What a draw is made of.

    Attributes:
        zeta: coordinates of ζ, ζ_j = R ζ̂_j ("G k r").
        B: the neurons' scales below ("G k k").
        bath: √Q_L Γ^½, what the bath shares with ζ ("G k k").
        Q: Π_ℓ Q_ℓ, what multiplies the bath's kernel (" G").
    """

    zeta: Float[np.ndarray, "G k r"]
    B: Float[np.ndarray, "G k k"]
    bath: Float[np.ndarray, "G k k"]
    Q: Float[np.ndarray, " G"]


@dataclass(frozen=True)
class CavityDepthAction:
    """The law of k neurons of the last hidden layer and of their bath, sampled.

    Args:
        phi: the activation.
        inputs: R, R Rᵀ = C (P, r).
        slopes: J, E φ'(h) at every training input (P,).
        values: eigenvalues of K (P,).
        vectors: its eigenvectors, as columns (P, P).
        target: y (P,).
        temperature: T.
        widths: N_1 … N_L, each more than one.
        precision: λ_L.
        settings: how many neurons, and how they are sampled.
        reservoir: how the theory with k = 0 is sampled, from which the tempering starts.

    Raises:
        InputError: one layer, or a layer of one unit.
    """

    phi: Activation
    inputs: Float[np.ndarray, "P r"] = field(repr=False)
    slopes: Float[np.ndarray, " P"] = field(repr=False)
    values: Float[np.ndarray, " P"] = field(repr=False)
    vectors: Float[np.ndarray, "P P"] = field(repr=False)
    target: Float[np.ndarray, " P"] = field(repr=False)
    temperature: float
    widths: tuple[int, ...]
    precision: float
    settings: Cavity
    reservoir: MonteCarlo = RESERVOIR

    def __post_init__(self) -> None:
        if len(self.widths) < 2:
            raise InputError(f"widths: expected two hidden layers or more, got {self.widths}; use CavityAction.")
        if min(self.widths) < 2:
            raise InputError(
                'approximation="cavity": expected layers of at least 2 units, so that a neuron and a bath fit, got '
                f"{self.widths}; use approximation='integrated'."
            )

    @property
    def neurons(self) -> int:
        """k, of which every layer has more units."""
        return min(self.settings.neurons, min(self.widths) - 1)

    @property
    def width(self) -> int:
        """N_L."""
        return self.widths[-1]

    @property
    def depth(self) -> int:
        """L."""
        return len(self.widths)

    @cached_property
    def rotated(self) -> Float[np.ndarray, " P"]:
        """y in the eigenvectors of K."""
        return self.vectors.T @ self.target

    @property
    def retained(self) -> float:
        """1/Π_{ℓ<L}(1 − k/N_ℓ) − 1, how much more of what is not linear the bath's kernel has."""
        return float(1.0 / np.prod(1.0 - self.neurons / np.array(self.widths[:-1])) - 1.0)

    @cached_property
    def bath(self) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, "P P"]]:
        """Eigenvalues and eigenvectors (columns) of the bath's kernel K̃."""
        K, JR = (self.vectors * self.values) @ self.vectors.T, self.slopes[:, None] * self.inputs
        values, vectors = np.linalg.eigh(K + self.retained * (K - JR @ JR.T / self.precision))
        return np.maximum(values, 0.0), vectors

    @cached_property
    def gaussian(self) -> MatrixAction:
        """The theory with k = 0, as the chain of Wishart matrices of one row that it is."""
        how = replace(self.reservoir, seed=self.settings.seed)
        return MatrixAction(OutputsTerm(self.values, self.rotated[:, None], self.temperature), self.widths, how)

    @cached_property
    def numbers(self) -> Numbers:
        """What the density is made of, with the reservoir of the theory with k = 0."""
        from widthwise.actions.cavity_depth_density import Numbers

        products = np.log(np.asarray(self.gaussian.draws.layers)[:, :, 0, 0])  # of Q_ℓ … Q_L
        u = (products - np.concatenate([products[1:], np.zeros_like(products[:1])])).T
        centre, root = u.mean(axis=0), np.linalg.cholesky(np.cov(u, rowvar=False))
        values, U = self.bath
        linear = U.T @ (self.slopes[:, None] * self.inputs) / math.sqrt(self.precision)
        return Numbers(
            self.inputs, linear, np.ascontiguousarray(U.T), np.array([self.values, values]),
            np.array([self.rotated, U.T @ self.target]), self.temperature,
            self.precision * self.width, centre, root, np.array(self.widths, dtype=float),
            np.linalg.solve(root, (u - centre).T).T,
        )  # fmt: skip

    @cached_property
    def tempered(self) -> Tempered:
        """The draws."""
        import jax

        from widthwise.actions.cavity_depth_density import Explicit, Uncoupled
        from widthwise.numerics.tempering import temper

        check_traced(self.phi)
        s = self.settings
        with jax.enable_x64(True):
            return temper(
                Explicit(self.phi, self.neurons, self.depth), Uncoupled(self.neurons, self.depth), self.numbers,
                ladders=s.ladders, levels=s.levels, draws=s.draws, warmup=s.warmup, seed=s.seed,
            )  # fmt: skip

    @cached_property
    def log_evidence_gaussian(self) -> float:
        """log p(y) of the theory with k = 0."""
        spectrum = EigenSpectrum(Eigensystem(self.values, self.vectors), self.rotated)
        *below, width = self.widths
        return ScalarAction(spectrum, width, self.temperature, 1.0, tuple(below)).log_evidence_integrated()

    @property
    def log_evidence(self) -> float:
        """log p(y) with k neurons."""
        return self.log_evidence_gaussian + self.tempered.log_ratio

    def split(self, z: Float[np.ndarray, "G d"]) -> Parts:
        """What the coordinates stand for."""
        n, r, L = self.neurons, self.inputs.shape[1], self.depth
        zeta, x = z[:, : n * r].reshape(-1, n, r), z[:, -L:]
        scales = z[:, n * r : -L].reshape(len(z), L - 1, -1)
        N = np.array(self.widths, dtype=float)
        Q = (1.0 - n / N) * np.exp(self.numbers.centre + x @ self.numbers.root.T)
        B, Gamma = np.broadcast_to(np.eye(n), (len(z), n, n)), np.zeros((len(z), n, n))
        for below in range(L - 1):
            Gamma = np.swapaxes(B, 1, 2) @ B / N[below] + Q[:, below, None, None] * Gamma
            B = _bartlett(scales[:, below], n, self.widths[below]) @ B
        return Parts(zeta, B, np.sqrt(Q[:, -1, None, None]) * np.linalg.cholesky(Gamma), Q.prod(axis=1))

    def features(self, parts: Parts) -> Float[np.ndarray, "G P n"]:
        """[UᵀΦ/√(λ_L N_L), √Q_L UᵀJζΓ^½/√λ_L] of the training points (G, P, 2k), U of the bath's kernel."""
        return self.bath[1].T @ self.unrotated(parts, np.swapaxes(parts.zeta @ self.inputs.T, 1, 2), self.slopes)

    def unrotated(
        self, parts: Parts, zeta: Float[np.ndarray, "G n k"], slopes: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "G n m"]:
        """The same at any points (G, n, 2k).

        Args:
            parts: the draws.
            zeta: ζ at the points.
            slopes: J there.
        """
        H = zeta @ np.swapaxes(parts.B, 1, 2)
        explicit = activated(self.phi, H.reshape(-1, H.shape[2])).reshape(H.shape) / math.sqrt(self.width)
        bath = slopes[:, None] * (zeta @ parts.bath)
        return np.concatenate([explicit, bath], axis=2) / math.sqrt(self.precision)


def _bartlett(s: Float[np.ndarray, "G d"], n: int, N: int) -> Float[np.ndarray, "G n n"]:
    nu, below = N - np.arange(n, dtype=float), np.tril_indices(n, -1)
    A = np.zeros((len(s), n, n))
    A[:, range(n), range(n)] = np.sqrt(nu) * np.exp(s[:, :n] / np.sqrt(2.0 * nu))
    A[:, below[0], below[1]] = s[:, n:]
    return A / math.sqrt(N)
