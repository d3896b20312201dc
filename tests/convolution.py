"""A convolutional layer by JAX's own convolution: what the patch kernels are held against; no code of theirs."""

import jax
import numpy as np


def convolve(network, X, W, b):
    """Pre-activations (n, P, M) of images (P, H, W, C) under M filters W (M, height, width, C) with biases b (M,)."""
    with jax.enable_x64(True):
        h = jax.lax.conv_general_dilated(
            np.asarray(X),
            np.asarray(W),
            network.stride,
            network.padding.upper(),
            dimension_numbers=("NHWC", "OHWI", "NHWC"),
        )
        h = np.asarray(h)
    h = h / np.sqrt(W[0].size) + b
    return h.transpose(1, 2, 0, 3).reshape(-1, len(X), len(W))


def hidden(network, X, rng, units):
    """φ(h) (n, P, units) under weights drawn from the prior."""
    shape = (units, *network.patch, X.shape[3])
    W = rng.standard_normal(shape) / np.sqrt(network.precisions[0])
    b = rng.standard_normal(units) * np.sqrt(network.bias_variances[0])
    return np.asarray(network.phi(convolve(network, X, W, b)))
