"""What the probes say of a student that learnt nothing: random students of the same sizes, simulated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.callables import parities
from widthwise.activations.phi import Activation
from widthwise.errors import unknown_name
from widthwise.probes import representation as seen
from widthwise.probes.overlap import FOUND, cosines, matched, teacher_units, unit_rows
from widthwise.probes.probe import Null

READOUTS = ("gaussian", "equal")
_LEAST = 20  # draws, whatever the sizes
_WORK = 300_000_000  # multiplications that all draws together may take, if that leaves so many
_BLOCK = 4_000_000  # numbers held at a time
_ORTHONORMAL = 1e-9
_INPUTS = 1000


@dataclass(frozen=True)
class RandomStudents:
    """The probes of a student's weights, where these are random: w_i ~ N(0, 1), read by Gaussians or all equally.

    Args:
        overlap: q; its mean is q₀.
        off_overlap: None of a teacher of one unit.
        n90: teacher's units that chance would find.
        subspace: M/N0 on average.
        participation: of the features; N1 N0/(N1 + N0 + 1), nearly, of equal readouts.
        draws: how many students were drawn.
    """

    overlap: Null
    off_overlap: Null | None
    n90: Null
    subspace: Null
    participation: Null
    draws: int


def random_students(
    units: Any, width: int, *, readout: str = "gaussian", readers: int = 1, draws: int = 200, key: int = 0
) -> RandomStudents:
    """Null laws of the weights' probes. They depend on the sizes and on the teacher's angles alone, and are kept.

    Args:
        units: the teacher's rows u_k (M, N0), not zero.
        width: N1.
        readout: "gaussian", or "equal".
        readers: what reads the layer: 1 the output; of a deeper student the units above, each with Gaussian weights.
        draws: students; fewer, but 20 at least, where they are so large that they vary little.
        key: of the draws.

    Raises:
        InputError: no such readout, no such numbers.
    """
    U = unit_rows(teacher_units(units, np.shape(units)[-1]))
    gram = U @ U.T
    if np.abs(gram - np.eye(len(U))).max() < _ORTHONORMAL:
        gram = np.eye(len(U))  # one null for all orthonormal teachers of these sizes
    sizes = (U.shape[1], checks.whole("width", width, 1))
    return _weights(*sizes, gram.round(12).tobytes(), len(U), *_settings(readout, readers, draws, key))


def random_participation(
    inputs: int, width: int, *, readout: str = "gaussian", readers: int = 1, draws: int = 200, key: int = 0
) -> Null:
    """Null law of the participation where there is no teacher.

    Args:
        inputs: N0.
        width: N1.
        readout, readers, draws, key: as of `random_students`.

    Raises:
        InputError: likewise.
    """
    sizes = checks.whole("inputs", inputs, 1), checks.whole("width", width, 1)
    return _participation(*sizes, *_settings(readout, readers, draws, key))


def random_cka(
    teacher_hidden: Any,
    X: Any,
    weights: Any,
    activation: Activation,
    biases: Any = None,
    *,
    draws: int = 200,
    key: int = 0,
) -> Null | None:
    """Null law of `cka` (debiased): units as long as the student's, with its biases, in random directions.

    None where a representation does not vary.

    Args:
        teacher_hidden: (n, M), at the inputs X (n, N0); the first 1000 of them are used.
        X: the inputs.
        weights: of the student (N1, N0).
        activation: φ of the student.
        biases: of the student (N1,) or None.
        draws, key: as of `random_students`.
    """
    X, W = checks.features(X, "X")[:_INPUTS], checks.features(weights, "weights")
    T = seen.centred(checks.features(teacher_hidden, "teacher_hidden")[:_INPUTS])
    lengths, b = np.linalg.norm(W, axis=1), np.zeros(len(W)) if biases is None else np.asarray(biases, float)
    b = b if parities(activation)[0] else np.abs(b)  # of an odd φ, (w, b) and −(w, b) are one unit
    order = np.lexsort((b, lengths))  # so that the student's units may come in any order
    lengths, b = lengths[order][:, None], b[order]
    rng, draws = np.random.default_rng([key, *W.shape]), _affordable(draws, X.shape[0] * W.size)
    values = np.empty(draws)
    for i in range(draws):
        h = activation(X @ (lengths * unit_rows(rng.standard_normal(W.shape))).T + b)
        values[i] = seen.alignment(seen.centred(h), T, True)
    values = values[np.isfinite(values)]
    return _null(values) if len(values) > 1 else None


@lru_cache(maxsize=256)
def _weights(N0: int, N1: int, gram: bytes, M: int, readers: int, draws: int, key: int) -> RandomStudents:
    U = _frame(np.frombuffer(gram).reshape(M, M), N0)
    basis, rng = seen.span(U), np.random.default_rng([key, N0, M, N1])
    draws = _affordable(draws, N0 * N1 * (min(N0, N1) + M))
    found = []
    for W, G in _students(rng, draws, N0, N1, readers):
        R = np.abs(cosines(W, U))
        each = [matched(r) for r in R]
        q = [r[i, k].sum() / M for r, (i, k, _) in zip(R, each)]
        off = [0.0 if rest is None else rest for *_, rest in each]
        n90 = np.sum(R.max(axis=1) > FOUND, axis=1)
        found.append(np.stack([q, off, n90, seen.shared(G, basis), seen.participations(G)]))
    overlap, off_overlap, count, subspace, features = map(_null, np.concatenate(found, axis=1))
    return RandomStudents(overlap, off_overlap if M > 1 else None, count, subspace, features, draws)


@lru_cache(maxsize=256)
def _participation(N0: int, N1: int, readers: int, draws: int, key: int) -> Null:
    rng, draws = np.random.default_rng([key, N0, N1]), _affordable(draws, N0 * N1 * min(N0, N1))
    return _null(np.concatenate([seen.participations(G) for _, G in _students(rng, draws, N0, N1, readers)]))


def _students(rng: np.random.Generator, draws: int, N0: int, N1: int, readers: int) -> Any:
    """(W, diag(a)W) of so many students, some at a time; |a| a column's length of (readers, N1) Gaussians."""
    block = max(1, _BLOCK // (N0 * N1))
    for start in range(0, draws, block):
        n = min(block, draws - start)
        W = rng.standard_normal((n, N1, N0))
        yield W, W * np.sqrt(rng.chisquare(readers, (n, N1, 1))) if readers else W


def _frame(gram: Float[np.ndarray, "M M"], N0: int) -> Float[np.ndarray, "M N0"]:
    """Rows with these inner products: a rotation of the teacher's, which random students cannot tell from it."""
    M = len(gram)
    if np.array_equal(gram, np.eye(M)):
        return np.eye(M, N0)
    values, V = np.linalg.eigh(gram)
    kept = min(M, N0)
    rows = V[:, M - kept :] * np.sqrt(np.maximum(values[M - kept :], 0.0))
    return np.pad(rows, ((0, 0), (0, N0 - kept)))


def _affordable(draws: int, work: int) -> int:
    return min(draws, max(_LEAST, _WORK // work))


def _settings(readout: str, readers: int, draws: int, key: int) -> tuple[int, int, int]:
    """Readers (0: all equal), draws, key."""
    if readout not in READOUTS:
        raise unknown_name("readout", readout, READOUTS)
    readers = checks.whole("readers", readers, 1)
    return readers if readout == "gaussian" else 0, checks.whole("draws", draws, 2), checks.whole("key", key, 0)


def _null(values: Float[np.ndarray, " n"]) -> Null:
    return Null(float(np.mean(values)), float(np.std(values, ddof=1)))
