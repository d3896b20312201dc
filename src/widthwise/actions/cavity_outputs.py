"""A few neurons as they are, in a bath of Gaussian ones, of D outputs: one hidden layer beyond Gaussian equivalence.

Of N exchangeable neurons k are kept; the other N − k become Gaussian features of the same kernel. Given the Gram matrix
of their readouts what is left is a Gaussian process:

    p(W, Q | D) ∝ Π_i p(w_i) p(Q) N(Y; 0, T I + Q ⊗ K + I_D ⊗ ΦΦᵀ/(λ_1 N)),    N Q ~ Wishart_D(N − k)

k = 0 is the integrated theory of a matrix-valued order parameter (`MatrixAction`), and where the tempering starts: from
a reservoir of its draws. For the identity every k is exact. D = 1 is `CavityAction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from widthwise.actions.cavity import Cavity, check_traced, features_of
from widthwise.actions.matrix import MatrixAction, MonteCarlo
from widthwise.actions.outputs import OutputsTerm
from widthwise.activations.phi import Activation
from widthwise.errors import InputError

if TYPE_CHECKING:
    from widthwise.actions.cavity_outputs_density import Numbers
    from widthwise.numerics.tempering import Tempered

RESERVOIR = MonteCarlo(chains=8, draws=1000, warmup=300, nodes=8000)


@dataclass(frozen=True)
class CavityOutputsAction:
    """The law of k neurons and of their bath, of D outputs, sampled.

    Args:
        phi: the activation.
        inputs: coordinates C of the training inputs, h = C w, w ~ N(0, I) (P, r).
        values: eigenvalues of K (P,).
        vectors: its eigenvectors, as columns (P, P).
        target: Y (P, D).
        temperature: T.
        width: N, more than D.
        precision: λ_1.
        settings: how many neurons, and how they are sampled.
        reservoir: how the theory with k = 0 is sampled, from which the tempering starts.

    Raises:
        InputError: N is not more than D: there is no density of the bath's order parameter.
    """

    phi: Activation
    inputs: Float[np.ndarray, "P r"] = field(repr=False)
    values: Float[np.ndarray, " P"] = field(repr=False)
    vectors: Float[np.ndarray, "P P"] = field(repr=False)
    target: Float[np.ndarray, "P D"] = field(repr=False)
    temperature: float
    width: int
    precision: float
    settings: Cavity
    reservoir: MonteCarlo = RESERVOIR

    def __post_init__(self) -> None:
        if self.width <= self.outputs:
            raise InputError(
                f'approximation="cavity": expected a width of more than {self.outputs} (the outputs), so that one '
                f"neuron can leave a bath of as many as outputs, got {self.width}; use approximation='integrated'."
            )

    @property
    def outputs(self) -> int:
        """D."""
        return self.target.shape[1]

    @property
    def neurons(self) -> int:
        """k, of which at least D are left to the bath."""
        return min(self.settings.neurons, self.width - self.outputs)

    @cached_property
    def rotated(self) -> Float[np.ndarray, "P D"]:
        """UᵀY."""
        return self.vectors.T @ self.target

    @cached_property
    def gaussian(self) -> MatrixAction:
        """The theory with k = 0."""
        how = replace(self.reservoir, seed=self.settings.seed)
        return MatrixAction(OutputsTerm(self.values, self.rotated, self.temperature), (self.width,), how)

    @cached_property
    def numbers(self) -> Numbers:
        """What the density is made of, with the reservoir of the theory with k = 0."""
        from widthwise.actions.cavity_outputs_density import Numbers

        u = coordinates(self.gaussian.draws.Q)
        centre = u.mean(axis=0)
        root = np.linalg.cholesky(np.atleast_2d(np.cov(u, rowvar=False)))
        reservoir = np.linalg.solve(root, (u - centre).T).T
        N, M = self.width, self.width - self.neurons
        return Numbers(
            self.inputs, np.ascontiguousarray(self.vectors.T), self.values, self.rotated, self.temperature,
            self.precision * N, centre, root, np.array([float(N), float(M)]), reservoir,
        )  # fmt: skip

    @cached_property
    def tempered(self) -> Tempered:
        """The draws."""
        import jax

        from widthwise.actions.cavity_outputs_density import Explicit, Uncoupled
        from widthwise.numerics.tempering import temper

        check_traced(self.phi)
        s = self.settings
        with jax.enable_x64(True):
            return temper(
                Explicit(self.phi, self.neurons, self.outputs), Uncoupled(self.neurons), self.numbers,
                ladders=s.ladders, levels=s.levels, draws=s.draws, warmup=s.warmup, seed=s.seed,
            )  # fmt: skip

    @property
    def log_evidence_gaussian(self) -> float:
        """log p(Y) of the theory with k = 0."""
        return self.gaussian.evidence.log

    @property
    def log_evidence(self) -> float:
        """log p(Y) with k neurons."""
        return self.log_evidence_gaussian + self.tempered.log_ratio

    @property
    def log_evidence_error(self) -> float:
        """Its standard error: the theory's with k = 0, and the ladders'."""
        return math.hypot(self.gaussian.evidence.standard_error, self.tempered.standard_error)

    def features(self, W: Float[np.ndarray, "G k r"]) -> Float[np.ndarray, "G P k"]:
        """UᵀΦ/√(λ_1 N) of the training points."""
        return features_of(self, W)

    def split(self, z: Float[np.ndarray, "*G d"]) -> tuple[Float[np.ndarray, "*G k r"], Float[np.ndarray, "*G D D"]]:
        """(W, Q) of coordinates: the neurons' weights, and the matrix that multiplies the bath's kernel."""
        centre, root = self.numbers.centre, self.numbers.root
        W, x = z[..., : -len(centre)], z[..., -len(centre) :]
        L = factor(centre + x @ root.T, self.outputs)
        share = (self.width - self.neurons) / self.width
        return W.reshape(*z.shape[:-1], self.neurons, -1), share * (L @ np.swapaxes(L, -1, -2))


def coordinates(Q: Float[np.ndarray, "*G D D"]) -> Float[np.ndarray, "*G d"]:
    """u = (log L_11 … log L_DD, L_21, L_31 …) of Q = L Lᵀ."""
    L, D = np.linalg.cholesky(Q), Q.shape[-1]
    below = np.tril_indices(D, -1)
    return np.concatenate([np.log(np.diagonal(L, axis1=-2, axis2=-1)), L[..., below[0], below[1]]], axis=-1)


def factor(u: Float[np.ndarray, "*G d"], outputs: int) -> Float[np.ndarray, "*G D D"]:
    """L, the inverse of `coordinates`."""
    L, below = np.zeros((*u.shape[:-1], outputs, outputs)), np.tril_indices(outputs, -1)
    L[..., range(outputs), range(outputs)] = np.exp(u[..., :outputs])
    L[..., below[0], below[1]] = u[..., outputs:]
    return L
