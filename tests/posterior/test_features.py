"""Hidden layers' Gram matrices: exact for linear networks in weight space, limits, invariances, sampled networks."""

from dataclasses import replace

import numpy as np
import pytest

import widthwise as ww
from widthwise.actions.chain import ChainPrior
from widthwise.errors import InputError
from widthwise.posterior import Alignment
from widthwise.posterior.features import _exact, _propagated, target_alignment

LAM = (1.7, 0.6, 1.4, 0.8)
T = 0.4
LONG = ww.MonteCarlo(draws=200, warmup=60, nodes=1600)
QUICK = ww.MonteCarlo(draws=60, warmup=60, nodes=64)


def distance(G, truth):
    return np.linalg.norm(G - truth) / np.linalg.norm(truth)


def network(widths, activation="identity", **options):
    return ww.FullyConnected(widths, activation, LAM[: len(widths) + 1], **options)


def infer(net, X, y, **options):
    return ww.infer(net, X, y, **{"temperature": T, "monte_carlo": QUICK} | options)


def problem(seed, D, P=4, N0=3, new=2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(P + new, N0))
    y = 0.8 * X[:P] @ rng.normal(size=(N0, D)) + 0.3 * rng.normal(size=(P, D))
    return X, y[:, 0] if D == 1 else y


def arcsine(X):
    """The erf network's kernel with precisions LAM, written from Williams 1997 and not from this package."""
    own = 1 + 2 * np.einsum("ij,ij->i", X, X) / (LAM[0] * X.shape[1])
    return 2 / np.pi * np.arcsin(2 * X @ X.T / (LAM[0] * X.shape[1]) / np.sqrt(np.outer(own, own))) / LAM[1]


# --- exact ----------------------------------------------------------------------------------------------------------


