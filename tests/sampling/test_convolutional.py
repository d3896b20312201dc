"""Convolutional networks, sampled: what they reduce to, which weights move, and everything that `Samples` offers.

Their posteriors are held against weights drawn from the prior in `test_prior`.
"""

import dataclasses

import jaxtyping
import numpy as np
import pytest

import widthwise as ww
from widthwise.sampling import load

NETWORK = ww.Convolutional(3, (3, 2), stride=(2, 1), weight_precisions=(0.4, 1.6), bias_variance=0.3)
PATCHES, SIZE = 6, 6  # of 5 × 4 images: 2 rows of 3, and 3 · 2 pixels each
QUICK = ww.CollapsedHMC(chains=4, draws=300, warmup=60)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    X = rng.normal(size=(13, 5, 4))
    y = np.where(X[:, 0, 0] * X[:, 1, 1] + 0.3 * rng.normal(size=13) > 0, 1.0, -1.0)
    return X[:8], y[:8], X[8:], y[8:]


def _sample(data, network=NETWORK, **options):
    return ww.sample(network, *data, **{"temperature": 0.2, "sampler": QUICK, "key": 1} | options)


@pytest.fixture(scope="module")
def samples(data):
    return _sample(data)


@pytest.mark.parametrize("readout", ["dense", "average"])
def test_a_patch_that_is_the_whole_image_is_a_fully_connected_network(data, readout):
    """Draw for draw: the same coordinates of the same weights."""
    X, y, X_test, y_test = data
    prior = {"weight_precisions": (0.4, 1.6), "bias_variance": 0.3}
    options = {"throw": False, "sampler": ww.HMC(chains=4, draws=20, warmup=20)}
    one = _sample(data, ww.Convolutional(3, (5, 4), readout=readout, **prior), **options)
    flat = X.reshape(8, -1), y, X_test.reshape(5, -1), y_test
    two = _sample(flat, ww.FullyConnected((3,), **prior), **options)
    np.testing.assert_allclose(one.test_mean, two.test_mean, rtol=1e-10)
    assert one.generalisation_error == two.generalisation_error
    np.testing.assert_allclose(one.predict(X_test).mean, two.predict(flat[2]).mean, rtol=1e-10)


@pytest.mark.slow
def test_a_linear_averaged_network_sees_the_average_patch(data):
    """φ = identity: the fully connected network on the mean patch, whose weights are sampled in other coordinates."""
    X, y, X_test, y_test = data
    prior = {"activation": "identity", "weight_precisions": (0.4, 0.6), "bias_variance": 0.3}
    sampler = ww.CollapsedHMC(chains=4, draws=1000, warmup=100)
    one = _sample(data, ww.Convolutional(3, (2, 4), (3, 4), readout="average", **prior), sampler=sampler)
    mean = [(images[:, :2] + images[:, 3:]).reshape(len(images), -1) / 2 for images in (X, X_test)]
    two = _sample((mean[0], y, mean[1], y_test), ww.FullyConnected((3,), **prior), sampler=sampler)
    for name in ("training_error", "generalisation_error"):
        a, b = getattr(one, name), getattr(two, name)
        assert abs(a.value - b.value) < 4 * np.hypot(a.standard_error, b.standard_error)
    error = np.hypot(one.mean_standard_error, two.mean_standard_error)
    assert np.max(np.abs(one.mean - two.mean) / error) < 4


@pytest.mark.parametrize("readout", ["dense", pytest.param("average", marks=pytest.mark.slow)])
def test_collapsed_and_plain_agree_and_every_weight_moves(data, readout):
    network = dataclasses.replace(NETWORK, readout=readout)
    settings = {"chains": 4, "draws": 600, "warmup": 100}
    pair = [_sample(data, network, sampler=s(**settings)) for s in (ww.CollapsedHMC, ww.HMC)]
    for name in ("training_error", "generalisation_error"):
        a, b = (getattr(samples, name) for samples in pair)
        for x, y in ((a, b), (a.bias, b.bias), (a.variance, b.variance)):
            assert abs(x.value - y.value) < 4 * np.hypot(x.standard_error, y.standard_error)
    error = np.hypot(*(s.mean_standard_error for s in pair))
    assert np.max(np.abs(pair[0].mean - pair[1].mean) / error) < 4
    error = np.hypot(*(s.variance_standard_error for s in pair))
    assert np.max(np.abs(pair[0].variance - pair[1].variance) / error) < 4
    # a filter and a bias for each channel, and the readout's weights
    hidden = 3 * (SIZE + 1)
    readouts = 3 * (PATCHES if readout == "dense" else 1)
    assert [s.weights.shape[2] for s in pair] == [hidden, hidden + readouts]
    for samples in pair:
        assert np.all(samples.weights.std(axis=(0, 1)) > 0.2)


