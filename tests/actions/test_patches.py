"""log N(y; 0, T I + K_R(Q)) and its gradient: the dense formula, autodiff, differences, reductions, random weights."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convolution import convolve, hidden

import widthwise as ww
from widthwise.actions.patches import PatchTerm
from widthwise.errors import NumericalError
from widthwise.kernels import training_kernel
from widthwise.kernels.design import PatchKernels
from widthwise.kernels.patches import PatchSet

P, T, SCALE = 6, 0.3, 1.4


def network_of(activation="erf", **changes):
    options = {"patch": (3, 2), "stride": (2, 2), "padding": "same"} | changes
    return ww.Convolutional(5, activation=activation, weight_precisions=(0.7, 1.9), bias_variance=0.3, **options)


@pytest.fixture
def X(rng):
    return rng.standard_normal((P, 4, 5, 2))


def problem(rng, X, D, network=None, scale=SCALE):
    network = network or network_of()
    kernels = PatchKernels.of(network, X, skew=D > 1)
    return PatchTerm(kernels, rng.standard_normal((len(X), D)), T, scale)


def wishart(rng, m, N, *shape):
    V = rng.standard_normal((*shape, m, N))
    return V @ V.swapaxes(-1, -2) / N


def dense(term, X, Q):
    """log det A and yᵀA⁻¹y by Σ_ij Q_{(i,d),(j,e)} κ_ij, written out; JAX throughout."""
    images, everything = PatchSet.of(term.kernels.images.network, X), slice(0, len(X))
    kappa = images.block(everything, images, everything)
    n, D = images.patches, term.outputs
    A = term.scale * jnp.einsum("idje,irjs->rdse", Q.reshape(n, D, n, D), kappa).reshape(term.count, term.count)
    A = A + term.temperature * jnp.eye(term.count)
    y = term.Y.ravel()
    return jnp.linalg.slogdet(A)[1], y @ jnp.linalg.solve(A, y)


@pytest.mark.parametrize("D", [1, 2, 3])
def test_values_and_gradients_are_those_of_the_dense_formula(rng, X, D):
    term = problem(rng, X, D)
    assert (term.side, term.count) == (6 * D, P * D)
    Q = wishart(rng, term.side, 4)
    found = term.terms(Q)
    with jax.enable_x64(True):
        log_det, quadratic = (float(value) for value in dense(term, X, Q))
        trace, minus = jax.jit(jax.jacobian(lambda Q: dense(term, X, Q)))(Q)
    assert found.log_det == pytest.approx(log_det, rel=1e-12)
    assert found.quadratic == pytest.approx(quadratic, rel=1e-12)
    symmetric = [0.5 * (g + g.T) for g in map(np.asarray, (trace, -minus))]
    np.testing.assert_allclose(found.trace, symmetric[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.dual, symmetric[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("D", [1, 2])
def test_gradient_is_that_of_differences(rng, X, D):
    term = problem(rng, X, D)
    Q, E, h = wishart(rng, term.side, 9), rng.standard_normal((term.side, term.side)), 1e-5
    E += E.T
    slope = (term.terms(Q + h * E).value - term.terms(Q - h * E).value) / (2 * h)
    assert np.vdot(term.terms(Q).gradient, E) == pytest.approx(slope, rel=1e-7)
    for part in (term.terms(Q).trace, term.terms(Q).dual):
        np.testing.assert_allclose(part, part.T, rtol=1e-12, atol=1e-13)
        assert np.linalg.eigvalsh(part).min() > -1e-12


@pytest.mark.parametrize("D", [1, 3])
def test_all_at_once_is_one_by_one_held_or_recomputed(rng, X, D):
    term = problem(rng, X, D)
    streamed = PatchKernels.of(network_of(), X, skew=D > 1, hold=False)
    Q = wishart(rng, term.side, 7, 4)
    before = Q.copy()
    for one, together, again in zip(
        (term.terms(q) for q in Q),
        term.terms_of_all(Q),
        PatchTerm(streamed, term.Y, T, SCALE).terms_of_all(Q),
    ):
        for other in (together, again):
            assert other.value == pytest.approx(one.value, rel=1e-12)
            np.testing.assert_allclose(other.gradient, one.gradient, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(Q, before)


def test_one_patch_is_the_scalar_theory(rng, X):
    """Reduces to: FullyConnected's log det, tr(A⁻¹K) and aᵀKa."""
    term = problem(rng, X, 1, network_of(patch=(4, 5), stride=None, padding="valid"))
    K = SCALE * training_kernel(ww.FullyConnected([5], "erf", (0.7, 1.9), 0.3), X.reshape(P, -1)).K
    found, [y] = term.terms(np.array([[0.6]])), term.Y.T
    A = T * np.eye(P) + 0.6 * K
    a = np.linalg.solve(A, y)
    expected = [np.linalg.slogdet(A)[1], y @ a, np.trace(np.linalg.solve(A, K)), a @ K @ a]
    np.testing.assert_allclose([found.log_det, found.quadratic, *found.trace[0], *found.dual[0]], expected, rtol=1e-12)


