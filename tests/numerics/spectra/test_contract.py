"""One contract for every spectrum: exact answers, the derivatives they stand for, solves in its own coordinates."""

import itertools

import numpy as np
import pytest

from widthwise.errors import InputError, NumericalError
from widthwise.numerics.spectra import AbstractSpectrum, Eigensystem, FactoredSpectrum, TridiagonalSpectrum

EPS = np.finfo(float).eps


def factored_with_a_guess(K, y):
    spectrum = FactoredSpectrum(K, y)
    spectrum.surrogate(1.0, 1.0)
    return spectrum


SPECTRA = {
    "eigenvalues": lambda K, y: Eigensystem.of(K.copy(), overwrite=True).with_target(y),
    "tridiagonal": lambda K, y: TridiagonalSpectrum.of(K.copy(), y.copy()),
    "factored": FactoredSpectrum,
    "factored, after a guess": factored_with_a_guess,
}
KERNELS = [
    "generic",
    "duplicated rows",
    "rank one",
    "constant",
    "zero",
    "multiple of the identity",
    "ten decades",
]
TARGETS = ["random", "y = 0", "y[0] = 0", "along e1", "constant"]
POINTS = list(itertools.product([1e-4, 1.0, 1e3], [1e-8, 1e-2, 1e2]))


@pytest.fixture(params=SPECTRA)
def make(request):
    return SPECTRA[request.param]


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("P", [1, 2, 3, 20])
def test_every_answer_is_exact_to_the_condition_number(make, kind, P, rng, awkward, reference):
    kernel, targets = awkward
    exact_terms, natural_sizes, errors = reference
    K = kernel(kind, P, rng)
    largest = np.linalg.eigvalsh(K)[-1]
    for target in TARGETS:
        y = targets(target, P, rng)
        spectrum = make(K, y)
        for q, t in POINTS:
            condition = 1.0 + q * largest / t
            if condition > 1e12:
                continue
            exact = exact_terms(K, y, q, t)
            worst = errors(spectrum.terms(q, t), exact, natural_sizes(exact, P, q, t, condition))
            assert max(worst.values()) < 50 * EPS * condition, (target, q, t, worst)


@pytest.mark.parametrize(("q", "t"), [(1.0, 1e-3), (40.0, 1e-6), (1e-3, 10.0)])
def test_a_larger_kernel(make, q, t, rng, awkward, reference):
    kernel, targets = awkward
    exact_terms, natural_sizes, errors = reference
    P = 300
    K, y = kernel("generic", P, rng), targets("random", P, rng)
    condition = 1.0 + q * np.linalg.eigvalsh(K)[-1] / t
    exact = exact_terms(K, y, q, t)
    worst = errors(make(K, y).terms(q, t), exact, natural_sizes(exact, P, q, t, condition))
    assert max(worst.values()) < 50 * EPS * condition, worst


def test_the_traces_and_duals_are_derivatives_of_the_likelihood(make, rng, awkward):
    kernel, targets = awkward
    spectrum = make(kernel("generic", 30, rng), targets("random", 30, rng))
    q, t, h = 0.7, 0.02, 0.007

    def f(x):
        terms = spectrum.terms(x, t)
        return terms.log_det + terms.quadratic

    minus2, minus, here, plus, plus2 = (f(q + i * h) for i in (-2, -1, 0, 1, 2))
    first = (8 * (plus - minus) - (plus2 - minus2)) / (12 * h)
    second = (16 * (plus + minus) - (plus2 + minus2) - 30 * here) / (12 * h * h)
    terms = spectrum.terms(q, t)
    assert terms.trace - terms.dual_energy == pytest.approx(first, rel=1e-6)
    assert -terms.trace_square + 2 * terms.dual_curvature == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("P", [1, 2, 3, 50])
