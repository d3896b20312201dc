"""The activation functions φ themselves, written once for NumPy and for JAX.

This file holds φ and nothing derived from it, so that the sampled network (which must share no code with the
theory) can use it: the dual kernels live beside it, in `duals` and `hermite`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from widthwise.errors import InputError, unknown_name
from widthwise.numerics.guarded import namespace

Array = Any
_SQRT_HALF = math.sqrt(0.5)


def _erf(h: Array) -> Array:
    if namespace(h) is np:
        from scipy.special import erf
    else:
        from jax.scipy.special import erf
    return erf(h)


@dataclass(frozen=True)
class Activation:
    """A non-linearity φ, elementwise on NumPy arrays, JAX arrays and JAX tracers.

    Args:
        name: how it is called in `FullyConnected(activation=...)`.
        function: φ; takes and returns one array.
        slope: of the negative side (leaky relu), else None.
        kink: whether φ has a kink at the origin (its quadratures then split there).
        homogeneous: φ(c h) = c φ(h) for every c > 0.
        builtin: False for a callable that the user handed in.
    """

    name: str
    function: Callable[[Array], Array]
    slope: float | None = None
    kink: bool = False
    homogeneous: bool = False
    builtin: bool = True

    def __call__(self, h: Array) -> Array:
        return self.function(h)


def leaky_relu(slope: float = 0.01) -> Activation:
    """φ(h) = max(h, 0) + slope · min(h, 0).

    Args:
        slope: of the negative side, any finite number.
    """
    slope = float(slope)
    if not math.isfinite(slope):
        raise InputError(f"leaky relu: expected a finite slope, got {slope!r}; pass a number such as 0.01.")

    def function(h: Array) -> Array:
        xp = namespace(h)
        return xp.where(h > 0, h, slope * h)

    return Activation(f"leaky_relu({slope:g})", function, slope=slope, kink=True, homogeneous=True)


BUILTIN: dict[str, Activation] = {
    "erf": Activation("erf", _erf),
    "identity": Activation("identity", lambda h: h, homogeneous=True),
    "relu": Activation("relu", lambda h: namespace(h).maximum(h, 0.0), kink=True, homogeneous=True),
    "quadratic": Activation("quadratic", lambda h: h * h),
    "sin": Activation("sin", lambda h: namespace(h).sin(h)),
    "cos": Activation("cos", lambda h: namespace(h).cos(h)),
    "tanh": Activation("tanh", lambda h: namespace(h).tanh(h)),
    "gelu": Activation("gelu", lambda h: 0.5 * h * (1.0 + _erf(h * _SQRT_HALF))),
}
_ALIASES = {"linear": "identity"}


def resolve(activation: object) -> Activation:
    """The `Activation` that a name, an `Activation` or a callable stands for.

    Args:
        activation: "erf", "identity" ("linear"), "relu", "leaky_relu", "leaky_relu(0.1)", "quadratic", "sin", "cos",
            "tanh", "gelu"; an `Activation`; or any elementwise callable.

    Raises:
        InputError: the name is unknown, or the object is not callable.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        name, _, slope = activation.strip().lower().partition("(")
        name = name.strip().replace("-", "_")
        name = _ALIASES.get(name, name)
        if name in BUILTIN and not slope:
            return BUILTIN[name]
        if name == "leaky_relu" and not slope:
            return leaky_relu()
        if name == "leaky_relu" and slope.endswith(")"):
            try:
                number = float(slope[:-1])
            except ValueError:
                raise unknown_name("activation", activation, [*BUILTIN, "leaky_relu"]) from None
            return leaky_relu(number)
        raise unknown_name("activation", activation, [*BUILTIN, "leaky_relu"])
    if callable(activation):
        name = getattr(activation, "__qualname__", type(activation).__name__)
        return Activation(name, activation, kink=True, builtin=False)
    raise InputError(
        f"activation: expected a name or an elementwise callable, got {type(activation).__name__}; "
        "pass a name such as 'erf' or a function of one array."
    )
