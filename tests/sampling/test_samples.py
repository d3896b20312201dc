"""The object that comes back: averages, diagnostics, files, ArviZ, memory, progress; and the caller's JAX setting."""

import dataclasses
import errno
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

import widthwise as ww
from widthwise.sampling import Progress, load
from widthwise.sampling.samples import settle

# the shapes of test_samplers: compiled once for both
NETWORK = ww.FullyConnected((5, 3), activation="erf", weight_precisions=(0.5, 1.5, 2.0), bias_variance=(0.2, 0.4))
WEIGHTS = 5 * 4 + 3 * 6
QUICK = ww.CollapsedHMC(chains=4, draws=100, warmup=40)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(13, 3))
    y = np.where(X[:, 0] + 0.3 * rng.normal(size=13) > 0, 1.0, -1.0)
    return X[:8], y[:8], X[8:], y[8:]


def _sample(data, **options):
    options = {"temperature": 0.2, "sampler": QUICK, "key": 1} | options
    return ww.sample(NETWORK, *data, **options)


@pytest.fixture(scope="module")
def samples(data):
    return _sample(data)


def test_plug_in_averages_agree_with_the_reported(samples, data):
    y = data[3]
    total = np.mean((y - samples.mean) ** 2 + samples.variance)
    assert samples.generalisation_error.value == pytest.approx(total, rel=0.01)
    assert samples.generalisation_error.bias.value == pytest.approx(np.mean((y - samples.mean) ** 2), rel=0.05)
    assert samples.accuracy.value == np.mean(np.sign(samples.mean) == y)
    assert samples.mean.shape == samples.variance_standard_error.shape == (5,)


def test_draw_accuracy_integrates_the_readout(samples, data):
    margin = data[3] * samples.test_mean[..., 0] / np.sqrt(samples.test_variance)
    assert samples.draw_accuracy.value == pytest.approx(float(ndtr(margin).mean()), rel=1e-12)
    f = samples.test_mean[..., 0] + np.sqrt(samples.test_variance) * np.random.default_rng(0).normal(size=margin.shape)
    assert samples.draw_accuracy.value == pytest.approx(np.mean(f * data[3] > 0), abs=0.03)


@pytest.mark.parametrize("thinning", [1, 3, 7, 40, 100])
def test_no_weights_are_kept_of_draws_that_are_dropped(samples, thinning):
    """Weights that are their draw's number: those that stay are all later than the cut."""
    C, S = samples.log_likelihood.shape
    drift = np.where(np.arange(S) < 0.17 * S, 100.0, 0.0)
    number = np.broadcast_to(np.arange(S)[::thinning, None], (C, len(range(0, S, thinning)), 1))
    whole = dataclasses.replace(samples, log_likelihood=samples.log_likelihood + drift, weights=number.astype(float))
    cut = settle(whole, thinning)
    b = cut.diagnostics.burn_in
    assert b > 0.17 * S
    assert cut.weights.shape == (C, sum(i >= b for i in range(0, S, thinning)), 1)
    assert cut.weights.size == 0 or cut.weights.min() >= b
    np.testing.assert_array_equal(cut.train_mean, samples.train_mean[:, b:])


def test_predicting_the_test_points_again_gives_their_averages(samples, data):
    again = samples.predict(data[2])
    np.testing.assert_allclose(again.mean, samples.mean, rtol=1e-10)
    np.testing.assert_allclose(again.variance, samples.variance, rtol=1e-8)


def test_weights_beyond_the_budget_are_thinned(data):
    few = _sample(data, sampler=dataclasses.replace(QUICK, weights_memory=10 * 4 * WEIGHTS * 8 / 2**30))
    assert few.weights.shape == (4, 10, WEIGHTS)
    assert few.diagnostics.weights_kept == 10
    assert few.test_mean.shape[:2] == (4, 100)
    assert few.predict(data[2]).mean == pytest.approx(few.mean, abs=0.5)
    # the kept ones are every tenth draw
    full = _sample(data)
    np.testing.assert_allclose(few.weights, full.weights[:, ::10], rtol=1e-12)


def test_a_run_that_cannot_fit_is_refused_before_it_starts(data):
    with pytest.raises(ww.InputError, match=r"at most 1e-06 GiB.*fewer draws"):
        _sample(data, sampler=dataclasses.replace(QUICK, memory=1e-6))


def test_saved_samples_come_back_the_same(samples, data, tmp_path):
    path = tmp_path / "run.npz"
    samples.save(path)
    samples.save(path)
    back = load(path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]
    assert back.generalisation_error == samples.generalisation_error
    assert back.diagnostics == samples.diagnostics
    assert (back.network, back.sampler, back.key) == (samples.network, samples.sampler, samples.key)
    np.testing.assert_array_equal(back.predict(data[2]).mean, samples.predict(data[2]).mean)


