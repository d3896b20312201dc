"""A teacher that looks at a few directions through chosen Hermite polynomials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from widthwise import checks
from widthwise.errors import InputError
from widthwise.probes.teachers.moments import checked_degree
from widthwise.probes.teachers.teacher import Teacher
from widthwise.probes.teachers.units import directions, frozen


def hermite_polynomials(z: Float[np.ndarray, "n r"], highest: int) -> Float[np.ndarray, "K n r"]:
    """h_0 … h_highest, orthonormal under N(0, 1).

    h_{j+1} = ( z h_j − √j h_{j−1} ) / √(j+1)        [DLMF 18.9, normalised]
    """
    h = np.ones((highest + 1, *z.shape))
    if highest:
        h[1] = z
    for j in range(1, highest):
        h[j + 1] = (z * h[j] - np.sqrt(j) * h[j - 1]) / np.sqrt(j + 1)
    return h


@dataclass(frozen=True, eq=False)
class Index(Teacher):
    """f*(x) = Σ_J c_J Π_k h_{J_k}(u_k·x),   u_k orthonormal,   x ~ N(0, 1_{N0}).

    h_j = He_j/√j!, the probabilists' Hermite polynomials, normalised: they are orthonormal, hence E f* = c_0,
    E f*² = Σ_J c_J², and the power of degree j is that of the J with ΣJ_k = j. [one index, and what its lowest degree
    decides: Ben Arous, Gheissari, Jagannath 2021, arXiv 2003.10409; several: Abbe, Boix-Adserà, Misiakiewicz 2022,
    arXiv 2202.08658]

    Args:
        units: u_k, orthonormal rows (r, N0).
        orders: J, one row for each term (T, r).
        readout: c_J (T,); the hidden units are the terms.
    """

    units: Float[np.ndarray, "r N0"]
    orders: Int[np.ndarray, "T r"]
    readout: Float[np.ndarray, "T"]

    activation = None
    gain = None

    @property
    def input_size(self) -> int:
        return self.units.shape[1]

    @property
    def name(self) -> str:
        r = len(self.units)
        what = "one index" if r == 1 else f"{r} indices"
        return f"{what}, Hermite polynomials of degree up to {self.orders.sum(1).max()}, on {self.input_size} inputs"

    @property
    def mean(self) -> float:
        return float(self._of_degree(0).sum())

    @property
    def power(self) -> float:
        return float(self.readout @ self.readout)

    def _of_degree(self, degree: int) -> Float[np.ndarray, "terms"]:
        """c_J of the terms of one degree."""
        return self.readout[self.orders.sum(1) == degree]

    def spectrum(self, degree: int = 8) -> Float[np.ndarray, "degrees"]:
        return np.array([(self._of_degree(j) ** 2).sum() for j in range(checked_degree(degree) + 1)])

    def _hidden(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n T"]:
        h = hermite_polynomials(X @ self.units.T, int(self.orders.max()))
        hidden = np.ones((len(X), len(self.orders)))
        for k in range(len(self.units)):
            hidden *= h[self.orders[:, k], :, k].T
        return hidden

    def _targets(self, X: Float[np.ndarray, "n N0"]) -> Float[np.ndarray, "n"]:
        return self._hidden(X) @ self.readout


def draw(inputs: int, coefficients: Any, key: int) -> Index:
    """An `Index` along random orthonormal directions.

    Args:
        inputs: N0.
        coefficients: {(J_1, …, J_r): c_J}, or an array with c_J at [J_1, …, J_r].
        key: the seed.

    Raises:
        InputError: no coefficient that is not zero, orders that are not whole numbers, indices of different lengths.
    """
    J, c = _terms(coefficients)
    orders = np.array(J, dtype=np.int64)
    orders.setflags(write=False)
    return Index(directions(inputs, orders.shape[1], True, key, "coefficients"), orders, frozen(c))


def _terms(coefficients: Any) -> tuple[list[tuple[int, ...]], list[float]]:
    """The terms that are not zero."""
    if isinstance(coefficients, Mapping):
        pairs = [(_order(J), checks.real("coefficients", c, (0,), "a number")) for J, c in coefficients.items()]
        lengths = sorted({len(J) for J, _ in pairs})
        if len(lengths) > 1:
            raise InputError(
                f"coefficients: expected the same number of orders in every term, got {lengths}; "
                "write 0 where a direction does not occur."
            )
        kept = [(J, float(c)) for J, c in pairs if c != 0]
    else:
        array = checks.real("coefficients", coefficients, tuple(range(1, 33)), "one axis for each direction")
        kept = [(tuple(map(int, J)), float(array[tuple(J)])) for J in np.argwhere(array != 0)]
    if not kept:
        raise InputError("coefficients: expected at least one that is not zero, got none; pass e.g. {(1,): 1.0}.")
    return [J for J, _ in kept], [c for _, c in kept]


def _order(J: Any) -> tuple[int, ...]:
    orders = tuple(J) if isinstance(J, Iterable) and not isinstance(J, str) else (J,)
    if not orders:
        raise InputError("coefficients: expected the orders of each direction, got (); pass e.g. {(1, 2): 1.0}.")
    return tuple(checks.whole("coefficients' orders", j, 0) for j in orders)
