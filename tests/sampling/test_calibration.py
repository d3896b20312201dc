"""Simulation-based calibration: θ from the prior, y from θ; then θ ranks uniformly among draws of p(θ|y).

    rank of g(θ, y) among g(θ_1, y) … g(θ_L, y) ~ uniform on 0 … L     [Talts et al. 2018, arXiv 1804.06788]

θ and y are drawn here with NumPy, and f is computed here from the weights in their own units.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import chi2

import widthwise as ww
from widthwise.sampling import Problem, sample_grid
from widthwise.sampling.weights import network_weights

LAM, SIGMA2, WIDTHS = (0.5, 1.6, 0.8), (0.4, 0.7), (3, 2)
NETWORK = ww.FullyConnected(WIDTHS, "erf", weight_precisions=LAM, bias_variance=SIGMA2)
P, N0, T = 12, 2, 0.1
COUNT, KEPT, BINS = 160, 24, 5  # prior draws; draws of each posterior, all chains together; bins of their 25 ranks
PASSES = 1e-4

SAMPLERS = {
    "collapsed-hmc": ww.CollapsedHMC(chains=2, draws=240, warmup=100),
    "hmc": ww.HMC(chains=2, draws=240, warmup=100),
    "nuts": ww.NUTS(chains=2, draws=240, warmup=100),
    "langevin": ww.Langevin(chains=2, draws=240, warmup=60, step_size=0.01, thinning=100),
    "tempered": ww.Tempered(chains=2, draws=240, warmup=100, levels=6),
}


def outputs(layers, X):
    """f of each of S draws of weights and biases [(W (S, N, M), b (S, N)), …, (v (S, 1, N), None)]: (S, n)."""
    (W1, b1), (W2, b2), (v, _) = layers
    h = np.einsum("sij,nj->sni", W1, X) / np.sqrt(N0) + b1[:, None]
    h = np.einsum("sij,snj->sni", W2, erf(h)) / np.sqrt(WIDTHS[0]) + b2[:, None]
    return np.einsum("sj,snj->sn", v[:, 0], erf(h)) / np.sqrt(WIDTHS[1])


def statistics(layers, X, y, x_new):
    """What is ranked: f at a new point, the training error, the norm of each layer and of the hidden biases."""
    squares = [np.sum(W**2, axis=(1, 2)) for W, _ in layers]
    biases = [np.sum(b**2, axis=1) for _, b in layers[:-1]]
    error = np.mean((outputs(layers, X) - y) ** 2, axis=1)
    return np.stack([outputs(layers, x_new[None])[:, 0], error, *squares, *biases])


NAMES = ("f(x*)", "training error", "|W^1|²", "|W^2|²", "|v|²", "|b^1|²", "|b^2|²")


def simulated(seed, count=COUNT):
    """(X, y, x*, θ) of so many prior draws."""
    rng = np.random.default_rng(seed)
    sizes = [(3, N0), (2, 3), (1, 2)]
    found = []
    for _ in range(count):
        X, x_new = rng.normal(size=(P, N0)), rng.normal(size=N0)
        W = [rng.normal(size=(1, *size)) / np.sqrt(lam) for size, lam in zip(sizes, LAM)]
        b = [rng.normal(size=(1, size[0])) * np.sqrt(s2) for size, s2 in zip(sizes, SIGMA2)]
        theta = list(zip(W, [*b, None]))
        found.append((X, outputs(theta, X)[0] + np.sqrt(T) * rng.normal(size=P), x_new, theta))
    return found


def p_values(sampler, seed=1, *, network=NETWORK, temperature=T):
    """Of uniform ranks, for each of `NAMES`, by Pearson's χ²."""
    data = simulated(seed)
    problems = [Problem(network, X, y, temperature=temperature) for X, y, _, _ in data]
    ranks = []
    for samples, (X, y, x_new, theta) in zip(sample_grid(problems, sampler=sampler, key=seed, throw=False), data):
        layers = network_weights(samples, key=seed, draws=KEPT // sampler.chains)
        flat = [
            tuple(None if a is None else a.reshape(KEPT, *a.shape[2:]) for a in (l.weights, l.biases)) for l in layers
        ]
        drawn, true = statistics(flat, X, y, x_new), statistics(theta, X, y, x_new)
        # a chain that ran away has no rank: it is as wrong as can be
        ranks.append(np.where(np.isfinite(drawn).all(axis=1), np.sum(drawn < true, axis=1), 0))
    counts = np.stack([np.histogram(r, BINS, (-0.5, KEPT + 0.5))[0] for r in np.array(ranks).T])
    expected = len(data) / BINS
    return dict(zip(NAMES, chi2.sf(np.sum((counts - expected) ** 2, axis=1) / expected, BINS - 1)))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "hmc" else [pytest.mark.slow]) for name in SAMPLERS]
)
def test_the_truth_ranks_uniformly(name):
    found = p_values(SAMPLERS[name])
    assert min(found.values()) > PASSES, found


WRONG = {
    "temperature": ({"temperature": 1.3 * T}, "training error"),
    "first precision": ({"network": replace(NETWORK, weight_precisions=(1.0, *LAM[1:]))}, "|W^1|²"),
    "last precision": ({"network": replace(NETWORK, weight_precisions=(*LAM[:2], 4.0))}, "|v|²"),
    "biases": ({"network": replace(NETWORK, bias_variance=(0.4, 0.35))}, "|b^2|²"),
}


@pytest.mark.parametrize("what", ["temperature", *(pytest.param(w, marks=pytest.mark.slow) for w in [*WRONG][1:])])
def test_a_wrong_posterior_is_seen(what):
    """The same runs told a wrong number."""
    options, where = WRONG[what]
    assert p_values(SAMPLERS["hmc"], **options)[where] < PASSES


@pytest.mark.slow
def test_langevin_with_a_large_step_is_seen():
    """η = 0.01 passes above."""
    found = p_values(replace(SAMPLERS["langevin"], step_size=0.08, thinning=12))
    assert found["training error"] < PASSES, found
