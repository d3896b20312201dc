"""Several convolutional layers written out, weights drawn from the prior: neither theory nor sampler is used."""

import jax
import numpy as np

import widthwise as ww

ACTIVATIONS = {"identity": lambda h: h, "relu": lambda h: np.maximum(h, 0.0)}


def each(values, layers):
    """A pair for each layer, from one for all or one each."""
    return values if isinstance(values[0], tuple) else (values,) * layers


def windows(image, patch, stride, padding):
    """Which position each entry of each patch is, len(image) outside: loops over JAX's own padding."""
    (down, across), pads = stride, jax.lax.padtype_to_pads(image, patch, stride, padding.upper())
    ends = [H + sum(pad) - p for H, pad, p in zip(image, pads, patch)]
    index = []
    for top in range(0, ends[0] + 1, down):
        for left in range(0, ends[1] + 1, across):
            one = []
            for a in range(patch[0]):
                for b in range(patch[1]):
                    y, x = top + a - pads[0][0], left + b - pads[1][0]
                    inside = 0 <= y < image[0] and 0 <= x < image[1]
                    one.append(y * image[1] + x if inside else image[0] * image[1])
            index.append(one)
    return np.array(index), tuple(end // s + 1 for end, s in zip(ends, stride))


def last_layer(network, X, rng, draws):
    """φ(h^L) of `draws` networks, (draws, n, n_L, N_L)."""
    images = X if X.ndim == 4 else X[..., None]
    grid, n = images.shape[1:3], len(X)
    features = np.broadcast_to(
        images.reshape(1, n, -1, images.shape[3]), (draws, n, grid[0] * grid[1], images.shape[3])
    )
    patches, strides = each(network.patch, network.depth), each(network.stride, network.depth)
    for N, patch, stride, lam, variance in zip(
        network.widths, patches, strides, network.precisions, network.bias_variances
    ):
        index, grid = windows(grid, patch, stride, network.padding)
        padded = np.concatenate([features, np.zeros((draws, n, 1, features.shape[3]))], axis=2)
        seen = padded[:, :, index].reshape(draws, n * len(index), -1)
        W = rng.normal(size=(draws, seen.shape[2], N)) / np.sqrt(lam * seen.shape[2])
        h = seen @ W + np.sqrt(variance) * rng.normal(size=(draws, 1, N))
        features = ACTIVATIONS.get(network.phi.name, network.phi)(h).reshape(draws, n, len(index), N)
    return features


def outputs_of(network, D, chunk=5000):
    """A function (X, rng, draws) → f (draws, n, D): what `weighing.weigh` asks for."""

    def some(X, rng, draws):
        features = last_layer(network, X, rng, draws)
        n_L, N = features.shape[2:]
        dense = network.readout == "dense"
        v = rng.normal(size=(draws, n_L if dense else 1, N, D)) / np.sqrt(network.precisions[-1] * N * n_L)
        v = v if dense else np.repeat(v, n_L, axis=1) / np.sqrt(n_L)
        return features.reshape(draws, len(X), -1) @ v.reshape(draws, -1, D)

    def draw(X, rng, draws):
        return np.concatenate([some(X, rng, min(chunk, draws - k)) for k in range(0, draws, chunk)])

    return draw


def network(channels, patch, stride=None, activation="identity", **options):
    """With precisions other than one."""
    precisions = {"weight_precisions": (1.3, 0.8, 1.7, 0.9, 1.2)[: len(channels) + 1]}
    return ww.Convolutional(channels, patch, stride, activation, **(precisions | options))
