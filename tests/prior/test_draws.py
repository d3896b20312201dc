"""Draws of the prior: moments and laws that are known, one Gaussian field for all, and the network's own weights."""

import math

import numpy as np
import pytest
from scipy import stats

import widthwise as ww
from widthwise.errors import InputError
from widthwise.posterior.sources import source_of
from widthwise.prior import characteristic_function, draw
from widthwise.prior.wishart import triangles

PRECISIONS = (0.6, 1.7)


def kernel(network, X):
    return source_of(network, np.asarray(X), copies=1).training().K


def covariance_agrees(f, K, sigmas=4.5):
    products = np.einsum("np,nq->npq", f, f)
    error = products.std(axis=0) / math.sqrt(len(f))
    assert np.all(np.abs(products.mean(axis=0) - K) < sigmas * error)


NETWORKS = {
    "erf": ww.FullyConnected([3], "erf", PRECISIONS),
    "relu, bias": ww.FullyConnected([3], "relu", PRECISIONS, 0.4),
    "callable": ww.FullyConnected([2], lambda h: h / (1 + np.exp(-h)), PRECISIONS),
    "linear, deep": ww.FullyConnected([3, 2, 4], "identity", (0.6, 1.7, 0.8, 1.3), (0.3, 0.2, 0.5)),
    "dense": ww.Convolutional(3, 2, activation="erf", weight_precisions=PRECISIONS, bias_variance=0.2),
    "average, same": ww.Convolutional(
        2, 3, stride=(1, 2), activation="relu", padding="same", readout="average", weight_precisions=PRECISIONS
    ),
    "linear, stacked": ww.Convolutional(
        (2, 3), 2, stride=1, activation="identity", weight_precisions=(0.6, 1.7, 0.8), bias_variance=(0.2, 0.4)
    ),
    "linear, stacked, average": ww.Convolutional(
        (2, 3), 2, stride=1, activation="identity", padding="same", readout="average", weight_precisions=(0.6, 1.7, 0.8)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_covariance_is_its_kernel(name, rng):
    """At any width: of one layer for any activation, of several for the identity."""
    network = NETWORKS[name]
    X = rng.standard_normal((3, 4, 4, 2) if isinstance(network, ww.Convolutional) else (3, 5))
    covariance_agrees(draw(network, X, 20_000, key=1), kernel(network, X))


def test_more_inputs_than_points_and_fewer_are_the_same_law(rng):
    A = rng.standard_normal((3, 2))
    few = ww.FullyConnected([2], "erf", (0.6 * 7 / 2, 1.7))  # λ_0 N_0 the same
    many = ww.FullyConnected([2], "erf", PRECISIONS)
    X = np.hstack([A, np.zeros((3, 5))]) @ stats.ortho_group.rvs(7, random_state=rng)
    one, other = draw(few, A, 20_000, key=2), draw(many, X, 20_000, key=3)
    for s in rng.standard_normal((3, 3)):
        assert stats.ks_2samp(one @ s, other @ s).pvalue > 1e-3


def test_draws_of_every_law_have_the_kernel(rng):
    X = rng.standard_normal((3, 5))
    network = ww.FullyConnected([8], "erf", PRECISIONS)
    K = kernel(network, X)
    covariance_agrees(draw(network, X, 40_000, law="mixture"), K)
    covariance_agrees(draw(network, X, 40_000, law="gaussian"), K)
    covariance_agrees(draw(network, X, 40_000, law="student-t", degrees_of_freedom=9.0), K * 9 / 7)


def test_the_t_draws_are_multivariate_t(rng):
    X = rng.standard_normal((3, 5))
    network = ww.FullyConnected([4], "erf", PRECISIONS)
    f, K = draw(network, X, 20_000, law="student-t"), kernel(network, X)
    for s in rng.standard_normal((3, 3)):
        assert stats.kstest(f @ s / math.sqrt(s @ K @ s), stats.t(4).cdf).pvalue > 1e-3
    square = np.einsum("np,np->n", f, np.linalg.solve(K, f.T).T) / 3
    assert stats.kstest(square, stats.f(3, 4).cdf).pvalue > 1e-3


def test_few_degrees_of_freedom_draw_finite_numbers(rng):
    f = draw(NETWORKS["erf"], rng.standard_normal((2, 4)), 1000, law="student-t", degrees_of_freedom=1e-3)
    assert np.isfinite(f).all()
    assert np.median(np.abs(f)) > 1e100  # one draw in two has a scale beyond that


@pytest.mark.parametrize("widths", [(4,), (6, 3)])
def test_a_linear_network_is_its_mixture(widths, rng):
    X = rng.standard_normal((3, 5))
    network = ww.FullyConnected(widths, "identity", (0.6, 1.7, 0.8)[: len(widths) + 1])
    mixture, real = (draw(network, X, 20_000, key=5, law=law) for law in ("mixture", "network"))
    for s in rng.standard_normal((3, 3)):
        assert stats.ks_2samp(mixture @ s, real @ s).pvalue > 1e-3
    K = kernel(network, X)
    norms = [np.einsum("np,np->n", f, np.linalg.solve(K, f.T).T) for f in (mixture, real)]
    assert stats.ks_2samp(*norms).pvalue > 1e-3
    fourth = 3 * np.prod([1 + 2 / N for N in widths])
    value = (mixture[:, 0] ** 4) / K[0, 0] ** 2
    assert value.mean() == pytest.approx(fourth, abs=4.5 * value.std() / math.sqrt(len(value)))


@pytest.mark.parametrize("widths", [(3,), (1,), (4, 2)])
def test_outputs_share_their_scale(widths, rng):
    """E f_d² f_e² of two outputs at one point, from the network and its mixture alike."""
    X = rng.standard_normal((2, 3))
    network = ww.FullyConnected(widths, "identity", (0.6, 1.7, 0.8)[: len(widths) + 1])
    means = []
    for law in ("mixture", "network"):
        f = draw(network, X, 60_000, key=6, law=law, outputs=2)
        assert f.shape == (60_000, 2, 2)
        value = f[:, 0, 0] ** 2 * f[:, 1, 1] ** 2 / kernel(network, X)[0, 0] / kernel(network, X)[1, 1]
        means.append((value.mean(), value.std() / math.sqrt(len(value))))
    (one, a), (other, b) = means
    assert abs(one - other) < 4.5 * math.hypot(a, b)
    t = draw(network, X, 60_000, key=6, law="student-t", outputs=2, degrees_of_freedom=12.0)[:, 0]
    radius = (t**2).sum(axis=1) / 2 / kernel(network, X)[0, 0]
    assert stats.kstest(radius, stats.f(2, 12).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("N", "D"), [(6, 3), (3, 3), (2, 4), (1, 2)])
def test_triangles_are_wishart(N, D, rng):
    A = triangles(rng, N, D, 60_000)
    Q, V = A @ np.swapaxes(A, 1, 2), rng.standard_normal((60_000, D, N))
    W = V @ np.swapaxes(V, 1, 2) / N
    assert np.linalg.matrix_rank(Q[0]) == min(N, D)
    u = rng.standard_normal(D)
    for of in (lambda Q: Q @ u @ u, lambda Q: np.linalg.det(Q[:, :N, :N]), lambda Q: (Q**2).sum(axis=(1, 2))):
        assert stats.ks_2samp(of(Q), of(W)).pvalue > 1e-3


def test_one_key_is_one_field_for_all_laws(rng):
    X = rng.standard_normal((3, 5))
    network = ww.FullyConnected([4], "erf", PRECISIONS)
    g, f, t = (draw(network, X, 500, key=7, law=law) for law in ("gaussian", "mixture", "student-t"))
    scales = [of / g for of in (f, t)]
    for scale in scales:
        np.testing.assert_allclose(scale, scale[:, :1] * np.ones(3), rtol=1e-9)
    assert stats.spearmanr(scales[0][:, 0], scales[1][:, 0]).statistic == pytest.approx(1.0)
    wide = ww.FullyConnected([10**8], "erf", PRECISIONS)
    np.testing.assert_allclose(draw(wide, X, 500, key=7, law="mixture"), g, rtol=1e-3)
    np.testing.assert_allclose(draw(wide, X, 500, key=7, law="student-t"), g, rtol=1e-3)
    assert np.corrcoef(draw(network, X, 500, key=8, law="gaussian")[:, 0], g[:, 0])[0, 1] < 0.2


@pytest.mark.parametrize("law", ["network", "mixture", "gaussian", "student-t"])
def test_a_key_repeats_itself(law, rng):
    X, network = rng.standard_normal((3, 5)), ww.FullyConnected([4], "erf")
    one, again, other = (draw(network, X, 6, key, law=law) for key in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert not np.any(one == other)
    assert draw(network, X, 2, law=law, outputs=1).shape == (2, 3, 1)


@pytest.mark.parametrize("readout", ["dense", "average"])
def test_the_mixture_of_a_convolution_is_its_linear_network(readout, rng):
    X = rng.standard_normal((3, 4, 4))
    network = ww.Convolutional(2, 2, activation="identity", readout=readout, weight_precisions=PRECISIONS)
    f = draw(network, X, 20_000, key=9, law="mixture")
    s = rng.standard_normal((4, 3))
    values = np.cos(f @ s.T)
    error = values.std(axis=0) / math.sqrt(len(f))
    assert np.all(np.abs(values.mean(axis=0) - characteristic_function(network, X, s)) < 4.5 * error)
    norms = [(g**2).sum(axis=1) for g in (f, draw(network, X, 20_000, key=9))]
    assert stats.ks_2samp(*norms).pvalue > 1e-3


def test_of_singular_and_precomputed_kernels(rng):
    X = np.ones((3, 2))  # one input three times
    network = ww.FullyConnected([4], "identity")
    f = draw(network, X, 10, law="mixture")
    np.testing.assert_allclose(f, f[:, :1] * np.ones(3), atol=1e-7)
    K = kernel(NETWORKS["erf"], rng.standard_normal((3, 5)))
    covariance_agrees(draw(ww.PrecomputedKernel([9]), K, 20_000, law="mixture"), K)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n: expected a whole number of at least 1, got 0"),
        ({"key": -2}, "key: expected a whole number of at least 0, got -2"),
        ({"law": "gauss"}, "did you mean 'gaussian'"),
        ({"network": "erf"}, "network: expected FullyConnected"),
        ({"network": ww.PrecomputedKernel([3])}, "expected a network with weights"),
        ({"network": ww.Convolutional(3, 2), "X": np.ones((2, 5, 5)), "law": "mixture", "outputs": 3}, "dense readout"),
        ({"X": np.ones(3)}, "X: expected shape"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    asked = {"network": ww.FullyConnected([5], "erf"), "X": np.eye(3), "n": 4} | change
    network, X, n = asked.pop("network"), asked.pop("X"), asked.pop("n")
    with pytest.raises(InputError, match=message):
        draw(network, X, n, **asked)