@pytest.mark.parametrize("D", [2, 4])
def test_one_patch_and_several_outputs_is_the_kronecker_theory(rng, X, D):
    """Reduces to: Σ_k log det(T I + k_k Q) + ŷ_kᵀ(T I + k_k Q)⁻¹ŷ_k on the eigenvalues of K."""
    term = problem(rng, X, D, network_of(patch=(4, 5), stride=None, padding="valid"))
    K = SCALE * training_kernel(ww.FullyConnected([5], "erf", (0.7, 1.9), 0.3), X.reshape(P, -1)).K
    k, U = np.linalg.eigh(K)
    Q = wishart(rng, D, 5)
    value, gradient = 0.0, np.zeros((D, D))
    for eigenvalue, y in zip(k, U.T @ term.Y):
        B = T * np.eye(D) + eigenvalue * Q
        b = np.linalg.solve(B, y)
        value += np.linalg.slogdet(B)[1] + y @ b
        gradient += eigenvalue * (np.linalg.inv(B) - np.outer(b, b))
    assert term.terms(Q).value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(term.terms(Q).gradient, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("D", [1, 2])
def test_covariance_of_networks_drawn_given_their_readout(rng, X, D):
    """v fixed, hidden weights drawn: Cov(f_d(x), f_e(x')) is K_R(Q), Q_{(i,d),(j,e)} = (λ_1/N_c) Σ_c v v."""
    network, N, draws = network_of(), 5, 20_000
    term = problem(rng, X[:3], D, network, scale=1.0)
    n = term.kernels.patches
    v = rng.standard_normal((N, n, D)) / math.sqrt(1.9)
    Q = 1.9 / N * np.einsum("cid,cje->idje", v, v).reshape(n * D, n * D)
    phi = hidden(network, X[:3], rng, draws * N).reshape(n, 3, draws, N)
    f = np.einsum("cid,irmc->drm", v, phi).reshape(3 * D, draws) / math.sqrt(N * n)
    sampled = f @ f.T / draws
    error = np.sqrt((f**2 @ (f**2).T / draws - sampled**2) / draws)
    [A] = term.matrices(Q[None])
    z = ((np.triu(A) - T * np.eye(3 * D) - np.triu(sampled)) / error)[np.triu_indices(3 * D)]
    assert np.abs(z).max() < 4.5
    assert 0.3 < np.sqrt((z**2).mean()) < 1.7


@pytest.mark.parametrize(("D", "N"), [(1, 2), (1, 8), (2, 3)])
def test_linear_networks_have_the_evidence_of_the_wishart_mixture(rng, X, D, N):
    """φ = identity, fewer channels than patches included: E_Q N(y; 0, A(Q)) = E_W N(y; 0, T I + ΦΦᵀ/(λ_1 N_c n))."""
    network, X, draws = network_of("identity"), X[:3], 6000
    term = problem(rng, X, D, network, scale=1.0)
    n = term.kernels.patches
    theory = np.exp([-0.5 * one.value for one in term.terms_of_all(wishart(rng, n * D, N, draws))])

    W = rng.standard_normal((draws * N, *network.patch, 2)) / math.sqrt(0.7)
    h = convolve(network, X, W, math.sqrt(0.3) * rng.standard_normal(draws * N))
    Phi = h.reshape(n, 3, draws, N).transpose(2, 1, 0, 3).reshape(draws, 3, n * N)
    A = T * np.eye(3) + Phi @ Phi.swapaxes(1, 2) / (1.9 * N * n)
    quadratic = np.einsum("rd,mrd->m", term.Y, np.linalg.solve(A, np.broadcast_to(term.Y, (draws, 3, D))))
    weights = np.exp(-0.5 * (D * np.linalg.slogdet(A)[1] + quadratic))
    error = math.hypot(theory.std(), weights.std()) / math.sqrt(draws)
    assert abs(theory.mean() - weights.mean()) < 4.5 * error
    assert error < 0.03 * weights.mean()


def test_bad_input(rng, X):
    kernels = PatchKernels.of(network_of(), X)
    with pytest.raises(ww.InputError, match=r"^targets: expected 6 rows, one per image, got 5; .*\(P, D\)\.$"):
        PatchTerm(kernels, np.zeros((5, 1)), T)
    with pytest.raises(
        ww.InputError, match=r"^patch kernels: expected those for several outputs \(2\), .*skew=True\.$"
    ):
        PatchTerm(kernels, np.zeros((6, 2)), T)
    with pytest.raises(NumericalError, match=r"^T I \+ K_R\(Q\) is not positive definite .*; raise the temperature"):
        PatchTerm(kernels, np.zeros((6, 1)), T).terms(-10 * np.eye(6))
