"""What every sampler owes on every architecture: shapes, reproducible draws, the prior when nothing is learnt, and
that every weight moves; parameters are counted here, from the architecture alone.
"""

import dataclasses
import json
from dataclasses import dataclass, replace
from functools import cache

import jaxtyping
import numpy as np
import pytest
from scipy.special import erf

import widthwise as ww
from widthwise.sampling import Problem, load
from widthwise.sampling.samplers import SAMPLERS as REGISTERED
from widthwise.sampling.weights import network_weights

SAMPLERS = {
    "collapsed-hmc": ww.CollapsedHMC(chains=4, draws=50, warmup=25),
    "hmc": ww.HMC(chains=4, draws=50, warmup=25),
    "nuts": ww.NUTS(chains=4, draws=50, warmup=25),
    "langevin": ww.Langevin(chains=4, draws=50, warmup=25, step_size=5e-3, thinning=4),
    "tempered": ww.Tempered(chains=4, draws=50, warmup=25, levels=3),
}
EXACT = [name for name in SAMPLERS if name != "langevin"]
NETWORK = ww.FullyConnected((5, 3), activation="erf", weight_precisions=(0.5, 1.5, 2.0), bias_variance=(0.2, 0.4))
T = 0.1


@dataclass(frozen=True)
class Case:
    """A network, the shape of an input, the number of outputs; of each layer (units, weights and bias of each)."""

    network: ww.FullyConnected | ww.Convolutional
    shape: tuple[int, ...]
    D: int
    layers: tuple[tuple[int, int], ...]
    P: int = 8

    @property
    def data(self):
        rng = np.random.default_rng(8)
        X = rng.normal(size=(self.P + 5, *self.shape))
        flat = X.reshape(len(X), -1)
        y = np.stack([(-2) ** d * (np.sin(flat[:, 0]) + flat[:, 1] * 0.5) for d in range(self.D)], axis=1)
        y = y[:, 0] if self.D == 1 else y
        return X[: self.P], y[: self.P], X[self.P :], y[self.P :]


def conv(*arguments, **options):
    return ww.Convolutional(*arguments, **{"activation": "erf", "weight_precisions": (0.4, 1.7)} | options)


CASES = {
    "deep": Case(NETWORK, (3,), 1, ((5, 3 + 1), (3, 5 + 1), (1, 3))),
    "one layer": Case(ww.FullyConnected(4, "relu", (0.5, 2.0)), (3,), 1, ((4, 3), (1, 4))),
    "three layers, biases in the first": Case(
        ww.FullyConnected((4, 2, 3), "erf", (0.5, 1.5, 0.7, 2.0), (0.3, 0, 0)), (2,), 1,
        ((4, 2 + 1), (2, 4), (3, 2), (1, 3)),
    ),
    "biases in the second layer, two outputs": Case(
        ww.FullyConnected((4, 2), "erf", (0.5, 1.5, 2.0), (0.0, 0.6)), (3,), 2, ((4, 3), (2, 4 + 1), (2, 2))
    ),
    "patches": Case(conv(3, (2, 2)), (4, 4), 1, ((3, 4), (1, 3 * 4))),
    "patches, averaged, biases": Case(
        conv(3, (2, 2), readout="average", bias_variance=0.4), (4, 4), 1, ((3, 4 + 1), (1, 3))
    ),
    "patches, overlapping, padded, colours, two outputs": Case(
        conv(2, (3, 2), 1, padding="same", bias_variance=0.4), (3, 3, 2), 2, ((2, 3 * 2 * 2 + 1), (2, 2 * 9))
    ),
    "two layers of patches": Case(
        conv((3, 2), ((2, 2), (1, 2)), 1, weight_precisions=(0.4, 1.7, 0.6), bias_variance=(0.3, 0.0)), (3, 3), 1,
        ((3, 4 + 1), (2, 3 * 2), (1, 2 * 2)),
    ),
}  # fmt: skip
PAIRS = [(sampler, case) for case in CASES for sampler in SAMPLERS]


def run(name, case, key=2, **settings):
    options = {"temperature": T, "throw": False, "key": key}
    options |= {name: settings.pop(name) for name in ("temperature", "throw") if name in settings}
    return ww.sample(case.network, *case.data, sampler=replace(SAMPLERS[name], **settings), **options)


@cache
def samples_of(name, case):
    return run(name, CASES[case])


