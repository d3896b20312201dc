"""What real neurons do beyond Gaussian ones under a matrix Q: against networks in weight space, against one output."""

import math
from dataclasses import replace

import numpy as np
import pytest

import widthwise as ww
from widthwise.kernels.patches import extract
from widthwise.posterior import edgeworth_matrix, error_bar
from widthwise.posterior.edgeworth import Frame, edgeworth
from widthwise.posterior.edgeworth_matrix import edgeworth_outputs, edgeworth_patches
from widthwise.posterior.error_bar import Points

T = 0.3


def data(D=2, P=4, n=3, N0=3, seed=0):
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(size=(P, N0)), rng.normal(size=(n, N0))
    return X, rng.normal(size=(P, D)), Z, rng.normal(size=(n, D))


def pictures(D=1, P=4, n=3, seed=1):
    """2 × 6 pixels of two channels: patches of 2 × 3 every 2 columns with zeros around are three, and overlap."""
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(size=(P, 2, 6, 2)), rng.normal(size=(n, 2, 6, 2))
    return X, rng.normal(size=(P, D)), Z, rng.normal(size=(n, D))


def order_parameter(m, seed=5):
    root = np.random.default_rng(seed).normal(size=(m, m + 2))
    return root @ root.T / m + 0.2 * np.eye(m)


def network(activation="erf", width=24, **kwargs):
    return ww.FullyConnected((width,), activation, weight_precisions=(0.5, 0.4), **kwargs)


def convolution(activation="erf", channels=24, patch=(2, 3), **kwargs):
    return ww.Convolutional(
        channels, patch, activation=activation, weight_precisions=(0.5, 0.4), bias_variance=0.1, **kwargs
    )


OVERLAPPING = {"stride": (2, 2), "padding": "same"}


