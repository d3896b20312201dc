"""The prior of several convolutional layers' order parameters: its moments, its reductions, its derivatives."""

import numpy as np
import pytest
from scipy import stats
from stacked import network

import widthwise as ww
from widthwise.actions import MatrixAction, MonteCarlo, PatchHierarchy
from widthwise.actions.data_term import AbstractDataTerm, DataTerms
from widthwise.actions.wishart import WishartChain
from widthwise.kernels.stack import positions

CASES = {
    "overlapping, two outputs, biases": (network((3, 2), 3, 1, padding="same", bias_variance=(0.3, 0.4)), (4, 5), 2),
    "average, three layers, biases": (
        network(
            (2, 9, 3),
            (2, 2),
            ((1, 1), (2, 1), (1, 1)),
            padding="same",
            readout="average",
            bias_variance=(0.1, 0.2, 0.5),
        ),
        (4, 5),
        1,
    ),
    "one channel below, gaps": (network((4, 1), 2, ((3, 1), (1, 2))), (8, 5), 1),
    "wide": (network((30, 40), 2, 1), (3, 4), 2),
}


def spread_by_hand(place, Q, D):
    """R(Q) as its definition: (1/|p|) Σ_δ S_δ Q S_δᵀ with the matrices S_δ ⊗ I_D."""
    index, below = positions(place), place.image[0] * place.image[1]
    out = np.zeros((below * D, below * D))
    for delta in range(index.shape[1]):
        S = np.zeros((below, place.count))
        for o, i in enumerate(index[:, delta]):
            if i >= 0:
                S[i, o] = 1.0
        S = np.kron(S, np.eye(D))
        out += S @ Q @ S.T / index.shape[1]
    return out


def draw(prior, rng, draws):
    """Coordinates from the prior itself: log-χ² on the triangles' diagonals, Gaussian elsewhere."""
    z = rng.normal(size=(draws, prior.dimension))
    for block in prior.blocks:
        if block.triangular:
            own = slice(block.first, block.first + block.columns)
            chi2 = rng.chisquare(block.freedom, size=(draws, block.columns))
            z[:, own] = np.sqrt(0.5 * block.freedom) * np.log(chi2 / block.freedom)
    return z


@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_layer_has_the_mean_and_variance_of_its_wishart(case, triangular):
    """⟨Q_ℓ | Q_{ℓ+1}⟩ = R(Q_{ℓ+1}), Var Q_ij = (R_ij² + R_ii R_jj)/N: R from the draws of the layer above."""
    net, image, D = CASES[case]
    prior = PatchHierarchy.of(net, image, D)
    prior = prior.unique if triangular else prior
    rng, draws = np.random.default_rng(1), 1500
    layers = list(prior.all_layers(draw(prior, rng, draws)))
    if prior.biased:
        layers[0] = layers[0][:, :-D, :-D]
    places, L = net.stack(*image), net.depth
    top = prior.top @ prior.top.T
    for k in range(L, 0, -1):
        R = np.broadcast_to(top, layers[-1].shape)
        if k < L:
            R = np.array([spread_by_hand(places[k], Q, D) for Q in layers[k]])
        off = layers[k - 1] - R
        diagonal = np.diagonal(R, axis1=1, axis2=2)
        variance = (R**2 + diagonal[:, :, None] * diagonal[:, None, :]) / net.widths[k - 1]
        for values, expected in ((off, 0.0), (off**2 - variance, 0.0)):
            error = values.std(axis=0) / np.sqrt(draws)
            assert np.abs((values.mean(axis=0) - expected) / np.maximum(error, 1e-12)).max() < 6.0
        assert layers[k - 1].std() > 0.01


