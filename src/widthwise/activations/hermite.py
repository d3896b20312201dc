"""The dual kernel of any φ by its Hermite expansion, with a rigorous bound on what the truncation left out.

With h = √c z, h' = √c' z' and u = cxy/√(cxx cyy) (Mehler; Daniely, Frostig, Singer 2016, arXiv 1602.05897, Sect. 4)

    κ = Σ_k a_k(cxx) a_k(cyy) u^k,   a_k(c) = E[φ(√c z) h_k(z)],   Σ_k a_k(c)² = E[φ²],   m(c) = a_0(c)

for every φ in L². The sum is cut at some order n and the weight of everything from n on, t_n(c)² = Σ_{k≥n} a_k(c)²
(over the k of n's parity; known exactly, because E[φ²] is), is put on order n itself:

    κ ≈ Σ_{k<n} a_k a_k' u^k + t_n t_n' u^n,     |error| ≤ 2 t_n t_n' |u|^n     (Cauchy–Schwarz)

so every truncation is itself a positive semi-definite kernel, and at u = ±1, cxx = cyy it has no error at all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from widthwise.activations.abstract_dual import AbstractDual, Array, Partials, checked_variances, strips
from widthwise.activations.callables import evaluate, parities
from widthwise.activations.phi import Activation
from widthwise.errors import InputError, NumericalError
from widthwise.numerics.guarded import divide
from widthwise.numerics.quadrature import composite_gauss_legendre, hermite_functions

MAX_TERMS = 512  # coefficients of a row
TOLERANCE = 1e-12  # of the bound, relative to √(κ_xx κ_yy): where the expansion stops
REFUSED = 1e-4  # a bound above this is an error
_REACH = 14.0  # |z| at which √g is 1e-22
_CHUNK = 1024  # rows whose φ values are held at once


@dataclass(frozen=True)
class HermiteSide:
    """The expansion of some rows. Order k = first + step·(position along axis 0).

    Args:
        c: variances.
        norm: √E[φ²].
        coefficients: a_k(c).
        tails: t_k(c) of the module's formula.
        first: lowest order, 0 or 1.
        step: 2 for odd or even φ, else 1.
        bound: on |error| / √(κ_xx κ_yy) of each row with itself at full order, the quadrature's own error included.
    """

    c: Float[np.ndarray, "P"]
    norm: Float[np.ndarray, "P"]
    coefficients: Float[np.ndarray, "K P"]
    tails: Float[np.ndarray, "K P"]
    first: int
    step: int
    bound: Float[np.ndarray, "P"]

    @property
    def inverse_scale(self) -> Float[np.ndarray, "P"]:
        """1/√c, and 0 for a zero row."""
        return divide(np, 1.0, np.sqrt(self.c))

    def __getitem__(self, rows: slice) -> HermiteSide:
        return HermiteSide(
            self.c[rows],
            self.norm[rows],
            self.coefficients[:, rows],
            self.tails[:, rows],
            self.first,
            self.step,
            self.bound[rows],
        )


@functools.cache
def _rule(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z > 0 and weights with the normal density in them, both signs together; panels halve with each level.

    A panel ends at 0, where activations have their kinks; towards it they shrink, as φ(√c z) does at large c.
    """
    boundaries = np.concatenate([[0.0], np.geomspace(2.0**-23, 0.5, 12), np.arange(1.0, _REACH + 0.25, 0.5)])
    for _ in range(level):
        boundaries = np.sort(np.concatenate([boundaries, (boundaries[1:] + boundaries[:-1]) / 2]))
    z, weights = composite_gauss_legendre(boundaries, 20)
    return z, 2 * weights * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


@functools.cache
def _projector(level: int, count: int, first: int, step: int) -> np.ndarray:
    """(orders, nodes): what takes the even or odd part of φ at the nodes to its coefficients."""
    z, weights = _rule(level)
    bare = weights * np.exp(0.25 * z * z) * (2 * np.pi) ** 0.25  # turns ψ_k = h_k √g into weights · h_k
    return hermite_functions(z, count)[first::step] * bare