def exact(features, dense, Y, Y_new, draws, seed=0):
    """The posterior error of readouts on drawn features, weighted; its standard error from batches.

    Args:
        features: (rng, networks) ↦ φ of every neuron, patch and point (networks, N, n, p), readout scale included.
    """
    rng, (P, D) = np.random.default_rng(seed), Y.shape
    logs, values = [], []
    for _ in range(draws // 10_000):
        psi = features(rng, 10_000)
        psi = psi.reshape(len(psi), -1, psi.shape[-1]) if dense else psi.mean(axis=2)
        K = psi.transpose(0, 2, 1) @ psi
        A = K[:, :P, :P] + T * np.eye(P)
        inverse = np.linalg.inv(A)
        a, k = inverse @ Y, K[:, P:, :P]
        variance = np.einsum("gxx->gx", K[:, P:, P:]) - np.einsum("gxp,gpq,gxq->gx", k, inverse, k)
        values.append(np.mean(np.sum((Y_new - k @ a) ** 2, axis=2) + D * variance, axis=1))
        logs.append(-0.5 * (np.einsum("gpd,pd->g", a, Y) + D * np.linalg.slogdet(A)[1]))
    w, v = np.exp(np.array(logs) - np.max(logs)), np.array(values)
    value = float((w * v).sum() / w.sum())
    batch = (w * (v - value)).sum(axis=1) / w.sum()
    return value, float(np.sqrt((batch**2).sum()))


def missing(patches, net, Y, Y_new, draws):
    """Error of the network − that of Gaussian neurons with the same second moments, and its standard error.

    Args:
        patches: their vectors over √(λ_0 d), (n, p, d).
    """
    (n, p, d), N = patches.shape, net.widths[0]
    dense = getattr(net, "readout", "dense") == "dense"
    scale = 1.0 / math.sqrt(net.precisions[1] * N * (n if dense else 1))

    def real(rng, M):
        W, b = rng.normal(size=(M * N, d)), math.sqrt(net.bias_variances[0]) * rng.normal(size=(M * N, 1))
        return scale * np.asarray(net.phi(W @ patches.reshape(-1, d).T + b)).reshape(M, N, n, p)

    drawn = real(np.random.default_rng(99), 40_000).reshape(-1, n * p)
    root = np.linalg.cholesky(drawn.T @ drawn / len(drawn))

    def gaussian(rng, M):
        return (rng.normal(size=(M * N, n * p)) @ root.T).reshape(M, N, n, p)

    one, other = (exact(law, dense, Y, Y_new, draws, seed) for seed, law in ((1, real), (2, gaussian)))
    return one[0] - other[0], math.hypot(one[1], other[1])


def saddle(net, X, Y):
    Y = Y if Y.shape[1] > 1 else Y[:, 0]
    Q = ww.infer(net, X, Y, temperature=T, approximation="saddle").order_parameters["Q"]
    return Q[0] if Q.ndim == 3 else Q


@pytest.mark.parametrize(("activation", "D"), [("erf", 2), ("erf", 3), ("relu", 2)])
def test_the_outputs_departure_at_first_order(activation, D):
    """Network − Gaussian neurons, both drawn in weight space: the Edgeworth term explains most of it."""
    net, (X, Y, Z, Y_new) = network(activation), data(D)
    points = np.concatenate([X, Z])[None] / math.sqrt(net.precisions[0] * X.shape[1])
    gap, error = missing(points, net, Y, Y_new, 80_000)
    found = edgeworth_outputs(net, X, Y, Z, Y_new, T, saddle(net, X, Y), neurons=200_000)
    assert abs(gap) > 6.0 * error  # else this says nothing
    assert abs(gap - found.total) < 0.35 * abs(gap) + 3.0 * math.hypot(error, found.standard_error)


def vectors_of(net, images):
    vectors = extract(net, images)
    return vectors / math.sqrt(net.precisions[0] * vectors.shape[2])


PATCHES = [
    (convolution(patch=(1, 3)), 1, 50_000),  # four patches
    (convolution(patch=(2, 3), **OVERLAPPING), 1, 50_000),
    (convolution(patch=(2, 3)), 2, 50_000),
    pytest.param(convolution("relu", patch=(2, 3)), 1, 200_000, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("net", "D", "draws"), PATCHES)
def test_the_patches_departure_at_first_order(net, D, draws):
    X, Y, Z, Y_new = pictures(D)
    gap, error = missing(vectors_of(net, np.concatenate([X, Z])), net, Y, Y_new, draws)
    found = edgeworth_patches(net, X, Y, Z, Y_new, T, saddle(net, X, Y), neurons=100_000)
    assert abs(gap) > 6.0 * error
    assert abs(gap - found.total) < 0.35 * abs(gap) + 3.0 * math.hypot(error, found.standard_error)


def test_a_pooled_readouts_departure_at_first_order():
    net, (X, Y, Z, Y_new) = convolution(patch=(2, 3), readout="average"), pictures(seed=2)
    gap, error = missing(vectors_of(net, np.concatenate([X, Z])), net, Y, Y_new, 50_000)
    law = ww.infer(net, X, Y[:, 0], temperature=T, approximation="saddle").law
    found = error_bar._neurons(law, Points(Z, Y_new[:, 0]))
    assert abs(gap) > 6.0 * error
    assert abs(gap - found.total) < 0.35 * abs(gap) + 3.0 * math.hypot(error, found.standard_error)


def cubature(S):
    """Points and weights that integrate every quartic form over z ~ N(0, I_S) exactly."""
    single = np.eye(S)
    pairs = [(single[s] + sign * single[t]) / math.sqrt(2.0) for s in range(S) for t in range(s) for sign in (1, -1)]
    return np.array([*single, *pairs]), np.array([4.0 - S] * S + [2.0] * len(pairs))


@pytest.mark.parametrize("S", [1, 2, 3, 5])
@pytest.mark.parametrize("training", [False, True])
def test_wicks_rule_against_exact_cubature(S, training):
    """(1/3) E_z {E F(ψψᵀ) − 3F(E ψψᵀ)} over three neurons, none beside itself in the second."""
    rng = np.random.default_rng(6)
    y, y_new, p = rng.normal(size=4), None if training else rng.normal(size=3), 4 if training else 7
    root = rng.normal(size=(p, p + 4))
    frame = Frame.of(root @ root.T / p, y, T, y_new)
    psi, expected = rng.normal(size=(S, p, 3)), np.zeros(2)
    for z, weight in zip(*cubature(S)):
        one = np.tensordot(z, psi, 1)
        own = np.mean(frame.of_neurons(one[:4], frame.seen(one)), axis=1)
        whole = np.array(frame.of_matrix(one @ one.T / 3.0))
        expected += weight * (own / 3.0 - (3.0 * whole - own) / 2.0)
    np.testing.assert_allclose(edgeworth_matrix._drawn(frame, iter([psi]), 3), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("D", [1, 2])
def test_the_neurons_second_moments_are_the_renormalised_kernel(D):
    X, _, Z, _ = pictures(D)
    net, points, Q = convolution(**OVERLAPPING), np.concatenate([X, Z]), order_parameter(3 * D)
    vectors = vectors_of(net, points)
    root = edgeworth_matrix._root(vectors.reshape(21, -1), 0.1)
    phi = edgeworth_matrix.drawn_features(net.phi, root, 0.4 * 3, 60_000, np.random.default_rng(0))
    psi = np.concatenate([edgeworth_matrix._components(one, np.linalg.cholesky(Q), D, len(X)) for one in phi], axis=2)
    found = np.einsum("sim,sjm->ij", psi, psi) / 60_000
    expected = edgeworth_matrix._kernel(net, points, Q, D, len(X))
    assert np.abs(found - expected).max() < 0.02 * expected.max()


@pytest.mark.parametrize("D", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_outputs_are_patches_of_a_single_patch(D, training):
    """Output by output in the eigenvectors of Q, or all outputs of all points as one Gaussian process."""
    X, Y, Z, Y_new = data(D)
    net, one = network(bias_variance=0.1), convolution(patch=(1, 1))
    Q, at = order_parameter(D), (None, None) if training else (Z, Y_new)
    found = edgeworth_outputs(net, X, Y, *at, T, Q, neurons=8000)
    images = None if training else Z[:, None, None]
    other = edgeworth_patches(one, X[:, None, None], Y, images, at[1], T, Q, neurons=8000)
    np.testing.assert_allclose(found, other, rtol=1e-8)


@pytest.mark.parametrize("at", [(None, None), data(1)[2:]])
def test_one_output_is_the_scalars(at):
    X, Y = data(1)[:2]
    net, q = network(), 1.7
    found = edgeworth_outputs(net, X, Y, *at, T, np.array([[q]]), neurons=100_000)
    scalar = replace(net, weight_precisions=(0.5, 0.4 / q))
    one = edgeworth(scalar, X, Y[:, 0], at[0], None if at[1] is None else at[1][:, 0], T, neurons=100_000)
    assert abs(found.total) > 6.0 * found.standard_error
    for mine, other in zip(found[:2], one[:2]):
        assert abs(mine - other) < 4.0 * math.hypot(found.standard_error, one.standard_error)


@pytest.mark.parametrize("training", [False, True])
def test_nothing_for_the_identity(training):
    X, Y, Z, Y_new = data(3)
    at = (None, None) if training else (Z, Y_new)
    found = [edgeworth_outputs(network("identity"), X, Y, *at, T, order_parameter(3))]
    for D, net in ((1, convolution("identity", patch=(1, 3))), (2, convolution("identity", **OVERLAPPING))):
        X, Y, Z, Y_new = pictures(D)
        at, m = (None, None) if training else (Z, Y_new), net.patches(2, 6).count * D
        found.append(edgeworth_patches(net, X, Y, *at, T, order_parameter(m)))
    for one in found:
        assert abs(one.total) < 5.0 * one.standard_error
        assert one.standard_error < 0.02


def test_turned_outputs_change_nothing():
    X, Y, Z, Y_new = data(3)
    Q, O = order_parameter(3), np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]
    found = edgeworth_outputs(network(), X, Y, Z, Y_new, T, Q, neurons=8000)
    turned = edgeworth_outputs(network(), X, Y @ O.T, Z, Y_new @ O.T, T, O @ Q @ O.T, neurons=8000)
    np.testing.assert_allclose(found, turned, rtol=1e-8)


def test_units_do_not_matter_and_it_falls_as_one_over_the_width():
    X, Y, Z, Y_new = pictures(2)
    few, many = convolution(channels=10), convolution(channels=100)
    Q = order_parameter(4)
    found = edgeworth_patches(few, X, Y, Z, Y_new, T, Q, neurons=8000)
    np.testing.assert_allclose(found, 10.0 * np.array(edgeworth_patches(many, X, Y, Z, Y_new, T, Q, neurons=8000)))
    scaled = replace(few, weight_precisions=(0.5, 0.4 / 9.0))
    larger = edgeworth_patches(scaled, X, 3.0 * Y, Z, 3.0 * Y_new, 9.0 * T, Q, neurons=8000)
    np.testing.assert_allclose(larger, 9.0 * np.array(found), rtol=1e-8)


def test_many_patches_a_few_directions_at_a_time(monkeypatch):
    X, Y, Z, Y_new = pictures()
    net, Q = convolution(patch=(1, 3)), order_parameter(4)
    whole = edgeworth_patches(net, X, Y, Z, Y_new, T, Q, neurons=100_000)
    monkeypatch.setattr(edgeworth_matrix, "_SIDE", 14)  # two of four directions on seven points
    monkeypatch.setattr(edgeworth_matrix, "_GROUPS", 64)
    found = edgeworth_patches(net, X, Y, Z, Y_new, T, Q, neurons=100_000)
    assert abs(whole.total) > 6.0 * found.standard_error
    assert abs(found.total - whole.total) < 4.0 * math.hypot(found.standard_error, whole.standard_error)


def test_which_networks_neurons_are_looked_at():
    X, Y, Z, Y_new = data(2)
    law = ww.infer(network(), X, Y, temperature=T, approximation="saddle").law
    assert error_bar._neurons(law, Points(Z, Y_new)) == edgeworth_outputs(
        network(), X, Y, Z, Y_new, T, law.order_parameters["Q"][0]
    )
    deep = ww.FullyConnected((24, 24), "erf")
    law = ww.infer(deep, X, Y, temperature=T, approximation="saddle").law
    assert error_bar._neurons(law, Points(Z, Y_new)) is None
    X, Y, Z, Y_new = pictures()
    net = convolution()
    law = ww.infer(net, X[..., 0], Y[:, 0], temperature=T, approximation="saddle").law
    images, new = X[..., :1], Z[..., :1]  # without a channel axis they are taken as of one
    assert error_bar._neurons(law, Points(Z[..., 0], Y_new[:, 0])) == edgeworth_patches(
        net, images, Y[:, 0], new, Y_new[:, 0], T, law.order_parameters["Q"]
    )
