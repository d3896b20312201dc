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
PADDINGS = ("valid", "same")
READOUTS = ("dense", "average")


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


def _positive_integers(
    name: str, values: Any, what: str = "one whole number per hidden layer", example: str = "[200]"
) -> tuple[int, ...]:
    values = _unwrapped(values)
    entries = (values,) if isinstance(values, numbers.Real) else tuple(values) if isinstance(values, Iterable) else None
    if entries is None or isinstance(values, str) or not entries:
        raise InputError(f"{name}: expected {what}, got {values!r}; pass e.g. {example}.")
    for entry in entries:
        if not (_number(entry).is_integer() and _number(entry) >= 1):
            raise InputError(f"{name}: expected whole numbers of at least 1, got {entry!r}; pass e.g. {example}.")
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
            "linearised". They differ for activations that are not homogeneous; the last two have one output. With
            biases at depth "global" is not defined and stands for "nested".

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
class Patches:
    """Where the patches of an image lie.

    Args:
        image: (H, W).
        patch: (height, width) of one patch.
        stride: (down, across) from one patch to the next.
        grid: (rows, columns) of patches.
        before: zeros added (above, left) of the image; the rest of the padding is below and right.
    """

    image: tuple[int, int]
    patch: tuple[int, int]
    stride: tuple[int, int]
    grid: tuple[int, int]
    before: tuple[int, int]

    @property
    def count(self) -> int:
        """n, the number of patches; patch i sits at row i // columns, column i % columns of the grid."""
        return self.grid[0] * self.grid[1]

    @property
    def after(self) -> tuple[int, int]:
        """Zeros needed (below, right) so that the last patch is whole."""
        needed = ((g - 1) * s + p - H - b for g, s, p, H, b in zip(*self._sizes()))
        below, right = (max(number, 0) for number in needed)
        return below, right

    def _sizes(self) -> tuple[tuple[int, int], ...]:
        return self.grid, self.stride, self.patch, self.image, self.before


def _pair(name: str, values: Any) -> tuple[int, int]:
    """`values` as (down, across): one whole number for both, or two."""
    what = "one whole number or two, (down, across)"
    entries = _positive_integers(name, values, what, "(4, 4)")
    if len(entries) > 2:
        raise InputError(f"{name}: expected {what}, got {len(entries)}; pass e.g. (4, 4).")
    return entries[0], entries[-1]


def _pairs(name: str, values: Any, layers: int) -> tuple[tuple[int, int], ...]:
    """`values` as (down, across) of each layer: one pair for all, or a pair for each."""
    values = _unwrapped(values)
    if not isinstance(values, Iterable) or isinstance(values, str):
        return (_pair(name, values),) * layers
    entries = [_unwrapped(entry) for entry in values]
    if not any(isinstance(entry, Iterable) and not isinstance(entry, str) for entry in entries):
        return (_pair(name, entries),) * layers
    if len(entries) != layers:
        raise InputError(
            f"{name}: expected one pair or {layers} of them, got {len(entries)}; "
            f"there are {layers} such layers in this network."
        )
    return tuple(_pair(name, entry) for entry in entries)


