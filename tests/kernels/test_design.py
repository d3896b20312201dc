"""Q ↦ K_R(Q) and its adjoint: against sums over pairs, closed forms, each other; held, recomputed, refused."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.kernels import patches, training_kernel
from widthwise.kernels.design import PatchKernels, design_bytes
from widthwise.kernels.patches import PatchSet, extract
from widthwise.kernels.pooled import infinite_training, pooled_training

SHAPES = {
    "apart": {"patch": (2, 2)},
    "overlapping": {"patch": (3, 2), "stride": (1, 2)},
    "same": {"patch": (3, 2), "stride": (2, 2), "padding": "same"},
}
P = 7


def network_of(shape="same", activation="erf"):
    return ww.Convolutional(7, activation=activation, weight_precisions=(0.7, 1.9), bias_variance=0.3, **SHAPES[shape])


@pytest.fixture
def X(rng):
    return rng.standard_normal((P, 4, 5, 2))


def draw(rng, n, symmetric, count=3):
    Q = rng.standard_normal((count, n, n))
    return Q + Q.swapaxes(1, 2) if symmetric else Q


@pytest.mark.parametrize("skew", [False, True])
@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_combine_and_contract_are_sums_over_pairs(X, rng, shape, activation, skew, monkeypatch):
    network = network_of(shape, activation)
    images = PatchSet.of(network, X)
    n, everything = images.patches, slice(0, P)
    kappa = images.block(everything, images, everything)
    Q, W = draw(rng, n, not skew), draw(rng, P, not skew, 2)
    for work in (2**22, 9 * n * n):  # in one tile, and in tiles of three images
        monkeypatch.setattr(patches, "WORK", work)
        for hold in (True, False):
            kernels = PatchKernels.of(network, X, skew=skew, hold=hold)
            assert (kernels.held is None) != hold
            K, G = kernels.combine(Q), kernels.contract(W)
            np.testing.assert_allclose(K, np.einsum("cij,irjs->crs", Q, kappa), rtol=1e-10, atol=1e-13)
            np.testing.assert_allclose(G, np.einsum("crs,irjs->cij", W, kappa), rtol=1e-10, atol=1e-12)
            if not skew:
                np.testing.assert_array_equal(K, K.swapaxes(1, 2))
                np.testing.assert_array_equal(G, G.swapaxes(1, 2))


@pytest.mark.parametrize("skew", [False, True])
def test_contract_is_the_adjoint_of_combine(X, rng, skew):
    kernels = PatchKernels.of(network_of(), X, skew=skew)
    Q, W = draw(rng, kernels.patches, not skew, 1), draw(rng, P, not skew, 1)
    assert np.vdot(W, kernels.combine(Q)) == pytest.approx(np.vdot(kernels.contract(W), Q), rel=1e-12)


def test_without_skew_the_symmetric_part_is_used_and_the_upper_triangle_read(X, rng):
    kernels = PatchKernels.of(network_of(), X)
    Q, W = draw(rng, kernels.patches, False), draw(rng, P, True)
    np.testing.assert_allclose(kernels.combine(Q), kernels.combine(0.5 * (Q + Q.swapaxes(1, 2))), rtol=1e-12)
    np.testing.assert_array_equal(kernels.contract(np.triu(W)), kernels.contract(W))


def test_known_order_parameters(X, rng):
    """Q = I is infinite width; Q = 11ᵀ/n the pooled readout; a PSD Q gives a PSD kernel."""
    network = network_of()
    kernels = PatchKernels.of(network, X)
    n = kernels.patches
    K = kernels.combine(np.array([np.eye(n), np.full((n, n), 1 / n)]))
    np.testing.assert_allclose(K[0], infinite_training(network, X).K, rtol=1e-12)
    np.testing.assert_allclose(K[1], pooled_training(network, X).K, rtol=1e-12)
    v = rng.standard_normal((n, 1))
    assert np.linalg.eigvalsh(kernels.combine((v @ v.T)[None])[0]).min() > -1e-14


@pytest.mark.parametrize("shape", SHAPES)
def test_identity_activation_in_closed_form(X, rng, shape):
    """K_R(Q)(x, x') = (1/(λ_1 n)) [ (Qᵀ-weighted patches)·(patches)/(λ_0 d) + σ_b² Σ_ij Q_ij ]."""
    network = network_of(shape, "identity")
    kernels = PatchKernels.of(network, X, skew=True)
    x = extract(network, X)
    n, _, d = x.shape
    [Q] = draw(rng, n, False, 1)
    [K] = kernels.combine(Q[None])
    flat = x.transpose(1, 0, 2).reshape(P, -1)
    expected = (flat @ np.kron(Q, np.eye(d)) @ flat.T / (0.7 * d) + 0.3 * Q.sum()) / (1.9 * n)
    np.testing.assert_allclose(K, expected, rtol=1e-11, atol=1e-13)


def test_one_patch_is_fully_connected(X):
    network = ww.Convolutional(7, (4, 5), activation="erf", weight_precisions=(0.7, 1.9), bias_variance=0.3)
    kernels = PatchKernels.of(network, X)
    expected = training_kernel(ww.FullyConnected([7], "erf", (0.7, 1.9), 0.3), X.reshape(P, -1)).K
    np.testing.assert_allclose(kernels.combine(np.full((1, 1, 1), 0.6))[0], 0.6 * expected, rtol=1e-13)
    assert kernels.contract(np.eye(P)[None])[0, 0, 0] == pytest.approx(np.trace(expected))


def test_patches_may_be_renamed(X, rng):
    """Images cut into their patches in another order, Q in the same order: nothing changes."""
    network = network_of("apart")
    kernels = PatchKernels.of(network, X[:, :, :4])
    swapped = PatchKernels.of(network, np.roll(X[:, :, :4], 2, axis=2))
    order = np.array([1, 0, 3, 2])
    Q = draw(rng, 4, True)
    np.testing.assert_allclose(swapped.combine(Q[:, order][:, :, order]), kernels.combine(Q), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("skew", [False, True])
def test_cross_to_the_training_images_is_combine(X, rng, skew, monkeypatch):
    kernels = PatchKernels.of(network_of(), X, skew=skew)
    Q = draw(rng, kernels.patches, not skew)
    K = kernels.combine(Q)
    for work in (2**22, 9 * kernels.patches**2):
        monkeypatch.setattr(patches, "WORK", work)
        k, own = kernels.cross(Q, X[1:6])
        np.testing.assert_allclose(k, K[:, 1:6], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(own, np.diagonal(K, axis1=1, axis2=2)[:, 1:6], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("skew", [False, True])
def test_the_estimate_is_what_is_held(X, skew):
    kernels = PatchKernels.of(network_of(), X, skew=skew, hold=True)
    held = sum(tile.F.nbytes + (tile.skew.nbytes if skew else 0) for tile in kernels.held)
    n = kernels.patches
    assert abs(held - design_bytes(n, P, skew=skew)) <= (8 * P * n * (n - 1) // 2 if skew else 0)  # r = s: zeros


def test_memory_decides_and_refuses(X):
    network = network_of()
    assert PatchKernels.of(network, X, memory=1e9).held is not None
    assert PatchKernels.of(network, X, memory=63_000).held is None
    refusal = r"at most 6\.3e-05 GB, got \S+ GB for 6 patches of 12 numbers in each of 7 images; .*hold=False\)\.$"
    with pytest.raises(ww.InputError, match=refusal):
        PatchKernels.of(network, X, memory=63_000, hold=True)
    with pytest.raises(ww.InputError, match=r"^patch kernels: expected .* at most 1e-06 GB, got .*; take fewer images"):
        PatchKernels.of(network, X, memory=1000)
    huge = np.broadcast_to(0.0, (60_000, 28, 28, 1))  # refused before anything is computed
    with pytest.raises(ww.InputError, match=r"got \S+ GB for 784 patches of 9 numbers in each of 60000 images"):
        PatchKernels.of(ww.Convolutional(9, 3, 1, padding="same"), huge, memory=8e9)
