"""What a layer sees of what is below it: all of it, or patches. (The theory has its own: no shared code.)"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
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
    network.stack(*array.shape[1:3])
    return array


def seen(network: Network, shape: tuple[int, ...]) -> tuple[int, int]:
    """Of one input of this shape: n, how many patches the first layer sees (1: all of it), and the size of each."""
    if isinstance(network, FullyConnected):
        return 1, shape[0]
    height, width, *colours = shape
    layout = network.patches(height, width)
    return layout.count, int(np.prod((*layout.patch, *colours)))


def above(network: Network, shape: tuple[int, ...]) -> list[Int[np.ndarray, "patches entries"]]:
    """Of each convolutional layer after the first: which patch of the layer below is entry δ of its patch o.

    Padding is the patch after the last one below. A fully connected network has none of these.
    """
    if isinstance(network, FullyConnected):
        return []
    found = []
    for layout in network.stack(*shape[:2])[1:]:
        below = np.arange(layout.image[0] * layout.image[1]).reshape(layout.image)
        padded = np.pad(below, list(zip(layout.before, layout.after)), constant_values=below.size)
        windows = sliding_window_view(padded, layout.patch)[:: layout.stride[0], :: layout.stride[1]]
        windows = windows[: layout.grid[0], : layout.grid[1]]
        found.append(windows.reshape(layout.grid[0] * layout.grid[1], -1))
    return found


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
