"""One contract for every activation's dual kernel, and what is particular to each closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from widthwise.activations.duals import dual_of
from widthwise.activations.phi import Activation, leaky_relu, resolve
from widthwise.errors import InputError


def jax_softplus(h):
    with jax.enable_x64(True):  # for the oracles: the library itself sees to it
        return jnp.logaddexp(jnp.asarray(h), 0.0)


CLOSED = ["erf", "identity", "relu", "leaky_relu(0.2)", "leaky_relu(-1)", "quadratic", "sin", "cos", "tanh", "gelu"]
CALLABLES = {
    "silu": lambda h: h / (1 + np.exp(-h)),
    "jax softplus": jax_softplus,
    "even callable": lambda h: np.exp(-h * h),
    "kinked callable": lambda h: np.maximum(h, 0) + 0.3 * np.tanh(h),
}
EVERY = CLOSED + list(CALLABLES)
# (cxx, cxy, cyy): unequal, weak, strong, negative, tiny, large
POINTS = [(1.3, 0.4, 0.7), (0.5, -0.01, 2.0), (2.0, 1.9, 1.9), (0.9, -0.85, 1.1), (1e-3, 5e-4, 2e-3), (9.0, -4.0, 6.0)]
DIFFERENTIABLE = CLOSED


def activation_of(name: str) -> Activation:
    return resolve(CALLABLES.get(name, name))


def tolerance(name: str) -> float:
    return 3e-6 if name == "kinked callable" else 3e-10


def matrix(dual, C, tile=24):
    """κ of a covariance matrix, tile by tile, the way the kernel builder does it."""
    side, K = dual.prepare(np.diag(C).copy()), np.empty_like(C)
    for i in range(0, len(C), tile):
        for j in range(0, len(C), tile):
            block = C[i : i + tile, j : j + tile].copy()
            p, q = block.shape
            K[i : i + tile, j : j + tile] = dual.tile(block, side[i : i + p], side[j : j + q])
    return K


@pytest.fixture
def awkward(rng):
    """Inputs (P, 7) with duplicated, opposite, collinear, nearly equal and zero rows: their covariance."""
    X = rng.standard_normal((30, 7)) * rng.uniform(0.1, 2.5, (30, 1))
    X = np.vstack([X, X[:5], -X[:3], 1.7 * X[3:6], X[6] * (1 + 1e-9), X[7] + 1e-9, np.zeros((2, 7)), 1e-7 * X[:2]])
    return X @ X.T / 7


@pytest.mark.parametrize("name", EVERY)
class TestContract:
    @pytest.mark.parametrize("c", POINTS)
    def test_kappa_is_the_two_dimensional_quadrature(self, name, c, oracle):
        phi = activation_of(name)
        scale = np.sqrt(dual_of(phi).diagonal([c[0]])[0] * dual_of(phi).diagonal([c[2]])[0])
        assert (
            abs(float(dual_of(phi).kappa(*c)) - oracle(lambda h: np.asarray(phi(h), float), *c))
            < tolerance(name) * scale
        )

    def test_kappa_and_mean_are_those_of_random_weights(self, name, rng):
        phi, n = activation_of(name), 200_000
        X = np.array([[1.0, 0.3, -0.5], [0.2, -1.4, 0.6]])
        C = X @ X.T / (3 * 0.7)  # weight precision 0.7
        values = phi(rng.standard_normal((n, 3)) / np.sqrt(0.7) @ X.T / np.sqrt(3))
        values = np.asarray(values, float)
        product, dual = values[:, 0] * values[:, 1], dual_of(phi)
        assert abs(product.mean() - dual.kappa(C[0, 0], C[0, 1], C[1, 1])) < 4 * product.std() / np.sqrt(n)
        assert (abs(values.mean(0) - dual.mean(np.diag(C))) < 4 * values.std(0) / np.sqrt(n)).all()

    def test_mean_and_diagonal_are_the_one_dimensional_integrals(self, name):
        phi, dual = activation_of(name), dual_of(activation_of(name))
        c = np.array([0.0, 1e-3, 0.8, 7.0])
        z, w = np.polynomial.legendre.leggauss(200)
        z = np.concatenate([6 * (z - 1), 6 * (z + 1)])
        g = 6 * np.tile(w, 2) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        values = np.asarray(phi(np.sqrt(c)[:, None] * z), float)
        scale = np.sqrt(values**2 @ g)
        np.testing.assert_allclose(dual.mean(c), values @ g, rtol=0, atol=1e-11 * scale.max())
        np.testing.assert_allclose(dual.diagonal(c), values**2 @ g, rtol=3e-11, atol=1e-25)
        assert dual.has_mean == bool((abs(values @ g) > 1e-12).any())

    def test_tiles_are_symmetric_and_equal_kappa_and_the_diagonal(self, name, awkward):
        dual, c = dual_of(activation_of(name)), np.diag(awkward)
        K = matrix(dual, awkward)
        scale = np.sqrt(np.outer(np.diag(K), np.diag(K))) + 1e-300
        assert np.isfinite(K).all()
        assert (abs(K - K.T) <= 1e-14 * scale).all()
        np.testing.assert_allclose(np.diag(K), dual.diagonal(c), rtol=1e-10, atol=1e-25)
        assert (abs(K - dual.kappa(c[:, None], awkward, c[None, :])) <= tolerance(name) * scale).all()

    def test_gram_matrix_is_positive_semi_definite_with_duplicates(self, name, awkward):
        dual = dual_of(activation_of(name))
        K, m = matrix(dual, awkward), dual.mean(np.diag(awkward))
        assert np.linalg.eigvalsh(K)[0] > -1e-11 * np.linalg.eigvalsh(K)[-1]
        centred = np.linalg.eigvalsh(K - np.outer(m, m))
        assert centred[0] > -1e-10 * np.linalg.eigvalsh(K)[-1]

    def test_kappa_is_symmetric_in_its_points(self, name):
        dual = dual_of(activation_of(name))
        assert float(dual.kappa(1.3, 0.4, 0.7)) == pytest.approx(float(dual.kappa(0.7, 0.4, 1.3)), rel=1e-13)

    def test_rectangular_tile_of_two_sides(self, name, rng):
        X, Y = rng.standard_normal((5, 3)), 2 * rng.standard_normal((9, 3))
        dual = dual_of(activation_of(name))
        cx, cy = (X * X).sum(1) / 3, (Y * Y).sum(1) / 3
        K = dual.tile(X @ Y.T / 3, dual.prepare(cx), dual.prepare(cy))
        scale = np.sqrt(np.outer(dual.diagonal(cx), dual.diagonal(cy)))
        assert (abs(K - dual.kappa(cx[:, None], X @ Y.T / 3, cy)) <= tolerance(name) * scale).all()

    def test_empty_and_bad_variances(self, name):
        dual = dual_of(activation_of(name))
        assert dual.diagonal(np.empty(0)).shape == (0,)
        assert dual.tile(np.empty((0, 2)), dual.prepare(np.empty(0)), dual.prepare(np.ones(2))).shape == (0, 2)
        for c in ([-1.0], [np.nan], [[1.0]]):
            with pytest.raises(InputError, match="expected a vector of finite variances"):
                dual.prepare(np.array(c))


@functools.cache
def compiled(name):
    """κ with its three derivatives, forward and reverse."""
    kappa = dual_of(resolve(name)).kappa

    def everything(c):
        def f(c):
            return kappa(c[0], c[1], c[2])

        return f(c), jax.jacfwd(f)(c), jax.grad(f)(c)

    return jax.jit(everything)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
class TestDerivatives:
    def gradients(self, name, c):
        with jax.enable_x64(True):
            value, forward, reverse = compiled(name)(jnp.asarray(c, dtype=float))
            np.testing.assert_allclose(forward, reverse, rtol=1e-12, atol=1e-14)
            return float(value), np.array(forward)

    def test_jax_and_numpy_agree_and_the_setting_stays(self, name):
        for c in POINTS:
            value, _ = self.gradients(name, c)
            assert value == pytest.approx(float(dual_of(resolve(name)).kappa(*c)), rel=1e-13)
        assert jnp.asarray(1.0).dtype == jnp.float32

    @pytest.mark.parametrize("c", POINTS[:4])
    def test_against_finite_differences(self, name, c):
        _, gradient = self.gradients(name, c)
        dual, step = dual_of(resolve(name)), 1e-5
        for k in range(3):
            e = step * np.eye(3)[k]
            difference = float(dual.kappa(*(c + e)) - dual.kappa(*(c - e))) / (2 * step)
            assert gradient[k] == pytest.approx(difference, rel=1e-6, abs=1e-8)

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("excess", [0.0, 2.3e-16, -1e-16])
    def test_at_collinear_rows(self, name, sign, excess):
        """Along κ(c, ±√(c c')·, c'), where only inward steps exist: a whole direction stays inside the domain."""
        dual, c, s, step = dual_of(resolve(name)), 0.8, 1.7, 1e-6
        point = np.array([c, sign * s * c * (1 + excess), s * s * c])
        value, gradient = self.gradients(name, point)
        assert np.isfinite([value, *gradient]).all()

        def along(t):  # h → √(1+t) h for the first row alone: stays collinear
            return float(dual.kappa(c * (1 + t), sign * s * c * np.sqrt(1 + t), s * s * c))

        expected = (along(step) - along(-step)) / (2 * step)
        assert gradient[0] * c + gradient[1] * point[1] / 2 == pytest.approx(expected, rel=1e-5, abs=1e-8)
        # ∂κ/∂cxy = E[φ'(h)φ'(h')], by Price's theorem, approached from inside
        _, inside = self.gradients(name, point * np.array([1, 1 - 1e-9, 1]))
        np.testing.assert_allclose(gradient[1], inside[1], rtol=1e-3, atol=1e-4)

    def test_at_zero_rows(self, name):
        for c in ([0.0, 0.0, 0.0], [0.0, 0.0, 1.2], [0.4, 0.0, 0.0]):
            value, gradient = self.gradients(name, c)
            assert np.isfinite([value, *gradient]).all()
        _, gradient = self.gradients(name, [0.0, 0.0, 0.0])
        dual, step = dual_of(resolve(name)), 1e-7
        slope = (dual.diagonal([step])[0] - dual.diagonal([0.0])[0]) / step
        assert gradient.sum() == pytest.approx(slope, rel=1e-5, abs=1e-6)

    def test_second_derivatives_are_finite_at_duplicates(self, name):
        dual = dual_of(resolve(name))
        with jax.enable_x64(True):
            hessian = jax.jit(jax.hessian(lambda c: dual.kappa(c[0], c[1], c[2])))
            for c in ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, -1.0, 1.0], [1.0, 0.3, 2.0]):
                assert np.isfinite(hessian(jnp.array(c))).all()


class TestParticulars:
    @pytest.mark.parametrize("name", ["relu", "leaky_relu(0.2)", "leaky_relu(-1)", "identity"])
    def test_homogeneous_activations_scale(self, name):
        dual = dual_of(resolve(name))
        for a, b in ((2.5, 1.0), (0.3, 7.0)):
            scaled = float(dual.kappa(a * a * 1.3, a * b * 0.4, b * b * 0.7))
            assert scaled == pytest.approx(a * b * float(dual.kappa(1.3, 0.4, 0.7)), rel=1e-14)

    def test_leaky_relu_at_its_special_slopes(self, awkward):
        def kernel(activation):
            return matrix(dual_of(activation), awkward)

        scale = np.abs(awkward).max()
        np.testing.assert_allclose(kernel(leaky_relu(1.0)), awkward, atol=1e-15 * scale)
        np.testing.assert_allclose(kernel(leaky_relu(0.0)), kernel(resolve("relu")), atol=1e-15 * scale)
        absolute = dual_of(resolve(np.abs))
        u = awkward / np.sqrt(np.outer(np.diag(awkward), np.diag(awkward)) + 1e-300)
        far = abs(u) < 0.97
        np.testing.assert_allclose(kernel(leaky_relu(-1.0))[far], matrix(absolute, awkward)[far], atol=1e-9 * scale)
        assert not dual_of(leaky_relu(1.0)).has_mean

    def test_relu_is_the_formula_of_the_theory(self):
        cxx, cxy, cyy = 1.3, 0.4, 0.7
        u = cxy / np.sqrt(cxx * cyy)
        expected = np.sqrt(cxx * cyy) * (np.sqrt(1 - u * u) + u * (np.pi - np.arccos(u))) / (2 * np.pi)
        assert float(dual_of(resolve("relu")).kappa(cxx, cxy, cyy)) == pytest.approx(expected, rel=1e-14)

    @pytest.mark.parametrize("name", ["erf", "relu", "sin", "tanh", "gelu"])
    @pytest.mark.parametrize("c", [1e-12, 1e3, 1e12])
    def test_extreme_variances_are_finite_on_collinear_rows(self, name, c):
        dual = dual_of(resolve(name))
        s = np.array([1.0, -1.0, 0.5, 1.0 + 1e-16])
        K = matrix(dual, c * np.outer(s, s))
        assert np.isfinite(K).all()
        np.testing.assert_allclose(np.diag(K), dual.diagonal(c * s * s), rtol=1e-9)

    @pytest.mark.parametrize("name", CLOSED)
    def test_no_nan_at_absurd_variances(self, name, rng):
        for exponent in (14, 15, 16, 17, 20):
            x = rng.uniform(0.5, 1.0, 40) * 10 ** (exponent / 2)
            C = np.outer(x, x) * (1 + 2.3e-16)
            dual, c = dual_of(resolve(name)), np.diag(C)
            assert np.isfinite(matrix(dual, C)).all()
            assert np.isfinite(dual.kappa(c[:, None], C, c[None, :])).all()

    def test_small_covariances_keep_their_digits(self):
        for name in ("erf", "sin", "tanh", "gelu", "relu"):
            dual = dual_of(resolve(name))
            kernel = matrix(dual, np.array([[1e-12, 3e-13], [3e-13, 2e-12]]))
            assert kernel[0, 1] == pytest.approx(float(dual.kappa(1e-12, 3e-13, 2e-12)), rel=1e-9)
        assert float(dual_of(resolve("sin")).kappa(1e-12, 3e-13, 2e-12)) == pytest.approx(3e-13, rel=1e-11)

    @pytest.mark.parametrize("name", ["tanh", "gelu"])
    @pytest.mark.parametrize("c", [(1e-12, 4e-13, 2e-12), (1e3, 400.0, 700.0), (1e3, -990.0, 1e3), (50.0, 49.0, 60.0)])
    def test_tanh_and_gelu_at_tiny_and_large_variance(self, name, c):
        """∫ g(z) φ(√cxx z) E[φ(h')|h] dz by adaptive quadrature, inner integral included."""
        phi, (cxx, cxy, cyy) = resolve(name), c
        a, b = np.sqrt(cxx), cxy / np.sqrt(cxx)
        d = np.sqrt(cyy - b * b)
        edges = np.unique(
            np.concatenate([-np.geomspace(1e-4, 1, 12), [0.0], np.geomspace(1e-4, 1, 12), np.arange(-10, 11)])
        )
        x, w = np.polynomial.legendre.leggauss(20)
        half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
        z, weight = (middle[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()

        def inner(t):  # the panels follow the transition of φ at h' = 0
            values = np.empty_like(z)
            gauss = np.exp(-0.5 * ((d * z - b * t) / d) ** 2) / np.sqrt(2 * np.pi)
            np.multiply(np.asarray(phi(d * z)), gauss, out=values)
            return values @ weight

        def wide(t):  # nodes beyond ±10 in h'/d when the conditional mean is out there
            y = z + np.clip(b * t / d, -1e9, 1e9)
            return np.asarray(phi(d * y)) * np.exp(-0.5 * z * z) @ weight / np.sqrt(2 * np.pi)

        def conditional(t):
            return inner(t) if abs(b * t / d) < 2 else wide(t)

        value = sum(
            integrate.quad(
                lambda t: float(phi(np.float64(a * t))) * conditional(t) * np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi),
                lo, hi, epsabs=0, epsrel=1e-11, limit=400,
            )[0]
            for lo, hi in ((-10, -0.5), (-0.5, 0), (0, 0.5), (0.5, 10))
        )  # fmt: skip
        dual = dual_of(phi)
        scale = np.sqrt(dual.diagonal([cxx])[0] * dual.diagonal([cyy])[0])
        assert abs(float(dual.kappa(*c)) - value) < 2e-9 * scale
        tile = dual.tile(np.array([[cxy]]), dual.prepare([cxx]), dual.prepare([cyy]))
        assert abs(tile[0, 0] - value) < 2e-9 * scale

    def test_a_name_alone_does_not_stand_for_another_function(self):
        impostor = Activation("erf", lambda h: 2 * h)
        assert float(dual_of(impostor).kappa(1.0, 0.5, 1.0)) == pytest.approx(2.0, rel=1e-12)
