"""The factored spectrum: few factorisations, answers around one; and its random-vector guess."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import widthwise as ww
from widthwise.kernels import training_kernel
from widthwise.numerics.spectra import Eigensystem, FactoredSpectrum, RitzSpectrum, factored


@pytest.fixture(scope="module")
def digits():
    """A kernel of real data, its targets and its exact spectrum."""
    X, y = load_digits(return_X_y=True)
    X = (X[:800] - X.mean()) / X.std()
    K = training_kernel(ww.FullyConnected([100], "erf", weight_precisions=(0.8, 1.3)), X).K
    y = np.where(y[:800] % 2 == 0, 1.0, -1.0)
    return K, y, Eigensystem.of(K.copy()).with_target(y)


@pytest.fixture
def factorisations(monkeypatch):
    """What has been factorised so far."""
    made = []

    def counted(A, what):
        made.append(what)
        return cholesky(A, what)

    cholesky = factored.cholesky
    monkeypatch.setattr(factored, "cholesky", counted)
    return made


@pytest.mark.parametrize("t", [1e-4, 1e-2, 1.0])  # the first is beyond single precision
@pytest.mark.parametrize("q", [0.05, 1.0, 20.0])
def test_the_guess_is_right_to_a_percent_around_its_centre(digits, q, t):
    K, y, exact = digits
    guess = RitzSpectrum.of(K, y, q, t)
    for near in (0.5 * q, q, 2.0 * q):
        found, true = guess.terms(near, t), exact.terms(near, t)
        assert found.quadratic == pytest.approx(true.quadratic, rel=1e-2)
        assert found.dual_energy == pytest.approx(true.dual_energy, rel=1e-2)
        assert near * (found.trace - true.trace) == pytest.approx(0.0, abs=2e-3 * len(y))
    assert guess.multiplicity.sum() == pytest.approx(len(y), rel=1e-6)
    assert guess.power.sum() == pytest.approx(y @ y, rel=1e-6)


def test_the_guess_leaves_the_kernel_alone_and_is_the_same_each_time(digits):
    K, y, _ = digits
    before = K.copy()
    first, second = RitzSpectrum.of(K, y, 1.0, 1e-2), RitzSpectrum.of(K, y, 1.0, 1e-2)
    np.testing.assert_array_equal(K, before)
    np.testing.assert_array_equal(first.nodes, second.nodes)


@pytest.mark.parametrize("kind", ["zero", "multiple of the identity", "rank one", "constant"])
@pytest.mark.parametrize("P", [1, 2, 30])
def test_an_exhausted_krylov_space_is_exact(kind, P, rng, awkward, reference):
    """Few distinct eigenvalues: Lanczos ends early, and what it has found by then is everything."""
    kernel, targets = awkward
    K, y = kernel(kind, P, rng), targets("random", P, rng)
    exact = reference[0](K, y, 1.0, 0.3)
    found = RitzSpectrum.of(K, y, 1.0, 0.3).terms(1.0, 0.3)
    assert found.quadratic == pytest.approx(exact.quadratic, rel=1e-4)
    assert found.dual_energy == pytest.approx(exact.dual_energy, abs=1e-4 * exact.quadratic)


@pytest.mark.parametrize("P", [3, 100])
def test_rounding_beyond_an_exhausted_krylov_space_is_not_amplified(P, rng):
    """A multiple of the identity up to rounding: what Lanczos finds after its first step is noise of noise."""
    for _ in range(20):
        U = np.linalg.qr(rng.standard_normal((P, P)))[0]
        K, y = np.ascontiguousarray(0.7 * U @ U.T), 10.0 * rng.standard_normal(P)
        q, t = 10 ** rng.uniform(-1, 1), 10 ** rng.uniform(-3, 1)
        found = RitzSpectrum.of(K, y, q, t).terms(q, t)
        assert found.quadratic == pytest.approx(y @ y / (t + 0.7 * q), rel=1e-4)
        assert found.log_det == pytest.approx(P * np.log(t + 0.7 * q), abs=1e-3 * P)


@pytest.mark.parametrize("q", [0.02, 1.0, 7.0])
@pytest.mark.parametrize("shift", [1e-4, -1e-3, 1.4e-3])
def test_answers_around_the_factored_point(digits, factorisations, q, shift):
    K, y, exact = digits
    t = 1e-2
    spectrum = FactoredSpectrum(K, y)
    spectrum.surrogate(q, t)
    spectrum.terms(q, t)
    near = q * np.exp(shift)
    found, true = spectrum.terms(near, t), exact.terms(near, t)
    assert len(factorisations) == 1
    P = len(y)
    assert found.log_det == pytest.approx(true.log_det, abs=2e-12 * P)
    assert near * found.trace == pytest.approx(near * true.trace, abs=3e-9 * P)
    assert near**2 * found.trace_square == pytest.approx(near**2 * true.trace_square, abs=5e-6 * P)
    for name in ("quadratic", "dual_energy", "dual_curvature", "dual_norm"):  # these are solved for, not expanded
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=1e-11)


def test_it_factorises_again_only_when_it_must(digits, factorisations):
    K, y, exact = digits
    spectrum = FactoredSpectrum(K, y)
    spectrum.dual_vector(1.0, 1e-2)
    spectrum.terms(1.0, 1e-2)
    spectrum.terms(1.0005, 1e-2)
    dual = spectrum.dual_vector(1.0005, 1e-2)
    assert len(factorisations) == 1
    np.testing.assert_allclose(dual, exact.dual_vector(1.0005, 1e-2), rtol=1e-9, atol=1e-9 * abs(dual).max())
    far = spectrum.terms(1.1, 2e-2)
    assert len(factorisations) == 2
    assert far.trace == pytest.approx(exact.terms(1.1, 2e-2).trace, rel=1e-11)
