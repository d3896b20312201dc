"""The network's weights in their own units: forward passes, counts and identities written out here, with NumPy."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import kstest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.sampling import Samples
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.patches import rows
from widthwise.sampling.weights import network_weights

PHI = {"identity": lambda h: h, "erf": erf, "relu": lambda h: np.maximum(h, 0.0)}


@dataclass(frozen=True)
class Case:
    """A network and its data; by hand, of each convolutional layer: patch, stride, zeros (above, left), grid, fan-in.

    `parameters` counts each layer's weights and biases.
    """

    network: ww.FullyConnected | ww.Convolutional
    shape: tuple[int, ...]
    P: int
    D: int
    parameters: tuple[int, ...]
    layout: tuple = ()
    T: float = 0.3


CASES = {
    "deep, biases, two outputs, N form": Case(
        ww.FullyConnected((4, 3), "erf", (0.5, 1.5, 2.0), (0.3, 0.6)), (5,), 6, 2, (4 * 6, 3 * 5, 2 * 3)
    ),
    "deep, biases in the second layer alone, P form": Case(
        ww.FullyConnected((3, 7), "erf", (0.5, 1.5, 2.0), (0.0, 0.6)), (2,), 4, 1, (3 * 2, 7 * 4, 7)
    ),
    "relu, more inputs than data": Case(
        ww.FullyConnected(4, "relu", (0.5, 2.0)), (9,), 3, 1, (4 * 9, 4)
    ),
    "one layer of patches, padded, colours, biases, two outputs": Case(
        ww.Convolutional(3, (3, 2), (1, 2), "erf", "same", "dense", (0.4, 1.7), 0.4),
        (3, 3, 2), 4, 2, (3 * 13, 2 * 3 * 6), (((3, 2), (1, 2), (1, 0), (3, 2)),),
    ),
    "two layers of patches, averaged": Case(
        ww.Convolutional((3, 2), ((2, 2), (2, 1)), 1, "relu", readout="average", weight_precisions=(0.4, 1.3, 0.6)),
        (4, 3), 3, 2, (3 * 4, 2 * 6, 2 * 2), (((2, 2), (1, 1), (0, 0), (3, 2)), ((2, 1), (1, 1), (0, 0), (2, 2))),
    ),
    "two layers of patches, dense, biases": Case(
        ww.Convolutional((2, 3), ((2, 2), (1, 2)), 1, "erf", "valid", "dense", (0.4, 1.3, 0.6), (0.2, 0.5)),
        (3, 4), 3, 1, (2 * 5, 3 * 5, 3 * 4), (((2, 2), (1, 1), (0, 0), (2, 3)), ((1, 2), (1, 1), (0, 0), (2, 2))),
    ),
}  # fmt: skip


def flat(layers):
    """Weights and biases of each layer, with one axis of draws."""
    one_axis = [(layer.weights, layer.biases) for layer in layers]
    return [tuple(None if a is None else a.reshape(-1, *a.shape[2:]) for a in pair) for pair in one_axis]


def features(case, layers, X):
    """φ(h^L) of every draw: (draws, n, N_L), or (draws, n, positions, N_L)."""
    phi = PHI[case.network.phi.name]
    f = X[None] if not case.layout else X.reshape(1, *X.shape[:3], -1)
    for k, (W, b) in enumerate(layers[:-1]):
        if case.layout:
            patch, stride, zeros, grid = case.layout[k]
            h = np.zeros((len(W), len(X), *grid, W.shape[1]))
            C = f.shape[4]
            for r, q in np.ndindex(grid):
                for a, c in np.ndindex(patch):
                    y, x = r * stride[0] + a - zeros[0], q * stride[1] + c - zeros[1]
                    if 0 <= y < f.shape[2] and 0 <= x < f.shape[3]:
                        for i in range(C):
                            filters = W[:, :, (a * patch[1] + c) * C + i]
                            h[:, :, r, q] += f[:, :, y, x, i, None] * filters[:, None, :] / np.sqrt(prod(patch) * C)
        else:
            h = sum(f[:, :, j, None] * W[:, None, :, j] for j in range(W.shape[2])) / np.sqrt(W.shape[2])
        f = phi(h + (0.0 if b is None else b.reshape(len(b), *[1] * (h.ndim - 2), -1)))
    return f.reshape(*f.shape[:2], -1, f.shape[-1]) if case.layout else f


def seen_by_readout(case, layers, X):
    """Φ (draws, n, F)."""
    f = features(case, layers, X)
    if not case.layout:
        return f
    return f.mean(axis=2) if case.network.readout == "average" else f.reshape(*f.shape[:2], -1)


def outputs(case, layers, X):
    """f of every draw, (draws, n, D)."""
    Phi, v = seen_by_readout(case, layers, X), layers[-1][0]
    return np.einsum("snk,sdk->snd", Phi, v) / np.sqrt(Phi.shape[2])


def data(case, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(case.P + 2, *case.shape))
    y = rng.normal(size=(case.P, case.D))
    return X[: case.P], y, X[case.P :]


def made_up(case, sampler, shape, T=None, copies=False):
    """Samples of weights drawn from N(0, 1), as no chain is needed to ask what they mean."""
    X, y, X_test = data(case)
    rng, network = np.random.default_rng(8), case.network
    frame = Frame.of(rows(network, X), network.precisions[0], network.bias_variances[0])
    dimension = network.widths[0] * frame.basis.shape[1] + sum(case.parameters[1:-1])
    dimension += 0 if sampler.collapsed else case.parameters[-1]
    weights = rng.normal(size=(*((1, 1) if copies else shape), dimension))
    C, S = shape
    nothing = np.zeros(shape)
    return Samples(
        network=network, temperature=T or case.T, sampler=sampler, key=(0,), frame=frame,
        inputs=frame.inside(rows(network, X)), X_test=X_test, y=y, y_test=None, scalar=False,
        train_mean=np.zeros((C, S, *y.shape)), train_spread=nothing, test_mean=np.zeros((C, S, 2, case.D)),
        test_variance=np.zeros((C, S, 2)), log_likelihood=nothing, acceptance=nothing, divergent=nothing > 0,
        leapfrog_steps=nothing, weights=np.broadcast_to(weights, (*shape, dimension)), step_size=1.0, seconds=0.0,
        dropped=np.zeros((C, 0)),
    )  # fmt: skip


QUICK = [name for name in CASES if "two outputs" in name]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)
def case(request):
    return CASES[request.param]


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC(), ww.HMC()], ids=lambda sampler: sampler.name)
def test_flat_likelihoods_leave_the_prior_and_every_parameter_varies(case, sampler):
    layers = network_weights(made_up(case, sampler, (4, 500), T=1e12), key=1)
    assert [layer.parameters for layer in layers] == list(case.parameters)
    deviations = (*case.network.bias_variances, 0.0)
    for layer, lam, variance, count in zip(layers, case.network.precisions, deviations, case.parameters, strict=True):
        assert (layer.biases is None) == (variance == 0.0)
        parts = [layer.weights * np.sqrt(lam)]
        parts += [] if layer.biases is None else [layer.biases / np.sqrt(variance)]
        for part in parts:
            assert part.shape[:2] == (4, 500)
            assert kstest(part.ravel(), "norm").pvalue > 1e-3
        entries = np.concatenate([part.reshape(2000, -1) for part in parts], axis=1)
        varying = np.ptp(entries, axis=0) > 0
        assert varying.sum() == count
        np.testing.assert_allclose(np.cov(entries.T), np.eye(count), atol=0.13)


@pytest.mark.parametrize("sampler", [ww.CollapsedHMC(), ww.HMC()], ids=lambda sampler: sampler.name)
def test_a_forward_pass_predicts_what_the_samples_predict(case, sampler):
    """Training points among the new ones: there the sampled weights alone decide, up to an integrated readout."""
    X, _, X_test = data(case)
    samples = made_up(case, sampler, (4, 500))
    X_all = np.concatenate([X, X_test])
    f = outputs(case, flat(network_weights(samples, key=2)), X_all)
    law = samples.predict(X_all, key=1)
    z = (f.mean(axis=0) - law.mean) / np.hypot(f.std(axis=0) / np.sqrt(2000), law.mean_standard_error)
    square = (f - f.mean(axis=0)) ** 2
    error = np.hypot(square.std(axis=0) / np.sqrt(2000), law.variance_standard_error)
    if sampler.collapsed:
        assert np.abs(z).max() < 4
    else:
        np.testing.assert_allclose(f.mean(axis=0)[: case.P], law.mean[: case.P], rtol=1e-9)
        assert np.abs(z[case.P :]).max() < 4
    assert np.abs((square.mean(axis=0) - law.variance) / error).max() < 4.5


def test_the_readout_given_the_hidden_weights_is_gaussian_conditioning(case):
    samples = made_up(case, ww.CollapsedHMC(), (4, 500), copies=True)
    X, y, _ = data(case)
    layers = flat(network_weights(samples, key=4))
    one = [(W[:1], None if b is None else b[:1]) for W, b in layers]
    Phi, v, lam = seen_by_readout(case, one, X)[0], layers[-1][0], case.network.precisions[-1]
    F = Phi.shape[1]
    covariance = np.linalg.inv(lam * np.eye(F) + Phi.T @ Phi / (F * case.T))
    mean = covariance @ Phi.T @ y / (np.sqrt(F) * case.T)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (v - mean.T).transpose(0, 2, 1)).transpose(0, 2, 1)
    assert kstest(white.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_allclose(np.cov(white.reshape(2000, -1).T), np.eye(case.D * F), atol=0.13)
    # Σ|y − f|²/T of the training points, as the same Gaussian has it
    f = outputs(case, [(W[:1], None if b is None else b[:1]) for W, b in layers[:-1]] + [layers[-1]], X)
    off = np.sum((y - f) ** 2, axis=(1, 2)) / case.T
    expected = np.sum((y - Phi @ mean / np.sqrt(F)) ** 2) / case.T
    expected += case.D * np.trace(Phi @ covariance @ Phi.T) / (F * case.T)
    assert abs(off.mean() - expected) < 4 * off.std() / np.sqrt(2000)


SAMPLED = {
    "deep, biases, two outputs, N form": ww.CollapsedHMC,
    "relu, more inputs than data": ww.CollapsedHMC,
    "one layer of patches, padded, colours, biases, two outputs": ww.CollapsedHMC,
    "two layers of patches, averaged": ww.HMC,
    "two layers of patches, dense, biases": ww.CollapsedHMC,
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sampler"), SAMPLED.items())
def test_weights_of_a_run_are_draws_from_the_posterior(name, sampler):
    """By their predictions, and by Euler's theorem: partial integration of Σ_ij W_ij ∂/∂W_ij over the posterior gives

    ⟨λ|W|²⟩ + ⟨Σ_μ (f_μ − y_μ)·f_μ⟩/T = number of weights, for a layer in which f is homogeneous: all of them for relu
    without biases, the readout always.
    """
    case = CASES[name]
    X, y, X_test = data(case)
    settings = {"chains": 8, "draws": 500, "warmup": 100}
    samples = ww.sample(case.network, X, y, X_test, temperature=case.T, sampler=sampler(**settings), key=5)
    layers = flat(network_weights(samples, key=6))
    f, C = outputs(case, layers, X), len(samples.weights)
    f_test = outputs(case, layers, X_test)
    if sampler is ww.HMC:
        np.testing.assert_allclose(f.reshape(samples.train_mean.shape), samples.train_mean, rtol=1e-9, atol=1e-12)

    def batches(values):
        """Mean and error from ten stretches of each chain."""
        means = np.array([[part.mean(axis=0) for part in np.array_split(chain, 10)] for chain in np.split(values, C)])
        means = means.reshape(10 * C, *means.shape[2:])
        return means.mean(axis=0), means.std(axis=0, ddof=1) / np.sqrt(10 * C)

    for values, got, own in (
        (f_test, samples.mean, samples.mean_standard_error),
        ((f_test - f_test.mean(axis=0)) ** 2, samples.variance, samples.variance_standard_error),
        (np.mean(np.sum((y - f) ** 2, axis=2), axis=1), samples.training_error.value, 0.0),
    ):
        mean, error = batches(values)
        assert np.max(np.abs(mean - got) / np.hypot(error, own)) < 4
    homogeneous = layers if case.network.phi.name == "relu" else layers[-1:]
    work = np.sum((f - y) * f, axis=(1, 2)) / case.T
    for (W, _), lam in zip(homogeneous, case.network.precisions[-len(homogeneous) :], strict=True):
        mean, error = batches(lam * np.sum(W**2, axis=(1, 2)) + work)
        assert abs(mean - W[0].size) < 4 * error


def test_a_few_draws_of_each_chain_and_refusals():
    samples = made_up(CASES["relu, more inputs than data"], ww.HMC(), (2, 100))
    all_of_them, some = network_weights(samples, key=3), network_weights(samples, key=3, draws=4)
    assert [layer.weights.shape[:2] for layer in some] == [(2, 4), (2, 4)]
    np.testing.assert_array_equal(some[1].weights, all_of_them[1].weights[:, [0, 33, 66, 99]])
    np.testing.assert_array_equal(samples.network_weights(key=3, draws=4)[0].weights, some[0].weights)
    np.testing.assert_array_equal(network_weights(samples, key=3)[0].weights, all_of_them[0].weights)
    assert not np.array_equal(network_weights(samples, key=4)[0].weights, all_of_them[0].weights)
    for draws in (0, True):
        with pytest.raises(InputError, match="draws: expected a whole number"):
            network_weights(samples, draws=draws)
    with pytest.raises(InputError, match="key"):
        network_weights(samples, key=-1)
    with pytest.raises(InputError, match=r"memory: .* ask for fewer, e\.g\. draws=\d+"):
        network_weights(replace(samples, sampler=ww.HMC(memory=1e-5)))
