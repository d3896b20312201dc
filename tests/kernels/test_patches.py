"""Patches against JAX's convolution, their kernels against a loop over pairs and against random weights."""

import jax
import numpy as np
import pytest
from convolution import hidden

import widthwise as ww
from widthwise.activations.duals import dual_of
from widthwise.kernels import patches
from widthwise.kernels.patches import PatchSet, extract

SHAPES = {
    "apart": {"patch": (2, 2)},
    "overlapping": {"patch": (3, 2), "stride": (1, 1)},
    "gaps": {"patch": (1, 2), "stride": (2, 3)},
    "same": {"patch": (3, 2), "stride": (2, 1), "padding": "same"},
    "whole": {"patch": (4, 5)},
}


def network_of(shape, activation="erf"):
    return ww.Convolutional(7, activation=activation, weight_precisions=(0.7, 1.9), bias_variance=0.3, **SHAPES[shape])


@pytest.fixture
def X(rng):
    return rng.standard_normal((6, 4, 5, 2)) * rng.uniform(0.3, 2.0, (6, 1, 1, 1))


def pairwise(network, A, B):
    """κ_ij/(λ_1 n) (n, P, n, P'), one pair of patches after another."""
    dual, (lam0, lam1) = dual_of(network.phi), network.precisions
    x, z = extract(network, A), extract(network, B)
    n, d, sigma = len(x), x.shape[2], network.bias_variances[0]
    c = np.empty((3, n, len(A), n, len(B)))
    for i, r, j, s in np.ndindex(c.shape[1:]):
        u, w = x[i, r], z[j, s]
        c[:, i, r, j, s] = [a @ b / (lam0 * d) + sigma for a, b in ((u, u), (u, w), (w, w))]
    return dual.kappa(*c) / (lam1 * n)


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_those_of_a_convolution(X, shape):
    network = network_of(shape)
    with jax.enable_x64(True):
        found = jax.lax.conv_general_dilated_patches(
            X, network.patch, network.stride, network.padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        found = np.asarray(found)  # (P, rows, columns, C height width)
    found = found.reshape(*found.shape[:3], X.shape[3], -1).transpose(1, 2, 0, 4, 3)
    vectors = extract(network, X)
    np.testing.assert_array_equal(vectors, found.reshape(vectors.shape))
    assert network.patches(4, 5).grid == found.shape[:2]


@pytest.mark.parametrize("activation", ["erf", "identity", "relu", "tanh", "gelu", "cos"])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_are_the_pairs(X, shape, activation):
    network = network_of(shape, activation)
    images, others = PatchSet.of(network, X), PatchSet.of(network, X[:2] + 0.5)
    rows, columns = slice(1, 5), slice(0, 2)
    block = images.block(rows, others, columns)
    np.testing.assert_allclose(block, pairwise(network, X[rows], X[:2] + 0.5), rtol=1e-12, atol=1e-15)
    own = np.array(list(images.own_blocks()))
    np.testing.assert_allclose(own, np.einsum("irjr->rij", pairwise(network, X, X)), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
@pytest.mark.parametrize("shape", ["overlapping", "same"])
def test_kappa_is_the_mean_over_random_filters(X, rng, shape, activation):
    network = network_of(shape, activation)
    X = X[:3]
    images, M = PatchSet.of(network, X), 40_000
    phi = hidden(network, X, rng, M).reshape(-1, M)
    scale = network.precisions[1] * images.patches
    kappa = images.block(slice(0, 3), images, slice(0, 3)).reshape(len(phi), -1) * scale
    sampled = phi @ phi.T / M
    error = np.sqrt((phi**2 @ (phi**2).T / M - sampled**2) / M)
    z = (kappa - sampled) / error
    assert np.abs(z).max() < 5.0
    assert 0.5 < np.sqrt((z**2).mean()) < 1.5
    np.testing.assert_allclose(images.block(slice(0, 3), images, slice(0, 3)), np.einsum("irjs->jsir", kappa.reshape(
        images.patches, 3, images.patches, 3)) / scale, rtol=1e-12, atol=1e-15)  # fmt: skip


def test_runs_cover_every_pair_once(X, monkeypatch):
    images = PatchSet.of(network_of("apart"), X)
    monkeypatch.setattr(patches, "WORK", 4 * images.patches**2)  # two images at a time
    seen = np.zeros((6, 6), int)
    for rows, columns in images.own_tiles():
        seen[rows, columns] += 1
    assert (seen[np.triu_indices(6)] == 1).all()
    assert seen.sum() == 6 * 2 + 3 * 4
    monkeypatch.setattr(patches, "WORK", 1)  # never less than one
    assert len(images.spans()) == 6
