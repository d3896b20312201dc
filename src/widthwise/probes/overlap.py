"""Does a student's unit point where a teacher's does? Cosines, matched one to one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from widthwise import checks
from widthwise.errors import InputError

FOUND = 0.9  # |cos| above which a teacher's unit counts as found


@dataclass(frozen=True)
class Overlaps:
    """How the units of a student lie to those of a teacher.

    Args:
        overlap: q = Σ|R| over the matching, by M: 1 where each teacher's unit has a student's unit of its own.
        off_overlap: mean |R_ik| of matched student's units with the teacher's that are not theirs; None of M = 1.
        n90: teacher's units k with max_i |R_ik| > 0.9.
        cosines: R (N1, M).
        pairs: the matching, (i, k).
    """

    overlap: float
    off_overlap: float | None
    n90: int
    cosines: Float[np.ndarray, "N1 M"] = field(repr=False)
    pairs: tuple[tuple[int, int], ...] = field(repr=False)


def cosines(W: Float[np.ndarray, "*n N1 N0"], U: Float[np.ndarray, "M N0"]) -> Float[np.ndarray, "*n N1 M"]:
    """R_ik = w_i·u_k/|w_i||u_k|; 0 where a row is zero.

    Args:
        W: rows of the student, or of many students.
        U: rows of the teacher.
    """
    return np.clip(unit_rows(W) @ unit_rows(U).T, -1.0, 1.0)


def unit_rows(W: Float[np.ndarray, "*n N0"]) -> Float[np.ndarray, "*n N0"]:
    """Rows divided by their length; zero rows stay zero."""
    W = W / _or_one(np.max(np.abs(W), axis=-1, keepdims=True))  # squares neither vanish nor overflow
    return W / _or_one(np.linalg.norm(W, axis=-1, keepdims=True))


def overlaps(weights: object, units: object) -> Overlaps:
    """Overlap of a student's first layer with a teacher's, under the best one-to-one matching of their units.

        q = (1/M) max_π Σ_i |R_{i π(i)}|,  R_ik = cos(w_i, u_k)       [Hungarian: Kuhn 1955, Nav. Res. Log. Q. 2, 83]

    Signs are ignored, as they must be for odd activations; of others |R| sees the axis of a unit, not its side.
    Lengths and readouts are ignored: a unit that copies but is not read out counts.

    Args:
        weights: rows w_i (N1, N0), any array.
        units: rows u_k (M, N0), not zero.

    Raises:
        InputError: shapes that do not belong together, numbers that are not finite, a teacher's row of zeros.
    """
    W = checks.real("weights", weights, (2,), "(N1, N0)")
    R = cosines(W, teacher_units(units, W.shape[1]))
    i, k, off = matched(np.abs(R))
    n90 = int(np.sum(np.max(np.abs(R), axis=0) > FOUND))
    q = float(np.sum(np.abs(R[i, k]))) / R.shape[1]
    return Overlaps(q, off, n90, R, tuple(zip(i.tolist(), k.tolist())))


def matched(R: Float[np.ndarray, "N1 M"]) -> tuple[np.ndarray, np.ndarray, float | None]:
    """The matching that maximises Σ R, as rows and columns; and the mean of what else these rows hold, None of M = 1.

    Args:
        R: |cosines|.
    """
    i, k = linear_sum_assignment(R, maximize=True)
    rest = R[i].copy()
    rest[np.arange(len(i)), k] = 0.0
    others = len(i) * (R.shape[1] - 1)
    return i, k, float(rest.sum()) / others if others else None


def teacher_units(units: object, N0: int) -> Float[np.ndarray, "M N0"]:
    """The teacher's rows, checked against the student's inputs."""
    U = checks.real("units", units, (2,), "(M, N0)")
    if U.shape[1] != N0:
        raise InputError(f"units: expected {N0} columns, one an input of the student, got {U.shape[1]}; same inputs?")
    if not np.abs(U).max(axis=1).all():
        raise InputError("units: expected teacher's units that are not zero, got a row of zeros; leave it out.")
    return U


def _or_one(lengths: np.ndarray) -> np.ndarray:
    return np.where(lengths == 0.0, 1.0, lengths)
