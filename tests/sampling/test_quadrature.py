"""Three posteriors of few weights, integrated on grids with NumPy alone, against every sampler.

One unit on one input, f_d(x) = v_d φ(w x + b). `bench/posteriors.py` prints the same as a table.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate
from scipy.special import erf

import widthwise as ww
from widthwise.sampling import step_bias
from widthwise.sampling.step_bias import fit


@dataclass(frozen=True)
class Truth:
    """⟨f⟩ and var f on the test points (n, D), and the Gibbs errors."""

    mean: np.ndarray
    variance: np.ndarray
    training_error: float
    generalisation_error: float


@dataclass(frozen=True, eq=False)
class Posterior:
    """A network of one unit on one input, its data, and how far and how finely to integrate.

    Args:
        phi: the activation, for NumPy.
        X, X_test: inputs (P,), (n,).
        y, y_test: targets (P, D), (n, D).
        grid: of w, b and v: (reach in prior deviations, points).
    """

    network: ww.FullyConnected
    phi: object
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    T: float
    grid: tuple[tuple[float, int], ...]

    @property
    def data(self):
        """As `ww.sample` takes them: one output comes as (P,)."""
        y, y_test = (a[:, 0] if a.shape[1] == 1 else a for a in (self.y, self.y_test))
        return self.X[:, None], y, self.X_test[:, None], y_test

    @cached_property
    def truth(self):
        """Sums over grids of w, b and, for each output given these two, of its v."""
        lam, sigma = self.network.precisions, math.sqrt(self.network.bias_variances[0])
        (far_w, n_w), (far_b, n_b), (far_v, n_v) = self.grid
        w = np.linspace(-far_w, far_w, n_w) / math.sqrt(lam[0])
        b = sigma * np.linspace(-far_b, far_b, n_b) if sigma else np.zeros(1)
        w, b = (a.ravel() for a in np.meshgrid(w, b))
        P, x = len(self.X), np.concatenate([self.X, self.X_test])
        phi = self.phi(np.outer(w, x) + b[:, None])
        log_p, moments = -0.5 * lam[0] * w**2 - (0.5 * b**2 / sigma**2 if sigma else 0.0), []
        for y in self.y.T:
            top = np.full(len(w), -np.inf)
            sums = np.zeros((3, len(w)))
            for v in np.linspace(-far_v, far_v, n_v) / math.sqrt(lam[1]):
                log_q = -0.5 * lam[1] * v**2 - np.sum((y - v * phi[:, :P]) ** 2, axis=1) / (2 * self.T)
                new = np.maximum(top, log_q)
                sums = sums * np.exp(top - new) + np.exp(log_q - new) * np.array([[1.0], [v], [v**2]])
                top = new
            log_p = log_p + top + np.log(sums[0])
            moments.append(sums[1:] / sums[0])
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        mean = np.stack([(p * first) @ phi for first, _ in moments], axis=1)
        variance = np.stack([(p * second) @ phi**2 for _, second in moments], axis=1) - mean**2
        errors = np.sum((np.concatenate([self.y, self.y_test]) - mean) ** 2 + variance, axis=1)
        return Truth(mean[P:], variance[P:], float(errors[:P].mean()), float(errors[P:].mean()))


POSTERIORS = {
    "two weights": Posterior(
        network=ww.FullyConnected((1,), "erf", weight_precisions=(0.5, 1.7)),
        phi=erf,
        X=np.array([-1.0, 0.4, 1.5]),
        y=np.array([[-0.5], [0.1], [0.9]]),
        X_test=np.array([-0.5, 2.0]),
        y_test=np.array([[-0.1], [0.6]]),
        T=0.3,
        grid=((7.0, 301), (0.0, 1), (7.0, 301)),
    ),
    "bias and two outputs": Posterior(
        network=ww.FullyConnected((1,), "erf", weight_precisions=(0.5, 1.7), bias_variance=0.7),
        phi=erf,
        X=np.array([-1.0, 0.4, 1.5]),
        y=np.array([[-0.5, 1.2], [0.1, 0.3], [0.9, -0.6]]),
        X_test=np.array([-0.5, 2.0]),
        y_test=np.array([[-0.1, 0.7], [0.6, -0.4]]),
        T=0.3,
        grid=((7.0, 141), (6.0, 81), (7.0, 141)),
    ),
    # training inputs at whole numbers: w and w + 2π are the same to them, not to the test points
    "aliases": Posterior(
        network=ww.FullyConnected((1,), jnp.sin, weight_precisions=(0.04, 1.7)),
        phi=np.sin,
        X=np.array([1.0, 2.0, 3.0]),
        y=np.array([[0.9], [0.7], [-0.4]]),
        X_test=np.array([0.5, 1.25]),
        y_test=np.array([[0.5], [1.0]]),
        T=0.01,
        grid=((6.0, 4001), (0.0, 1), (6.0, 601)),
    ),
}  # fmt: skip

SAMPLERS = {
    "collapsed-hmc": ww.CollapsedHMC(chains=8, draws=1000, target_acceptance=0.95),
    "hmc": ww.HMC(chains=8, draws=1000, target_acceptance=0.95),
    "nuts": ww.NUTS(chains=8, draws=1000, target_acceptance=0.95),
    "langevin": ww.Langevin(chains=8, draws=1000, step_size=0.04, thinning=50),
    "tempered": ww.Tempered(chains=8, draws=1000, target_acceptance=0.95, levels=8),
}
STEPS = (0.02, 0.04, 0.08)
EXACT = [name for name in SAMPLERS if name != "langevin"]
KEYS = (0, 1, 2)


def deviations(samples, truth):
    """z of both errors, ⟨f⟩ and var f."""
    shape = samples.mean.shape
    pairs = [
        (getattr(samples, name).value, getattr(samples, name).standard_error, getattr(truth, name))
        for name in ("training_error", "generalisation_error")
    ]
    pairs += [
        (samples.mean, samples.mean_standard_error, truth.mean.reshape(shape)),
        (samples.variance, samples.variance_standard_error, truth.variance.reshape(shape)),
    ]
    return np.concatenate([np.ravel((got - exact) / error) for got, error, exact in pairs])


def sampled(posterior, sampler, key=0):
    return ww.sample(posterior.network, *posterior.data, temperature=posterior.T, sampler=sampler, key=key, throw=False)


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_grids_are_fine_and_wide_enough(name):
    posterior = POSTERIORS[name]
    (far_w, n_w), b, (far_v, n_v) = posterior.grid
    other = replace(posterior, grid=((far_w * 1.2, int(n_w * 1.5)), (b[0] * 1.2, b[1]), (far_v * 1.2, int(n_v * 1.5))))
    one, two = posterior.truth, other.truth
    for field in ("mean", "variance", "training_error", "generalisation_error"):
        np.testing.assert_allclose(getattr(one, field), getattr(two, field), rtol=1e-6, atol=1e-9)


def test_another_quadrature_of_two_weights():
    """SciPy's adaptive one, in the other order."""
    posterior = POSTERIORS["two weights"]
    lam, T = posterior.network.precisions, posterior.T

    def p(w, v):
        rest = posterior.y[:, 0] - v * erf(w * posterior.X)
        return math.exp(-0.5 * (lam[0] * w**2 + lam[1] * v**2) - rest @ rest / (2 * T))

    def average(g):
        return integrate.dblquad(lambda w, v: g(w, v) * p(w, v), -5, 5, -9, 9, epsabs=1e-9)[0]

    def error(w, v):
        return np.mean((posterior.y_test[:, 0] - v * erf(w * posterior.X_test)) ** 2)

    assert posterior.truth.generalisation_error == pytest.approx(average(error) / average(lambda w, v: 1.0), rel=1e-7)