@pytest.mark.parametrize("target", ["random", "y = 0", "y[0] = 0"])
def test_its_coordinates(make, P, target, rng, awkward):
    kernel, targets = awkward
    K, y = kernel("generic", P, rng), targets(target, P, rng)
    spectrum = make(K, y)
    B = rng.standard_normal((P, 4))
    rotated = spectrum.rotate(B.copy())
    np.testing.assert_allclose(rotated.T @ rotated, B.T @ B, atol=1e-12 * P)
    np.testing.assert_allclose(spectrum.rotate_back(rotated.copy()), B, atol=1e-13 * P)
    np.testing.assert_allclose(spectrum.rotate(y[:, None].copy())[:, 0], spectrum.target, atol=1e-13 * P)
    for q, t in ((1.3, 0.1), (1.3, 0.2), (1.3001, 0.2), (0.4, 0.1)):
        A = t * np.eye(P) + q * K
        solution = spectrum.rotate_back(spectrum.solve(q, t, spectrum.rotate(B.copy())))
        np.testing.assert_allclose(A @ solution, B, atol=1e-12 * P)
        np.testing.assert_allclose(A @ spectrum.dual_vector(q, t), y, atol=1e-12 * P)


def test_no_columns_at_all(make, rng, awkward):
    kernel, targets = awkward
    spectrum = make(kernel("generic", 5, rng), targets("random", 5, rng))
    nothing = spectrum.rotate(np.zeros((5, 0)))
    assert spectrum.rotate_back(spectrum.solve(1.0, 0.1, nothing)).shape == (5, 0)


def test_what_it_says_of_the_kernel(make, rng, awkward):
    kernel, targets = awkward
    K, y = kernel("ten decades", 40, rng), targets("random", 40, rng)
    spectrum = make(K, y)
    assert isinstance(spectrum, AbstractSpectrum)
    assert spectrum.size == 40
    assert spectrum.trace_K == pytest.approx(np.trace(K), rel=1e-13)
    assert spectrum.target @ spectrum.target == pytest.approx(y @ y, rel=1e-13)


def test_the_order_of_the_data_does_not_matter(make, rng, awkward):
    kernel, targets = awkward
    K, y = kernel("generic", 30, rng), targets("random", 30, rng)
    order = rng.permutation(30)
    a = make(K, y).terms(0.8, 0.01)
    b = make(np.ascontiguousarray(K[np.ix_(order, order)]), y[order]).terms(0.8, 0.01)
    for name in vars(a):
        assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-10)


def test_an_indefinite_kernel_is_refused(make):
    K = np.diag([1.0, 2.0, -3.0])
    with pytest.raises((InputError, NumericalError), match=r"not positive definite|positive semi-definite") as caught:
        make(K, np.ones(3)).terms(1.0, 0.5)
    assert "\n" not in str(caught.value)


def test_eigenvalues_of_rounding_are_zero(rng):
    """Duplicated rows with opposite labels: no q, however large, fits them."""
    X = rng.standard_normal((40, 60))
    K = np.tile(np.arcsin(np.corrcoef(X)), (2, 2))
    spectrum = Eigensystem.of(K.copy()).with_target(np.repeat([1.0, -1.0], 40))
    assert np.count_nonzero(spectrum.system.k) == 40
    for q in (1e-6, 1.0, 1e8):
        assert spectrum.terms(q, 1e-8).quadratic == pytest.approx(80 / 1e-8, rel=1e-12)


@pytest.mark.parametrize("t", [1e8, 1e12, 1e30])
def test_where_the_noise_dwarfs_the_kernel_its_trace_is_not_lost(make, t, rng):
    """tr(A⁻¹K) = tr K/t − q tr K²/t² + …: never the difference of P and nearly P."""
    X = rng.normal(size=(20, 30))
    K, y, q = X @ X.T / 30, rng.normal(size=20), 0.7
    terms = make(K, y).terms(q, t)
    k = np.linalg.eigvalsh(K)
    assert terms.trace == pytest.approx(float((k / (t + q * k)).sum()), rel=1e-8, abs=0.0)
