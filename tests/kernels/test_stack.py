"""Several convolutional layers' kernel as a linear map of Q: where positions lie, the printed sum, its adjoint."""

import jax
import numpy as np
import pytest
from stacked import network

from widthwise.kernels import PatchKernels, StackKernels, patch_kernels
from widthwise.kernels.stack import positions


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("image", "patch", "stride"), [((5, 4), (3, 2), (1, 1)), ((6, 7), (2, 3), (2, 1)), ((4, 5), (1, 1), (3, 2))]
)
def test_positions_are_what_a_convolution_sums(rng, image, patch, stride, padding):
    [place] = network((3,), patch, stride, padding=padding).stack(*image)
    X, W = rng.normal(size=image), rng.normal(size=patch)
    with jax.enable_x64(True):
        convolved = jax.lax.conv_general_dilated(X[None, None], W[None, None], stride, padding.upper())
    seen = np.append(X.ravel(), 0.0)[positions(place)]
    np.testing.assert_allclose(seen @ W.ravel(), np.ravel(convolved), atol=1e-14)


def stack_of(X, *, biased, skew=False):
    net = network((3, 2, 4), ((2, 2), (2, 1), (1, 2)), (1, 1), bias_variance=(0.3, 0.4 * biased, 0.2 * biased))
    return net, patch_kernels(net, X, skew=skew)


@pytest.fixture
def X(rng):
    return rng.normal(size=(5, 4, 4, 2))


@pytest.mark.parametrize("biased", [False, True])
def test_the_kernel_is_the_printed_sum(rng, X, biased):
    """K_R = (1/(λ_1 λ_2 λ_3 n_L)) Σ_ij Q_ij c_ij + Q_bb: c_ij written out."""
    net, kernels = stack_of(X, biased=biased)
    assert isinstance(kernels, StackKernels)
    assert kernels.patches == 9 + biased
    cut = [X[:, a : a + 2, b : b + 2].reshape(5, -1) for a in range(3) for b in range(3)]
    lam = net.precisions
    c = np.array([[one @ other.T / (lam[0] * 8) + 0.3 for other in cut] for one in cut])
    Q = rng.normal(size=(2, kernels.patches, kernels.patches))
    Q = Q + Q.swapaxes(1, 2)
    last = 2 * 2  # grids 3 × 3, 2 × 3 and 2 × 2
    expected = np.einsum("gij,ijrs->grs", Q[:, :9, :9], c) / (lam[1] * lam[2] * lam[3] * last)
    expected += Q[:, 9, 9, None, None] if biased else 0.0
    np.testing.assert_allclose(kernels.combine(Q), expected, rtol=1e-12)
    k, own = kernels.cross(Q, X)
    np.testing.assert_allclose(k, expected, rtol=1e-11)
    np.testing.assert_allclose(own, np.diagonal(expected, axis1=1, axis2=2), rtol=1e-11)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("skew", [False, True])
def test_contract_is_the_adjoint_of_combine(rng, X, biased, skew):
    _, kernels = stack_of(X, biased=biased, skew=skew)
    Q, W = rng.normal(size=(2, kernels.patches, kernels.patches)), rng.normal(size=(2, 5, 5))
    if not skew:
        Q, W = Q + Q.swapaxes(1, 2), W + W.swapaxes(1, 2)
    both = [np.vdot(W, kernels.combine(Q)), np.vdot(kernels.contract(W), Q)]
    assert both[0] == pytest.approx(both[1], rel=1e-12)


def test_one_layer_has_the_patch_kernels_themselves(X):
    assert isinstance(patch_kernels(network((3,), 2), X), PatchKernels)