SLOW = {
    *(("two weights", name) for name in ("collapsed-hmc", "hmc", "tempered")),
    *(("bias and two outputs", name) for name in EXACT),
}


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        pytest.param(name, sampler, marks=[pytest.mark.slow] if (name, sampler) in SLOW else [])
        for name in ("two weights", "bias and two outputs")
        for sampler in EXACT
    ]
    + [pytest.param("aliases", "tempered", marks=pytest.mark.slow)],
)
def test_exact_samplers_agree_with_quadrature(name, sampler):
    posterior = POSTERIORS[name]
    samples = sampled(posterior, SAMPLERS[sampler], key=3)
    z = deviations(samples, posterior.truth)
    assert samples.diagnostics.status == "mixed", samples.diagnostics.problems
    assert np.abs(z).max() < 4, z
    for error in (samples.training_error, samples.generalisation_error):
        assert error.standard_error < 0.05 * error.value


@pytest.mark.parametrize("name", ["two weights", pytest.param("bias and two outputs", marks=pytest.mark.slow)])
def test_langevin_agrees_with_quadrature_once_its_step_is_extrapolated(name):
    posterior = POSTERIORS[name]
    truth = posterior.truth
    options = {"temperature": posterior.T, "step_sizes": STEPS, "sampler": SAMPLERS["langevin"], "key": 3}
    found = step_bias(posterior.network, *posterior.data, **options)
    estimates = [samples.training_error for samples in found.samples]
    values, errors = (np.array([getattr(e, part) for e in estimates]) for part in ("value", "standard_error"))
    for line in (found, fit("training_error", found.step_sizes, values, errors)):
        assert abs(line.limit - getattr(truth, line.quantity)) < 4 * line.limit_error
        assert line.limit_error < 0.05 * line.limit
        assert line.probability > 1e-3
        # differences of any two, and the bias of the largest step, which is there to be seen
        rise = np.diff(line.values)[[0, -1]] / np.diff(line.step_sizes)[[0, -1]]
        error = np.hypot(line.standard_errors[:-1], line.standard_errors[1:])[[0, -1]] / np.diff(STEPS)[[0, -1]]
        assert np.all(np.abs(rise - line.slope) < 4 * np.hypot(error, line.slope_error))
        assert name != "two weights" or line.slope > 4 * line.slope_error
    assert name != "two weights" or found.values[-1] - truth.generalisation_error > 4 * found.standard_errors[-1]


@pytest.mark.parametrize(
    ("sampler", "key"),
    [
        pytest.param(sampler, key, marks=[] if sampler == "langevin" else [pytest.mark.slow])
        for sampler in SAMPLERS
        if sampler != "tempered"
        for key in KEYS
    ],
)
def test_whoever_misses_a_mode_says_so(sampler, key):
    """Eight chains stay in the modes that they fell into: the numbers are wrong, and never with the status "mixed"."""
    posterior = POSTERIORS["aliases"]
    shorter = replace(SAMPLERS[sampler], draws=300)
    with pytest.raises(ww.NumericalError, match=r"have not mixed: R-hat") as raised:
        ww.sample(posterior.network, *posterior.data, temperature=posterior.T, sampler=shorter, key=key)
    samples = raised.value.samples
    assert samples.diagnostics.status == "not mixed"
    assert samples.diagnostics.rhat > 1.5
