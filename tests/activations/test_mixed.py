"""The kernel of two different activations: against quadrature, differences, the library's own dual kernels."""

import itertools

import numpy as np
import pytest

from widthwise.activations.duals import dual_of
from widthwise.activations.mixed import Series, mixed_dual, products
from widthwise.activations.phi import resolve
from widthwise.errors import NumericalError

NAMES = ["erf", "relu", "leaky_relu(0.3)", "identity", "tanh", "gelu"]
PAIRS = [(one, two) for one, two in itertools.product(NAMES, NAMES) if one != two]
W = np.array([[0.4, -1.1, 0.3], [1.5, 0.2, 0.7]])
V = np.array([[1.3, 0.5, -0.2], [0.1, -0.9, 1.2], [-0.6, 0.8, 0.9]])


def by_quadrature(phi, psi, cxx, cxy, cyy):
    """E φψ in polar coordinates, whose angle is cut where either argument changes its sign: the kinks are there."""
    x, weight = np.polynomial.legendre.leggauss(40)
    s, t = np.sqrt(cxx), np.sqrt(cyy)
    u = cxy / (s * t)
    kinks = np.sort(np.mod(np.pi * np.array([[0.5], [1.5]]) + [0.0, np.arccos(u)], 2 * np.pi).ravel())
    kinks = np.append(kinks, kinks[0] + 2 * np.pi)
    total = 0.0
    for low, high in itertools.pairwise(kinks):
        angle = 0.5 * (high - low) * x + 0.5 * (high + low)
        for inner in range(10):
            r = (0.5 * x + 0.5 + inner)[:, None]
            value = phi(s * r * np.cos(angle)) * psi(t * r * (u * np.cos(angle) + np.sqrt(1 - u * u) * np.sin(angle)))
            density = r * np.exp(-0.5 * r * r) / (2 * np.pi)
            total += 0.25 * (high - low) * float(weight @ (density * value) @ weight)
    return total


@pytest.mark.parametrize(("one", "two"), PAIRS)
class TestPairs:
    def test_against_quadrature(self, one, two):
        phi, psi = resolve(one), resolve(two)
        K = mixed_dual(phi, psi).kappa(*products(W, V))
        for i, j in itertools.product(range(2), range(3)):
            expected = by_quadrature(phi, psi, W[i] @ W[i], W[i] @ V[j], V[j] @ V[j])
            assert K[i, j] == pytest.approx(expected, rel=1e-7, abs=1e-8)

    def test_partials_are_differences(self, one, two):
        kernel = mixed_dual(resolve(one), resolve(two))
        c, h = products(W, V), 1e-5
        for part, derivative in enumerate(kernel.partials(*c)):
            up = kernel.kappa(*(x + h * (i == part) for i, x in enumerate(c)))
            down = kernel.kappa(*(x - h * (i == part) for i, x in enumerate(c)))
            np.testing.assert_allclose(derivative, (up - down) / (2 * h), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_activation_is_its_dual_kernel(name):
    phi = resolve(name)
    np.testing.assert_array_equal(mixed_dual(phi, phi).kappa(*products(W, V)), dual_of(phi).kappa(*products(W, V)))
    if name not in ("relu", "leaky_relu(0.3)"):  # whose expansion ends at 1e-4
        np.testing.assert_allclose(
            Series(phi, phi).kappa(*products(W, V)), dual_of(phi).kappa(*products(W, V)), rtol=1e-8, atol=1e-10
        )


def test_refuses_an_expansion_that_does_not_converge():
    kinked = resolve(lambda h: np.abs(h - 0.4))
    with pytest.raises(NumericalError, match="smoother activation"):
        mixed_dual(kinked, resolve("relu")).kappa(*products(W, 0.7 * W))
    apart = np.array([[0.0, 0.3, 0.1]]), np.array([[1.0, 0.1, 0.2]])  # |u| = 0.2: of the high orders nothing is left
    found = mixed_dual(kinked, resolve("relu")).kappa(*products(*apart))
    expected = mixed_dual(resolve("relu"), kinked).kappa(*products(*apart[::-1]))  # rows and columns change places
    np.testing.assert_allclose(found, expected.T, rtol=1e-12)