@pytest.mark.parametrize("case", CASES)
def test_the_mean_of_q_1_and_of_what_the_biases_add(case):
    net, image, D = CASES[case]
    prior = PatchHierarchy.of(net, image, D)
    z = draw(prior, np.random.default_rng(2), 4000)
    B = prior.factors(z)
    Q = B @ B.swapaxes(1, 2)
    assert Q.shape[1] == prior.side == len(prior.expected)
    error = Q.std(axis=0) / np.sqrt(len(z))
    assert np.abs((Q.mean(axis=0) - prior.expected) / np.maximum(error, 1e-12)).max() < 5.0
    np.testing.assert_allclose(prior.all_layers(z)[0], Q, atol=1e-13)
    if prior.biased:
        lam, n = net.precisions, net.stack(*image)[-1].count
        constant = 0.0
        for layer, one in enumerate(prior.all_layers(z)[1:], 2):
            sums = one.reshape(len(z), -1, D, one.shape[1] // D, D).sum(axis=(1, 3))
            constant = constant + net.bias_variances[layer - 1] * sums / (np.prod(lam[layer:]) * n)
        np.testing.assert_allclose(Q[:, -D:, -D:], constant, rtol=1e-12)
        assert not Q[:, -D:, :-D].any()


@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_differences(rng, case, triangular):
    net, image, D = CASES[case]
    prior = PatchHierarchy.of(net, image, D)
    prior = prior.unique if triangular else prior
    z, e, h = rng.normal(size=(2, prior.dimension)), rng.normal(size=(2, prior.dimension)), 1e-5
    G = rng.normal(size=(prior.side, prior.side))
    G = np.broadcast_to(G + G.T, (2, *G.shape))

    def value(z):
        B = prior.factors(z)
        return np.einsum("cij,cij->c", B @ B.swapaxes(1, 2), G)

    slope = (value(z + h * e) - value(z - h * e)) / (2 * h)
    np.testing.assert_allclose((prior.pull_back(z, G) * e).sum(axis=1), slope, rtol=1e-6)
    slope = (prior.log_prior(z + h * e)[0] - prior.log_prior(z - h * e)[0]) / (2 * h)
    np.testing.assert_allclose((prior.log_prior(z)[1] * e).sum(axis=1), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_unique_coordinates_are_of_the_same_matrices(rng, case):
    net, image, D = CASES[case]
    prior = PatchHierarchy.of(net, image, D)
    z = rng.normal(size=(3, prior.dimension))
    same = prior.same_in(prior.unique, z)
    assert same.shape[1] == prior.unique.dimension <= prior.dimension
    for one, other in zip(prior.all_layers(z), prior.unique.all_layers(same), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("D", [1, 3])
def test_the_whole_image_and_then_one_by_one_is_the_chain_of_wisharts(rng, D):
    """Reduces to: `WishartChain` of D outputs, draw for draw."""
    net = ww.Convolutional((4, 2, 5), ((4, 5), 1, 1), activation="identity")
    prior, chain = PatchHierarchy.of(net, (4, 5), D), WishartChain((4, 2, 5), D)
    assert (prior.dimension, prior.side) == (chain.dimension, D)
    z, G = rng.normal(size=(3, prior.dimension)), rng.normal(size=(3, D, D))
    G = G + G.swapaxes(1, 2)
    for one, other in zip(prior.all_layers(z), chain.all_layers(z), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    np.testing.assert_allclose(prior.pull_back(z, G), chain.pull_back(z, G), rtol=1e-10)
    np.testing.assert_allclose(prior.log_prior(z)[0], chain.log_prior(z)[0])
    np.testing.assert_array_equal(prior.expected, chain.expected)


class Trace(AbstractDataTerm):
    """log det A + yᵀA⁻¹y ≡ 2 t tr Q: an integral that is known."""

    def __init__(self, side, t):
        self.t, self._side = t, side

    side = property(lambda self: self._side)
    count = 0

    def terms(self, Q):
        m = self.side
        return DataTerms(2 * self.t * float(np.trace(Q)), 0.0, 2 * self.t * np.eye(m), np.zeros((m, m)))


def test_the_evidence_is_an_integral_that_is_known():
    """⟨exp(−t tr Q_1)⟩ = ⟨det(I + 2t R(Q_2)/N_1)^(−N_1/2)⟩; Q_2 averaged here by SciPy's Wishart."""
    net, t = network((3, 5), 2, 1), 0.2
    prior = PatchHierarchy.of(net, (4, 3), 1)
    action = MatrixAction(Trace(prior.side, t), net.widths, MonteCarlo(draws=400, warmup=200), prior)
    place, n = net.stack(4, 3)[1], net.stack(4, 3)[1].count
    Q2 = stats.wishart(5, np.eye(n) / 5).rvs(20_000, random_state=np.random.default_rng(0))
    S = [np.zeros((prior.side, n)) for _ in range(4)]
    for delta, one in enumerate(S):
        one[positions(place)[:, delta], np.arange(n)] = 0.5
    R = sum(one @ Q2 @ one.T for one in S)
    values = np.linalg.det(np.eye(prior.side) + 2 * t * R / 3) ** -1.5
    error = values.std() / np.sqrt(len(values)) / values.mean()
    within = np.hypot(action.evidence.standard_error, error)
    assert action.log_evidence_integrated() == pytest.approx(np.log(values.mean()), abs=4 * within)
    assert within < 0.05


def test_the_saddle_is_refused():
    net = network((3, 5), 2, 1)
    prior = PatchHierarchy.of(net, (4, 3), 1)
    action = MatrixAction(Trace(prior.side, 0.2), net.widths, prior=prior)
    with pytest.raises(ww.InputError, match=r"expected one grid of patches, got 2 convolutional layers.*integrated"):
        _ = action.saddle
