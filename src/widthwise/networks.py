"""What the user describes: the network and its prior. Frozen, validated values; no arrays, no mathematics."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from widthwise.activations.phi import Activation, resolve
from widthwise.errors import InputError, unknown_name

CLOSURES = ("global", "nested", "linearised")


def _unwrapped(values: Any) -> Any:
    """A NumPy or JAX array as the number or the list that it holds."""
    return values.tolist() if hasattr(values, "tolist") else values


def _number(entry: Any) -> float:
    """`entry` as a float; NaN where it is no number."""
    if isinstance(entry, bool) or not isinstance(entry, numbers.Real):
        return math.nan
    try:
        return float(entry)
    except OverflowError:
        return math.inf


def _positive_integers(name: str, values: Any) -> tuple[int, ...]:
    values = _unwrapped(values)
    entries = (values,) if isinstance(values, numbers.Real) else tuple(values) if isinstance(values, Iterable) else None
    if entries is None or isinstance(values, str) or not entries:
        raise InputError(f"{name}: expected one whole number per hidden layer, got {values!r}; pass e.g. [200].")
    for entry in entries:
        if not (_number(entry).is_integer() and _number(entry) >= 1):
            raise InputError(f"{name}: expected whole numbers of at least 1, got {entry!r}; pass e.g. [200].")
    return tuple(int(entry) for entry in entries)


def _per_layer(name: str, values: Any, layers: int, *, zero: bool) -> tuple[float, ...]:
    """`values` as one finite number per layer, positive (or, with `zero`, not negative)."""
    values = _unwrapped(values)
    scalar = isinstance(values, numbers.Real)
    if isinstance(values, str) or not (scalar or isinstance(values, Iterable)):
        raise InputError(f"{name}: expected a number or one per layer ({layers}), got {values!r}.")
    entries = (values,) * layers if scalar else tuple(values)
    if len(entries) != layers:
        raise InputError(
            f"{name}: expected one number or {layers} of them, got {len(entries)}; "
            f"there are {layers} such layers in this network."
        )
    for entry in entries:
        number = _number(entry)
        if not (math.isfinite(number) and (number > 0 or (zero and number == 0))):
            bound = "zero or more" if zero else "more than zero"
            raise InputError(f"{name}: expected finite numbers of {bound}, got {entry!r}.")
    return tuple(float(entry) for entry in entries)


@dataclass(frozen=True)
class FullyConnected:
    """A fully connected network with Gaussian priors on its weights.

        h^1 = W^1 x/√N_0 + b^1,   h^{ℓ+1} = W^{ℓ+1} φ(h^ℓ)/√N_ℓ + b^{ℓ+1},   f(x) = v·φ(h^L)/√N_L
        W^ℓ_ij ~ N(0, 1/λ_{ℓ-1}),   v_i ~ N(0, 1/λ_L),   b^ℓ_i ~ N(0, σ_b²)     [Pacelli et al. 2023, arXiv 2209.04882]

    Args:
        widths: N_1 … N_L, the units of each hidden layer.
        activation: a name, an `Activation`, or any elementwise callable.
        weight_precisions: λ_0 … λ_L, one number for all or L+1 of them, more than zero.
        bias_variance: σ_b² of the hidden layers, one number for all or L of them; the readout has no bias.
        closure: how several hidden layers renormalise the kernel: "global" (by one number; the default), "nested" or
            "linearised". They differ for activations that are not homogeneous, where only "global" is covered so far.

    Raises:
        InputError: a width below one, a precision that is not positive, an unknown name.
    """

    widths: tuple[int, ...]
    activation: str | Activation | Callable[[Any], Any] = "erf"
    weight_precisions: float | tuple[float, ...] = 1.0
    bias_variance: float | tuple[float, ...] = 0.0
    closure: str = "global"
    phi: Activation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "widths", _positive_integers("widths", self.widths))
        put(self, "phi", resolve(self.activation))
        L = len(self.widths)
        put(self, "weight_precisions", _per_layer("weight_precisions", self.weight_precisions, L + 1, zero=False))
        biases = _per_layer("bias_variance", self.bias_variance, L, zero=True)
        put(self, "bias_variance", biases[0] if len(set(biases)) == 1 else biases)
        if self.closure not in CLOSURES:
            raise unknown_name("closure", self.closure, CLOSURES)

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.widths)

    @property
    def precisions(self) -> tuple[float, ...]:
        """λ_0 … λ_L, length L + 1."""
        return _per_layer("weight_precisions", self.weight_precisions, self.depth + 1, zero=False)

    @property
    def bias_variances(self) -> tuple[float, ...]:
        """σ_b² of each hidden layer, length L."""
        return _per_layer("bias_variance", self.bias_variance, self.depth, zero=True)

    @property
    def name(self) -> str:
        """In words, for tables."""
        widths = "-".join(str(N) for N in self.widths)
        return f"{self.phi.name} network, hidden width {widths}"


@dataclass(frozen=True)
class PrecomputedKernel:
    """A one-hidden-layer network of which only the infinite-width kernel is known: any NNGP, any kernel at all.

    `X` is then the kernel K (P, P) of the training points, the readout's precision included, and new points are given
    as two arrays, `predict(k, diagonal)`: their kernel with the training points (n, P) and their own variances (n,).

    Args:
        widths: [N], the width whose readout is integrated over.

    Raises:
        InputError: not exactly one width, or a width below one.
    """

    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", _positive_integers("widths", self.widths))
        if len(self.widths) != 1:
            raise InputError(
                f"PrecomputedKernel: expected one width, got {len(self.widths)}; "
                "a precomputed kernel is that of the last hidden layer, so give the last layer's width."
            )

    @property
    def depth(self) -> int:
        """L = 1: only the last layer's width enters."""
        return 1

    @property
    def name(self) -> str:
        """In words, for tables."""
        return f"precomputed kernel, width {self.widths[0]}"
