"""Several convolutional layers, sampled: where their patches lie, what they reduce to, and weights weighed by hand."""

import dataclasses

import jax
import numpy as np
import pytest
from stacked import network, outputs_of
from weighing import Problem, weigh

import widthwise as ww
from widthwise.sampling import load
from widthwise.sampling.patches import above
from widthwise.sampling.precision import float64


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("image", "patch", "stride"),
    [((6, 5), ((2, 2), (3, 2)), 1), ((7, 6), ((2, 1), (2, 3)), ((1, 1), (2, 2))), ((5, 5), ((1, 1), (2, 2)), None)],
)
def test_patches_of_the_second_layer_times_a_filter_are_its_convolution(rng, image, patch, stride, padding):
    net = ww.Convolutional((3, 4), patch, stride, padding=padding)
    first, second = net.stack(*image)
    features, filters = rng.normal(size=(2, *first.grid, 3)), rng.normal(size=(*second.patch, 3, 4))
    with float64():
        convolved = jax.lax.conv_general_dilated(
            features, filters, second.stride, padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    [index] = above(net, image)
    flat = np.concatenate([features.reshape(2, -1, 3), np.zeros((2, 1, 3))], axis=1)
    got = flat[:, index].reshape(2, second.count, -1) @ filters.reshape(-1, 4)
    np.testing.assert_allclose(got, np.reshape(convolved, got.shape), atol=1e-12)


def test_one_layer_and_fully_connected_ones_have_nothing_above():
    assert above(ww.Convolutional(3, 2), (4, 4)) == []
    assert above(ww.FullyConnected((3, 2)), (4,)) == []


@pytest.mark.parametrize("sampler", [pytest.param(ww.HMC, marks=pytest.mark.slow), ww.CollapsedHMC])
def test_the_whole_image_and_then_one_by_one_is_fully_connected(rng, sampler):
    """Draw for draw: the same coordinates of the same weights."""
    X, y, X_test = rng.normal(size=(6, 3, 4)), rng.normal(size=(6, 2)), rng.normal(size=(3, 3, 4))
    prior = {"weight_precisions": (0.4, 1.6, 0.7), "bias_variance": (0.3, 0.2)}
    options = {"temperature": 0.2, "key": 1, "throw": False, "sampler": sampler(chains=4, draws=20, warmup=20)}
    one = ww.sample(ww.Convolutional((3, 2), ((3, 4), 1), **prior), X, y, X_test, **options)
    two = ww.sample(ww.FullyConnected((3, 2), **prior), X.reshape(6, -1), y, X_test.reshape(3, -1), **options)
    np.testing.assert_allclose(one.test_mean, two.test_mean, rtol=1e-9)
    np.testing.assert_allclose(one.predict(X_test).mean, two.predict(X_test.reshape(3, -1)).mean, rtol=1e-9)


CASES = {
    "relu, same, biases": (
        1,
        (3, 4),
        network((3, 2), ((2, 2), (3, 2)), ((2, 1), (1, 1)), "relu", padding="same", bias_variance=(0.3, 0.5)),
        ww.CollapsedHMC,
    ),
    "relu, average, three layers, two outputs": (
        2,
        (4, 3, 2),
        network((2, 3, 2), ((2, 2), (2, 1), (1, 2)), 1, "relu", readout="average", bias_variance=(0, 0.5, 0.2)),
        ww.HMC,
    ),
    "identity, two outputs": (2, (3, 3), network((3, 2), (2, 2), 1, bias_variance=0.4), ww.HMC),
    "identity, three layers": (1, (4, 4), network((2, 3, 2), (2, 2), 1), ww.CollapsedHMC),
}


@pytest.mark.parametrize("case", [next(iter(CASES)), *(pytest.param(c, marks=pytest.mark.slow) for c in [*CASES][1:])])
def test_the_posterior_is_the_weighted_prior(case):
    D, shape, net, sampler = CASES[case]
    rng = np.random.default_rng(len(case))
    problem = Problem.of(rng, 2, shape, D, 0.6)
    samples = ww.sample(
        net,
        problem.X,
        problem.y,
        problem.X_test,
        problem.y_test,
        temperature=0.6,
        sampler=sampler(chains=4, draws=1000, warmup=100),
        key=3,
    )
    exact, error = weigh(problem, outputs_of(net, D), rng, 200_000)
    k = 2 * D
    diagonal = np.flatnonzero(np.equal(*np.triu_indices(k)))
    for law in (samples.prediction, samples.predict(problem.X_test, key=5)):
        for got, own, at in (
            (law.mean, law.mean_standard_error, np.arange(k)),
            (law.variance, law.variance_standard_error, k + diagonal),
        ):
            z = (np.ravel(got) - exact[at]) / np.hypot(np.ravel(own), error[at])
            assert np.abs(z).max() < 4, z
    for got, at in ((samples.training_error, -3), (samples.generalisation_error, -2)):
        assert abs(got.value - exact[at]) < 4 * np.hypot(got.standard_error, error[at])
    assert (error[:k] < 0.25).all()


def test_every_weight_moves_and_the_file_keeps_them(rng, tmp_path):
    net = ww.Convolutional((3, 2), ((2, 2), (1, 2)), 1, padding="same", bias_variance=(0.3, 0.0))
    X, y = rng.normal(size=(9, 3, 3)), rng.normal(size=9)
    samples = ww.sample(net, X, y, temperature=0.2, sampler=ww.HMC(chains=2, draws=100, warmup=50), throw=False)
    # a filter and a bias for each channel, filters over three channels without biases, the readout
    assert samples.weights.shape[2] == 3 * (4 + 1) + 2 * (2 * 3) + 2 * 9
    assert (samples.weights.std(axis=(0, 1)) > 0.2).all()
    samples.save(tmp_path / "stack.npz")
    back = load(tmp_path / "stack.npz")
    assert back.network == net
    np.testing.assert_array_equal(back.predict(X).mean, samples.predict(X).mean)


def test_a_stack_that_cannot_fit_is_refused_before_it_starts(rng):
    X, y = rng.normal(size=(20, 12, 12)), rng.normal(size=20)
    net, small = ww.Convolutional((8, 8), 5, 1, padding="same"), ww.CollapsedHMC(memory=0.02, draws=10, chains=2)
    with pytest.raises(ww.InputError, match=r"at most 0.02 GiB.*fewer draws"):
        ww.sample(net, X, y, temperature=0.2, sampler=small)
    with pytest.raises(ww.InputError, match=r"patch of layer 2: expected at most the grid below's 8x8, got 9x9"):
        ww.sample(dataclasses.replace(net, patch=((5, 5), (9, 9)), padding="valid"), X, y, temperature=0.2)
