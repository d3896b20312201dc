"""The density of a few neurons in a bath of Gaussian ones, of D outputs, in JAX: what `CavityOutputsAction` tempers.

    b = log p(Q') N(Y; 0, T I + Q' ⊗ K)   of the theory without explicit neurons,   N Q' ~ Wishart_D(N)
    b + c = log p(Q') N(Y; 0, T I + (1 − k/N) Q' ⊗ K + I_D ⊗ ΦΦᵀ/(λ_1 N))          (N − k) Q' ~ Wishart_D(N − k)

One order parameter serves both: Q' = L Lᵀ by u = (log L_11 … log L_DD, L_21, L_31 …), whitened. In the eigenbases of Q'
and of K the outputs are independent of each other, each a low rank beside a diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from widthwise.actions.cavity_density import log_normal
from widthwise.activations.phi import Activation


class Numbers(NamedTuple):
    """What the density is made of.

    Attributes:
        inputs: coordinates C of the training inputs, h = C w with w ~ N(0, I) ("P r").
        rotation: Uᵀ, the eigenvectors of K as rows ("P P").
        eigenvalues: of K (" P").
        target: UᵀY ("P D").
        temperature: T.
        readout: λ_1 N.
        centre, root: u = centre + root x, of mean 0 and covariance I under the theory with k = 0 (" d", "d d").
        degrees: N, N − k.
        reservoir: x under that theory ("n d").
    """

    inputs: Any
    rotation: Any
    eigenvalues: Any
    target: Any
    temperature: Any
    readout: Any
    centre: Any
    root: Any
    degrees: Any
    reservoir: Any


@dataclass(frozen=True)
class Explicit:
    """b and c of k neurons in a bath: coordinates are their weights (k r) and x (D(D+1)/2).

    Args:
        phi: the activation.
        neurons: k.
        outputs: D.
    """

    phi: Activation
    neurons: int
    outputs: int

    def __call__(self, z: Any, numbers: Numbers) -> tuple[Any, Any]:
        size, T, (N, M) = numbers.centre.shape[0], numbers.temperature, numbers.degrees
        x = z[-size:]
        u = numbers.centre + numbers.root @ x
        L = self.factor(u)
        q, V = jnp.linalg.eigh(L @ L.T)
        k, Y = numbers.eigenvalues[:, None], numbers.target @ V
        whole = self.log_wishart(u, N) + log_normal(T + q * k, Y)
        F = self.features(z[:-size], numbers)
        D = T + (M / N) * q * k
        scaled = F.T[None] / D.T[:, None, :]  # (D k P)
        B = jnp.eye(self.neurons) + scaled @ F
        root = jnp.linalg.cholesky(B)
        pulled = jax.scipy.linalg.solve_triangular(root, jnp.einsum("dkp,pd->dk", scaled, Y)[..., None], lower=True)
        log_det = jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)))
        part = self.log_wishart(u, M) + log_normal(D, Y) - log_det + 0.5 * jnp.sum(pulled**2)
        # the Gaussian part of the coordinates is the sampler's; that of x belongs to no prior
        volume = jnp.sum(jnp.log(jnp.diagonal(numbers.root)))
        base = whole + volume + 0.5 * x @ x + 0.5 * size * math.log(2.0 * math.pi)
        return base, part - whole

    def features(self, w: Any, numbers: Numbers) -> Any:
        """UᵀΦ/√(λ_1 N) ("P k")."""
        W = w.reshape(self.neurons, -1)
        return numbers.rotation @ self.phi(numbers.inputs @ W.T) / jnp.sqrt(numbers.readout)

    def factor(self, u: Any) -> Any:
        """L ("D D")."""
        D = self.outputs
        L = jnp.zeros((D, D)).at[np.arange(D), np.arange(D)].set(jnp.exp(u[:D]))
        return L.at[np.tril_indices(D, -1)].set(u[D:])

    def log_wishart(self, u: Any, nu: Any) -> Any:
        """log p(u) for ν L Lᵀ ~ Wishart_D(ν): ν L_ii² ~ χ²_{ν−i+1}, √ν L_ij ~ N(0, 1)   [Bartlett 1933]."""
        D = self.outputs
        half, squares = 0.5 * (nu - np.arange(D)), nu * jnp.exp(2.0 * u[:D])
        diagonal = half * jnp.log(0.5 * squares) - 0.5 * squares - gammaln(half) + math.log(2.0)
        below = 0.5 * jnp.log(nu / (2.0 * math.pi)) - 0.5 * nu * u[D:] ** 2
        return jnp.sum(diagonal) + jnp.sum(below)


@dataclass(frozen=True)
class Uncoupled:
    """A draw at β = 0: weights of the prior, and x out of the reservoir of the theory with k = 0.

    Args:
        neurons: k.
    """

    neurons: int

    def __call__(self, key: Any, numbers: Numbers) -> Any:
        one, two = jax.random.split(key)
        W = jax.random.normal(one, (self.neurons * numbers.inputs.shape[1],))
        reservoir = jnp.asarray(numbers.reservoir)
        return jnp.append(W, reservoir[jax.random.randint(two, (), 0, len(reservoir))])
