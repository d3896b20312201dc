"""The chain of Wishart matrices: draws, densities, derivatives, and the inner layers' minimum by a blind search."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi, wishart

from widthwise.actions.chain import ChainPrior
from widthwise.actions.wishart import WishartChain
from widthwise.errors import InputError

CHAINS = [((5,), 3), ((3,), 3), ((2,), 3), ((1,), 2), ((6, 4), 3), ((2, 5), 3), ((5, 2), 3), ((7, 1, 4), 2), ((4,), 1)]


def network_draws(widths, m, n, rng):
    """Q_1 … of actual Gaussian weights: readout (m, N_L), then W_L, …"""
    V = rng.normal(size=(n, m, widths[-1])) / math.sqrt(widths[-1])
    for N, below in zip(widths[:0:-1], widths[-2::-1]):
        V = V @ rng.normal(size=(n, N, below)) / math.sqrt(below)
    return V @ np.swapaxes(V, 1, 2)


def prior_draws(prior, n, rng):
    """Coordinates drawn exactly: the diagonal's by their χ², all others N(0, 1)."""
    z = rng.normal(size=(n, prior.dimension))
    for block in prior.blocks:
        if block.triangular:
            r = len(block.freedom)
            A = np.sqrt(rng.chisquare(block.freedom, size=(n, r)))
            z[:, block.first : block.first + r] = np.sqrt(2 * block.freedom) * np.log(A / np.sqrt(block.freedom))
    return z


@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize(("widths", "m"), CHAINS)
def test_factors_have_the_law_of_the_networks_weights(widths, m, triangular):
    rng = np.random.default_rng(sum(widths) + m)
    prior = WishartChain(widths, m, triangular)
    B = prior.factors(prior_draws(prior, 100_000, rng))
    assert B.shape[1:] == (m, min(m, *widths))
    ours, theirs = B @ np.swapaxes(B, 1, 2), network_draws(widths, m, 100_000, rng)
    np.testing.assert_allclose(ours.mean(0), np.eye(m), atol=0.12)
    for f in (
        lambda Q: Q[:, 0, 0],
        lambda Q: Q[:, -1, -1],
        lambda Q: Q[:, 0, -1] ** 2,
        lambda Q: np.tanh((Q @ Q).trace(axis1=1, axis2=2) - m),
        lambda Q: np.exp(-((Q[:, 0] @ np.ones(m)) ** 2)),
    ):
        a, b = f(ours), f(theirs)
        assert abs(a.mean() - b.mean()) < 4.5 * math.sqrt((a.var() + b.var()) / 100_000)


@pytest.mark.parametrize(("widths", "m"), CHAINS)
def test_prior_is_normalised(widths, m):
    """Every diagonal coordinate on its own, by the trapezoidal rule; the others are N(0, 1) by construction."""
    prior = WishartChain(widths, m, triangular=True)
    x = np.linspace(-40, 8, 4001)
    origin = prior.log_prior(np.zeros((1, prior.dimension)))[0][0]
    for block in prior.blocks:
        for i, nu in enumerate(block.freedom):
            grid = np.zeros((len(x), prior.dimension))
            grid[:, block.first + i] = x
            log = prior.log_prior(grid)[0] - origin + single(nu) - 0.5 * x * x - 0.5 * math.log(2 * math.pi)
            assert np.exp(log).sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-6)
    freedoms = np.concatenate([block.freedom for block in prior.blocks])
    assert origin == pytest.approx(sum(single(nu) for nu in freedoms))


def single(nu):
    """log p − log N at z = 0 of one diagonal coordinate, from SciPy's χ density: p(z) = p_χ(√ν) √ν/√(2ν)."""
    return chi(nu).logpdf(math.sqrt(nu)) + 0.5 * math.log(0.5) + 0.5 * math.log(2 * math.pi)


@pytest.mark.parametrize(("N", "m"), [(5, 3), (9, 2), (3, 3), (4, 1)])
def test_density_is_scipys(N, m):
    """p(z) = p(Q) |∂Q/∂z|, the Jacobian by differences."""
    rng = np.random.default_rng(N)
    prior = WishartChain((N,), m, triangular=True)
    r, s = np.tril_indices(m)

    def entries(z):
        B = prior.factors(z[None])[0]
        return (B @ B.T)[r, s]

    for z in rng.normal(size=(4, prior.dimension)):
        h = 1e-5
        J = np.array([(entries(z + h * e) - entries(z - h * e)) / (2 * h) for e in np.eye(len(z))])
        B = prior.factors(z[None])[0]
        density = wishart(N, np.eye(m) / N).logpdf(B @ B.T)
        expected = density + np.linalg.slogdet(J)[1] + 0.5 * (z @ z + len(z) * math.log(2 * math.pi))
        assert prior.log_prior(z[None])[0][0] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize(("widths", "m"), CHAINS)
def test_gradients_by_differences(widths, m, triangular):
    rng = np.random.default_rng(2)
    prior = WishartChain(widths, m, triangular)
    z = rng.normal(size=(3, prior.dimension))
    G = rng.normal(size=(m, m))
    G = G + G.T

    def value(z):
        B = prior.factors(z)
        Q = B @ np.swapaxes(B, 1, 2)
        return (G * Q).sum((1, 2)) + 0.5 * (Q**2).sum((1, 2)), prior.log_prior(z)[0]

    B = prior.factors(z)
    pulled, own = prior.pull_back(z, G + B @ np.swapaxes(B, 1, 2)), prior.log_prior(z)[1]
    for i in range(prior.dimension):
        e = np.zeros(prior.dimension)
        e[i] = 1e-5
        up, down = value(z + e), value(z - e)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-5, pulled[:, i], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-5, own[:, i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("widths", "m"), CHAINS)
