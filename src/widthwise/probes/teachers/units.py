"""What a teacher is drawn from: directions and readouts; frozen arrays; φ of a whole matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.callables import evaluate
from widthwise.activations.phi import Activation, resolve
from widthwise.errors import InputError
from widthwise.probes.teachers.streams import Stream, generator


def directions(inputs: int, units: int, orthonormal: bool, key: int, name: str = "units") -> Float[np.ndarray, "M N0"]:
    """Unit rows: an orthonormal frame of Haar's measure, or each uniform on the sphere.

    [Mezzadri 2007, Notices AMS 54, 592: the signs that make a QR factor Haar's]

    Args:
        inputs: N0 of at least 1.
        units: M of at least 1; at most N0 where orthonormal.
        orthonormal: whether the rows are.
        key: the seed.
        name: of `units` in messages.

    Raises:
        InputError: sizes below 1, M > N0 orthonormal rows.
    """
    N0, M = checks.whole("inputs", inputs, 1), checks.whole(name, units, 1)
    if orthonormal and M > N0:
        raise InputError(
            f"{name}: expected at most {N0} orthonormal directions in {N0} dimensions, got {M}; "
            "take fewer, more dimensions, or, where it is offered, orthonormal=False."
        )
    G = generator(Stream.TEACHER, key).standard_normal((M, N0))
    if not orthonormal:
        return frozen(G / np.linalg.norm(G, axis=1, keepdims=True))
    Q, R = np.linalg.qr(G.T)
    return frozen((Q * np.sign(np.diag(R))).T)


def readout(values: Any, units: int, key: int) -> Float[np.ndarray, "M"]:
    """v: 1/√M each (None), drawn from N(0, 1/M) ("random"), or as given.

    Args:
        values: None, "random", one number for all or M of them.
        units: M.
        key: the seed of a random one.

    Raises:
        InputError: another word, another length, numbers that are not finite.
    """
    if values is None:
        return frozen(np.full(units, 1.0 / math.sqrt(units)))
    if isinstance(values, str):
        if values != "random":
            raise InputError(f"readout: expected None, 'random' or {units} numbers, got {values!r}; pass one of these.")
        return frozen(generator(Stream.READOUT, key).standard_normal(units) / math.sqrt(units))
    v = checks.real("readout", values, (0, 1), f"({units},)")
    if v.ndim == 1 and len(v) != units:
        raise InputError(f"readout: expected one number per unit ({units}), got {len(v)}; pass as many as units.")
    return frozen(np.broadcast_to(v, (units,)))


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    number = checks.number(name, value, 0.0)
    if number == 0.0:
        raise InputError(f"{name}: expected a number above 0, got {value!r}; pass e.g. 1.0.")
    return number


def frozen(array: Any) -> Float[np.ndarray, "..."]:
    """A float64 copy that cannot be written to."""
    array = np.array(array, dtype=np.float64)
    array.setflags(write=False)
    return array


def named(activation: Any) -> tuple[Any, Activation]:
    """(name, φ) of a built-in activation, (itself, φ) of a callable.

    Raises:
        InputError: an unknown name, nothing that can be called.
    """
    phi = resolve(activation)
    return (phi.name if phi.builtin else activation), phi


def apply(phi: Activation, h: Float[np.ndarray, "n M"]) -> Float[np.ndarray, "n M"]:
    """φ of each entry, in float64, whatever φ is written in."""
    return evaluate(phi, h.ravel()).reshape(h.shape)