def weighed(hidden, y, rng, draws=100_000):
    """Posterior mean Gram matrices with jackknife errors: hidden weights from the prior, weighed by N(y; 0, T + G_L).

    Args:
        hidden: (rng, n) → of each layer ΦΦᵀ/(λ N) of n networks (n, Z, Z), the training points first.
        y: targets.
    """
    y, sums = y.reshape(len(y), -1), []
    P, D = y.shape
    for _ in range(20):
        grams = hidden(rng, draws // 20)
        A = grams[-1][:, :P, :P] + T * np.eye(P)
        fit = np.linalg.solve(A, np.broadcast_to(y, (len(A), P, D)))
        w = np.exp(-0.5 * (fit * y).sum(axis=(1, 2)) - 0.5 * D * np.linalg.slogdet(A)[1])
        sums.append(np.concatenate([[w.sum()], *(np.tensordot(w, G, 1).ravel() for G in grams)]))
    sums, layers = np.array(sums), len(grams)
    value = (sums.sum(0) / sums.sum(0)[0])[1:]
    jackknife = np.array([(lambda s: s[1:] / s[0])(np.delete(sums, i, 0).sum(0)) for i in range(20)])
    error = np.sqrt(19 * ((jackknife - jackknife.mean(0)) ** 2).mean(0))
    shape = (layers, *grams[-1].shape[1:])
    return value.reshape(shape), error.reshape(shape)


def linear(net, X):
    """The hidden layers of the actual linear network, by matrix products of its weights."""
    lam, widths = net.precisions, net.widths

    def hidden(rng, n):
        h = rng.normal(size=(n, widths[0], X.shape[1])) @ X.T / np.sqrt(lam[0] * X.shape[1])
        grams = [np.swapaxes(h, 1, 2) @ h / (lam[1] * widths[0])]
        for below, N, inner, outer in zip(widths, widths[1:], lam[1:], lam[2:]):
            h = rng.normal(size=(n, N, below)) / np.sqrt(inner * below) @ h
            grams.append(np.swapaxes(h, 1, 2) @ h / (outer * N))
        return grams

    return hidden


@pytest.mark.parametrize(
    ("widths", "D"),
    [
        ((2,), 1),
        ((5,), 1),
        ((50,), 1),
        ((2, 3), 1),
        ((5,), 2),
        pytest.param((4, 1, 2), 1, marks=pytest.mark.slow),
        pytest.param((4, 2), 3, marks=pytest.mark.slow),
        pytest.param((2,), 3, marks=pytest.mark.slow),  # fewer units than outputs
        pytest.param((20,), 3, marks=pytest.mark.slow),
        pytest.param((3, 5), 2, marks=pytest.mark.slow),
        pytest.param((4, 3), 1, marks=pytest.mark.slow),
        pytest.param((3, 4, 3), 2, marks=pytest.mark.slow),
        pytest.param((50, 2, 7), 3, marks=pytest.mark.slow),
    ],
)
def test_linear_networks_are_weight_space_monte_carlo(widths, D):
    """Every layer, unequal widths, non-unit precisions, new points included; and K is far off."""
    X, y = problem(10 * D + sum(widths), D)
    net, P = network(widths), len(y)
    posterior = infer(net, X[:P], y, monte_carlo=LONG)
    assert posterior.exact
    sampled, error = weighed(linear(net, X), y, np.random.default_rng(2))
    own = 0.0 if D == 1 else 0.3 / np.sqrt(posterior.certificate.ess)  # of the theory's own draws of Q
    for layer, (truth, noise) in enumerate(zip(sampled, error), start=1):
        G = posterior.feature_kernel(X, layer=layer)
        K = infer(net, X[:P], y, approximation="infinite").feature_kernel(X, layer=layer)
        within = np.hypot(2.5 * np.linalg.norm(noise) / np.linalg.norm(truth), own)
        assert distance(G, truth) < within < 0.04
        assert distance(K, truth) > 5 * distance(G, truth)
        np.testing.assert_allclose(
            posterior.feature_kernel(X[:2], X[1:], layer=layer), G[:2, 1:], rtol=1e-9, atol=1e-12
        )
    np.testing.assert_array_equal(posterior.feature_kernel(X), G)


@pytest.mark.parametrize("bias_variance", [0.0, 0.8])
def test_one_linear_layer_with_biases(bias_variance):
    X, y = problem(5, 1)
    net = network((3,), bias_variance=bias_variance)

    def hidden(rng, n):
        h = rng.normal(size=(n, 3, 3)) @ X.T / np.sqrt(LAM[0] * 3)
        h = h + np.sqrt(bias_variance) * rng.normal(size=(n, 3, 1))
        return [np.swapaxes(h, 1, 2) @ h / (LAM[1] * 3)]

    (truth,), (noise,) = weighed(hidden, y, np.random.default_rng(3))
    G = infer(net, X[:4], y).feature_kernel(X)
    assert distance(G, truth) < 2.5 * np.linalg.norm(noise) / np.linalg.norm(truth) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("D", [1, 2])
def test_linear_patches_are_weight_space_monte_carlo(D):
    """Summed over channels and patches; also the average readout, whose features are the averages."""
    rng = np.random.default_rng(3)
    X, y, N = rng.normal(size=(6, 2, 6)), 0.8 * rng.normal(size=(4, D)), 3
    y = y[:, 0] if D == 1 else y
    patches = np.stack([X[:, :, i : i + 2].reshape(6, -1) for i in (0, 2, 4)])

    for readout in ("dense", "average"):

        def hidden(rng, n, readout=readout):
            h = np.einsum("sck,izk->szci", rng.normal(size=(n, N, 4)), patches) / np.sqrt(LAM[0] * 4)
            h = h.reshape(n, 6, -1) / np.sqrt(3) if readout == "dense" else h.mean(axis=3)
            return [h @ np.swapaxes(h, 1, 2) / (LAM[1] * N)]

        (truth,), (noise,) = weighed(hidden, y, rng)
        net = ww.Convolutional(N, (2, 2), activation="identity", readout=readout, weight_precisions=LAM[:2])
        posterior = infer(net, X[:4], y, monte_carlo=LONG)
        G = posterior.feature_kernel(X)
        own = 0.3 / np.sqrt(posterior.certificate.ess or np.inf)
        assert distance(G, truth) < np.hypot(2.5 * np.linalg.norm(noise) / np.linalg.norm(truth), own) < 0.04
        K = infer(net, X[:4], y, approximation="infinite").feature_kernel(X)
        assert distance(K, truth) > 5 * distance(G, truth)
        np.testing.assert_allclose(posterior.feature_kernel(X[:2], X[1:]), G[:2, 1:], rtol=1e-9, atol=1e-12)


def test_products_of_the_layers_below():
    """E[Q_1 ⋯ Q_{ℓ−1} | u]: its prior mean is one; with two layers it is E[Q_1 | u]; E[Q_1 Q_2 | u] by draws."""
    widths, rng = (3, 5, 4), np.random.default_rng(0)
    Q = np.stack([rng.chisquare(N, 1_000_000) / N for N in widths])
    u, prior = np.log(Q).sum(axis=0), ChainPrior(widths)
    for at in (-1.0, 0.3):
        near = np.abs(u - at) < 0.01
        error = np.std(np.cumprod(Q, axis=0)[:2, near], axis=1) / np.sqrt(near.sum())
        drawn = np.cumprod(Q, axis=0)[:2, near].mean(axis=1)
        assert (np.abs(prior.products_below(at)[1:] - drawn) < 4 * error).all()
    two = ChainPrior((3, 5))
    np.testing.assert_allclose(two.products_below(0.4)[1], two.layer_means(0.4)[0], rtol=1e-12)
    np.testing.assert_array_equal(ChainPrior((4,)).products_below(0.4), [1.0])


# --- limits and invariances -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("approximation", ["saddle", "integrated"])
@pytest.mark.parametrize(("widths", "activation"), [((6,), "erf"), ((16, 14), "erf"), ((16, 14), "identity")])
@pytest.mark.parametrize("D", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_without_data_or_at_infinite_width_it_is_the_nngp_kernel(approximation, widths, activation, D):
    X, y = problem(1, D)
    net = network(widths, activation)
    wide = infer(replace(net, widths=(10**8,) * len(widths)), X[:4], y, approximation="saddle")
    hot = infer(net, X[:4], y, temperature=1e9, approximation=approximation, monte_carlo=LONG)
    infinite = infer(net, X[:4], y, approximation="infinite")
    for layer in range(1, len(widths) + 1):
        K = infinite.feature_kernel(X, layer=layer)
        assert distance(wide.feature_kernel(X, layer=layer), K) < 1e-6
        assert distance(hot.feature_kernel(X, layer=layer), K) < (1e-7 if D == 1 or approximation == "saddle" else 0.03)
    first = arcsine(X) if activation == "erf" else X @ X.T / (LAM[0] * LAM[1] * 3)
    np.testing.assert_allclose(infinite.feature_kernel(X, layer=1), first, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("widths", "activation", "D"), [((6,), "erf", 1), ((6, 4), "erf", 1), ((6, 4), "identity", 1), ((6, 7), "erf", 2)]
)
def test_rotations_and_permutations(widths, activation, D):
    X, y = problem(2, D, P=8)
    rng = np.random.default_rng(0)
    R, S = (np.linalg.qr(rng.normal(size=(d, d)))[0] for d in (3, D))
    order, net = rng.permutation(8), network(widths, activation)
    G = infer(net, X[:8], y, approximation="saddle").feature_kernel(X, layer=1)
    turned = infer(net, X[:8] @ R, y if D == 1 else y @ S, approximation="saddle").feature_kernel(X @ R, layer=1)
    shuffled = infer(net, X[order], y[order], approximation="saddle").feature_kernel(X, layer=1)
    np.testing.assert_allclose(turned, G, rtol=1e-6)
    np.testing.assert_allclose(shuffled, G, rtol=1e-6)
    assert np.linalg.eigvalsh(G).min() > -1e-12
    np.testing.assert_array_equal(G, G.T)


def test_the_saddle_is_the_formula_written_out():
    """Dense matrices by hand; every solver, a prepared kernel of another readout precision, one column, a kernel."""
    X, y = problem(3, 1, P=12, new=4)
    K, N, P = arcsine(X), 9, 12
    net = network((N,), "erf")
    posterior = infer(net, X[:P], y)
    Q = posterior.order_parameters["Q"][0]
    inverse = np.linalg.inv(T * np.eye(P) + Q * K[:P, :P])
    M = np.outer(inverse @ y, inverse @ y) - inverse
    expected = K + Q / N * K[:, :P] @ M @ K[:P]
    np.testing.assert_allclose(posterior.feature_kernel(X), expected, rtol=1e-9)
    for solver in ("tridiagonal", "Cholesky", "eigenvalues"):
        np.testing.assert_allclose(infer(net, X[:P], y, solver=solver).feature_kernel(X), expected, rtol=1e-8)
    prepared = ww.prepare(replace(net, weight_precisions=(LAM[0], 5.0), widths=(3,)), X[:P])
    again = ww.infer(prepared, y, temperature=T, widths=[N], readout_precision=LAM[1])
    np.testing.assert_allclose(again.feature_kernel(X), expected, rtol=1e-8)
    np.testing.assert_allclose(infer(net, X[:P], y[:, None]).feature_kernel(X), expected, rtol=1e-6)
    kernel = infer(ww.PrecomputedKernel([N]), K[:P, :P], y)
    np.testing.assert_allclose(kernel.feature_kernel(K[P:, :P]), expected[P:, :P], rtol=1e-8)
    np.testing.assert_allclose(kernel.alignment().after, posterior.alignment().after, rtol=1e-9)


def test_the_carried_response_is_the_exact_one_to_leading_order():
    """φ = identity, three layers: what carries each layer's response upwards and the data downwards is off by 1/N²."""
    X, y = problem(4, 1, P=6, N0=9)
    gaps = []
    for N in (40, 160):
        posterior = infer(network((N, 2 * N, N)), X[:6], y, approximation="saddle")
        law = posterior.law
        gaps.append([])
        for layer in (1, 2, 3):
            exact = _exact(law, X, None, layer)
            K = infer(posterior.network, X[:6], y, approximation="infinite").feature_kernel(X, layer=layer)
            gap = distance(_propagated(law, X, None, layer), exact)
            assert gap < 0.2 * distance(K, exact)
            gaps[-1].append(gap)
    assert (np.array(gaps[0][1:]) / gaps[1][1:] > 12).all()  # 16 = 4²


# --- alignment ------------------------------------------------------------------------------------------------------


def test_alignment_is_its_definition_and_rises_for_a_learnable_target():
    X, y = problem(6, 1, P=20)
    K, Y = arcsine(X[:20]), np.outer(y, y)
    for centred in (False, True):
        H = np.eye(20) - centred / 20
        expected = np.sum(H @ K @ H * Y) / np.linalg.norm(H @ K @ H) / np.linalg.norm(H @ Y @ H)
        assert np.isclose(target_alignment(K, y[:, None], centred=centred), expected, rtol=1e-12)
    posteriors = [infer(network((N,), "erf"), X[:20], y, temperature=0.05) for N in (5, 50, 10**8)]
    found = [posterior.alignment() for posterior in posteriors]
    assert all(isinstance(one, Alignment) and np.isclose(one.before, found[0].before) for one in found)
    after = [one.after for one in found]
    assert after[0] > after[1] > after[2]
    assert np.isclose(after[2], found[2].before, rtol=1e-6)
    np.testing.assert_allclose(found[0].before, target_alignment(K, y[:, None]), rtol=1e-12)
    centred = posteriors[0].alignment(centred=True)
    assert centred.after > centred.before != found[0].before
    relu = infer(network((5, 4), "relu"), X[:20], y, temperature=0.05)
    assert relu.alignment(1).after > relu.alignment(1).before


def test_it_is_no_kernel_to_predict_with():
    """A linear network, digits: exact is 0.630; a Gaussian process with the feature kernel instead says 0.71."""
    data = ww.load_data("digits", classes="parity", train_size=64, test_size=500, seed=1)
    posterior = ww.infer(ww.FullyConnected([16], "identity"), data.X, data.y, temperature=0.1)
    exact = posterior.score(data.X_test, data.y_test).total
    G, k = posterior.feature_kernel(data.X), posterior.feature_kernel(data.X_test, data.X)
    A = G + 0.1 * np.eye(64)
    variance = posterior.feature_kernel(data.X_test).diagonal() - np.einsum("nm,mn->n", k, np.linalg.solve(A, k.T))
    misused = np.mean((data.y_test - k @ np.linalg.solve(A, data.y)) ** 2) + variance.mean()
    assert abs(exact - 0.630) < 1e-3
    assert misused > 1.1 * exact


# --- sampled networks -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "classes", "better"),
    [
        (network((32,), "erf"), "parity", 1.6),
        (network((32, 48), "erf"), "parity", 2),
        (network((32, 32), "erf"), (0, 1, 2), 2.5),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_nearer_to_the_sampled_network_than_the_nngp_kernel(net, classes, better):
    data = ww.load_data("digits", classes=classes, train_size=40, test_size=20, seed=1)
    X, Z, options = data.X, np.concatenate([data.X, data.X_test]), {"temperature": 0.1}
    samples = ww.sample(net, X, data.y, sampler=ww.CollapsedHMC(chains=4, draws=300), key=1, **options)
    posterior = ww.infer(net, X, data.y, **options)
    infinite = ww.infer(net, X, data.y, approximation="infinite", **options)
    for layer in range(1, net.depth + 1):
        sampled = samples.feature_kernel(Z, layer=layer)
        noise = np.linalg.norm(sampled.standard_error) / np.linalg.norm(sampled.value)
        theory, K = (distance(one.feature_kernel(Z, layer=layer), sampled.value) for one in (posterior, infinite))
        assert noise < 0.3 * K
        assert theory < K / better, (layer, theory, K)
        turned, G = posterior.alignment(layer), sampled.value[: len(X), : len(X)]
        truth = target_alignment(G, data.y.reshape(len(X), -1))
        assert turned.before < turned.after
        assert abs(turned.after - truth) < 0.35 * abs(turned.before - truth)


# --- what is refused, what is kept ----------------------------------------------------------------------------------


def test_refusals(tmp_path):
    X, y = problem(7, 1, P=6)
    X, deep = X[:6], network((5, 4), "erf")
    posterior = infer(deep, X, y)
    for layer in (0, 3, True):
        with pytest.raises(InputError, match="layer: expected a hidden layer from 1 to 2"):
            posterior.feature_kernel(X, layer=layer)
    with pytest.raises(InputError, match="X2: expected"):
        posterior.feature_kernel(X, X[:, :2])
    for net in (network((5, 4), "erf", closure="nested"), network((5, 4), "erf", bias_variance=0.2)):
        with pytest.raises(InputError, match=r"samples\.feature_kernel"):
            infer(net, X, y).feature_kernel(X)
    with pytest.raises(InputError, match=r"one linear layer of patches.* no formula was verified; sample the network"):
        infer(ww.Convolutional(6, (1, 1)), X[:, None], y, approximation="saddle").feature_kernel(X[:, None])
    relu = network((5,), "relu")
    with pytest.raises(InputError, match="activation without a mean, got relu"):
        infer(relu, X, y).feature_kernel(X)
    with pytest.raises(InputError, match="two-parameter"):
        infer(relu, X, y, approximation="two-parameter").alignment()
    assert infer(relu, X, y, approximation="infinite").feature_kernel(X).shape == (6, 6)
    stack = ww.Convolutional((3, 2), ((1, 1), (1, 2)), weight_precisions=LAM[:3])
    wide = infer(stack, X[:, None], y, approximation="infinite")
    assert wide.feature_kernel(X[:, None]).shape == (6, 6)
    with pytest.raises(InputError, match="layer: expected the last of 2"):
        wide.feature_kernel(X[:, None], layer=1)
    with pytest.raises(InputError, match="X2: expected nothing"):
        infer(ww.PrecomputedKernel([5]), arcsine(X), y).feature_kernel(arcsine(X), arcsine(X))
    with pytest.raises(InputError, match="alignment: expected features and targets that vary"):
        target_alignment(np.eye(3), np.ones((3, 1)), centred=True)
    posterior.save(tmp_path / "posterior.npz")
    np.testing.assert_allclose(ww.load(tmp_path / "posterior.npz").feature_kernel(X), posterior.feature_kernel(X))
