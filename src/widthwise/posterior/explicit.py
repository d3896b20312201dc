"""Gaussian processes that k neurons have changed: A = T I + Q K + FFᵀ in K's eigenvectors, many draws at a time.

With D = T + Q k (diagonal), G = FᵀD⁻¹F and B = I + G, everything of A⁻¹ = D⁻¹ − D⁻¹F B⁻¹ FᵀD⁻¹ is a k × k matter
(Woodbury's identity); u = √λ_1 v is the neurons' readout, u | W, D ~ N(Fᵀa, B⁻¹), a = A⁻¹y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " G"]


@dataclass(frozen=True)
class Explicit:
    """Of G draws, everything that the training points say.

    Args:
        temperature: T.
        values: k, eigenvalues of K (P,).
        Q: of the bath (G,).
        F: UᵀΦ/√(λ_1 N) (G, P, k).
        scaled: D⁻¹F (G, P, k).
        root: Cholesky factor of B (G, k, k).
        inner: G = FᵀD⁻¹F (G, k, k).
        a: A⁻¹y in K's eigenvectors (G, P).
    """

    temperature: float
    values: Float[np.ndarray, " P"]
    Q: Vector
    F: Float[np.ndarray, "G P k"]
    scaled: Float[np.ndarray, "G P k"]
    root: Float[np.ndarray, "G k k"]
    inner: Float[np.ndarray, "G k k"]
    a: Float[np.ndarray, "G P"]

    @classmethod
    def of(
        cls,
        values: Float[np.ndarray, " P"],
        target: Float[np.ndarray, " P"],
        temperature: float,
        Q: Vector,
        F: Float[np.ndarray, "G P k"],
    ) -> Explicit:
        """From K's eigenvalues and Uᵀy, and each draw's Q and F."""
        D = temperature + Q[:, None] * values
        scaled = F / D[:, :, None]
        inner = np.swapaxes(F, 1, 2) @ scaled
        B = np.eye(F.shape[2]) + inner
        pull = np.linalg.solve(B, np.swapaxes(scaled, 1, 2) @ target[:, None])
        a = (target - (F @ pull)[:, :, 0]) / D
        return cls(temperature, values, Q, F, scaled, np.linalg.cholesky(B), inner, a)

    @property
    def D(self) -> Float[np.ndarray, "G P"]:
        """T + Q k."""
        return self.temperature + self.Q[:, None] * self.values

    @property
    def readout(self) -> Float[np.ndarray, "G k"]:
        """⟨u | W⟩ = Fᵀa, in units of the prior's deviation."""
        return np.einsum("gpk,gp->gk", self.F, self.a)

    @property
    def readout_variance(self) -> Float[np.ndarray, "G k"]:
        """The diagonal of B⁻¹."""
        back = np.linalg.solve(self.root, np.broadcast_to(np.eye(self.root.shape[1]), self.root.shape))
        return np.sum(back**2, axis=1)

    @property
    def freedom(self) -> Vector:
        """tr[K_R A⁻¹] = P − T tr A⁻¹."""
        B = np.eye(self.inner.shape[1]) + self.inner
        second = np.swapaxes(self.scaled, 1, 2) @ self.scaled
        trace = (1.0 / self.D).sum(axis=1) - np.trace(np.linalg.solve(B, second), axis1=1, axis2=2)
        return len(self.values) - self.temperature * trace

    def predict(
        self,
        rotated: Float[np.ndarray, "P n"],
        diagonal: Float[np.ndarray, " n"],
        F_new: Float[np.ndarray, "G n k"],
    ) -> tuple[Float[np.ndarray, "G n"], Float[np.ndarray, "G n"]]:
        """Mean and variance of f at new points.

            c = Q k + F F*ᵀ:   ⟨f⟩ = cᵀa,   var f = Q k** + |F*|² − cᵀD⁻¹c + |B^{-½} FᵀD⁻¹c|²

        Args:
            rotated: Uᵀk of the new points.
            diagonal: k**.
            F_new: Φ*/√(λ_1 N).
        """
        Q = self.Q[:, None]
        mean = Q * (self.a @ rotated) + (F_new @ self.readout[:, :, None])[:, :, 0]
        H = Q[:, :, None] * (rotated.T @ self.scaled)  # Q kᵀD⁻¹F
        through = H + F_new @ self.inner
        shrink = Q**2 * ((1.0 / self.D) @ rotated**2) + np.einsum("gnk,gnk->gn", H + through, F_new)
        # solved with B's factor: the part of c that the neurons explain comes back
        back = np.linalg.solve(self.root, np.swapaxes(through, 1, 2))
        own = Q * diagonal + np.einsum("gnk,gnk->gn", F_new, F_new)
        return mean, np.maximum(own - shrink + np.einsum("gkn,gkn->gn", back, back), 0.0)

    def covariance(
        self, rotated: Float[np.ndarray, "P n"], prior: Float[np.ndarray, "n n"], F_new: Float[np.ndarray, "G n k"]
    ) -> Float[np.ndarray, "G n n"]:
        """The covariance of f among new points, of every draw; `prior` is K among them."""
        out = np.empty((len(self.Q), len(prior), len(prior)))
        for g, q in enumerate(self.Q):
            C = q * rotated + self.F[g] @ F_new[g].T
            back = np.linalg.solve(self.root[g], self.scaled[g].T @ C)
            out[g] = q * prior + F_new[g] @ F_new[g].T - C.T @ (C / self.D[g][:, None]) + back.T @ back
        return out
