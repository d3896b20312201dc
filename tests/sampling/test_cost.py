"""What a run is said to cost, beside what it does cost.

Run as a script, this file is the process whose memory is measured: see `measured`.
"""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.sampling import Problem, cost
from widthwise.sampling.cost import check_memory, check_prediction, memory
from widthwise.sampling.moves import move as moves

LANGEVIN = ww.Langevin(chains=2, draws=50, warmup=25, thinning=3)
KINDS = {
    "collapsed-hmc": ww.CollapsedHMC(chains=2, draws=150, warmup=60),
    "hmc": ww.HMC(chains=2, draws=150, warmup=60),
    "nuts": ww.NUTS(chains=2, draws=150, warmup=60),
    "langevin": ww.Langevin(chains=2, draws=150, warmup=60, thinning=20),
    "tempered": ww.Tempered(chains=2, draws=150, warmup=60, levels=5),
}


def data(P, n, shape, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(P, *shape))
    return X, np.sign(X.reshape(P, -1)[:, 0]), rng.normal(size=(n, *shape))


# of the shape of what test_checkpoint.py samples: compiled once for both
SMALL = ww.FullyConnected([3], weight_precisions=(2.0, 0.5), bias_variance=0.3), *data(6, 3, (4,))
# GiB large: by their draws, their weights, their test points, their features
LARGE = {
    "draws": (ww.FullyConnected([5]), data(20, 400, (5,)), ww.Langevin(chains=8, draws=6000, warmup=20, thinning=1)),
    "weights": (ww.FullyConnected([1500]), data(60, 10, (99,)), ww.Langevin(draws=100, warmup=20, thinning=1)),
    "tests": (ww.FullyConnected([50]), data(20, 30_000, (64,)), ww.Langevin(chains=2, draws=25, warmup=20, thinning=1)),
    "features": (ww.FullyConnected([1000]), data(300, 5, (9,)), ww.Langevin(draws=10, warmup=20, thinning=1)),
    "patches": (
        ww.Convolutional((16, 8), 5, 1, padding="same"), data(30, 5, (12, 12)),
        ww.Langevin(chains=2, draws=10, warmup=20, thinning=1),
    ),
}  # fmt: skip


def test_what_is_counted():
    """Every step of Langevin's is one gradient; HMC's are what its step size comes to."""
    found = cost(*SMALL, temperature=0.5, sampler=LANGEVIN)
    assert found.gradients == (25 + 50) * 3 * 2
    assert found.parameters == 3 * 5 + 3
    assert found.seconds > 0
    collapsed = cost(*SMALL, temperature=0.5, sampler=KINDS["collapsed-hmc"])
    assert collapsed.parameters == 3 * 5
    assert collapsed.gradients >= 2 * (150 + 60 + 15)


def test_an_estimate_leaves_no_trace_in_the_numbers():
    given = dict(zip(("network", "X", "y", "X_test"), SMALL)) | {"temperature": 0.5, "sampler": LANGEVIN, "key": 1}
    alone = ww.sample(**given, throw=False)
    after = ww.sample(**given, throw=False, progress=lambda report: None)
    np.testing.assert_array_equal(alone.weights, after.weights)
    np.testing.assert_array_equal(alone.test_mean, after.test_mean)


def test_a_large_run_costs_nothing_to_refuse(monkeypatch):
    monkeypatch.setattr(moves, "start", None)
    network, *arrays = SMALL
    with pytest.raises(InputError, match=r"memory: expected a run of at most 4 GiB, got an estimate of [\d.e+]+ GiB"):
        ww.sample(network, *arrays, temperature=0.5, sampler=ww.HMC(draws=10**8))


@pytest.mark.parametrize("outputs", [1, 3])
def test_memory_holds_everything_that_is_kept(outputs):
    network, X, y, X_test = SMALL
    y = np.stack([y] * outputs, axis=1)
    samples = ww.sample(network, X, y, X_test, temperature=0.5, sampler=LANGEVIN, throw=False)
    found = (getattr(samples, f.name) for f in dataclasses.fields(samples))
    held = sum(a.nbytes for a in found if isinstance(a, np.ndarray))
    need = memory(Problem(network, X, y, X_test, None, 0.5), LANGEVIN) * 2**30
    assert 2 * held < need < 12 * held


def test_memory_follows_what_there_is_more_of():
    def need(*given, **changes):
        problem = Problem(SMALL[0], *data(*given), None, 0.5)
        return memory(problem, dataclasses.replace(LANGEVIN, draws=5000, **changes))

    once = need(6, 3, (4,))
    assert need(6, 3, (4,), chains=4) == pytest.approx(2 * once, rel=0.01)
    assert need(6, 300, (4,)) > 10 * once
    assert need(600, 3, (4,)) > 15 * once
    # the weights are thinned: half of what they take in thirds
    assert once - need(6, 3, (4,), weights_memory=1e-9) == pytest.approx(3 * 8 * 10_000 * 21 / 2**30, rel=0.01)


def test_memory_of_many_is_that_of_all():
    problem = Problem(SMALL[0], *data(6, 3, (4,)), None, 0.5)
    one = check_memory([problem], LANGEVIN)
    assert check_memory([problem] * 5, LANGEVIN) == pytest.approx(5 * one)
    with pytest.raises(InputError, match="memory: expected a run of at most"):
        check_memory([problem] * 5, dataclasses.replace(LANGEVIN, memory=4.5 * one))


def test_a_prediction_too_large_is_refused():
    network, X, y, X_test = SMALL
    samples = ww.sample(network, X, y, temperature=0.5, sampler=LANGEVIN, throw=False)
    check_prediction(samples, X_test)
    check_prediction(samples, np.broadcast_to(X_test[:1], (100_000, 4)))
    with pytest.raises(InputError, match=r"X: expected points that take at most 4 GiB to predict, got 1000000 that"):
        check_prediction(samples, np.broadcast_to(X_test[:1], (1_000_000, 4)))


def measured(name):
    """In a process of its own, what a large run, and then a prediction, take more than a small one: in GiB."""

    def peak():
        # getrusage would begin at the peak of the process that started this one
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20

    network, arrays, sampler = LARGE[name]
    tiny = ww.sample(*SMALL[:3], temperature=0.5, sampler=LANGEVIN, throw=False)  # what is imported and compiled
    tiny.diagnostics
    before = peak()
    samples = ww.sample(network, *arrays, temperature=0.5, sampler=sampler, throw=False)
    samples.training_error, samples.diagnostics
    print(peak() - before, memory(Problem(network, *arrays, None, 0.5), sampler))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", LARGE)
def test_memory_is_a_bound_and_not_an_idle_one(name):
    pinned = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    code = [sys.executable, __file__, name]
    done = subprocess.run(code, env=os.environ | pinned, capture_output=True, text=True, check=True)
    taken, bound = map(float, done.stdout.split())
    assert taken - 0.15 < bound < 3 * taken  # 0.15: for compiling


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_time_is_about_right(name, monkeypatch):
    """In seconds of this process, whatever else the machine is doing; some may go into compiling."""
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    given = (ww.FullyConnected([40, 30]), *data(50, 30, (20,)))
    begun = time.process_time()
    expected = cost(*given, temperature=0.1, sampler=KINDS[name]).seconds
    ww.sample(*given, temperature=0.1, sampler=KINDS[name], throw=False)
    assert expected / 4 < time.process_time() - begun < 4 * expected + 10


if __name__ == "__main__":
    measured(sys.argv[1])
