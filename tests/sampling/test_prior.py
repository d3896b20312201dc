"""Sampled networks against weights drawn from the prior here, with NumPy, and weighted by their likelihood."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import erf

import widthwise as ww

PHI = {"identity": lambda h: h, "erf": erf}
DRAWS, CHUNK = 200_000, 40_000
SETTINGS = {"chains": 4, "draws": 1000, "warmup": 100}


@dataclass(frozen=True)
class Case:
    """A network, its data, and by hand where an image's patches lie: zeros added around it, upper left corners."""

    network: ww.FullyConnected | ww.Convolutional
    shape: tuple[int, ...]
    P: int
    D: int | None  # None: y (P,)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    corners: tuple[tuple[int, int], ...] = ()
    T: float = 0.5
    n: int = 2


CASES = {
    "linear, overlapping patches, two channels and outputs": Case(
        ww.Convolutional(3, (2, 3), stride=1, activation="identity", weight_precisions=(0.6, 2.3)),
        (3, 4, 2),
        P=2,
        D=2,
        corners=((0, 0), (0, 1), (1, 0), (1, 1)),
    ),
    "linear, averaged, biases": Case(
        ww.Convolutional(2, 2, (1, 2), "identity", readout="average", weight_precisions=(0.5, 0.4), bias_variance=0.7),
        (3, 4),
        P=3,
        D=2,
        corners=((0, 0), (0, 2), (1, 0), (1, 2)),
    ),
    "erf, averaged, padded, biases": Case(
        ww.Convolutional(
            2,
            (3, 2),
            stride=(1, 2),
            padding="same",
            readout="average",
            weight_precisions=(0.4, 0.5),
            bias_variance=0.4,
        ),
        (3, 3),
        P=3,
        D=None,
        padding=((1, 1), (0, 1)),
        corners=((0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2)),
    ),
    "erf, padded, biases, three outputs": Case(
        ww.Convolutional(2, 2, padding="same", weight_precisions=(0.4, 1.7), bias_variance=0.4),
        (3, 3),
        P=2,
        D=3,
        padding=((0, 1), (0, 1)),
        corners=((0, 0), (0, 2), (2, 0), (2, 2)),
    ),
    "two layers, biases, three outputs": Case(
        ww.FullyConnected((3, 2), weight_precisions=(0.4, 0.6, 0.7), bias_variance=(0.3, 0.5)), (2,), P=3, D=3
    ),
}


def _normal(rng, variance, *shape):
    return np.sqrt(variance) * rng.normal(size=shape)


def prior_of_images(rng, case, X, M, D):
    """f of M convolutional networks drawn from the prior, (M, n, D): patch after patch, term after term."""
    network = case.network
    (height, width), N, count = network.patch, network.channels, len(case.corners)
    lam0, lam1 = network.precisions
    images = np.pad(X.reshape(*X.shape[:3], -1), ((0, 0), *case.padding, (0, 0)))
    W = _normal(rng, 1 / lam0, M, N, height, width, images.shape[3])
    b = _normal(rng, network.bias_variances[0], M, 1, N)
    v = _normal(rng, 1 / lam1, M, N, D) / np.sqrt(count)
    f = np.zeros((M, len(X), D))
    for top, left in case.corners:
        patch = images[:, top : top + height, left : left + width]
        h = np.einsum("mcabk,nabk->mnc", W, patch, optimize=True) / np.sqrt(patch[0].size) + b
        if network.readout == "dense":
            v = _normal(rng, 1 / lam1, M, N, D)
        f += PHI[network.phi.name](h) @ v / np.sqrt(N * count)
    return f


def prior_of_rows(rng, case, X, M, D):
    """f of M fully connected networks drawn from the prior, (M, n, D)."""
    network, h = case.network, X[None]
    *lam, lam_L = network.precisions
    for N, precision, bias in zip(network.widths, lam, network.bias_variances):
        W = _normal(rng, 1 / precision, M, h.shape[2], N)
        h = PHI[network.phi.name](h @ W / np.sqrt(h.shape[2]) + _normal(rng, bias, M, 1, N))
    return h @ _normal(rng, 1 / lam_L, M, h.shape[2], D) / np.sqrt(h.shape[2])


def posterior(rng, case, X, y):
    """⟨f⟩, ⟨f²⟩ − ⟨f⟩² and ⟨(y − f)²⟩ of every point and output, each with its Monte Carlo error."""
    prior = prior_of_images if case.corners else prior_of_rows
    D = y.shape[1]
    f = np.concatenate([prior(rng, case, X, CHUNK, D) for _ in range(DRAWS // CHUNK)])
    log_w = -np.sum((y[: case.P] - f[:, : case.P]) ** 2, axis=(1, 2)) / (2 * case.T)
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    assert 1 / np.sum(w**2) > 2000

    def average(values):
        mean = np.tensordot(w, values, 1)
        return mean, np.sqrt(np.tensordot(w**2, (values - mean) ** 2, 1))

    mean = average(f)
    loss = np.sum((y - f) ** 2, axis=2)
    P = case.P
    errors = average(np.stack([loss[:, :P].mean(axis=1), loss[:, P:].mean(axis=1)], axis=1))
    return mean, average((f - mean[0]) ** 2), errors


def _agrees(got, error, exact):
    z = (np.asarray(got) - exact[0]) / np.hypot(error, exact[1])
    assert np.max(np.abs(z)) < 4, z


@pytest.fixture(scope="module")
def exact():
    """The posterior of each case, computed once for both samplers."""
    known = {}

    def of(name):
        if name not in known:
            case, rng = CASES[name], np.random.default_rng(len(name))
            X = rng.normal(size=(case.P + case.n, *case.shape))
            y = rng.normal(size=(case.P + case.n, case.D or 1))
            known[name] = X, y, posterior(rng, case, X, y)
        return known[name]

    return of


QUICK = (
    ("linear, overlapping patches, two channels and outputs", ww.CollapsedHMC),
    ("erf, averaged, padded, biases", ww.HMC),
    ("two layers, biases, three outputs", ww.CollapsedHMC),
    ("two layers, biases, three outputs", ww.HMC),
)


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        pytest.param(name, sampler, marks=() if (name, sampler) in QUICK else pytest.mark.slow)
        for name in CASES
        for sampler in (ww.CollapsedHMC, ww.HMC)
    ],
)
def test_the_posterior_is_the_weighted_prior(exact, name, sampler):
    case = CASES[name]
    X, y, (mean, variance, (errors, errors_of_errors)) = exact(name)
    P, targets = case.P, y[:, 0] if case.D is None else y
    samples = ww.sample(
        case.network, X[:P], targets[:P], X[P:], targets[P:], temperature=case.T, sampler=sampler(**SETTINGS), key=7
    )
    assert samples.diagnostics.status == "mixed"
    for got, value, error in zip(
        (samples.training_error, samples.generalisation_error), errors, errors_of_errors, strict=True
    ):
        _agrees(got.value, got.standard_error, (value, error))
    # the same points again: weights that no training patch touches are drawn anew
    for law, points in ((samples.prediction, slice(P, None)), (samples.predict(X, key=5), slice(None))):
        shape = law.mean.shape
        _agrees(law.mean, law.mean_standard_error, [a[points].reshape(shape) for a in mean])
        _agrees(law.variance, law.variance_standard_error, [a[points].reshape(shape) for a in variance])
