"""Many networks in one vectorised run: what each would have given by itself, in order, whatever their shapes."""

from dataclasses import replace
from functools import partial
from operator import itemgetter

import jax
import jaxtyping
import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling import Problem, sample_grid

NETWORK = ww.FullyConnected((3,), "erf", weight_precisions=(0.5, 1.7), bias_variance=0.3)
SAMPLERS = {
    "collapsed-hmc": ww.CollapsedHMC(chains=4, draws=50, warmup=25),
    "hmc": ww.HMC(chains=4, draws=50, warmup=25),
    "nuts": ww.NUTS(chains=4, draws=50, warmup=25),
    "langevin": ww.Langevin(chains=4, draws=50, warmup=25, step_size=0.01, thinning=4),
    "tempered": ww.Tempered(chains=4, draws=50, warmup=25, levels=3),
}


def problem(seed, network=NETWORK, P=5, T=0.2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(P + 3, 2))
    y = np.sin(X[:, 0]) - 0.4 * X[:, 1] + 0.1 * rng.normal(size=P + 3)
    return Problem(network, X[:P], y[:P], X[P:], y[P:], T)


def alone(problem, sampler, key):
    data = problem.X, problem.y, problem.X_test, problem.y_test
    return ww.sample(problem.network, *data, temperature=problem.temperature, sampler=sampler, key=key, throw=False)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "langevin" else [pytest.mark.slow]) for name in SAMPLERS]
)
def test_each_is_sampled_as_it_would_be_alone(name):
    """Data, temperatures, precisions and biases differ, and one has fewer data; the keys are `fold_in(key, g)`."""
    sampler = SAMPLERS[name]
    other = replace(NETWORK, weight_precisions=(1.4, 0.6), bias_variance=0.8)
    problems = [problem(1), problem(2, P=4), problem(3, other, T=0.5)]
    found = sample_grid(problems, sampler=sampler, key=7, throw=False)
    assert [samples.train_mean.shape[2] for samples in found] == [5, 4, 5]
    for g, (one, got) in enumerate(zip(problems, found)):
        expected = alone(one, sampler, jax.random.fold_in(jax.random.key(7), g))
        assert (got.network, got.temperature, got.key) == (one.network, one.temperature, expected.key)
        np.testing.assert_array_equal(got.y[:, 0], one.y)
        if g == 1:  # the only one of its shape
            np.testing.assert_array_equal(got.weights, expected.weights)
            continue
        got, expected = (np.concatenate([s.dropped, s.log_likelihood], axis=1) for s in (got, expected))
        assert got.shape == expected.shape == (4, 50)
        if name == "langevin":  # nothing is rejected, so that rounding grows slowly
            np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert not np.allclose(found[0].train_mean[:, -1], found[2].train_mean[:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_first_transitions_are_the_same(name):
    """Before rounding has turned a decision: `advance` itself, of two networks and of each."""
    from widthwise.sampling.chains import stacked
    from widthwise.sampling.moves import move
    from widthwise.sampling.precision import float64

    sampler, problems = SAMPLERS[name], [problem(1), problem(3, T=0.5)]
    stage, sizes = sampler.stages()[-1], np.array([0.02, 0.03])
    with float64():
        models = [one.model(sampler.collapsed) for one in problems]
        keys = jax.vmap(jax.random.key)(np.arange(2))
        chances = jax.vmap(lambda key: move.chances(key, 3, 4))(keys)
        static, data = models[0][0], stacked([data for _, data in models])
        z = jax.vmap(lambda key: jax.random.normal(key, (4 * sampler.replicas, static.dimension)))(keys)
        plan = move.Plan(sizes, np.full(2, sampler.length), np.full(2, min(stage.limit, 4)), np.full(2, sampler.target))
        adapting = move.adaptation(sampler.target, sizes)

        def positions(pick):
            states = stage.move.begin(move.start(static, pick(data), z[pick(np.arange(2))]))
            given = (pick(part) for part in (data, chances))
            return np.asarray(move.advance(static, stage.move, *given, states, pick(adapting), pick(plan))[3])

        both = positions(lambda tree: tree)
        for g in range(2):
            one = positions(partial(jax.tree.map, itemgetter(slice(g, g + 1))))
            np.testing.assert_allclose(both[g], one[0], rtol=1e-9, atol=1e-12)
    assert not np.allclose(both[0][0], both[0][-1])


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS])
def test_in_law_each_is_what_it_would_be_alone(name):
    settings = {"thinning": 20} if name == "langevin" else {}
    sampler = replace(SAMPLERS[name], draws=1500, warmup=200, **settings)
    problems = [problem(1), problem(2, T=0.5)]
    for one, got in zip(problems, sample_grid(problems, sampler=sampler, key=7)):
        _same_law(got, alone(one, sampler, 11))


def _same_law(one, two):
    for name in ("generalisation_error", "training_error"):
        a, b = getattr(one, name), getattr(two, name)
        assert abs(a.value - b.value) < 4 * np.hypot(a.standard_error, b.standard_error)
    assert np.all(np.abs(one.mean - two.mean) < 4.5 * np.hypot(one.mean_standard_error, two.mean_standard_error))


def test_one_that_has_not_mixed_is_raised_or_returned():
    problems, sampler = [problem(1), problem(2)], replace(SAMPLERS["langevin"], draws=10)
    assert [s.diagnostics.status for s in sample_grid(problems, sampler=sampler, throw=False)] == ["not mixed"] * 2
    with pytest.raises(ww.NumericalError, match="have not mixed") as raised:
        sample_grid(problems, sampler=sampler)
    np.testing.assert_array_equal(raised.value.samples.y[:, 0], problems[0].y)


@pytest.mark.parametrize("problems", [[], [NETWORK], [None, 3]])
def test_what_is_not_a_grid_is_refused(problems, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as a user meets it
    with pytest.raises(ww.InputError, match=r"problems: expected Problem\(\.\.\.\)s, got"):
        sample_grid(problems)


def test_a_grid_too_large_for_memory_is_refused_before_it_starts():
    """One alone would fit."""
    one = problem(1)
    fits = ww.Langevin(chains=4, draws=50, warmup=25, memory=3e-4)
    with pytest.raises(ww.InputError, match=r"memory: expected a run of at most 0\.0003 GiB"):
        sample_grid([one] * 40, sampler=fits)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SAMPLERS)
def test_an_accelerator_gives_the_same_law(name):
    """Run with JAX_PLATFORMS=cuda,cpu: the whole grid on the accelerator, then on the CPU."""
    try:
        accelerator = next(device for device in jax.devices() if device.platform != "cpu")
        cpu = jax.devices("cpu")[0]
    except (StopIteration, RuntimeError):
        pytest.skip("no accelerator that JAX can see, or no CPU beside it: set JAX_PLATFORMS=cuda,cpu")
    settings = {"thinning": 20} if name == "langevin" else {}
    sampler = replace(SAMPLERS[name], draws=1000, warmup=200, **settings)
    problems = [problem(seed, T=T) for seed, T in ((1, 0.2), (2, 0.5), (3, 0.3))]
    found = {}
    for device in (accelerator, cpu):
        with jax.default_device(device):
            found[device] = sample_grid(problems, sampler=sampler, key=5)
    for one, two in zip(found[accelerator], found[cpu]):
        assert one.test_mean.dtype == np.float64
        _same_law(one, two)
