"""Several convolutional layers: the patch kernels of the first, brought down to it from the readout.

    K_R = (n_1/(λ_2⋯λ_L n_L)) K_R¹(Q_1) + Σ_{ℓ≥2} σ_ℓ² (1ᵀQ_ℓ1)/(λ_ℓ⋯λ_L n_L),    φ = identity

K_R¹ is that of the first layer alone, 1/(λ_1 n_1) included (`PatchKernels`). What the upper layers' biases add is the
same for all pairs of images: a patch more, whose kernel with itself is one and with any other zero. Where Q_1 and that
last entry of Q come from: `actions.hierarchy`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from widthwise.kernels.design import PatchKernels
from widthwise.networks import Convolutional, Patches


def positions(place: Patches) -> Int[np.ndarray, "n p"]:
    """i(o, δ): which position of the image entry δ of patch o is, row by row; −1 outside."""
    at = []
    for axis in (0, 1):
        corner = np.arange(place.grid[axis]) * place.stride[axis] - place.before[axis]
        at.append(corner[:, None] + np.arange(place.patch[axis]))
    rows, columns = at[0][:, None, :, None], at[1][None, :, None, :]
    inside = (rows >= 0) & (rows < place.image[0]) & (columns >= 0) & (columns < place.image[1])
    return np.where(inside, rows * place.image[1] + columns, -1).reshape(place.count, -1)


def shifts(place: Patches) -> Iterator[tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]]:
    """(o, i) of every entry δ of the patches: patch o sees position i there; those inside the image."""
    for i in positions(place).T:
        o = np.flatnonzero(i >= 0)
        yield o, i[o]


@dataclass(frozen=True)
class StackKernels:
    """The kernel of several layers as a linear map of Q, with `PatchKernels`' own questions and answers.

    Args:
        first: the patch kernels of the first layer.
        scale: n_1/(λ_2⋯λ_L n_L).
        biased: whether the layers above have biases: Q then has one row more, the last.
    """

    first: PatchKernels
    scale: float
    biased: bool

    @property
    def patches(self) -> int:
        """n_1, and one more for the biases above."""
        return self.first.patches + self.biased

    @property
    def size(self) -> int:
        """P."""
        return self.first.size

    @property
    def skew(self) -> bool:
        """Whether Q may be other than symmetric."""
        return self.first.skew

    def _split(self, Q: Float[np.ndarray, "C n n"]) -> tuple[Float[np.ndarray, "C m m"], Float[np.ndarray, " C"]]:
        """`scale` times the patches' part of Q, and the biases'."""
        n = self.first.patches
        return self.scale * Q[:, :n, :n], Q[:, n, n] if self.biased else np.zeros(len(Q))

    def combine(self, Q: Float[np.ndarray, "C n n"]) -> Float[np.ndarray, "C P P"]:
        """K_R for C order parameters in one pass."""
        Q, constant = self._split(Q)
        K = self.first.combine(Q)
        K += constant[:, None, None]
        return K

    def contract(self, W: Float[np.ndarray, "C P P"]) -> Float[np.ndarray, "C n n"]:
        """∂⟨W, K_R⟩/∂Q_ij for C weights, both triangles of each given: the adjoint of `combine`."""
        n = self.first.patches
        G = np.zeros((len(W), self.patches, self.patches))
        G[:, :n, :n] = self.scale * self.first.contract(W)
        if self.biased:
            G[:, n, n] = W.sum(axis=(1, 2))
        return G

    def cross(
        self, Q: Float[np.ndarray, "C n n"], X_new: Float[np.ndarray, "b H W c"]
    ) -> tuple[Float[np.ndarray, "C b P"], Float[np.ndarray, "C b"]]:
        """K_R between new images and the training images, and at the new images themselves."""
        Q, constant = self._split(Q)
        k, own = self.first.cross(Q, X_new)
        return k + constant[:, None, None], own + constant[:, None]


def patch_kernels(
    network: Convolutional, X: Float[np.ndarray, "P H W C"], *, skew: bool = False, hold: bool | None = None
) -> PatchKernels | StackKernels:
    """The kernel of a convolutional network as a linear map of its order parameter, at any depth.

    Args:
        network: of one layer, or of several with the identity as activation.
        X: images (P, H, W, C).
        skew, hold: see `PatchKernels.of`.

    Raises:
        InputError: more memory is needed than there is, or a patch does not fit.
    """
    first = PatchKernels.of(network, X, skew=skew, hold=hold)
    if network.depth == 1:
        return first
    places, lam = network.stack(*X.shape[1:3]), network.precisions
    scale = places[0].count / (math.prod(lam[2:]) * places[-1].count)
    return StackKernels(first, scale, any(network.bias_variances[1:]))
