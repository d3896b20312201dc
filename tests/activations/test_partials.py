"""The derivatives of every dual kernel: against differences, autodiff, random weights; and where they degenerate."""

import jax
import numpy as np
import pytest

from widthwise.activations.duals import dual_of
from widthwise.activations.phi import resolve

CLOSED = ["erf", "identity", "relu", "leaky_relu(0.2)", "leaky_relu(-1)", "quadratic", "sin", "cos", "tanh", "gelu"]
CALLABLES = {
    "silu": lambda h: h / (1 + np.exp(-h)),
    "even callable": lambda h: np.exp(-h * h),
    "kinked callable": lambda h: np.maximum(h, 0) + 0.3 * np.tanh(h),
}
EVERY = CLOSED + list(CALLABLES)
POINTS = [(1.3, 0.4, 0.7), (0.5, -0.01, 2.0), (2.0, 1.9, 1.9), (0.9, -0.85, 1.1), (1e-3, 5e-4, 2e-3), (9.0, -4.0, 6.0)]


def activation_of(name):
    return resolve(CALLABLES.get(name, name))


@pytest.fixture
def awkward(rng):
    """The covariance of rows among which are duplicated, opposite, collinear and zero ones."""
    X = rng.standard_normal((12, 7)) * rng.uniform(0.1, 2.5, (12, 1))
    X = np.vstack([X, X[:3], -X[:2], 1.7 * X[3:5], X[6] * (1 + 1e-9), np.zeros((2, 7))])
    return X @ X.T / 7


@pytest.mark.parametrize("name", EVERY)
class TestEvery:
    @pytest.mark.parametrize("c", POINTS)
    def test_partials_are_differences_of_kappa(self, name, c):
        dual = dual_of(activation_of(name))

        def difference(k):
            room = c[0] * c[2] - c[1] ** 2  # stay inside the domain
            h = min(1e-3 * c[k], 0.1 * room / max(c)) if k != 1 else 0.02 * room / max(c)

            def kappa(t):
                moved = np.array(c)
                moved[k] += t
                return float(dual.kappa(*moved))

            return (8 * (kappa(h) - kappa(-h)) - kappa(2 * h) + kappa(-2 * h)) / (12 * h)

        np.testing.assert_allclose(dual.partials(*c), [difference(k) for k in range(3)], rtol=2e-6, atol=2e-7)

    def test_the_slope_in_the_covariance_is_that_of_random_weights(self, name, rng):
        """E[φ'(h)φ'(h')]  [Price 1958], at weight precision 0.7."""
        phi, n, e = activation_of(name), 100_000, 1e-5
        X = np.array([[1.0, 0.3, -0.5], [0.2, -1.4, 0.6]])
        C = X @ X.T / (3 * 0.7)
        h = rng.standard_normal((n, 3)) / np.sqrt(0.7) @ X.T / np.sqrt(3)
        slopes = (np.asarray(phi(h + e), float) - np.asarray(phi(h - e), float)) / (2 * e)
        product = slopes[:, 0] * slopes[:, 1]
        xy = dual_of(phi).partials(C[0, 0], C[0, 1], C[1, 1])[1]
        assert abs(product.mean() - xy) < 4.5 * product.std() / np.sqrt(n) + 1e-8

    def test_diagonal_slope_is_that_of_the_second_moment(self, name):
        dual, c = dual_of(activation_of(name)), np.array([1e-3, 0.1, 0.7, 5.0])
        h = 1e-3 * c
        E = dual.diagonal
        slope = (8 * (E(c + h) - E(c - h)) - E(c + 2 * h) + E(c - 2 * h)) / (12 * h)
        np.testing.assert_allclose(dual.diagonal_slope(c), slope, rtol=1e-7, atol=1e-9)

    def test_diagonal_slope_is_the_three_partials_together(self, name):
        dual, c = dual_of(activation_of(name)), np.array([0.1, 0.7, 3.0])
        loose = 0.1 if name == "kinked callable" else 1e-7  # its series of derivatives converges as k^(-1/2) there
        np.testing.assert_allclose(sum(dual.partials(c, c, c)), dual.diagonal_slope(c), rtol=loose)

    def test_tiles_are_the_elementwise_partials_and_finite_on_degenerate_rows(self, name, awkward):
        dual, c = dual_of(activation_of(name)), awkward.diagonal().copy()
        side = dual.prepare_partials(c)
        tile = dual.partials_tile(awkward[3:17, 5:], side[3:17], side[5:])
        whole = dual.partials(c[:, None], awkward, c[None, :])
        positive = np.outer(c, c)[3:17, 5:] > 0
        for block, matrix in zip(tile, whole):
            assert np.isfinite(matrix).all()
            assert np.isfinite(block).all()
            assert block.shape == (14, awkward.shape[1] - 5)
            np.testing.assert_allclose(block[positive], matrix[3:17, 5:][positive], rtol=1e-6, atol=1e-7)
        xx, xy, yy = whole
        # between collinear rows √(1−u²) is the root of a rounding error
        np.testing.assert_allclose(xx, yy.T, rtol=1e-10, atol=1e-7)
        np.testing.assert_allclose(xy, xy.T, rtol=1e-10, atol=1e-7)


@pytest.mark.parametrize("name", CLOSED)
def test_partials_are_those_of_autodiff(name):
    dual = dual_of(resolve(name))
    with jax.enable_x64(True):
        gradient = jax.jit(jax.vmap(jax.grad(dual.kappa, argnums=(0, 1, 2))))
        cxx, cxy, cyy = (np.array(c) for c in zip(*POINTS))
        automatic = [np.asarray(g) for g in gradient(*(jax.numpy.asarray(c) for c in (cxx, cxy, cyy)))]
    for ours, theirs in zip(dual.partials(cxx, cxy, cyy), automatic):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "leaky_relu(0.2)", "identity"])
def test_homogeneous_partials_obey_euler(name, awkward):
    dual, c = dual_of(resolve(name)), awkward.diagonal().copy()
    xx, xy, yy = dual.partials(c[:, None], awkward, c[None, :])
    kappa = dual.kappa(c[:, None], awkward, c[None, :])
    np.testing.assert_allclose(xx * c[:, None] + xy * awkward + yy * c, kappa, rtol=1e-12, atol=1e-12)


def test_tanh_beyond_the_reach_of_its_expansion():
    """At a variance where the Hermite series is given up, the mixture's derivatives take over in a tile too."""
    dual, c = dual_of(resolve("tanh")), np.array([400.0, 900.0])
    C = np.array([[400.0, 250.0], [250.0, 900.0]])
    side = dual.prepare_partials(c)
    xx, xy, _ = dual.partials_tile(C, side, side)
    h = 0.01
    slope = (float(dual.kappa(400.0, 250 + h, 900.0)) - float(dual.kappa(400.0, 250 - h, 900.0))) / (2 * h)
    assert xy[0, 1] == pytest.approx(slope, rel=1e-6)
    slope = (float(dual.kappa(400 + h, 250.0, 900.0)) - float(dual.kappa(400 - h, 250.0, 900.0))) / (2 * h)
    assert xx[0, 1] == pytest.approx(slope, rel=1e-5)
