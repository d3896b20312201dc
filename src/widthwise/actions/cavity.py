"""A few neurons as they are, in a bath of Gaussian ones: one hidden layer beyond Gaussian equivalence.

Of N exchangeable neurons k are kept, with their weights and activation; the other N − k are replaced, as the saddle
replaces all of them, by Gaussian features of the same kernel. Given the readout's squared norm on these, S ~ χ²_{N−k},
what is left is a Gaussian process:

    p(W, Q | D) ∝ Π_i p(w_i) p(Q) N(y; 0, T I + Q K + ΦΦᵀ/(λ_1 N)),    Q = S/N,   Φ = φ(X Wᵀ/√(λ_0 N_0))  (P, k)

k = 0 is the integrated theory of one order parameter, k = N the network itself; for the identity every k is exact. The
integral over W and Q is tempered (`numerics.tempering`) from k = 0, where everything is known: W has its prior, Q its
one-dimensional posterior, and the evidence is a quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from widthwise.activations.callables import evaluate
from widthwise.activations.phi import Activation
from widthwise.errors import InputError

if TYPE_CHECKING:
    from widthwise.actions.cavity_density import Numbers
    from widthwise.numerics.tempering import Tempered

_GRID = 4001  # points of log Q
_DROP = 40.0  # of log p(log Q | D), beyond which nothing is looked at
_WIDEST = 30.0  # |log Q| at most


_LEAST = {"neurons": 1, "ladders": 2, "levels": 2, "draws": 20, "warmup": 20, "nodes": 16, "seed": 0}


@dataclass(frozen=True)
class Cavity:
    """How the cavity is sampled.

    Args:
        neurons: k, kept as they are; of fewer than N − 1 all but one.
        ladders: independent, each from the uncoupled theory to the wanted one.
        levels: of a ladder.
        draws: of each ladder, after the warm-up.
        warmup: transitions before.
        nodes: draws of all ladders that a prediction averages over.
        seed: of everything random.
    """

    neurons: int = 4
    ladders: int = 8
    levels: int = 8
    draws: int = 250
    warmup: int = 150
    nodes: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}; leave it out.")
            object.__setattr__(self, name, int(value))  # NumPy's own are not JSON


@dataclass(frozen=True)
class CavityAction:
    """The law of k neurons and of their bath, sampled.

    Args:
        phi: the activation.
        inputs: coordinates C of the training inputs, h = C w, w ~ N(0, I) (P, r).
        values: eigenvalues of K (P,).
        vectors: its eigenvectors, as columns (P, P).
        target: y (P,).
        temperature: T.
        width: N.
        precision: λ_1.
        settings: how many neurons, and how they are sampled.
    """

    phi: Activation
    inputs: Float[np.ndarray, "P r"] = field(repr=False)
    values: Float[np.ndarray, " P"] = field(repr=False)
    vectors: Float[np.ndarray, "P P"] = field(repr=False)
    target: Float[np.ndarray, " P"] = field(repr=False)
    temperature: float
    width: int
    precision: float
    settings: Cavity

    @property
    def neurons(self) -> int:
        """k."""
        return min(self.settings.neurons, self.width - 1)

    @cached_property
    def rotated(self) -> Float[np.ndarray, " P"]:
        """Uᵀy."""
        return self.vectors.T @ self.target

    def log_joint(self, log_Q: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """log p(log Q) N(y; 0, T I + Q K) of the theory with k = 0."""
        D = self.temperature + np.exp(log_Q)[:, None] * self.values
        normal = -0.5 * (np.log(D) + self.rotated**2 / D + math.log(2.0 * math.pi)).sum(axis=1)
        N = self.width
        return 0.5 * N * (log_Q - np.exp(log_Q)) - _constant(N) + normal

    @cached_property
    def numbers(self) -> Numbers:
        """What the density is made of, with the law of Q of the theory with k = 0 on a grid."""
        from widthwise.actions.cavity_density import Numbers

        low, high = self._window()
        grid = np.linspace(low, high, _GRID)
        log_p = self.log_joint(grid)
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        centre = float(p @ grid)
        spread = max(math.sqrt(float(p @ (grid - centre) ** 2)), 1e-6)
        cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]))])
        N, M = self.width, self.width - self.neurons
        return Numbers(
            self.inputs, np.ascontiguousarray(self.vectors.T), self.values, self.rotated, self.temperature,
            self.precision * N, centre, spread, np.array([float(N), float(M)]),
            np.array([_constant(N), _constant(M)]), grid, cumulative / cumulative[-1],
        )  # fmt: skip

    def _window(self) -> tuple[float, float]:
        """Where log p(log Q | D) is within `_DROP` of its top."""
        grid = np.linspace(-_WIDEST, _WIDEST, _GRID)
        log_p = self.log_joint(grid)
        inside = np.flatnonzero(log_p > log_p.max() - _DROP)
        return float(grid[max(inside[0] - 1, 0)]), float(grid[min(inside[-1] + 1, _GRID - 1)])

    @cached_property
    def log_evidence_gaussian(self) -> float:
        """log p(y) of the theory with k = 0."""
        grid = self.numbers.grid
        log_p = self.log_joint(grid)
        return float(np.log(np.exp(log_p - log_p.max()).sum() * (grid[1] - grid[0])) + log_p.max())

    @cached_property
    def tempered(self) -> Tempered:
        """The draws."""
        import jax

        from widthwise.actions.cavity_density import Explicit, Uncoupled
        from widthwise.numerics.tempering import temper

        s = self.settings
        check_traced(self.phi)
        with jax.enable_x64(True):
            return temper(
                Explicit(self.phi, self.neurons), Uncoupled(self.neurons), self.numbers,
                ladders=s.ladders, levels=s.levels, draws=s.draws, warmup=s.warmup, seed=s.seed,
            )  # fmt: skip

    def features(self, W: Float[np.ndarray, "G k r"]) -> Float[np.ndarray, "G P k"]:
        """UᵀΦ/√(λ_1 N) of the training points."""
        return features_of(self, W)

    def split(self, z: Float[np.ndarray, "*G d"]) -> tuple[Float[np.ndarray, "*G k r"], Float[np.ndarray, "*G"]]:
        """(W, Q) of coordinates: the neurons' weights, and S/N, what multiplies the bath's kernel."""
        W = z[..., :-1].reshape(*z.shape[:-1], self.neurons, -1)
        share = (self.width - self.neurons) / self.width
        return W, share * np.exp(self.numbers.centre + self.numbers.spread * z[..., -1])


def features_of(action: Any, W: Float[np.ndarray, "G k r"]) -> Float[np.ndarray, "G P k"]:
    """UᵀΦ/√(λ_1 N) of the training points, of one output or several: D of them share the features.

    Args:
        action: with phi, inputs, vectors, precision, width.
        W: coordinates of the neurons' weights.
    """
    G, k, r = W.shape
    F = action.vectors.T @ activated(action.phi, action.inputs @ W.reshape(-1, r).T)
    return (F / math.sqrt(action.precision * action.width)).reshape(-1, G, k).transpose(1, 0, 2)


def activated(phi: Activation, h: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
    """φ(h) in float64, whatever library the caller's own φ is written in."""
    return np.asarray(phi(h), dtype=float) if phi.builtin else evaluate(phi, h.ravel()).reshape(h.shape)


def check_traced(phi: Activation) -> None:
    """Refuses an activation that JAX can neither trace nor differentiate.

    Raises:
        InputError: it is a callable written for NumPy alone.
    """
    import jax

    try:
        with jax.enable_x64(True):
            jax.eval_shape(jax.grad(lambda h: phi(h).sum()), jax.numpy.ones((2, 3)))
    except Exception as error:  # whatever the caller's function raises
        raise InputError(
            f"activation {phi.name}: expected a function that JAX can trace and differentiate, which the cavity's "
            f"sampler needs, got {type(error).__name__}; write it with jax.numpy."
        ) from error


def _constant(nu: int) -> float:
    """log normaliser of χ²_ν in log S, S = ν Q."""
    return float(0.5 * nu * math.log(2.0) + gammaln(0.5 * nu) - 0.5 * nu * math.log(nu))
