"""Coordinates of the training inputs' span, and weights that reach beyond it."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.posterior.neurons import InputFrame

LAM, BIAS = 1.7, 0.6


def frame(X, bias=BIAS):
    return InputFrame.of(ww.FullyConnected([4], "erf", (LAM, 0.8), bias), X)


def gram(X, Z, bias=BIAS):
    return X @ Z.T / (LAM * X.shape[1]) + bias


@pytest.mark.parametrize(("P", "N0", "rank"), [(9, 3, 4), (4, 7, 4), (5, 5, 5)])
def test_coordinates_have_the_inputs_kernel(rng, P, N0, rank):
    """E[h h'] = C Cᵀ is the covariance of the first layer's pre-activations, biases included."""
    X = rng.normal(size=(P, N0))
    found = frame(X)
    C = found.coordinates(X)
    assert C.shape == (P, rank)
    np.testing.assert_allclose(C @ C.T, gram(X, X), atol=1e-12)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(rank), atol=1e-12)


def test_without_a_bias_there_is_no_more_input(rng):
    X = rng.normal(size=(6, 3))
    assert frame(X, 0.0).coordinates(X).shape == (6, 3)
    np.testing.assert_allclose(frame(X, 0.0).coordinates(X) @ frame(X, 0.0).coordinates(X).T, gram(X, X, 0.0))


def test_repeated_and_dependent_inputs_span_less(rng):
    X = rng.normal(size=(3, 8))
    X = np.concatenate([X, X, X[:1] - 0.3 * X[1:2]])
    assert frame(X, 0.0).basis.shape == (9, 3)
    assert frame(np.zeros((4, 8)), 0.0).basis.shape[1] == 1
    np.testing.assert_allclose(frame(np.zeros((4, 8)), 0.0).coordinates(np.zeros((4, 8))), 0.0)


def test_rotated_inputs_are_the_same_neurons(rng):
    X, Z = rng.normal(size=(5, 8)), rng.normal(size=(3, 8))
    O = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    one, two = frame(X), frame(X @ O)
    inside = [found.coordinates(A) @ found.coordinates(B).T for found, A, B in ((one, X, Z), (two, X @ O, Z @ O))]
    np.testing.assert_allclose(inside[0], inside[1], atol=1e-12)
    np.testing.assert_allclose(inside[0], gram(X, Z), atol=1e-12)  # of a point in the span with any other


def test_whole_weights_agree_with_their_coordinates_in_the_span(rng):
    X, W = rng.normal(size=(4, 9)), rng.normal(size=(6, 2, 4))
    found = frame(X)
    whole = found.whole(W, seed=3)
    assert whole.shape == (6, 2, 10)
    np.testing.assert_allclose(whole @ found.basis, W, atol=1e-12)
    np.testing.assert_allclose(whole @ found.augmented(X).T, W @ found.coordinates(X).T, atol=1e-12)
    np.testing.assert_array_equal(whole, found.whole(W, seed=3))
    assert np.abs(whole - found.whole(W, seed=4)).max() > 0.1


def test_outside_of_the_span_weights_keep_their_prior(rng):
    """h at any points of whole prior weights has the layer's covariance; what sticks out is independent."""
    X, Z = rng.normal(size=(4, 9)), rng.normal(size=(3, 9))
    found, draws = frame(X), 200_000
    W = rng.normal(size=(draws, 1, 4))
    h = (found.whole(W, seed=5) @ found.augmented(np.concatenate([X, Z])).T)[:, 0]
    exact = gram(np.concatenate([X, Z]), np.concatenate([X, Z]))
    own = exact.diagonal()
    error = np.sqrt((np.outer(own, own) + exact**2) / draws)
    assert np.abs((h.T @ h / draws - exact) / error).max() < 4.5


def test_a_span_of_everything_leaves_nothing_to_draw(rng):
    X, W = rng.normal(size=(12, 3)), rng.normal(size=(2, 2, 4))
    found = frame(X)
    np.testing.assert_array_equal(found.whole(W, seed=1), found.whole(W, seed=2))
    np.testing.assert_allclose(found.whole(W, 1) @ found.basis, W, atol=1e-12)
