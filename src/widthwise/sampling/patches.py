"""What the first layer sees of an input: all of it, or its patches. (The theory has its own: no shared code.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from widthwise.networks import Convolutional, FullyConnected
from widthwise.sampling import checks

Network = FullyConnected | Convolutional


def inputs(name: str, values: Any, network: Network, shape: tuple[int, ...] | None = None) -> Float[np.ndarray, "n *s"]:
    """The caller's inputs, as the network takes them, at least one patch each.

    Args:
        name: of the argument, for the errors.
        values: (n, N0), or for a convolutional network (n, H, W) or (n, H, W, C).
        network: that is to see them.
        shape: of one training input; None for the training inputs themselves.

    Raises:
        InputError: of another shape, not finite, or smaller than a patch.
    """
    if isinstance(network, FullyConnected):
        return checks.matrix(name, values, None if shape is None else shape[0])
    array = checks.images(name, values, shape)
    network.patches(*array.shape[1:3])
    return array


def seen(network: Network, shape: tuple[int, ...]) -> tuple[int, int]:
    """Of one input of this shape: n, how many patches the first layer sees (1: all of it), and the size of each."""
    if isinstance(network, FullyConnected):
        return 1, shape[0]
    height, width, *colours = shape
    return network.patches(height, width).count, int(np.prod((*network.patch, *colours)))


def rows(network: Network, X: Float[np.ndarray, "n *shape"]) -> Float[np.ndarray, "rows size"]:
    """Patch i of input μ in row μ n + i; its pixels in the order (down, across, channel)."""
    if isinstance(network, FullyConnected):
        return X
    images = X if X.ndim == 4 else X[..., None]
    layout = network.patches(*X.shape[1:3])
    padded = np.pad(images, [(0, 0), *zip(layout.before, layout.after), (0, 0)])
    windows = sliding_window_view(padded, layout.patch, axis=(1, 2))  # (n, down, across, C, *patch)
    windows = windows[:, :: layout.stride[0], :: layout.stride[1]][:, : layout.grid[0], : layout.grid[1]]
    count, size = seen(network, X.shape[1:])
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(len(X) * count, size)
