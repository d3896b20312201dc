"""The posterior as a mixture of Gaussian processes over order parameters, conditioned on the training data.

Each component has kernel K_R = Q K, or Q (K − M) + c M; with B = T I + Q K and d = c − Q its matrix is the rank-one
update A = B + d m mᵀ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.kernels import CrossKernel
from widthwise.numerics.spectra import AbstractSpectrum
from widthwise.posterior.engine import Engine


@dataclass(frozen=True)
class Mixture:
    """Weighted order parameters.

    Args:
        Q: (G,).
        weights: sum to 1 (G,).
        layers: Q_ℓ of every hidden layer at each node, or their mean given Q (L, G); Q is their product.
        c: 1/(1 + Q̂), the factor of M (G,); None where K_R = Q K.
    """

    Q: Float[np.ndarray, " G"]
    weights: Float[np.ndarray, " G"]
    layers: Float[np.ndarray, "L G"]
    c: Float[np.ndarray, " G"] | None = None

    @property
    def mean_Q(self) -> float:
        """⟨Q⟩, the factor of the kernel: of a deep network the mean of the product over its layers."""
        return float(self.weights @ self.Q)

    @property
    def mean_c(self) -> float:
        """⟨c⟩, equal to ⟨Q⟩ where there is no c."""
        return self.mean_Q if self.c is None else float(self.weights @ self.c)


class Component:
    """One Gaussian process of the mixture on a spectrum: A = t I + q K₀ (+ d m mᵀ)."""

    def __init__(self, engine: Engine, Q: float, c: float | None, temperature: float) -> None:
        self.spectrum: AbstractSpectrum = engine.spectrum
        self.q, self.t = engine.scale * Q, temperature
        self.d = 0.0 if c is None else engine.scale * (c - Q)
        self.m = engine.rotated_mean if c is not None else None
        if self.m is not None:
            self.Bm = self.spectrum.solve(self.q, self.t, self.m[:, None])[:, 0]
            self.g = 1.0 + self.d * float(self.m @ self.Bm)
        self.a = self.spectrum.solve_target(self.q, self.t)
        if self.m is not None:
            self.a = self.a - self.d / self.g * float(self.m @ self.a) * self.Bm

    def solve(self, V: Float[np.ndarray, "P n"]) -> Float[np.ndarray, "P n"]:
        """A⁻¹V in the spectrum's coordinates."""
        W = self.spectrum.solve(self.q, self.t, V)
        if self.m is None:
            return W
        return W - np.outer(self.d / self.g * self.Bm, self.Bm @ V)

    def cross(
        self, rotated: Float[np.ndarray, "P n"], mean: Float[np.ndarray, " n"] | None
    ) -> Float[np.ndarray, "P n"]:
        """K_R between the training points (rotated) and new ones."""
        C = self.q * rotated
        return C if self.m is None or mean is None else C + np.outer(self.d * self.m, mean)

    def prior_variance(
        self, diagonal: Float[np.ndarray, " n"], mean: Float[np.ndarray, " n"] | None
    ) -> Float[np.ndarray, " n"]:
        """K_R of new points with themselves."""
        own = self.q * diagonal
        return own if self.m is None or mean is None else own + self.d * mean**2

    @property
    def degrees_of_freedom(self) -> float:
        """tr[K_R A⁻¹]."""
        freedom = self.q * self.spectrum.terms(self.q, self.t).trace
        if self.m is not None:
            freedom += self.t * self.d * float(self.Bm @ self.Bm) / self.g
        return freedom


def components(engine: Engine, mixture: Mixture, temperature: float) -> Iterator[tuple[float, Component]]:
    """(weight, component) of every node of the mixture."""
    for g, weight in enumerate(mixture.weights):
        yield float(weight), Component(engine, mixture.Q[g], None if mixture.c is None else mixture.c[g], temperature)


@dataclass(frozen=True)
class Moments:
    """Every component's predictive mean and variance (or covariance) at n new points.

    Args:
        means: (G, n).
        variances: (G, n).
        covariance: of the whole mixture (n, n), or None.
    """

    means: Float[np.ndarray, "G n"]
    variances: Float[np.ndarray, "G n"]
    covariance: Float[np.ndarray, "n n"] | None = None


def condition(
    engine: Engine,
    mixture: Mixture,
    temperature: float,
    cross: CrossKernel,
    rotated: Float[np.ndarray, "P n"],
    prior: Float[np.ndarray, "n n"] | None = None,
) -> Moments:
    """The mixture's components at new points: mean C ᵀa, variance K_R** − CᵀA⁻¹C.

    Args:
        engine, mixture, temperature: the posterior.
        cross: the spectrum's kernel between new and training points.
        rotated: cross.k transposed, in the spectrum's coordinates.
        prior: the spectrum's kernel among the new points (n, n), where the full covariance is wanted.
    """
    G, n = len(mixture.Q), len(cross.diagonal)
    means, variances = np.empty((G, n)), np.empty((G, n))
    second = None if prior is None else np.zeros((n, n))
    for g, (weight, component) in enumerate(components(engine, mixture, temperature)):
        C = component.cross(rotated, cross.mean)
        W = component.solve(C)
        means[g] = C.T @ component.a
        own = component.prior_variance(cross.diagonal, cross.mean)
        variances[g] = np.maximum(own - np.einsum("ij,ij->j", C, W), 0.0)
        if second is not None and prior is not None:
            K = component.q * prior
            if component.m is not None and cross.mean is not None:
                K = K + component.d * np.outer(cross.mean, cross.mean)
            second += weight * (K - C.T @ W + np.outer(means[g], means[g]))
    if second is None:
        return Moments(means, variances)
    mean = mixture.weights @ means
    covariance = second - np.outer(mean, mean)
    return Moments(means, variances, 0.5 * (covariance + covariance.T))
