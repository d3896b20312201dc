"""Several outputs on one kernel: the data term of Q ∈ S_D in the kernel's eigenbasis, where nothing is (PD) × (PD)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.actions.data_term import AbstractDataTerm, DataTerms
from widthwise.errors import NumericalError


@dataclass(frozen=True)
class OutputsTerm(AbstractDataTerm):
    """log N(Y; 0, A) with A = T I + scale · Q ⊗ K, in O(P D²).

    With K = U diag(k) Uᵀ, Q = V diag(q) Vᵀ, Z = UᵀY V and A_nr = T + scale k_n q_r:

        log det A + yᵀA⁻¹y = Σ_nr [ log A_nr + Z_nr²/A_nr ]                  [Baglioni et al. 2024, arXiv 2412.15911]

    Args:
        k: eigenvalues of K, not negative (P,).
        Y: UᵀY, the targets in its eigenbasis (P, D).
        temperature: T > 0.
        scale: factor of K (another readout precision on the same eigenvalues).
    """

    k: Float[np.ndarray, " P"]
    Y: Float[np.ndarray, "P D"]
    temperature: float
    scale: float = 1.0

    @property
    def side(self) -> int:
        return self.Y.shape[1]

    @property
    def count(self) -> int:
        return self.Y.size

    def terms(self, Q: Float[np.ndarray, "m m"]) -> DataTerms:
        return self.terms_of_all(Q[None])[0]

    def terms_of_all(self, Q: Float[np.ndarray, "C m m"]) -> list[DataTerms]:
        q, V = np.linalg.eigh(Q)
        k = self.scale * self.k
        A = k[:, None] * q[:, None, :]  # (C, P, D)
        A += self.temperature
        if not float(A.min()) > 0.0:
            raise NumericalError(
                f"T I + Q ⊗ K: expected a positive definite matrix, got an eigenvalue {A.min():.3g}; "
                "raise the temperature."
            )
        W = self.Y @ V
        log_det = np.log(A).sum(axis=(1, 2))
        dual = W / A
        quadratic = np.einsum("cpr,cpr->c", W, dual)
        trace = np.einsum("p,cpr->cr", k, 1.0 / A)
        dual_gram = np.swapaxes(dual, 1, 2) @ (k[:, None] * dual)
        Vt = np.swapaxes(V, 1, 2)
        traces, duals = (V * trace[:, None, :]) @ Vt, V @ dual_gram @ Vt
        return [
            DataTerms(float(d), float(w), _symmetric(t), _symmetric(a))
            for d, w, t, a in zip(log_det, quadratic, traces, duals)
        ]


def _symmetric(M: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m m"]:
    return 0.5 * (M + M.T)