def slow_but(*fast):
    """Every sampler on every architecture; by default only on `fast`."""
    marks = {False: [pytest.mark.slow], True: []}
    return pytest.mark.parametrize(("name", "case"), [pytest.param(*p, marks=marks[p[1] in fast]) for p in PAIRS])


def test_every_sampler_is_under_contract():
    assert {name: type(sampler) for name, sampler in SAMPLERS.items()} == REGISTERED
    for sampler in SAMPLERS.values():
        assert sampler.longer(True).startswith(f"{type(sampler).__name__}(warmup=50, draws=200, ")
        with pytest.raises(dataclasses.FrozenInstanceError):
            sampler.draws = 3


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_no_layer_is_skipped(name, case):
    """As many numbers are sampled as the network has parameters; without those of an integrated readout."""
    case = CASES[case]
    counted = [units * each for units, each in case.layers]
    collapsed = SAMPLERS[name].collapsed
    model, _ = Problem(case.network, *case.data, T).model(collapsed)
    assert model.dimension == sum(counted[:-1] if collapsed else counted)


@slow_but("deep")
def test_every_weight_moves_in_every_chain(name, case):
    samples, layers = samples_of(name, case), CASES[case].layers
    assert samples.weights.std(axis=1).min() > 0.01
    found = network_weights(samples, key=1)
    assert [layer.weights.shape[2] for layer in found] == [units for units, _ in layers]
    assert [layer.parameters for layer in found] == [units * each for units, each in layers]
    for layer, lam in zip(found, CASES[case].network.precisions, strict=True):
        assert layer.weights.std(axis=1).min() * np.sqrt(lam) > 0.01
        assert layer.biases is None or layer.biases.std(axis=1).min() > 0.003


@slow_but("deep")
def test_what_comes_back(name, case):
    samples, case, sampler = samples_of(name, case), CASES[case], SAMPLERS[name]
    b, D, P = samples.diagnostics.burn_in, case.D, case.P
    C, S, n = sampler.chains, sampler.draws - samples.diagnostics.burn_in, 5
    assert samples.dropped.shape == (C, b)
    for series in (samples.log_likelihood, samples.acceptance, samples.divergent, samples.leapfrog_steps):
        assert series.shape == (C, S)
    assert samples.train_mean.shape == (C, S, P, D)
    assert samples.test_mean.shape == (C, S, n, D)
    assert samples.train_spread.shape == (C, S)
    assert samples.test_variance.shape == (C, S, n)
    assert samples.weights.shape[:2] == (C, S)
    assert (samples.sampler, samples.network, samples.temperature) == (sampler, case.network, T)
    for array in (samples.train_mean, samples.test_mean, samples.log_likelihood, samples.weights):
        assert array.dtype == np.float64
        assert np.isfinite(array).all()
    assert samples.mean.shape == samples.variance.shape == ((n,) if D == 1 else (n, D))
    assert samples.diagnostics.status in ("mixed", "not mixed")
    assert (samples.diagnostics.status == "mixed") == (not samples.diagnostics.problems)
    assert 0.3 < samples.diagnostics.acceptance <= 1.0
    assert samples.divergent.dtype == bool
    assert samples.leapfrog_steps.min() >= 1
    assert samples.step_size > 0
    assert samples.seconds > 0
    if sampler.collapsed:
        # of four relu units all may be off at a point: then f is 0, and sure of it
        assert samples.test_variance.min() >= 0
        assert (samples.test_variance > 0).mean() > 0.9
        return
    # the draws, their weights and their likelihoods belong together
    assert not samples.test_variance.any()
    rest = samples.train_mean - case.data[1].reshape(P, D)
    log_likelihood = -0.5 * (np.sum(rest**2, axis=(2, 3)) / T + P * D * np.log(2 * np.pi * T))
    np.testing.assert_allclose(samples.log_likelihood, log_likelihood, rtol=1e-9)
    again = samples.predict(case.data[0])
    np.testing.assert_allclose(np.ravel(again.mean), samples.train_mean.mean(axis=(0, 1)).ravel(), rtol=1e-9)


