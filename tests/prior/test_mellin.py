"""E exp(−tQ/2): closed forms of one χ² and of one inverse χ², Bessel and Monte Carlo for products."""

import math

import numpy as np
import pytest
from scipy import integrate, special

from widthwise.prior.mellin import laplace

TIMES = (1e-20, 1e-6, 0.3, 4.0, 300.0, 1e7)


@pytest.mark.parametrize("N", [1.0, 2.0, 7.0, 60.0])
@pytest.mark.parametrize("t", TIMES)
def test_one_chi_square_is_the_t_density(N, t):
    assert laplace(t, (N,)) == pytest.approx(math.exp(-0.5 * N * math.log1p(t / N)), rel=1e-12)


@pytest.mark.parametrize("nu", [0.7, 3.0, 20.0])
@pytest.mark.parametrize("t", TIMES[:-1])
def test_one_inverse_chi_square_is_a_bessel_function(nu, t):
    x = math.sqrt(nu * t)  # [Kibria, Joarder 2006: the characteristic function of t]
    bessel = 2.0 * (x / 2.0) ** (nu / 2) * special.kv(nu / 2, x) / special.gamma(nu / 2)
    assert laplace(t, (nu,), -1) == pytest.approx(bessel, rel=1e-11)


def test_a_product_of_two_is_an_integral_over_one(rng):
    def integrand(v):
        return (1 + 2.6 * v / 3 / 5) ** -2.5 * v**0.5 * math.exp(-v / 2) / (2**1.5 * special.gamma(1.5))

    assert laplace(2.6, (3.0, 5.0)) == pytest.approx(integrate.quad(integrand, 0, np.inf, epsabs=1e-13)[0], rel=1e-9)
    assert laplace(2.6, (5.0, 3.0)) == pytest.approx(laplace(2.6, (3.0, 5.0)), rel=1e-13)
    values = np.exp(-1.3 * np.prod([rng.chisquare(N, 200_000) / N for N in (2, 9, 4)], axis=0))
    assert laplace(2.6, (2.0, 9.0, 4.0)) == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(200_000))


def test_many_degrees_of_freedom_are_one_number():
    for sign in (1, -1):
        assert laplace(1.7, (1e8, 1e8), sign) == pytest.approx(math.exp(-0.85), rel=1e-6)
    assert laplace(0.0, (3.0,)) == 1.0