def test_the_same_order_parameters_in_triangular_coordinates(widths, m):
    rng = np.random.default_rng(3)
    prior, unique = WishartChain(widths, m), WishartChain(widths, m, triangular=True)
    z = rng.normal(size=(5, prior.dimension))
    same = prior.same_in(unique, z)
    np.testing.assert_allclose(unique.all_layers(same), prior.all_layers(z), atol=1e-10)
    np.testing.assert_allclose(unique.same_in(unique, same), same, atol=1e-9)
    B = prior.factors(z)
    np.testing.assert_allclose(prior.all_layers(z)[0], B @ np.swapaxes(B, 1, 2), atol=1e-12)


def chain_energy(layers, widths):
    total, above = 0.0, np.eye(len(layers[0]))
    for N, Q in zip(widths[::-1], layers[::-1]):
        ratio = np.linalg.solve(above, Q)
        total += N * (np.trace(ratio) - np.linalg.slogdet(ratio)[1]) / widths[-1]
        above = Q
    return total


@pytest.mark.parametrize(("widths", "m"), [((9, 6), 2), ((4, 11, 7), 2), ((5, 8), 3)])
def test_inner_layers_by_a_blind_search(widths, m):
    """Value, layers and Hessian determinant of the minimum over Q_2 … Q_L at fixed Q_1, in Cholesky coordinates."""
    rng = np.random.default_rng(5)
    prior = WishartChain(widths, m)
    A = rng.normal(size=(m, 2 * m))
    Q = A @ A.T / m
    u = np.linalg.eigvalsh(Q)
    expected = prior.layers(Q)
    r, s = np.tril_indices(m)
    L = len(widths)

    def unpacked(x):
        out = [Q]
        for part in x.reshape(L - 1, -1):
            C = np.zeros((m, m))
            C[r, s] = part
            out.append(C @ C.T)
        return out

    start = np.tile(np.eye(m)[r, s], L - 1)
    found = minimize(lambda x: chain_energy(unpacked(x), widths), start, method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(np.array(unpacked(found.x)), expected, atol=1e-4)
    value = prior.energy(np.log(u))[0]
    assert value == pytest.approx(found.fun, abs=1e-9)
    assert value == pytest.approx(chain_energy(expected, widths), abs=1e-10)

    roots = [np.linalg.cholesky(one) for one in expected]
    a, b = np.triu_indices(m)
    n = len(a)

    def moved(h):  # Q_ℓ = R (I + H + ½H²) Rᵀ, to the second order in H
        out = [Q]
        for root, part in zip(roots[1:], h.reshape(L - 1, n)):
            H = np.zeros((m, m))
            H[a, b] = H[b, a] = part
            out.append(root @ (np.eye(m) + H + 0.5 * H @ H) @ root.T)
        return chain_energy(out, widths)

    d, step = n * (L - 1), 1e-3
    E = step * np.eye(d)
    H = np.array([[(moved(p + q) - moved(p - q) - moved(q - p) + moved(-p - q)) / (4 * step**2) for p in E] for q in E])
    assert prior.log_inner_hessian(np.log(u)) == pytest.approx(np.linalg.slogdet(H)[1], abs=1e-4)


def test_one_row_is_the_scalar_chain():
    widths = (4, 9, 6)
    prior, scalar = WishartChain(widths, 1), ChainPrior(widths)
    u = np.array([0.4])
    assert prior.laplace_constant() == pytest.approx(scalar.laplace_constant())
    ratios = scalar.layers(0.4)
    np.testing.assert_allclose(prior.layers(np.exp(u)[:, None])[:, 0, 0], np.cumprod(ratios[::-1])[::-1])
    with_data = prior.log_inner_hessian(u) + math.log(scalar.jet(0.4).curvature + 0.8)
    assert with_data == pytest.approx(scalar.log_hessian(0.4, 0.8))


@pytest.mark.parametrize("widths", [(7,), (3, 7), (20, 20, 50), (100, 300, 30, 7), (200,) * 10])
def test_energy_of_the_eigenvalues_is_the_scalar_chains(widths):
    u = np.array([-40.0, -3.0, -1e-3, 0.0, 0.5, 6.0, 30.0])
    scalar = ChainPrior(widths)
    value, slope = WishartChain(widths, len(u)).energy(u)
    jets = [scalar.jet(float(one)) for one in u]
    assert value == pytest.approx(sum(jet.value for jet in jets), rel=1e-12)
    np.testing.assert_allclose(slope, [jet.slope for jet in jets], rtol=1e-9, atol=1e-12)


def test_laplace_constant_is_scipys_and_a_singular_matrix_has_none():
    N, m = 6, 3
    Q = np.array([[1.2, 0.3, 0.0], [0.3, 0.8, -0.2], [0.0, -0.2, 1.5]])
    log_det = np.linalg.slogdet(Q)[1]
    exact = wishart(N, np.eye(m) / N).logpdf(Q) + 0.5 * (m + 1) * log_det
    assert WishartChain((N,), m).laplace_constant() - 0.5 * N * (np.trace(Q) - log_det) == pytest.approx(exact)
    with pytest.raises(InputError, match=r"expected widths of at least 3 .* got 2"):
        WishartChain((5, 2), 3).laplace_constant()