@slow_but("deep")
def test_files_and_arviz(name, case, tmp_path):
    samples = samples_of(name, case)
    samples.save(tmp_path / "samples.npz")
    back = load(tmp_path / "samples.npz")
    for field in dataclasses.fields(samples):
        one, two = getattr(samples, field.name), getattr(back, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
        elif field.name != "frame":
            assert one == two, field.name
    np.testing.assert_array_equal(back.frame.basis, samples.frame.basis)
    assert back.diagnostics == samples.diagnostics
    X_test = CASES[case].data[2]
    np.testing.assert_array_equal(back.predict(X_test).mean, samples.predict(X_test).mean)
    np.testing.assert_array_equal(network_weights(back, 3)[0].weights, network_weights(samples, 3)[0].weights)
    data = samples.to_arviz()
    C, S = samples.log_likelihood.shape
    assert dict(data.posterior.sizes)["chain"] == C
    assert data.posterior["f_test"].shape == (C, S, 5) if CASES[case].D == 1 else (C, S, 5, CASES[case].D)
    np.testing.assert_array_equal(data.sample_stats["lp"], samples.log_likelihood)
    np.testing.assert_allclose(data.posterior["training_error"].mean(), samples.training_error.value)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_key_gives_the_same_draws_and_another_key_others(name):
    one, two, other = samples_of(name, "deep"), run(name, CASES["deep"]), run(name, CASES["deep"], key=4)
    for field in ("test_mean", "weights", "log_likelihood", "dropped"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    assert one.key == two.key != other.key
    assert not np.allclose(one.train_mean[:, -1], other.train_mean[:, -1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_flat_likelihood_returns_the_prior(rng, name):
    """T = 1e8: weights N(0, 1) and f the prior network's, from weights drawn here with NumPy.

    Langevin's of variance 1/(1 − h_ℓ/2), h_ℓ = η T λ_ℓ.
    """
    case, hot, lam = CASES["deep"], 1e8, NETWORK.precisions
    settings = {"step_size": 1e-9, "thinning": 30} if name == "langevin" else {}
    samples = run(name, case, key=4, temperature=hot, draws=1000, **settings)
    inflated = [1.0 / (1.0 - 0.5e-9 * hot * each) if name == "langevin" else 1.0 for each in lam]
    assert samples.diagnostics.acceptance > (0.8 if name == "langevin" else 0.99)
    counted = [units * each for units, each in case.layers]
    independent = samples.log_likelihood.size / 4
    for layer, variance in zip(np.split(samples.weights, np.cumsum(counted)[:-1], axis=2), inflated):
        z = layer / np.sqrt(variance)
        assert np.all(np.abs(z.mean(axis=(0, 1))) < 5 / np.sqrt(independent))
        assert np.all(np.abs((z**2).mean(axis=(0, 1)) - 1) < 5 * np.sqrt(2 / independent))

    M, (W1, W2, v) = 20_000, (rng.normal(size=(20_000, *shape)) for shape in ((4, 5), (6, 3), (3, 1)))
    W1, W2, v = (W * np.sqrt(variance) for W, variance in zip((W1, W2, v), inflated))
    h = case.data[2] @ W1[:, :3] / np.sqrt(0.5 * 3) + np.sqrt(0.2) * W1[:, 3:]
    h = erf(h) @ W2[:, :5] / np.sqrt(1.5 * 5) + np.sqrt(0.4) * W2[:, 5:]
    f = (erf(h) @ v)[..., 0] / np.sqrt(2.0 * 3)
    error = np.hypot((f**2).std(axis=0) / np.sqrt(M), samples.variance_standard_error)
    assert np.max(np.abs(f.var(axis=0) - samples.variance) / error) < 4


@cache
def long(name):
    return run(name, CASES["deep"], draws=3000, warmup=300, throw=True)


def _z(a, a_error, b, b_error):
    return np.max(np.abs(np.asarray(a) - b) / np.hypot(a_error, b_error))


OTHERS = ["hmc", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nuts", "tempered"))]


@pytest.mark.parametrize("other", OTHERS)
def test_exact_samplers_agree_on_a_deep_network_with_biases(other):
    one, two = long("collapsed-hmc"), long(other)
    for name in ("generalisation_error", "training_error"):
        a, b = getattr(one, name), getattr(two, name)
        for x, y in ((a, b), (a.bias, b.bias), (a.variance, b.variance)):
            assert _z(x.value, x.standard_error, y.value, y.standard_error) < 4
    assert _z(one.mean, one.mean_standard_error, two.mean, two.mean_standard_error) < 4
    assert _z(one.variance, one.variance_standard_error, two.variance, two.variance_standard_error) < 4


@pytest.mark.parametrize("other", OTHERS)
def test_the_hidden_weights_have_the_same_law_under_all(other):
    """Their norm is invariant under the permutations that the posterior does not see."""
    pair = long("collapsed-hmc"), long(other)
    size = pair[0].weights.shape[2]
    norms = [np.sum(s.weights[..., :size] ** 2, axis=2) for s in pair]
    error = [n.std() / np.sqrt(n.size / 4) for n in norms]
    assert _z(norms[0].mean(), error[0], norms[1].mean(), error[1]) < 4


def test_rescaling_inputs_and_first_precision_together_changes_nothing():
    X, y, X_test, y_test = CASES["deep"].data
    c, precisions = 4.0, NETWORK.precisions
    other = replace(NETWORK, weight_precisions=(c * precisions[0], *precisions[1:]))
    options = {"temperature": T, "sampler": replace(SAMPLERS["collapsed-hmc"], draws=20, warmup=20), "throw": False}
    one = ww.sample(NETWORK, X, y, X_test, y_test, **options)
    two = ww.sample(other, 2 * X, y, 2 * X_test, y_test, **options)
    np.testing.assert_allclose(one.test_mean, two.test_mean, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_outputs_share_the_hidden_weights(name):
    """D = 2 with the second target a multiple of the first, y (P, D): the shapes, and the sum over outputs."""
    case = replace(CASES["deep"], D=2)
    _, _, X_test, y_test = case.data
    samples = run(name, case, key=6, draws=600, warmup=300)
    assert samples.mean.shape == samples.variance.shape == (5, 2)
    assert samples.predict(X_test[:2]).mean.shape == (2, 2)
    plug_in = np.sum((y_test - samples.mean) ** 2 + samples.variance, axis=1).mean()
    assert samples.generalisation_error.value == pytest.approx(plug_in, rel=0.01)
    assert np.corrcoef(samples.mean.T)[0, 1] < -0.95


@pytest.mark.slow
def test_a_callable_activation_is_sampled_like_its_name():
    from jax.scipy.special import erf

    case = CASES["deep"]
    settings = {"draws": 20, "warmup": 20}
    one = run("collapsed-hmc", case, **settings)
    two = run("collapsed-hmc", replace(case, network=replace(NETWORK, activation=lambda h: erf(h))), **settings)
    np.testing.assert_allclose(one.test_mean, two.test_mean, atol=1e-8)


COMMON = [
    ("chains", 0), ("chains", 2.0), ("draws", 5), ("draws", None), ("warmup", True), ("warmup", 19),
    ("memory", -1), ("memory", np.nan), ("weights_memory", 0), ("weights_memory", "all"),
]  # fmt: skip
OWN = {
    "nuts": [("target_acceptance", 0.0), ("target_acceptance", np.nan), ("max_doublings", 0), ("max_doublings", 2.5)],
    "langevin": [
        *(("step_size", bad) for bad in (0.0, -1e-3, np.inf, np.nan, "small", None)),
        *(("thinning", bad) for bad in (0, 1.5, True)),
    ],
}
for _name in ("collapsed-hmc", "hmc", "tempered"):
    OWN[_name] = [
        ("target_acceptance", 1.0),
        ("target_acceptance", "high"),
        ("trajectory", 0.0),
        ("trajectory", np.nan),
    ]
OWN["tempered"] += [("levels", 1), ("levels", 2.5)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_settings_of_numpy_are_python_s(name):
    fields = {field.name: getattr(SAMPLERS[name], field.name) for field in dataclasses.fields(SAMPLERS[name])}
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        made = type(SAMPLERS[name])(**{field: np.array(value)[()] for field, value in fields.items()})
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert made == SAMPLERS[name]
    assert all(type(getattr(made, field)) is type(value) for field, value in fields.items())
    json.dumps(dataclasses.asdict(made))


@pytest.mark.parametrize(
    ("name", "field", "value"), [(name, *bad) for name in SAMPLERS for bad in [*COMMON, *OWN[name]]]
)
def test_bad_settings_are_refused(name, field, value):
    jaxtyping.config.update("jaxtyping_disable", True)  # as a user meets it, without the tests' own type checks
    try:
        with pytest.raises(ww.InputError, match=f"{field}: expected .*, got .*; pass e.g. "):
            replace(SAMPLERS[name], **{field: value})
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
