"""What the data say given the order parameter of a convolutional layer, for any number of outputs.

    f_d(x) = Σ_{c,i} v_{c,i,d} φ(h_{c,i})/√(N_c n),   v ~ N(0, 1/λ_1) independent over channels c, patches i, outputs d
    Q_{(i,d),(j,e)} = (λ_1/N_c) Σ_c v_{c,i,d} v_{c,j,e} ~ Wishart_{nD}(N_c)/N_c
    f | Q ~ GP,  Cov(f_d(x), f_e(x')) = (1/(λ_1 n)) Σ_ij Q_{(i,d),(j,e)} κ_ij(x, x'),   A = T I_{PD} + K_R(Q)
                        [Aiudi, Pacelli et al. 2025, arXiv 2307.11807; outputs: Baglioni et al. 2024, arXiv 2412.15911]

Given v the channels are independent, which is where the covariance comes from; the rows λ_1^½ v_c ~ N(0, I_{nD}) are
what makes Q Wishart. Exact for the identity activation. Activations with a mean: see `PatchKernels`. Of several layers
Q is that of the first, or rather of what the readout has become there: `StackKernels`, `actions.hierarchy`.

Q is ordered *patch-major*: row i D + d, that is `Q.reshape(n, D, n, D)[i, d, j, e]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import lapack

from widthwise.actions.data_term import AbstractDataTerm, DataTerms
from widthwise.errors import InputError, NumericalError
from widthwise.kernels.design import PatchKernels
from widthwise.kernels.stack import StackKernels
from widthwise.numerics.lapack import cholesky, cholesky_solve


@dataclass(frozen=True)
class PatchTerm(AbstractDataTerm):
    """log N(y; 0, T I + K_R(Q)) and its gradient in Q.

    With W = A⁻¹ and a = A⁻¹y, ∂ log det A/∂Q_ij = ⟨W, κ_ij⟩/(λ_1 n) and −∂(yᵀA⁻¹y)/∂Q_ij = ⟨a aᵀ, κ_ij⟩/(λ_1 n): one
    pass over the patch kernels makes every A, a second every gradient.

    Args:
        kernels: the patch kernels of the training set, with `skew` where there are several outputs.
        Y: targets (P, D).
        temperature: T.
        scale: K_R is `scale` times that of the kernels (another readout precision).

    Raises:
        InputError: as many targets as images are needed; several outputs on kernels without `skew`.
    """

    kernels: PatchKernels | StackKernels
    Y: Float[np.ndarray, "P D"]
    temperature: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if len(self.Y) != self.kernels.size:
            raise InputError(
                f"targets: expected {self.kernels.size} rows, one per image, got {len(self.Y)}; pass Y of shape (P, D)."
            )
        if self.outputs > 1 and not self.kernels.skew:
            raise InputError(
                f"patch kernels: expected those for several outputs ({self.outputs}), got those for one; "
                "make them with skew=True."
            )

    @property
    def outputs(self) -> int:
        """D."""
        return self.Y.shape[1]

    @property
    def side(self) -> int:
        """n D."""
        return self.kernels.patches * self.outputs

    @property
    def count(self) -> int:
        """P D."""
        return self.Y.size

    @property
    def _outputs_of_blocks(self) -> tuple[Int[np.ndarray, " B"], Int[np.ndarray, " B"]]:
        """d ≤ e of the blocks of A that are computed; the others are their transposes."""
        d, e = np.triu_indices(self.outputs)
        return d, e

    def matrices(self, Q: Float[np.ndarray, "C m m"]) -> Float[np.ndarray, "C PD PD"]:
        """A = T I + K_R(Q) for C order parameters, its rows output-major (d P + r); the upper triangle is filled."""
        C, n, D, P = len(Q), self.kernels.patches, self.outputs, self.kernels.size
        d, e = self._outputs_of_blocks
        parts = self.scale * Q.reshape(C, n, D, n, D)[:, :, d, :, e]  # (B, C, n, n): NumPy puts the index first
        blocks = self.kernels.combine(parts.reshape(-1, n, n)).reshape(len(d), C, P, P)
        if D == 1:
            A = blocks[0]
        else:
            A = np.zeros((C, D, P, D, P))
            for block, one, other in zip(blocks, d, e):
                A[:, one, :, other] = block
            A = A.reshape(C, D * P, D * P)
        A[:, np.arange(D * P), np.arange(D * P)] += self.temperature
        return A

    def terms(self, Q: Float[np.ndarray, "m m"]) -> DataTerms:
        """The answers at one Q (n D, n D).

        Raises:
            NumericalError: A is not positive definite at working precision.
        """
        return self.terms_of_all(Q[None])[0]

    def terms_of_all(self, Q: Float[np.ndarray, "C m m"]) -> list[DataTerms]:
        """The answers at C order parameters, in two passes over the patch kernels.

        Raises:
            NumericalError: one of the A is not positive definite at working precision.
        """
        C, n, D, P = len(Q), self.kernels.patches, self.outputs, self.kernels.size
        y = self.Y.T.ravel()
        A = self.matrices(Q)  # becomes W = A⁻¹ chain by chain
        log_det, a = np.empty(C), np.empty((C, D * P))
        for c in range(C):
            R = cholesky(A[c], "T I + K_R(Q)")
            log_det[c] = 2.0 * float(np.log(R.diagonal()).sum())
            a[c] = cholesky_solve(R, y)
            A[c] = _inverse(R)
        d, e = self._outputs_of_blocks
        W = A.reshape(C, D, P, D, P)[:, d, :, e].reshape(-1, P, P)  # (B C, P, P)
        b = a.reshape(C, D, P).transpose(1, 0, 2)
        duals = (b[d][..., :, None] * b[e][..., None, :]).reshape(-1, P, P)
        G = self.scale * self.kernels.contract(np.concatenate([W, duals])).reshape(2, len(d), C, n, n)
        full = np.empty((2, C, n, D, n, D))
        for k, (one, other) in enumerate(zip(d, e)):
            full[:, :, :, one, :, other] = G[:, k]
            full[:, :, :, other, :, one] = G[:, k].swapaxes(-1, -2)
        trace, dual = full.reshape(2, C, n * D, n * D)
        return [DataTerms(float(log_det[c]), float(y @ a[c]), trace[c], dual[c]) for c in range(C)]


def _inverse(R: Float[np.ndarray, "P P"]) -> Float[np.ndarray, "P P"]:
    """A⁻¹ from the factor that `cholesky` returned, which is overwritten; both triangles."""
    inverse, info = lapack.dpotri(R.T, lower=1, overwrite_c=1)
    if info != 0:
        raise NumericalError(f"the inverse of T I + K_R(Q) failed at row {info} of {len(R)}; raise the temperature.")
    upper = inverse.T
    return np.triu(upper) + np.triu(upper, 1).T
