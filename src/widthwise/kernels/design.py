"""The renormalised kernel of a convolutional network as a linear map of Q, and that map's adjoint.

    K_R(Q) = (1/(λ_1 n)) Σ_ij Q_ij κ_ij = Σ_{i≤j} Q_ij F_ij,   F_ii = κ_ii,  F_ij = κ_ij + κ_ijᵀ
                                                            [Aiudi, Pacelli et al. 2025, Nat. Commun., arXiv 2307.11807]

F is a matrix of n(n+1)/2 rows and P(P+1)/2 columns: many Q at once are one matrix product. Between two different
outputs Q_ij ≠ Q_ji; what is then missing is antisymmetric, ½(Q_ij − Q_ji)(κ_ij − κ_ijᵀ), and held beside F.
Either is kept in memory by tiles of images, or recomputed tile by tile in every pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from widthwise.errors import InputError
from widthwise.kernels.patches import WORK, PatchSet
from widthwise.networks import Convolutional

_GB = 1e9


@dataclass(frozen=True)
class Tile:
    """F on some pairs of images (r, s), r ≤ s.

    Args:
        r, s: the images (e,).
        F: (n(n+1)/2, e).
        skew: κ_ij − κ_ijᵀ, i < j, (n(n−1)/2, e); None where it is not needed.
    """

    r: Int[np.ndarray, " e"]
    s: Int[np.ndarray, " e"]
    F: Float[np.ndarray, "p e"]
    skew: Float[np.ndarray, "q e"] | None


def design_bytes(patches: int, size: int, *, skew: bool = False) -> int:
    """What F takes in memory, n(n+1)/2 · P(P+1)/2 numbers, and its antisymmetric companion if asked for.

    Args:
        patches: n.
        size: P.
        skew: for more than one output.
    """
    n, P = patches, size
    return 2 * (n * (n + 1) * P * (P + 1) + (n * (n - 1) * P * (P - 1) if skew else 0))


def stream_bytes(patches: int, size: int, entries: int) -> int:
    """What a pass takes in memory when F is recomputed: the patches, a tile and its copies, two P × P matrices.

    Args:
        patches: n.
        size: P.
        entries: d, of one patch.
    """
    n, P = patches, size
    return 8 * (n * P * entries + 4 * max(n * n, min(n * n * P * P, WORK)) + 2 * P * P)


def _half_of_the_machine() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # not on every system
        return 4 * 2**30


@dataclass(frozen=True)
class PatchKernels:
    """The patch kernels of a training set.

    Activations with a mean (relu, …): the mean's own order parameters are left out, as for fully connected networks,
    where that is the same theory at leading order in 1/N_c.

    Args:
        images: the training images.
        held: F tile by tile, or None: recomputed in every pass.
        skew: whether Q may be other than symmetric.
    """

    images: PatchSet
    held: tuple[Tile, ...] | None = field(repr=False)
    skew: bool = False

    @classmethod
    def of(
        cls,
        network: Convolutional,
        X: Float[np.ndarray, "P H W C"],
        *,
        skew: bool = False,
        memory: float | None = None,
        hold: bool | None = None,
    ) -> PatchKernels:
        """The patch kernels of images, kept in memory if they fit.

        Args:
            network: the convolutional network.
            X: images (P, H, W, C).
            skew: for several outputs: the blocks of Q between two of them are not symmetric.
            memory: bytes that may be used; by default half of the machine's.
            hold: True: keep F or refuse; False: recompute it in every pass; None: whichever the memory allows.

        Raises:
            InputError: more memory is needed than allowed.
        """
        place = network.patches(*X.shape[1:3])
        n, P, d = place.count, len(X), place.patch[0] * place.patch[1] * X.shape[3]
        allowed = _half_of_the_machine() if memory is None else memory
        stream = stream_bytes(n, P, d)
        whole = stream + design_bytes(n, P, skew=skew)
        what = f"{n} patches of {d} numbers in each of {P} images"
        if stream > allowed:
            raise InputError(
                f"patch kernels: expected to need at most {allowed / _GB:.3g} GB, got {stream / _GB:.3g} GB for {what} "
                "even if recomputed in every pass; take fewer images, or raise memory."
            )
        if hold and whole > allowed:
            raise InputError(
                f"patch kernels: expected to need at most {allowed / _GB:.3g} GB, got {whole / _GB:.3g} GB for {what}; "
                "take a larger stride or fewer images, raise memory, or let them be recomputed (hold=False)."
            )
        streamed = cls(PatchSet.of(network, X), None, skew)
        if hold is False or whole > allowed:
            return streamed
        return cls(streamed.images, tuple(streamed.tiles()), skew)

    @property
    def patches(self) -> int:
        """n."""
        return self.images.patches

    @property
    def size(self) -> int:
        """P."""
        return self.images.size

    @property
    def pairs(self) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
        """i and j of F's rows, i ≤ j."""
        i, j = np.triu_indices(self.patches)
        return i, j

    def tiles(self) -> Iterator[Tile]:
        """F in tiles of image pairs, from memory or computed."""
        if self.held is not None:
            yield from self.held
            return
        i, j = self.pairs
        for rows, columns in self.images.own_tiles():
            kappa = self.images.block(rows, self.images, columns).transpose(0, 2, 1, 3)  # i, j, r, s
            b, m = kappa.shape[2:]
            square = rows == columns
            r, s = np.triu_indices(b) if square else np.indices((b, m)).reshape(2, -1)
            F = np.empty((len(i), len(r)))
            skew = np.empty((len(i) - self.patches, len(r))) if self.skew else None
            q = 0
            for p, (one, other) in enumerate(zip(i, j)):
                first, second = kappa[one, other], kappa[other, one]
                sums = first if one == other else first + second
                F[p] = sums[r, s] if square else sums.ravel()
                if skew is not None and one != other:
                    apart = first - second
                    skew[q] = apart[r, s] if square else apart.ravel()
                    q += 1
            yield Tile(r + rows.start, s + columns.start, F, skew)

    def combine(self, Q: Float[np.ndarray, "C n n"]) -> Float[np.ndarray, "C P P"]:
        """(1/(λ_1 n)) Σ_ij Q_ij κ_ij for C order parameters in one pass.

        Args:
            Q: (C, n, n); without `skew` its symmetric part is used.
        """
        i, j = self.pairs
        apart = i < j
        even = 0.5 * (Q[:, i, j] + Q[:, j, i])
        odd = 0.5 * (Q[:, i, j] - Q[:, j, i])[:, apart]
        K = np.empty((len(Q), self.size, self.size))
        for tile in self.tiles():
            upper = even @ tile.F
            if tile.skew is None:
                K[:, tile.s, tile.r] = K[:, tile.r, tile.s] = upper
            else:
                more = odd @ tile.skew
                K[:, tile.s, tile.r] = upper - more
                K[:, tile.r, tile.s] = upper + more  # after the other: on the diagonal `more` is zero
        return K

    def contract(self, W: Float[np.ndarray, "C P P"]) -> Float[np.ndarray, "C n n"]:
        """⟨W, κ_ij⟩/(λ_1 n) for C weights in one pass: the adjoint of `combine`, ∂⟨W, K_R⟩/∂Q_ij.

        Args:
            W: (C, P, P); without `skew` it is symmetric, and its upper triangle is read.
        """
        i, j = self.pairs
        apart = i < j
        even, odd = np.zeros((len(W), len(i))), np.zeros((len(W), int(apart.sum())))
        for tile in self.tiles():
            upper = W[:, tile.r, tile.s]
            twice = np.where(tile.r < tile.s, 2.0, 1.0)
            if tile.skew is None:
                even += (upper * twice) @ tile.F.T
            else:
                lower = W[:, tile.s, tile.r]
                even += (upper + lower) * (0.5 * twice) @ tile.F.T
                odd += 0.5 * (upper - lower) @ tile.skew.T
        G = np.empty((len(W), self.patches, self.patches))
        even[:, apart] *= 0.5
        G[:, i, j] = G[:, j, i] = even
        G[:, i[apart], j[apart]] += odd
        G[:, j[apart], i[apart]] -= odd
        return G

    def cross(
        self, Q: Float[np.ndarray, "C n n"], X_new: Float[np.ndarray, "b H W c"]
    ) -> tuple[Float[np.ndarray, "C b P"], Float[np.ndarray, "C b"]]:
        """K_R(Q) between new images and the training images, and at the new images themselves.

        Args:
            Q: (C, n, n), any.
            X_new: (b, H, W, channels); C b P numbers come back, so pass large test sets in parts.

        Returns:
            (C, b, P), and the variances (C, b).
        """
        new = PatchSet.of(self.images.network, X_new)
        k, own = np.empty((len(Q), new.size, self.size)), np.empty((len(Q), new.size))
        for rows, columns in new.tiles(self.images):
            k[:, rows, columns] = np.tensordot(Q, new.block(rows, self.images, columns), axes=([1, 2], [0, 2]))
        for r, kappa in enumerate(new.own_blocks()):
            own[:, r] = np.tensordot(Q, kappa, axes=2)
        return k, own