def _place(image: tuple[int, int], patch: tuple[int, int], stride: tuple[int, int], padding: str) -> Patches | None:
    """Where the patches of an image lie; None where none is whole."""
    if padding == "valid":
        if any(p > H for p, H in zip(patch, image)):
            return None
        rows, columns = ((H - p) // s + 1 for H, p, s in zip(image, patch, stride))
        return Patches(image, patch, stride, (rows, columns), (0, 0))
    rows, columns = (-(-H // s) for H, s in zip(image, stride))
    missing = ((g - 1) * s + p - H for g, s, p, H in zip((rows, columns), stride, patch, image))
    above, left = (max(number, 0) // 2 for number in missing)
    return Patches(image, patch, stride, (rows, columns), (above, left))


@dataclass(frozen=True)
class Convolutional:
    """Convolutional layers of shared weights, each on the patches of the one below, and a linear readout.

        h^1_{c,i} = W^1_c·x_i/√(|p_1| C) + b^1_c
        h^{ℓ+1}_{c,o} = Σ_{c',δ} W^{ℓ+1}_{c,c',δ} φ(h^ℓ_{c', i(o,δ)})/√(|p_{ℓ+1}| N_ℓ) + b^{ℓ+1}_c
        f(x) = Σ_{c,o} v_{c,o} φ(h^L_{c,o})/√(N_L n_L)
        W^ℓ ~ N(0, 1/λ_{ℓ-1}),   v ~ N(0, 1/λ_L),   b^ℓ_c ~ N(0, σ_b²)
                                                            [Aiudi, Pacelli et al. 2025, Nat. Commun., arXiv 2307.11807]

    x_i is patch i of n_1, all C input channels of it; i(o, δ) is entry δ of patch o (zero outside). Images are
    (P, H, W) or (P, H, W, C). Each output has its own readout.

    Args:
        channels: N_1 … N_L, the hidden channels of each layer; one number for one layer.
        patch: (height, width) of the receptive field, one number for a square; one for all layers, or one per layer.
        stride: (down, across) from patch to patch, for all layers or per layer; by default the patch itself, so that
            patches do not overlap.
        activation: a name, an `Activation`, or any elementwise callable.
        padding: "valid" (whole patches only) or "same" (zeros around, ⌈H/stride⌉ rows of patches).
        readout: "dense" (one weight per channel and patch) or "average" (v_{c,o} = v_c/√n_L: pooled over the patches).
        weight_precisions: λ_0 … λ_L, one number for all or L+1 of them, more than zero.
        bias_variance: σ_b² of the hidden channels, one number for all or L of them; the readout has no bias.

    Raises:
        InputError: a number out of range, an unknown name.
    """

    channels: int | tuple[int, ...]
    patch: tuple[int, int] | tuple[tuple[int, int], ...]
    stride: tuple[int, int] | tuple[tuple[int, int], ...] | None = None
    activation: str | Activation | Callable[[Any], Any] = "erf"
    padding: str = "valid"
    readout: str = "dense"
    weight_precisions: float | tuple[float, ...] = 1.0
    bias_variance: float | tuple[float, ...] = 0.0
    phi: Activation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        channels = _positive_integers("channels", self.channels, "one whole number or one per layer", "64")
        L = len(channels)
        put(self, "channels", channels[0] if L == 1 else channels)
        patches = _pairs("patch", self.patch, L)
        strides = patches if self.stride is None else _pairs("stride", self.stride, L)
        put(self, "patch", patches[0] if len(set(patches)) == 1 else patches)
        put(self, "stride", strides[0] if len(set(strides)) == 1 else strides)
        put(self, "phi", resolve(self.activation))
        if self.padding not in PADDINGS:
            raise unknown_name("padding", self.padding, PADDINGS)
        if self.readout not in READOUTS:
            raise unknown_name("readout", self.readout, READOUTS)
        put(self, "weight_precisions", _per_layer("weight_precisions", self.weight_precisions, L + 1, zero=False))
        biases = _per_layer("bias_variance", self.bias_variance, L, zero=True)
        put(self, "bias_variance", biases[0] if len(set(biases)) == 1 else biases)

    @property
    def depth(self) -> int:
        """L, the number of convolutional layers."""
        return len(self.widths)

    @property
    def widths(self) -> tuple[int, ...]:
        """N_1 … N_L: the widths whose order parameters these are."""
        return self.channels if isinstance(self.channels, tuple) else (self.channels,)

    @property
    def precisions(self) -> tuple[float, ...]:
        """λ_0 … λ_L, length L + 1."""
        return _per_layer("weight_precisions", self.weight_precisions, self.depth + 1, zero=False)

    @property
    def bias_variances(self) -> tuple[float, ...]:
        """σ_b² of each layer, length L."""
        return _per_layer("bias_variance", self.bias_variance, self.depth, zero=True)

    @property
    def name(self) -> str:
        """In words, for tables."""
        channels = "-".join(str(N) for N in self.widths)
        sizes = dict.fromkeys("x".join(str(p) for p in patch) for patch in _pairs("patch", self.patch, self.depth))
        pooled = ", average-pooled" if self.readout == "average" else ""
        return f"{self.phi.name} convolutional network, {channels} channels on {', '.join(sizes)} patches{pooled}"

    def patches(self, height: int, width: int) -> Patches:
        """Where the patches of an H × W image lie, those of the first layer.

        Raises:
            InputError: the patch does not fit into the image.
        """
        return self.stack(height, width)[0]

    def stack(self, height: int, width: int) -> tuple[Patches, ...]:
        """Where the patches of every layer lie on an H × W image: the grid of one is the image of the next.

        Raises:
            InputError: a patch does not fit into what is below it.
        """
        image, places = (height, width), []
        patches, strides = _pairs("patch", self.patch, self.depth), _pairs("stride", self.stride, self.depth)
        for layer, (patch, stride) in enumerate(zip(patches, strides), 1):
            place = _place(image, patch, stride, self.padding)
            if place is None:
                name, below = ("patch", "image") if layer == 1 else (f"patch of layer {layer}", "grid below")
                raise InputError(
                    f"{name}: expected at most the {below}'s {image[0]}x{image[1]}, got {patch[0]}x{patch[1]}; "
                    'take a smaller patch, or padding="same".'
                )
            places.append(place)
            image = place.grid
        return tuple(places)


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
