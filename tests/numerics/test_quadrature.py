"""Rules against exact integrals, Hermite functions against orthonormality and NumPy's polynomials."""

import math

import numpy as np

from widthwise.numerics.quadrature import composite_gauss_legendre, gauss_of_measure, hermite_functions


def test_composite_gauss_legendre_is_exact_for_polynomials_and_kinks_at_an_edge():
    x, w = composite_gauss_legendre(np.array([-1.0, 0.0, 2.0]), 5)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(w @ x**9, (2**10 - 1) / 10, rtol=1e-14)
    np.testing.assert_allclose(w @ np.abs(x), 2.5, rtol=1e-15)


def test_gauss_of_a_measure_has_its_moments():
    x = np.linspace(-1, 2, 60)
    mass = np.exp(-x)
    nodes, weights = gauss_of_measure(x, mass, 6)
    for power in range(12):
        np.testing.assert_allclose(weights @ nodes**power, mass @ x**power, rtol=1e-12)


def test_hermite_functions_are_orthonormal_and_the_polynomials():
    z, w = composite_gauss_legendre(np.linspace(-50, 50, 401), 20)
    psi = hermite_functions(z, 400)
    np.testing.assert_allclose((psi * w) @ psi.T, np.eye(400), atol=1e-11)
    near = np.array([-1.3, 0.0, 0.4, 2.0])
    g = np.exp(-near * near / 2) / math.sqrt(2 * math.pi)
    for k in (0, 1, 2, 7):
        polynomial = np.polynomial.hermite_e.HermiteE.basis(k)(near) / math.sqrt(math.factorial(k))
        np.testing.assert_allclose(hermite_functions(near, 8)[k], polynomial * np.sqrt(g), rtol=1e-12, atol=1e-15)
