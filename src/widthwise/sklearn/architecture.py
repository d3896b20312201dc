"""From an estimator's plain parameters to a network, and from scikit-learn's tables to what that network takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.posterior.sources import Network

DEFAULTS: dict[str, Any] = {
    "widths": (200,),
    "activation": "erf",
    "weight_precisions": 1.0,
    "bias_variance": 0.0,
    "closure": "global",
    "channels": None,
    "patch": None,
    "stride": None,
    "padding": "valid",
    "readout": "dense",
    "image_shape": None,
    "kernel": None,
}
_NEURONS = {"activation", "weight_precisions", "bias_variance"}
_USED = {
    "a fully connected network": _NEURONS | {"widths", "closure"},
    "a convolutional network (channels)": _NEURONS
    | {"channels", "patch", "stride", "padding", "readout", "image_shape"},
    "a kernel": {"widths", "kernel"},
}


def network_of(parameters: Mapping[str, Any]) -> Network:
    """The network that the parameters describe: that of a `kernel`, with `channels` convolutional, else connected.

    Args:
        parameters: of an estimator, those of `DEFAULTS` among them.

    Raises:
        InputError: a parameter out of range, or one that this kind of network does not have.
    """
    given = {name: parameters[name] for name in DEFAULTS}
    connected, convolutional, kernel = _USED
    kind = kernel if given["kernel"] is not None else connected if given["channels"] is None else convolutional
    for name, default in DEFAULTS.items():
        if name not in _USED[kind] and _plain(given[name]) != default:
            raise InputError(f"{name}: expected none for {kind}, got {given[name]!r}; leave it out.")
    used = {name: given[name] for name in _USED[kind] - {"kernel", "image_shape"}}
    if kind == kernel:
        _check_kernel(given["kernel"])
        return PrecomputedKernel(**used)
    return FullyConnected(**used) if kind == connected else Convolutional(**used)


def images_of(X: Float[np.ndarray, "n N0"], shape: Any) -> Float[np.ndarray, "n ..."]:
    """The rows of X as images (n, H, W) or (n, H, W, C).

    Args:
        X: one flattened image a row, in C order.
        shape: (H, W) or (H, W, C); None is (1, N0), a signal of one row.

    Raises:
        InputError: not such a shape, or not of N0 numbers.
    """
    features = X.shape[1]
    sizes = (1, features) if shape is None else _plain(shape)
    whole = isinstance(sizes, tuple) and all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes)
    if not whole or len(sizes) not in (2, 3):
        raise InputError(f"image_shape: expected (height, width) or (height, width, channels), got {shape!r}.")
    if math.prod(sizes) != features:
        raise InputError(
            f"image_shape: expected {features} numbers, one per feature, got {'x'.join(map(str, sizes))} = "
            f"{math.prod(sizes)}; pass the shape that the rows of X were flattened from."
        )
    return X.reshape(len(X), *sizes)


def _plain(value: Any) -> Any:
    """Arrays and lists as tuples, to compare."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(value) if isinstance(value, list) else value


def _check_kernel(kernel: Any) -> None:
    from sklearn.gaussian_process.kernels import Kernel

    if not isinstance(kernel, Kernel) or not kernel.requires_vector_input:
        raise InputError(
            "kernel: expected a kernel of sklearn.gaussian_process.kernels on vectors, got "
            f"{type(kernel).__name__}; pass e.g. RBF(2.0)."
        )
