"""The density of a few neurons of the last hidden layer in their bath, at depth L, in JAX: for `CavityDepthAction`.

    b = log p(Q'_1 … Q'_L) N(y; 0, T I + Π_ℓ Q'_ℓ K)             of the theory without explicit neurons, N_ℓ Q'_ℓ ~ χ²
    b + c = log p(Q'_1 … Q'_L) N(y; 0, T I + Π_ℓ Q_ℓ K̃ + FFᵀ)    Q_ℓ = (1 − k/N_ℓ) Q'_ℓ, (N_ℓ − k) Q'_ℓ ~ χ²

One set of scales serves both: x, the whitened log Q'. The neurons' own scales, Bartlett's factors, keep their prior.
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
        inputs: R with R Rᵀ the covariance of a last-layer pre-activation on the training inputs ("P r").
        linear: UᵀJR/√λ_L, J = diag E φ' ("P r").
        rotation: Uᵀ, the eigenvectors of the bath's kernel K̃ as rows ("P P").
        eigenvalues: of K and of K̃ ("2 P").
        target: y in the eigenvectors of K, and Uᵀy ("2 P").
        temperature: T.
        readout: λ_L N_L.
        centre, root: log Q' = centre + root x, of mean 0 and covariance I under the theory with k = 0 (" L", "L L").
        widths: N_1 … N_L.
        reservoir: x under that theory ("n L").
    """

    inputs: Any
    linear: Any
    rotation: Any
    eigenvalues: Any
    target: Any
    temperature: Any
    readout: Any
    centre: Any
    root: Any
    widths: Any
    reservoir: Any


@dataclass(frozen=True)
class Explicit:
    """b and c of k neurons in a bath: coordinates are ζ (k r), Bartlett's factors of each layer below, and x (L).

    Args:
        phi: the activation.
        neurons: k.
        depth: L.
    """

    phi: Activation
    neurons: int
    depth: int

    def __call__(self, z: Any, numbers: Numbers) -> tuple[Any, Any]:
        (k, bath), (of_k, y) = numbers.eigenvalues, numbers.target
        T, N = numbers.temperature, numbers.widths
        x = z[-self.depth :]
        log_Q = numbers.centre + numbers.root @ x
        whole = _log_chi_square(log_Q, N) + log_normal(T + jnp.exp(jnp.sum(log_Q)) * k, of_k)
        Q = (1.0 - self.neurons / N) * jnp.exp(log_Q)
        F, own = self.features(z, Q, numbers)
        D = T + jnp.prod(Q) * bath
        scaled = F / D[:, None]
        root = jnp.linalg.cholesky(jnp.eye(2 * self.neurons) + F.T @ scaled)
        pulled = jax.scipy.linalg.solve_triangular(root, scaled.T @ y, lower=True)
        log_det = jnp.sum(jnp.log(jnp.diagonal(root)))
        part = _log_chi_square(log_Q, N - self.neurons) + log_normal(D, y) - log_det + 0.5 * pulled @ pulled
        # the Gaussian part of the coordinates is the sampler's; that of x belongs to no prior
        volume = jnp.sum(jnp.log(jnp.diagonal(numbers.root)))
        base = whole + own + volume + 0.5 * x @ x + 0.5 * self.depth * math.log(2.0 * math.pi)
        return base, part - whole

    def features(self, z: Any, Q: Any, numbers: Numbers) -> tuple[Any, Any]:
        """[UᵀΦ/√(λ_L N_L), √Q_L UᵀJζ Γ^½/√λ_L] ("P 2k"), and what the scales' prior is beyond N(0, I)."""
        n, r = self.neurons, numbers.inputs.shape[1]
        zeta = z[: n * r].reshape(n, r).T
        scales = z[n * r : -self.depth].reshape(self.depth - 1, -1)
        B, Gamma, own = jnp.eye(n), jnp.zeros((n, n)), 0.0
        for below in range(self.depth - 1):
            N = numbers.widths[below]
            Gamma = B.T @ B / N + Q[below] * Gamma
            B = bartlett(scales[below], n, N) @ B
            own = own + log_bartlett(scales[below][:n], N)
        explicit = numbers.rotation @ self.phi(numbers.inputs @ zeta @ B.T) / jnp.sqrt(numbers.readout)
        bath = jnp.sqrt(Q[-1]) * numbers.linear @ zeta @ jnp.linalg.cholesky(Gamma)
        return jnp.concatenate([explicit, bath], axis=1), own


@dataclass(frozen=True)
class Uncoupled:
    """A draw at β = 0: ζ and the scales of the prior, and x out of the reservoir of the theory with k = 0.

    Args:
        neurons: k.
        depth: L.
    """

    neurons: int
    depth: int

    def __call__(self, key: Any, numbers: Numbers) -> Any:
        n, below = self.neurons, self.depth - 1
        keys = jax.random.split(key, 4)
        zeta = jax.random.normal(keys[0], (n * numbers.inputs.shape[1],))
        half = 0.5 * (jnp.asarray(numbers.widths)[:below, None] - np.arange(n))
        diagonal = jnp.sqrt(half) * jnp.log(jax.random.gamma(keys[1], half) / half)
        scales = jnp.concatenate([diagonal, jax.random.normal(keys[2], (below, n * (n - 1) // 2))], axis=1)
        reservoir = jnp.asarray(numbers.reservoir)
        x = reservoir[jax.random.randint(keys[3], (), 0, len(reservoir))]
        return jnp.concatenate([zeta, scales.ravel(), x])


def bartlett(s: Any, n: int, N: Any) -> Any:
    """A/√N lower triangular, A_ii = √ν_i exp(s_i/√(2ν_i)), ν_i = N − i + 1, the rest of s below the diagonal."""
    nu = N - np.arange(n)
    A = jnp.zeros((n, n)).at[np.arange(n), np.arange(n)].set(jnp.sqrt(nu) * jnp.exp(s[:n] / jnp.sqrt(2.0 * nu)))
    return A.at[np.tril_indices(n, -1)].set(s[n:]) / jnp.sqrt(N)


def log_bartlett(s: Any, N: Any) -> Any:
    """log p(s) − log N(s; 0, I) of the diagonal, A_ii² ~ χ²_{ν_i}."""
    half = 0.5 * (N - np.arange(s.shape[0]))
    constant = (half - 0.5) * jnp.log(half) - gammaln(half) + 0.5 * math.log(2.0 * math.pi)
    return jnp.sum(constant + jnp.sqrt(half) * s - half * jnp.exp(s / jnp.sqrt(half)) + 0.5 * s * s)


def _log_chi_square(log_Q: Any, nu: Any) -> Any:
    """Of every log Q, ν Q ~ χ²_ν, together."""
    half = 0.5 * nu
    return jnp.sum(half * (log_Q - jnp.exp(log_Q)) + half * jnp.log(half) - gammaln(half))
