"""Populations that are not the easy ones: turned, unequal spectra, scales other than 1."""

import numpy as np
import pytest

from widthwise.replica import Population

SPECTRA = {
    "flat": lambda i: 1.7 + 0 * i,
    "1/i": lambda i: 3.1 / i,
    "1/i³": lambda i: 0.4 / i**3,
    "two scales": lambda i: np.where(i < 4, 90.0, 0.02),
}


@pytest.fixture
def turned():
    """Of eigenvalues spectrum(1 … N) in a random basis, with a random teacher."""

    def make(spectrum, N, noise_fraction, seed=0):
        rng = np.random.default_rng(seed)
        U = np.linalg.qr(rng.standard_normal((N, N)))[0]
        Omega = (U * SPECTRA.get(spectrum, spectrum)(np.arange(1.0, N + 1))) @ U.T
        theta = 1.3 * rng.standard_normal(N)
        b = Omega @ theta
        return Population(Omega, b, b @ theta / (1 - noise_fraction))

    return make


@pytest.fixture(params=list(SPECTRA))
def spectrum(request):
    return request.param
