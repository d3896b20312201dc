"""What every dual kernel offers: the interface between the activations and whatever builds kernels from them."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.numerics.guarded import namespace

Array = Any
Partials = tuple[np.ndarray, np.ndarray, np.ndarray]  # ∂κ/∂cxx, ∂κ/∂cxy, ∂κ/∂cyy
Side = Any  # per-row precomputation of one dual: opaque, but side[i:j] are its rows i … j−1


def strips(rows: int, height: int = 32) -> Iterator[slice]:
    """Slices of a tile's rows: so many at a time that temporaries stay in cache (and below malloc's mmap threshold)."""
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


def checked_variances(c: Any) -> Float[np.ndarray, "P"]:
    """`c` as a float64 vector of finite, non-negative numbers."""
    c = np.asarray(c, dtype=np.float64)
    if c.ndim != 1 or not np.isfinite(c).all() or (c < 0).any():
        raise InputError(
            f"dual kernel: expected a vector of finite variances of at least 0, got shape {c.shape} with "
            f"{np.count_nonzero(~(c >= 0) | np.isinf(c))} entries that are not; check the kernel of the layer below."
        )
    return c


class AbstractDual(abc.ABC):
    """κ(cxx, cxy, cyy) = E[φ(h)φ(h')] and m(c) = E[φ(h)] for (h, h') ~ N(0, [[cxx, cxy], [cxy, cyy]]).

    [theory: Cho, Saul 2009, NeurIPS 22; Daniely, Frostig, Singer 2016, arXiv 1602.05897]

    Whole matrices go through `prepare` once per row and `tile` once per block; `kappa` is the elementwise form, and in
    closed form it also runs, and differentiates, on JAX arrays.

    Assumes: |cxy| ≤ √(cxx cyy) up to rounding.
    """

    @property
    @abc.abstractmethod
    def has_mean(self) -> bool:
        """Whether m(c) is not zero for every c."""

    @abc.abstractmethod
    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        """κ elementwise, for the arrays of namespace `xp` (`numpy` or `jax.numpy`)."""

    @abc.abstractmethod
    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """∂κ/∂cxx, ∂κ/∂cxy and ∂κ/∂cyy elementwise, on NumPy arrays that broadcast; each has the full shape."""

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        """m(c) = E[φ(h)], h ~ N(0, c).

        Args:
            c: variances (P,), at least 0.
        """
        return np.zeros_like(checked_variances(c))

    def diagonal(self, c: Any) -> Float[np.ndarray, "P"]:
        """κ(c, c, c) = E[φ(h)²].

        Args:
            c: variances (P,), at least 0.
        """
        c = checked_variances(c)
        return self.formula(np, c, c, c)

    def kappa(self, cxx: Any, cxy: Any, cyy: Any) -> Array:
        """κ, elementwise; the arguments broadcast.

        Args:
            cxx, cxy, cyy: arrays of NumPy or JAX; with one JAX array among them the result is JAX's, in the precision
                that JAX is set to.
        """
        xp = namespace(cxx, cxy, cyy)
        return self.formula(xp, *(xp.asarray(c, dtype=float) for c in (cxx, cxy, cyy)))

    def prepare(self, c: Any) -> Side:
        """What a row contributes to every tile it is in.

        Args:
            c: variances of the rows (P,), at least 0.
        """
        return checked_variances(c)

    def tile(self, cxy: Float[np.ndarray, "p q"], left: Side, right: Side) -> Float[np.ndarray, "p q"]:
        """κ on one block of the matrix; `cxy` may be overwritten.

        Args:
            cxy: covariances (p, q), float64; blocks of about 256 × 256 stay in cache.
            left: rows of a side, side[i:i+p].
            right: rows of a side, side[j:j+q].
        """
        for rows in strips(cxy.shape[0]):
            cxy[rows] = self.formula(np, left[rows, None], cxy[rows], right[None, :])
        return cxy

    def partials(self, cxx: Any, cxy: Any, cyy: Any) -> Partials:
        """∂κ/∂cxx, ∂κ/∂cxy, ∂κ/∂cyy, elementwise, the three varied independently; the arguments broadcast.

            ∂κ/∂cxy = E[φ'(h)φ'(h')],   ∂κ/∂cxx = ½ E[φ''(h)φ(h')]            [Price 1958, IRE Trans. Inf. Theory 4, 69]

        On the diagonal of a kernel the three move together: `diagonal_slope`.

        Args:
            cxx, cxy, cyy: NumPy arrays.
        """
        arrays = np.broadcast_arrays(*(np.asarray(c, dtype=np.float64) for c in (cxx, cxy, cyy)))
        xx, xy, yy = (np.atleast_2d(c) for c in arrays)
        out = np.empty((3, *xy.shape))
        for rows in strips(xy.shape[0]):
            out[0, rows], out[1, rows], out[2, rows] = self.slope_formula(xx[rows], xy[rows], yy[rows])
        shaped = out.reshape(3, *arrays[1].shape)
        return shaped[0, ...], shaped[1, ...], shaped[2, ...]

    def diagonal_slope(self, c: Any) -> Float[np.ndarray, "P"]:
        """d/dc κ(c, c, c).

        Args:
            c: variances (P,), at least 0.
        """
        c = checked_variances(c)
        return np.asarray(sum(self.slope_formula(c, c, c)))

    def prepare_partials(self, c: Any) -> Side:
        """What a row contributes to every tile of derivatives that it is in.

        Args:
            c: variances of the rows (P,), at least 0.
        """
        return checked_variances(c)

    def partials_tile(self, cxy: Float[np.ndarray, "p q"], left: Side, right: Side) -> Partials:
        """The three derivatives on one block of the matrix; `cxy` is left as it is.

        Args:
            cxy: covariances (p, q); small blocks, about 64 × 256, stay in cache.
            left, right: rows of what `prepare_partials` returned.
        """
        return self.slope_formula(left[:, None], cxy, right[None, :])