def test_files_that_are_not_samples_are_refused(samples, tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(ww.InputError, match="expected a file of samples"):
        load(path)
    samples.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ww.InputError, match="expected a file of samples"):
        load(path)
    np.savez(path, header=np.frombuffer(b'{"format": "other", "version": 9}', dtype=np.uint8))
    with pytest.raises(ww.InputError, match="release that wrote it"):
        load(path)
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ww.InputError, match="expected a file of samples"):
        load(path)
    with pytest.raises(ww.InputError, match="folder"):
        samples.save(tmp_path / "absent" / "run.npz")


def test_a_failed_write_leaves_the_old_file(samples, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    path.write_bytes(b"old")

    def full(*args, **arrays):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ww.InputError, match="no space left"):
        samples.save(path)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_callable_activation_is_asked_for_on_loading(samples, tmp_path):
    phi = lambda h: jnp.tanh(h)  # noqa: E731
    other = dataclasses.replace(samples, network=dataclasses.replace(NETWORK, activation=phi))
    other.save(tmp_path / "run.npz")
    with pytest.raises(ww.InputError, match="activation of your own"):
        load(tmp_path / "run.npz")
    assert load(tmp_path / "run.npz", activation=phi).network.activation is phi


def test_leaky_relu_keeps_its_slope(samples, tmp_path):
    network = dataclasses.replace(NETWORK, activation="leaky_relu(0.123456789)")
    dataclasses.replace(samples, network=network).save(tmp_path / "run.npz")
    assert load(tmp_path / "run.npz").network.phi.slope == 0.123456789


def test_arviz_sees_the_same_draws(samples):
    import arviz as az

    exported = samples.to_arviz()
    assert exported.posterior["f_test"].shape == (4, 100, 5)
    error = samples.generalisation_error
    assert float(exported.posterior["generalisation_error"].mean()) == pytest.approx(error.value, rel=1e-12)
    summary = az.summary(exported, var_names=["generalisation_error"], round_to="none")
    assert summary["r_hat"].iloc[0] == pytest.approx(error.rhat)
    assert summary["mcse_mean"].iloc[0] == pytest.approx(error.standard_error)
    assert exported.sample_stats["diverging"].dtype == bool


def test_without_test_points_there_is_no_generalisation_error(data):
    samples = _sample(data[:2], throw=False)
    assert samples.training_error.value > 0
    for ask in (lambda: samples.generalisation_error, lambda: samples.mean, lambda: samples.accuracy):
        with pytest.raises(ww.InputError, match="got none"):
            ask()
    assert samples.predict(data[2]).mean.shape == (5,)
    assert "f_test" not in samples.to_arviz().posterior


def test_chains_that_have_not_mixed_raise_and_are_handed_over(data):
    short = ww.CollapsedHMC(chains=4, draws=10, warmup=20)
    with pytest.raises(ww.NumericalError, match=r"not mixed.*draws=40.*throw=False") as caught:
        _sample(data, sampler=short)
    kept = caught.value.samples
    assert kept.diagnostics.status == "not mixed"
    assert kept.diagnostics.problems
    looked = _sample(data, sampler=short, throw=False)
    np.testing.assert_array_equal(looked.test_mean, kept.test_mean)


def test_disagreeing_chains_and_divergences_are_not_mixed(samples):
    torn = dataclasses.replace(samples, log_likelihood=samples.log_likelihood + 9 * np.arange(4)[:, None])
    assert torn.diagnostics.status == "not mixed"
    assert "R-hat" in torn.diagnostics.problems[0]
    wild = dataclasses.replace(samples, divergent=np.arange(400).reshape(4, 100) % 50 == 0)
    assert (wild.diagnostics.divergences, wild.diagnostics.status) == (8, "not mixed")


@pytest.mark.parametrize("caller", [False, True])
def test_the_callers_precision_stays_as_it_was(data, caller):
    with jax.enable_x64(caller):
        samples = _sample(data)
        samples.predict(data[2])
        assert jax.config.jax_enable_x64 is caller
        assert jnp.ones(1).dtype == (jnp.float64 if caller else jnp.float32)
    assert samples.test_mean.dtype == samples.weights.dtype == np.float64


def test_progress_is_told_to_the_end(data):
    heard = []
    _sample(data, progress=heard.append)
    assert all(isinstance(report, Progress) for report in heard)
    assert [r.done for r in heard] == sorted(r.done for r in heard)
    assert heard[-1].done == heard[-1].total == 10 + 40 + 100
    assert [r.stage for r in heard[:2]] == ["estimate", "warm-up"]
    assert heard[-1].stage == "draws"
    assert heard[-1].rhat is not None
    assert all(0 <= r.acceptance <= 1 and r.seconds_left >= 0 for r in heard)


def test_progress_bar_goes_to_stderr_alone(data, capsys):
    _sample(data, progress=True)
    assert capsys.readouterr().out == ""


def test_a_jax_key_does_as_well_as_a_number(data, samples):
    np.testing.assert_allclose(_sample(data, key=jax.random.key(1)).test_mean, samples.test_mean)
    np.testing.assert_allclose(_sample(data, key=jax.random.PRNGKey(1)).test_mean, samples.test_mean)


def test_names_are_readable(samples):
    assert "collapsed-hmc" in repr(samples)
    assert "mixed" in repr(samples)
    assert math.isfinite(samples.diagnostics.step_size)
