"""What the hidden layer spans, how many features it learnt, and whether it represents what the teacher's does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.bound.measurement import Measurement
from widthwise.errors import InputError
from widthwise.probes.overlap import teacher_units, unit_rows

LEAST_INPUTS = 4  # of CKA: what its unbiased estimate takes
_BLOCKS = 10  # of the inputs, for the error of CKA
_SMALL = 1e-12  # of the largest singular value: no direction


def weighted(weights: Any, readout: Any = None) -> Float[np.ndarray, "N1 N0"]:
    """diag(a) W, the first layer as the output sees it, scaled to a largest entry of 1.

    Args:
        weights: rows w_i (N1, N0).
        readout: a (N1,), or the strength with which each unit is read; None: all the same.

    Raises:
        InputError: another number of readouts than of rows, numbers that are not finite.
    """
    W = checks.real("weights", weights, (2,), "(N1, N0)")
    if readout is None:
        return _scaled(W)
    a = checks.real("readout", readout, (1,), "(N1,)")
    if len(a) != len(W):
        raise InputError(f"readout: expected one number for each of {len(W)} units, got {len(a)}.")
    return _scaled(_scaled(a)[:, None] * _scaled(W))


def subspace(weights: Any, readout: Any, units: Any) -> float:
    """How much of the subspace that a student reads lies in that of its teacher.

        ‖P_S P_T‖²_F/r,  P_T onto the teacher's rows, P_S onto the first r right singular vectors of diag(a)W

    r = min(M, N1), M the rank of the teacher's rows. 1 for a collapsed student, M/N0 for a random one; directions that
    a student of lower rank lacks count as missed.

    Args:
        weights: rows w_i (N1, N0).
        readout: a (N1,); None: all the same.
        units: the teacher's rows u_k (M, N0), not zero.

    Raises:
        InputError: shapes that do not belong together, numbers that are not finite.
    """
    G = weighted(weights, readout)
    return float(shared(G[None], span(teacher_units(units, G.shape[1])))[0])


def span(U: Float[np.ndarray, "M N0"]) -> Float[np.ndarray, "rank N0"]:
    """Orthonormal rows of the same span."""
    _, s, V = np.linalg.svd(unit_rows(U), full_matrices=False)
    return V[s > _SMALL * s[0]]


def shared(G: Float[np.ndarray, "n N1 N0"], V: Float[np.ndarray, "rank N0"]) -> Float[np.ndarray, " n"]:
    """`subspace` of many students.

    Args:
        G: their diag(a)W.
        V: an orthonormal basis of the teacher's subspace.
    """
    r = min(len(V), G.shape[1])
    _, s, right = np.linalg.svd(G, full_matrices=False)
    kept = right[:, :r] * (s[:, :r, None] > _SMALL * s[:, :1, None])
    return np.sum((kept @ V.T) ** 2, axis=(1, 2)) / r


def participation(weights: Any, readout: Any = None) -> float:
    """How many features a first layer has learnt: the participation ratio of the squared singular values of diag(a)W.

        (Σ_j s_j²)²/Σ_j s_j⁴,   between 1 and min(N0, N1); 0 of a layer that is all zero

    Args:
        weights: rows w_i (N1, N0).
        readout: a (N1,); None: all the same.

    Raises:
        InputError: as `subspace`.
    """
    return float(participations(weighted(weights, readout)[None])[0])


def participations(G: Float[np.ndarray, "n N1 N0"]) -> Float[np.ndarray, " n"]:
    """`participation` of many students, of their diag(a)W."""
    gram = G @ np.swapaxes(G, 1, 2) if G.shape[1] <= G.shape[2] else np.swapaxes(G, 1, 2) @ G
    squares = np.sum(gram**2, axis=(1, 2))
    trace = np.trace(gram, axis1=1, axis2=2)
    return np.divide(trace**2, squares, out=np.zeros(len(G)), where=squares > 0.0)


def cka(first: Any, second: Any, *, debiased: bool = True) -> Measurement:
    """Linear centred kernel alignment of two representations of the same inputs.

        CKA = HSIC(X, Y)/√(HSIC(X, X) HSIC(Y, Y)),  HSIC = ‖YᵀX‖²_F of centred X, Y
                                                     [Kornblith, Norouzi, Lee, Hinton 2019, Eq. (4), arXiv 1905.00414]
    `debiased` takes Song's unbiased HSIC, without the diagonal of the Gram matrices [Nguyen, Raghu, Kornblith 2021,
    Eq. (3), arXiv 2010.15327]: independent representations then give 0 ± O(1/√n), not N/n. No rotation and no common
    scale of either changes it. The error is over ten blocks of the inputs; unknown below 100.

    Args:
        first: (n, N), any array, n ≥ 4.
        second: (n, M), of the same inputs.
        debiased: or the plain estimate, between 0 and 1.

    Returns:
        A `Measurement`; its value NaN where a representation does not vary.

    Raises:
        InputError: fewer than four inputs, or not the same number; numbers that are not finite.
    """
    X, Y = checks.features(first, "first"), checks.features(second, "second")
    if len(X) != len(Y) or len(X) < LEAST_INPUTS:
        raise InputError(f"first: expected representations of the same inputs, 4 or more, got {len(X)} and {len(Y)}.")
    X, Y = centred(X), centred(Y)
    value, error = alignment(X, Y, debiased), math.nan
    if len(X) >= 10 * _BLOCKS:
        blocks = zip(np.array_split(X, _BLOCKS), np.array_split(Y, _BLOCKS))
        each = np.array([alignment(centred(x), centred(y), debiased) for x, y in blocks])
        error = Measurement.of_mean(each).standard_error
    return Measurement(value, error)


def centred(X: Float[np.ndarray, "n N"]) -> Float[np.ndarray, "n N"]:
    """Each column without its mean, the largest entry scaled to 1; zeros where nothing but rounding varies."""
    largest = float(np.abs(X).max())
    deviations = X - X.mean(axis=0)
    if float(np.abs(deviations).max()) <= 1e-14 * largest:
        return np.zeros_like(X)
    return _scaled(deviations)


def alignment(X: Float[np.ndarray, "n N"], Y: Float[np.ndarray, "n M"], debiased: bool) -> float:
    """CKA of centred representations; NaN where one does not vary."""
    x, y = hsic(X, X, debiased), hsic(Y, Y, debiased)
    return hsic(X, Y, debiased) / math.sqrt(x * y) if min(x, y) > 0.0 else math.nan


def hsic(X: Float[np.ndarray, "n N"], Y: Float[np.ndarray, "n M"], debiased: bool) -> float:
    """The Hilbert–Schmidt independence criterion of linear kernels, up to a factor of n; in O(n N M), without any Gram.

    Args:
        X, Y: centred.
        debiased: the estimator HSIC_1 [Song, Smola, Gretton, Bedo, Borgwardt 2012, JMLR 13, 1393, Eq. (5)].
    """
    n, plain = len(X), float(np.sum((Y.T @ X) ** 2))
    if not debiased:
        return plain
    k, m = np.sum(X**2, axis=1), np.sum(Y**2, axis=1)  # the Gram matrices' diagonals; their rows sum to zero
    return plain - float(k @ m) + float(k.sum() * m.sum()) / ((n - 1) * (n - 2)) - 2.0 * float(k @ m) / (n - 2)


def _scaled(A: np.ndarray) -> np.ndarray:
    largest = float(np.abs(A).max())
    return A / largest if largest > 0.0 else A