@dataclass(frozen=True)
class Hermite(AbstractDual):
    """κ and m of any φ; NumPy only. Built by `hermite_dual`.

    Cost of a tile: about 1 ns per element and non-zero coefficient; tens of them for a smooth φ at c ≈ 1.

    Args:
        activation: φ.
        even, odd: whether φ has such a part.
    """

    activation: Activation
    even: bool
    odd: bool

    @property
    def has_mean(self) -> bool:
        return self.even

    @property
    def _first_and_step(self) -> tuple[int, int]:
        return (0, 1) if self.even and self.odd else (1, 2) if self.odd else (0, 2)

    def _parts(self, c: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Even and odd part of φ(√c z) at the nodes, (rows, nodes) each."""
        z, _ = _rule(level)
        h = (np.sqrt(c)[:, None] * z).ravel()
        plus = evaluate(self.activation, h).reshape(c.size, z.size)
        minus = evaluate(self.activation, -h).reshape(c.size, z.size)
        return 0.5 * (plus + minus), 0.5 * (plus - minus)

    def _moments(self, c: np.ndarray, level: int) -> np.ndarray:
        """E[φ_even²], E[φ_odd²] and E[φ], (3, rows)."""
        _, weights = _rule(level)
        moments = np.empty((3, c.size))
        for start in range(0, c.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            even, odd = self._parts(c[rows], level)
            squares = even**2 + odd**2
            outermost = (squares[:, -20:] * weights[-20:]).sum(1)
            if (outermost > 1e-20 * (squares @ weights)).any():
                raise NumericalError(
                    f"activation {self.activation.name}: φ grows too fast for a Gaussian of variance "
                    f"{c[rows].max():.3g}; use an activation that grows like a power, or scale the inputs down "
                    "(larger weight precision)."
                )
            moments[:, rows] = even**2 @ weights, odd**2 @ weights, even @ weights
        return moments

    def _level(self, c: np.ndarray) -> tuple[int, float]:
        """Coarsest rule that resolves φ at these variances, and its relative error (a kink away from 0 leaves some)."""
        probes = np.quantile(c, np.linspace(0, 1, 9), method="nearest") if c.size > 9 else c
        before, error = self._moments(probes, 0), 0.0
        for level in range(3):
            after = self._moments(probes, level + 1)
            error = float(divide(np, np.abs(after - before)[:2].sum(0), after[:2].sum(0)).max(initial=0.0))
            if error < TOLERANCE:
                return level, error
            before = after
        return 3, error

    def expand(self, c: Any, *, limit: float = REFUSED) -> HermiteSide:
        """The expansion of each row, to the order at which the bound falls below `TOLERANCE` or `MAX_TERMS` is reached.

        Args:
            c: variances (P,), at least 0.
            limit: largest relative bound that is let through.

        Raises:
            NumericalError: the bound stays above `limit`, or φ² is not integrable.
            InputError: φ is not finite where it is needed.
        """
        c = checked_variances(c)
        level, quadrature_error = self._level(c)
        _, step = self._first_and_step
        count = 32 * step
        probes = np.quantile(c, np.linspace(0, 1, 9), method="nearest") if c.size > 9 else c
        while count < MAX_TERMS * step and self._expand(probes, level, count).bound.max(initial=0.0) > TOLERANCE:
            count *= 2
        side = self._expand(c, level, count)
        bound = side.bound + quadrature_error
        worst = int(np.argmax(bound)) if c.size else 0
        if c.size and bound[worst] > limit:
            raise NumericalError(
                f"activation {self.activation.name}: its kernel is known to {bound[worst]:.1e} only (relative) at "
                f"variance {c[worst]:.3g}, {limit:.0e} is needed; scale the inputs down (larger weight precision), "
                "or use a smoother activation."
            )
        return replace(side, bound=bound)

    def _expand(self, c: np.ndarray, level: int, count: int) -> HermiteSide:
        first, step = self._first_and_step
        kept = len(range(first, count, step))
        coefficients, moments = np.empty((kept, c.size)), self._moments(c, level)
        for start in range(0, c.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            for part, parity in zip(self._parts(c[rows], level), (0, 1)):
                if step == 1:
                    coefficients[parity::2, rows] = _projector(level, count, parity, 2) @ part.T
                elif parity == first:
                    coefficients[:, rows] = _projector(level, count, parity, 2) @ part.T
        squares = coefficients**2
        tails = np.empty_like(squares)
        for parity in (0, 1) if step == 1 else (first,):
            own = slice(parity, None, 2) if step == 1 else slice(None)
            beyond = np.maximum(moments[parity] - squares[own].sum(0), 0.0)
            tails[own] = np.sqrt(beyond + np.cumsum(squares[own][::-1], 0)[::-1])
        energy = moments[:2].sum(0)
        last = tails[-1] ** 2 if step == 2 else tails[-1] ** 2 + tails[-2] ** 2
        bound = divide(np, 2 * last, energy)
        return HermiteSide(c, np.sqrt(energy), coefficients, tails, first, step, bound)

    def prepare(self, c: Any) -> HermiteSide:
        return self.expand(c)

    def diagonal(self, c: Any) -> Float[np.ndarray, "P"]:
        c = checked_variances(c)
        return self._moments(c, self._level(c)[0])[:2].sum(0)

    def mean(self, c: Any) -> Float[np.ndarray, "P"]:
        c = checked_variances(c)
        return self._moments(c, self._level(c)[0])[2] if self.even else np.zeros_like(c)

    def tile(self, cxy: Float[np.ndarray, "p q"], left: HermiteSide, right: HermiteSide) -> Float[np.ndarray, "p q"]:
        return contract_tile(cxy, left, right)

    def prepare_partials(self, c: Any) -> HermiteSide:
        return self.prepare(c)

    def partials_tile(self, cxy: Float[np.ndarray, "p q"], left: HermiteSide, right: HermiteSide) -> Partials:
        from widthwise.activations.hermite_partials import series_partials  # which needs this module

        return series_partials(cxy, left, right)

    def diagonal_slope(self, c: Any) -> Float[np.ndarray, "P"]:
        """½ d²/dh² averaged, by parts: E[(z² − 1) φ²]/(2c); φ'(0)² + φ(0)φ''(0) at c = 0 is not known: 0."""
        c = checked_variances(c)
        level, (z, weights) = self._level(c)[0], _rule(self._level(c)[0])
        total = np.empty_like(c)
        for start in range(0, c.size, _CHUNK):
            rows = slice(start, start + _CHUNK)
            even, odd = self._parts(c[rows], level)
            total[rows] = (even**2 + odd**2) @ (weights * (z * z - 1))
        return np.asarray(divide(np, total, 2 * c))

    def slope_formula(self, cxx: np.ndarray, cxy: np.ndarray, cyy: np.ndarray) -> Partials:
        """By the derivatives of the expansion, pair by pair; a matrix goes by `partials_tile`."""
        from widthwise.activations.hermite_partials import series_partials  # which needs this module

        cxx, cxy, cyy = np.broadcast_arrays(cxx, cxy, cyy)
        variances, where = np.unique(np.stack([cxx.ravel(), cyy.ravel()]), return_inverse=True)
        side = self.prepare_partials(variances)
        i, j = where.reshape(2, -1)
        xx, xy, yy = series_partials(cxy.reshape(-1, 1), side, side, (i[:, None], j[:, None]))
        return xx.reshape(cxy.shape), xy.reshape(cxy.shape), yy.reshape(cxy.shape)

    def formula(self, xp: Any, cxx: Array, cxy: Array, cyy: Array) -> Array:
        """κ elementwise, NumPy only: JAX does not trace through a callable's coefficients (quadratures) yet."""
        if xp is not np:
            raise InputError(
                f"activation {self.activation.name}: expected NumPy arrays, got JAX's; the kernel of a callable is not "
                "differentiable yet, use an activation with a closed form (erf, relu, gelu, tanh, sin, cos, …)."
            )
        cxx, cxy, cyy = np.broadcast_arrays(cxx, cxy, cyy)
        variances, where = np.unique(np.stack([cxx.ravel(), cyy.ravel()]), return_inverse=True)
        side = self.expand(variances)
        i, j = where.reshape(2, -1)
        scale = side.inverse_scale
        u = np.clip(cxy.ravel() * scale[i] * scale[j], -1.0, 1.0)
        count = enough(truncation_bounds(side, side)(1.0))
        return contract_pairs(u, side, side, i, j, count).reshape(cxy.shape)


def hermite_dual(activation: Activation) -> Hermite:
    """The dual of any elementwise φ.

    Raises:
        InputError: φ fails on arrays, returns another shape or non-finite numbers, or is not elementwise.
    """
    return Hermite(activation, *parities(activation))


def _relative_tails(side: HermiteSide, count: int) -> np.ndarray:
    """Largest t_k/√E[φ²] among the rows, for each of the first `count` orders."""
    tails = side.tails[:count]
    return divide(np, tails, np.broadcast_to(side.norm, tails.shape)).max(1, initial=0.0)


def truncation_bounds(left: HermiteSide, right: HermiteSide) -> Callable[[float], np.ndarray]:
    """The bound, relative to √(κ_xx κ_yy), after each number of coefficients, as a function of the largest |u|."""
    count = min(len(left.tails), len(right.tails))
    at_one = 2 * _relative_tails(left, count) * _relative_tails(right, count)
    orders = left.first + left.step * np.arange(count)

    def bounds(largest: float) -> np.ndarray:
        each = at_one * largest**orders
        return each if left.step == 2 else each[:-1] + each[1:]

    return bounds


def enough(bounds: np.ndarray) -> int:
    """How many coefficients to keep: the fewest that reach `TOLERANCE`, or all."""
    reached = np.flatnonzero(bounds <= TOLERANCE)
    return int(reached[0]) if reached.size else len(bounds) - 1


def bulk(u: Float[np.ndarray, "p q"]) -> tuple[float, np.ndarray]:
    """A level that all but a few |u| stay below, and the flat indices of those few (duplicates, a block's diagonal).

    High orders matter for them alone: they are summed one by one, and the block is spared.
    """
    size = np.abs(u)
    for level in (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98):
        above = size > level
        if np.count_nonzero(above) <= 2 * max(u.shape):
            return level, np.flatnonzero(above)
    return float(size.max(initial=0.0)), np.empty(0, dtype=np.intp)


def _kept(side: HermiteSide, count: int) -> np.ndarray:
    """The first `count` coefficients and, on top of them, the tail of each parity."""
    return np.concatenate([side.coefficients[:count], side.tails[count : count + 3 - side.step]])


def contract(u: Float[np.ndarray, "p q"], left: HermiteSide, right: HermiteSide, count: int) -> None:
    """u ← Σ_{k<count} a_k a_k' u^k plus the tails, by Horner."""
    a, b = _kept(left, count), _kept(right, count)
    for rows in strips(u.shape[0], 64):
        strip, column = u[rows], a[:, rows, None]
        x = strip * strip if left.step == 2 else strip.copy()
        total = column[-1] * b[-1]
        term = np.empty_like(total)
        for k in range(len(a) - 2, -1, -1):
            total *= x
            np.multiply(column[k], b[k], out=term)
            total += term
        u[rows] = total * strip if left.first else total


def contract_pairs(
    u: Float[np.ndarray, "n"],
    left: HermiteSide,
    right: HermiteSide,
    i: Int[np.ndarray, "n"],
    j: Int[np.ndarray, "n"],
    count: int,
) -> Float[np.ndarray, "n"]:
    """The same sum for single pairs of rows (i, j)."""
    a, b = _kept(left, count), _kept(right, count)
    x = u * u if left.step == 2 else u
    total = np.zeros_like(u)
    for k in range(len(a) - 1, -1, -1):
        total *= x
        total += a[k, i] * b[k, j]
    return total * u if left.first else total


def contract_tile(
    cxy: Float[np.ndarray, "p q"],
    left: HermiteSide,
    right: HermiteSide,
    exact: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None,
    limit: float = np.inf,
) -> Float[np.ndarray, "p q"]:
    """The tile: its bulk by `contract`, the few pairs with |u| near 1 by `contract_pairs`.

    Args:
        cxy: covariances; not overwritten.
        left, right: rows.
        exact: κ(cxx, cxy, cyy) elementwise, for whatever the expansion cannot do to `limit`.
        limit: relative bound above which `exact` is asked.
    """
    bounds = truncation_bounds(left, right)
    u = cxy * left.inverse_scale[:, None]
    u *= right.inverse_scale
    np.clip(u, -1.0, 1.0, out=u)
    level, above = bulk(u)
    at_level, at_one = bounds(level), bounds(1.0)
    if exact is not None and at_level.min() > limit:
        return exact(left.c[:, None], cxy, right.c[None, :])
    i, j = np.divmod(above, u.shape[1])
    if exact is not None and at_one.min() > limit:
        single = exact(left.c[i], cxy[i, j], right.c[j])
    else:
        single = contract_pairs(u[i, j], left, right, i, j, enough(at_one))
    contract(u, left, right, enough(at_level))
    u[i, j] = single
    return u