def test_patches_outside_the_training_patches_span_share_their_fresh_weights(rng):
    """The same new patch, in whichever image and position, has the same features in each draw."""
    network = ww.Convolutional(2, 3, activation="identity", readout="average")
    X, patch, blank = rng.normal(size=(1, 3, 6)), rng.normal(size=(3, 3)), np.zeros((3, 3))
    X_test = np.stack([np.hstack([patch, blank]), np.hstack([blank, patch]), np.hstack([patch, patch]) / 2])
    samples = ww.sample(
        network, X, np.ones(1), X_test, temperature=0.2, sampler=ww.HMC(chains=2, draws=20, warmup=20), throw=False
    )
    assert samples.frame.outside(patch.reshape(1, -1)).shape[1] == 1
    assert samples.test_mean.std() > 0.05
    np.testing.assert_allclose(samples.test_mean, samples.test_mean[:, :, :1].repeat(3, axis=2), atol=1e-12)


def test_the_span_of_the_training_patches_is_all_that_is_sampled(rng):
    network = ww.Convolutional(2, 3, readout="average")
    X = rng.normal(size=(1, 3, 6))
    samples = ww.sample(network, X, np.ones(1), temperature=0.2, sampler=QUICK, throw=False)
    assert samples.weights.shape[2] == 2 * 2


def test_predicting_the_test_images_again_gives_their_averages(samples, data):
    again = samples.predict(data[2])
    np.testing.assert_allclose(again.mean, samples.mean, rtol=1e-10)
    np.testing.assert_allclose(again.variance, samples.variance, rtol=1e-8)
    total = np.mean((data[3] - samples.mean) ** 2 + samples.variance)
    assert samples.generalisation_error.value == pytest.approx(total, rel=0.01)
    assert 0 <= samples.accuracy.value <= 1


@pytest.mark.parametrize("network", [NETWORK, ww.Convolutional(2, 2, 1, "relu", "same", "average")])
def test_saved_samples_come_back_the_same(samples, data, tmp_path, network):
    samples = samples if network is NETWORK else dataclasses.replace(samples, network=network)
    samples.save(tmp_path / "run.npz")
    back = load(tmp_path / "run.npz")
    assert (back.network, back.sampler, back.key) == (network, samples.sampler, samples.key)
    assert back.generalisation_error == samples.generalisation_error
    if network is NETWORK:
        np.testing.assert_array_equal(back.predict(data[2]).mean, samples.predict(data[2]).mean)


def test_arviz_and_progress(data):
    heard = []
    samples = _sample(data, progress=heard.append, throw=False, sampler=ww.CollapsedHMC(chains=4, draws=20, warmup=20))
    assert heard[-1].done == heard[-1].total
    assert samples.to_arviz().posterior["f_test"].shape == (4, 20, 5)
    assert "convolutional" in repr(samples)


def test_colour_images_with_one_channel_are_grey_ones(data):
    X, y, X_test, y_test = data
    options = {"throw": False, "sampler": ww.CollapsedHMC(chains=4, draws=20, warmup=20)}
    grey = _sample(data, **options)
    colour = _sample((X[..., None], y, X_test[..., None], y_test), **options)
    np.testing.assert_array_equal(grey.test_mean, colour.test_mean)


def test_a_run_that_cannot_fit_is_refused_before_it_starts(data):
    with pytest.raises(ww.InputError, match=r"at most 0.0001 GiB.*fewer draws"):
        _sample(data, sampler=dataclasses.replace(QUICK, memory=1e-4))
    # patches that would not fit are never cut out: 300 images have 23 GB of them
    zeros = np.zeros((300, 128, 128))
    with pytest.raises(ww.InputError, match=r"at most 4 GiB, got an estimate of"):
        ww.sample(ww.Convolutional(2, 32, 1), zeros, np.ones(300), temperature=0.1)


@pytest.fixture
def as_a_user_meets_it():
    """Without the run-time type checks of the tests, which would see the wrong types first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("X", "X_test", "message"),
    [
        (np.ones((4, 20)), None, r"X: expected shape \(n, H, W\) or .*got \(4, 20\).*reshape"),
        (np.ones((4, 0, 5)), None, r"X: expected shape"),
        (np.full((4, 5, 4), np.nan), None, r"X: expected finite"),
        (np.ones((4, 2, 4)), None, r"patch: expected at most the image's 2x4, got 3x2"),
        (np.ones((4, 5, 4)), np.ones((2, 6, 4)), r"X_test: expected images \(5, 4\), as in X, got \(6, 4\)"),
        (np.ones((4, 5, 4)), np.ones((2, 5, 4, 1)), r"X_test: expected images \(5, 4\), as in X, got \(5, 4, 1\)"),
    ],
)
@pytest.mark.usefixtures("as_a_user_meets_it")
def test_images_of_the_wrong_shape(X, X_test, message):
    with pytest.raises(ww.InputError, match=message):
        ww.sample(NETWORK, X, np.ones(4), X_test, temperature=0.1)


@pytest.mark.usefixtures("as_a_user_meets_it")
def test_new_images_of_another_shape(samples):
    with pytest.raises(ww.InputError, match=r"X: expected images \(5, 4\)"):
        samples.predict(np.ones((2, 4, 5)))
