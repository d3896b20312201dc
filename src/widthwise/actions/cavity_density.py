"""The density of a few neurons in a bath of Gaussian ones, in JAX: what `CavityAction` tempers.

    b = log p(Q') N(y; 0, T I + Q' K)   of the theory without explicit neurons,   S = N Q' ~ χ²_N
    b + c = log p(Q') N(y; 0, T I + (1 − k/N) Q' K + ΦΦᵀ/(λ_1 N))                 S = (N − k) Q' ~ χ²_{N−k}

The weights' prior N(0, I) is the sampler's own. One order parameter x, the standardised log Q', serves both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from widthwise.activations.phi import Activation


class Numbers(NamedTuple):
    """What the density is made of.

    Attributes:
        inputs: coordinates C of the training inputs, h = C w with w ~ N(0, I) ("P r").
        rotation: Uᵀ, the eigenvectors of K as rows ("P P").
        eigenvalues: of K (" P").
        target: Uᵀy (" P").
        temperature: T.
        readout: λ_1 N.
        centre, spread: of log Q' under the theory with k = 0.
        degrees: N, N − k.
        constants: log normalisers of χ²_N and χ²_{N−k} in log S.
        grid, cumulative: of log Q' (" n").
    """

    inputs: Any
    rotation: Any
    eigenvalues: Any
    target: Any
    temperature: Any
    readout: Any
    centre: Any
    spread: Any
    degrees: Any
    constants: Any
    grid: Any
    cumulative: Any


@dataclass(frozen=True)
class Explicit:
    """b and c of k neurons in a bath; z: their weights (k r) and x = (log Q' − centre)/spread, Q' = S/(N−k).

    Args:
        phi: the activation.
        neurons: k.
    """

    phi: Activation
    neurons: int

    def __call__(self, z: Any, numbers: Numbers) -> tuple[Any, Any]:
        k, log_S, T = numbers.eigenvalues, numbers.centre + numbers.spread * z[-1], numbers.temperature
        Q, (N, M) = jnp.exp(log_S), numbers.degrees
        whole = _log_chi_square(log_S, N, numbers.constants[0]) + log_normal(T + Q * k, numbers.target)
        F = self.features(z, numbers)
        bath = _log_chi_square(log_S, M, numbers.constants[1])
        D = T + (M / N) * Q * k
        scaled = F / D[:, None]
        B = jnp.eye(self.neurons) + F.T @ scaled
        root = jnp.linalg.cholesky(B)
        pulled = jax.scipy.linalg.solve_triangular(root, scaled.T @ numbers.target, lower=True)
        part = bath + log_normal(D, numbers.target) - jnp.sum(jnp.log(jnp.diagonal(root))) + 0.5 * pulled @ pulled
        # the Gaussian part of the coordinates is the sampler's; that of x belongs to no prior
        base = whole + jnp.log(numbers.spread) + 0.5 * z[-1] ** 2 + 0.5 * math.log(2.0 * math.pi)
        return base, part - whole

    def features(self, z: Any, numbers: Numbers) -> Any:
        """UᵀΦ/√(λ_1 N) ("P k")."""
        W = z[:-1].reshape(self.neurons, -1)
        return numbers.rotation @ self.phi(numbers.inputs @ W.T) / jnp.sqrt(numbers.readout)


@dataclass(frozen=True)
class Uncoupled:
    """A draw at β = 0: weights of the prior, and Q' of the theory with k = 0 by its cumulative distribution.

    Args:
        neurons: k.
    """

    neurons: int

    def __call__(self, key: Any, numbers: Numbers) -> Any:
        one, two = jax.random.split(key)
        W = jax.random.normal(one, (self.neurons * numbers.inputs.shape[1],))
        log_Q = jnp.interp(jax.random.uniform(two), numbers.cumulative, numbers.grid)
        return jnp.append(W, (log_Q - numbers.centre) / numbers.spread)


def _log_chi_square(log_Q: Any, nu: Any, constant: Any) -> Any:
    """Of log S, S = ν Q ~ χ²_ν."""
    return 0.5 * nu * (log_Q - jnp.exp(log_Q)) - constant


def log_normal(D: Any, y: Any) -> Any:
    """log N(y; 0, diag D), over every entry of y."""
    return -0.5 * (jnp.sum(jnp.log(D)) + jnp.sum(y * y / D) + y.size * math.log(2.0 * math.pi))
