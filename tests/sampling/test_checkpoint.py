"""Runs that are interrupted, killed and continued: the numbers of one that was left alone, to the last bit.

Run as a script, this file is the process that is killed: see `live` and `once`.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.sampling import Problem, checkpoint, load, sample_grid
from widthwise.sampling.checkpoint import Checkpoint, name_of
from widthwise.sampling.moves import move as moves
from widthwise.store import Store

RNG = np.random.default_rng(7)
X, X_TEST = RNG.normal(size=(6, 4)), RNG.normal(size=(3, 4))
Y, Y_TEST = np.sign(X[:, 0]), np.sign(X_TEST[:, 0])
NETWORK = ww.FullyConnected(widths=[3], weight_precisions=(1.5, 0.7), bias_variance=0.2)
SMALL = {"chains": 2, "draws": 60, "warmup": 30}
SAMPLERS = {
    "collapsed-hmc": ww.CollapsedHMC(**SMALL),
    "hmc": ww.HMC(**SMALL),
    "nuts": ww.NUTS(**SMALL, max_doublings=4),
    "langevin": ww.Langevin(**SMALL, step_size=1e-2, thinning=3),
    "tempered": ww.Tempered(**SMALL, levels=3),
}
# Of one life after the other: which of its checkpoints it dies at, and when. All but the last leave some of the run.
DEATHS = [(2, "within"), (2, "before"), (1, "after"), (2, "within")]


class Killed(Exception):
    pass


def sample(sampler, store=None, **changes):
    given = {"network": NETWORK, "X": X, "y": Y, "X_test": X_TEST, "y_test": Y_TEST, "temperature": 0.3, "key": 5}
    given |= changes
    arrays = [given.pop(name) for name in ("network", "X", "y", "X_test", "y_test")]
    return ww.sample(*arrays, sampler=sampler, throw=False, store=store, **given)


def grid(sampler, store=None):
    other = ww.FullyConnected(widths=[3], weight_precisions=(0.5, 2.0), bias_variance=0.1)
    problems = [Problem(NETWORK, X, Y, X_TEST, Y_TEST, 0.3), Problem(other, -X, Y, X_TEST, Y_TEST, 0.5)]
    return sample_grid(problems, sampler=sampler, key=5, throw=False, store=store)


def sampled(what, store=None):
    """A list of samples, of one network or, from "grid …", of two."""
    name = what.removeprefix("grid ")
    return [sample(SAMPLERS[name], store)] if name == what else grid(SAMPLERS[name], store)


def numbers(samples):
    """Everything that a run has found, the time that it took left out."""
    found = {f.name: getattr(samples, f.name) for f in dataclasses.fields(samples)}
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    return arrays | {name: np.asarray(found[name]) for name in ("key", "step_size")}


def same(first, second):
    first, second = numbers(first), numbers(second)
    return first.keys() == second.keys() and all(
        a.shape == second[name].shape and a.tobytes() == second[name].tobytes() for name, a in first.items()
    )


def mortal(patch, die, at, moment):
    """Die at checkpoint number `at`: before it, within its transaction when all but the last is written, or after."""
    save, put, count = Checkpoint.save, Store.put, [0]

    def save_or_die(self, *given):
        count[0] += 1
        if (count[0], moment) == (at, "before"):
            die()
        save(self, *given)
        if (count[0], moment) == (at, "after"):
            die()

    def put_or_die(self, *given):
        if (count[0], moment) == (at, "within"):
            die()
        put(self, *given)

    patch(checkpoint, "EVERY", 0.0)
    patch(Checkpoint, "save", save_or_die)
    patch(Store, "put", put_or_die)


@pytest.fixture
def transitions(monkeypatch):
    """How often chains have been moved on, by chunks."""
    counted, advance = [], moves.advance

    def counting(*given):
        counted.append(1)
        return advance(*given)

    monkeypatch.setattr(moves, "advance", counting)
    return counted


@pytest.mark.parametrize("what", ["collapsed-hmc", "langevin", *(
    pytest.param(what, marks=pytest.mark.slow)
    for what in ("hmc", "nuts", "tempered", "grid hmc", "grid langevin", "grid tempered")
)])  # fmt: skip
def test_what_is_taken_up_again_and_again_ends_as_if_left_alone(what, tmp_path, transitions):
    def die():
        raise Killed

    alone = sampled(what)
    needed = len(transitions)
    del transitions[:]
    kept = []
    for at, moment in DEATHS:
        with pytest.MonkeyPatch.context() as patch:
            mortal(patch.setattr, die, at, moment)
            with pytest.raises(Killed):
                sampled(what, tmp_path / "runs.db")
        (name,) = Store(tmp_path / "runs.db").keys()
        kept.append(Store(tmp_path / "runs.db").get(name).written)
    again = sampled(what, tmp_path / "runs.db")
    assert len(set(kept)) == len(DEATHS)  # each life has left more than it found
    assert all(map(same, alone, again))
    # nothing is done twice but what was not kept yet
    assert len(transitions) == needed + sum(moment != "after" for _, moment in DEATHS)


def live(folder, what, *death):
    """In a process of its own: a run that dies; or that goes on to its end, and the same without a store."""
    if death:
        mortal(setattr, lambda: os.kill(os.getpid(), signal.SIGKILL), int(death[0]), death[1])
    for name, store in (("again", folder / "runs.db"), ("alone", None)):
        for g, one in enumerate(sampled(what, store)):
            one.save(folder / f"{name}{g}.npz")


def child(folder, what, *arguments, cache, status=0):
    """This file as a process with pinned threads, until its end, unless `status` is None.

    What it compiles is kept for the next.
    """
    pinned = {
        "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_COMPILATION_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }  # fmt: skip
    code = [sys.executable, __file__, str(folder), what, *arguments]
    process = subprocess.Popen(code, env=os.environ | pinned, stderr=subprocess.PIPE, text=True)
    if status is not None:
        _, err = process.communicate()
        assert process.returncode == status, err
    return process


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.mark.skipif(sys.platform == "win32", reason="no kill −9")
@pytest.mark.parametrize(("what", "deaths"), [("langevin", [(4, "within")]), *(
    pytest.param(what, DEATHS, marks=pytest.mark.slow) for what in (*SAMPLERS, "grid collapsed-hmc", "grid nuts")
)])  # fmt: skip
def test_a_run_that_is_killed_goes_on_to_the_same_numbers(what, deaths, tmp_path, cache):
    for at, moment in deaths:
        child(tmp_path, what, "live", str(at), moment, cache=cache, status=-signal.SIGKILL)
    child(tmp_path, what, "live", cache=cache)
    alone = sorted(tmp_path.glob("alone*.npz"))
    assert len(alone) == (2 if what.startswith("grid") else 1)
    for path in alone:
        assert same(load(path), load(tmp_path / path.name.replace("alone", "again")))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no kill −9")
def test_a_run_that_is_killed_at_no_matter_what_moment(tmp_path, cache, rng):
    child(tmp_path, "langevin", "once", "alone", cache=cache)
    killed = 0
    for _ in range(40):
        process = child(tmp_path, "langevin", "once", "again", "slowly", cache=cache, status=None)
        while not (tmp_path / "begun").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.4))
        process.kill()
        process.communicate()
        (tmp_path / "begun").unlink(missing_ok=True)
        if process.returncode == 0:
            break
        killed += 1
    assert process.returncode == 0
    assert killed > 1
    assert same(load(tmp_path / "alone0.npz"), load(tmp_path / "again0.npz"))


@pytest.mark.slow
def test_two_processes_at_once_end_with_the_same_numbers(tmp_path, cache):
    child(tmp_path, "langevin", "once", "alone", cache=cache)
    both = [child(tmp_path, "langevin", "once", name, cache=cache, status=None) for name in ("one", "two")]
    for process in both:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert all(same(load(tmp_path / "alone0.npz"), load(tmp_path / f"{name}0.npz")) for name in ("one", "two"))
    assert len(Store(tmp_path / "runs.db").keys()) == 1
    child(tmp_path, "langevin", "once", "three", cache=cache)
    assert same(load(tmp_path / "alone0.npz"), load(tmp_path / "three0.npz"))


LANGEVIN = SAMPLERS["langevin"]
LONGER = dataclasses.replace(LANGEVIN, draws=90)


def test_a_finished_run_is_read_and_not_made(tmp_path, transitions):
    first = sample(LANGEVIN, tmp_path / "runs.db")
    del transitions[:]
    begun = time.process_time()
    again = sample(LANGEVIN, Store(tmp_path / "runs.db"))
    assert time.process_time() - begun < 1.0
    assert not transitions
    assert same(first, again)
    assert again.seconds == pytest.approx(first.seconds, abs=1.0)  # of the run, not of the reading


@pytest.mark.parametrize("few", [10, 25, 60, 75])
def test_a_run_is_continued_to_more_draws(few, tmp_path, transitions):
    longer = sample(LONGER)
    del transitions[:]
    shorter = sample(dataclasses.replace(LANGEVIN, draws=few), tmp_path / "runs.db")
    assert same(sample(LONGER, tmp_path / "runs.db"), longer)
    assert len(transitions) == 2 + 4
    # and the longer one answers for every shorter
    assert same(sample(dataclasses.replace(LANGEVIN, draws=few), tmp_path / "runs.db"), shorter)
    assert same(sample(LONGER, tmp_path / "runs.db"), longer)
    assert len(transitions) == 2 + 4


def test_anew_on_demand(tmp_path, transitions):
    first = sample(LANGEVIN, tmp_path / "runs.db")
    made = len(transitions)
    assert same(sample(LANGEVIN, tmp_path / "runs.db", resume=False), first)
    assert len(transitions) == 2 * made
    assert len(Store(tmp_path / "runs.db").keys()) == 1


def test_what_another_process_has_begun_anew_is_not_half_taken_up(tmp_path):
    """One process writes its third chunk, after a second one has thrown away the first two."""
    store = Store(tmp_path / "runs.db")
    sample(LANGEVIN, store)
    (name,) = store.keys()
    entry, *_, last = store.get(name), *store.parts(name)
    store.delete(name)
    store.append(name, last.part, last.record, last.arrays)
    store.put(name, entry.record, entry.arrays)
    assert same(sample(LANGEVIN, store), sample(LANGEVIN))


def test_a_damaged_store_is_said_to_be_one(tmp_path):
    path = tmp_path / "runs.db"
    first = sample(LANGEVIN, path)
    content = path.read_bytes()
    drawn = first.train_mean[0, 30, 0].tobytes()  # some of what was drawn, wherever it lies
    assert drawn in content
    path.write_bytes(content.replace(drawn, bytes(len(drawn))))
    with pytest.raises(InputError, match="damaged; delete the key"):
        sample(LANGEVIN, path)
    assert same(sample(LANGEVIN, path, resume=False), first)
    path.write_bytes(content[:5000])
    with pytest.raises(InputError, match="damaged"):
        sample(LANGEVIN, path)


def named(sampler=LANGEVIN, *, words=(0, 5), thinning=1, **changes):
    given = {"network": NETWORK, "X": X, "y": Y, "X_test": X_TEST, "y_test": Y_TEST, "temperature": 0.3} | changes
    return name_of([Problem(**given)], sampler, [words], thinning)


def network(**changes):
    return dataclasses.replace(NETWORK, **changes)


def soft(h):
    return jnp.tanh(h) + 0.1 * h


MATTERS = {
    "temperature": {"temperature": 0.3 * (1 + 1e-15)},
    "X": {"X": X + np.where(np.arange(24).reshape(6, 4) == 7, 1e-14, 0.0)},
    "order of the data": {"X": X[::-1], "y": Y[::-1]},
    "y": {"y": -Y},
    "two outputs": {"y": np.stack([Y, Y], 1), "y_test": np.stack([Y_TEST, Y_TEST], 1)},
    "X_test": {"X_test": X_TEST[::-1]},
    "no X_test": {"X_test": None, "y_test": None},
    "key": {"words": (0, 6)},
    "thinning of the weights": {"thinning": 2},
    "width": {"network": network(widths=(4,))},
    "precision": {"network": network(weight_precisions=(1.5, 0.8))},
    "bias": {"network": network(bias_variance=0.3)},
    "activation": {"network": network(activation="relu")},
    "slope": {"network": network(activation="leaky_relu(0.1)")},
    "callable": {"network": network(activation=soft)},
    "sampler": {"sampler": SAMPLERS["hmc"]},
    "collapsed": {"sampler": SAMPLERS["collapsed-hmc"]},
    "doublings": {"sampler": dataclasses.replace(SAMPLERS["nuts"], max_doublings=5)},
    **{
        name: {"sampler": dataclasses.replace(LANGEVIN, **{name: value})}
        for name, value in {"chains": 3, "warmup": 31, "step_size": 1.1e-2, "thinning": 4}.items()
    },
}
INDIFFERENT = {
    "draws": {"sampler": LONGER},
    "memory": {"sampler": dataclasses.replace(LANGEVIN, memory=1.0, weights_memory=0.1)},
    "y_test": {"y_test": -Y_TEST},
    "no y_test": {"y_test": None},
    "one number for every layer": {"network": network(bias_variance=(0.2,))},
    "the theory's closure": {"network": network(closure="nested")},
    "lists": {"X": X.tolist(), "y": Y.tolist()},
    "memory order": {"X": np.asfortranarray(X)},
}


def test_a_run_is_named_by_everything_that_matters():
    names = [named(), *(named(**changes) for changes in MATTERS.values())]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("what", INDIFFERENT)
def test_and_by_nothing_else(what):
    assert named(**INDIFFERENT[what]) == named()


def test_functions_of_the_caller_are_known_by_their_values():
    def once(h):
        return jnp.tanh(h) + 0.1 * h

    def other(h):
        return jnp.tanh(h) + 0.1000001 * h

    names = [named(network=network(activation=phi)) for phi in (soft, once, lambda h: 0.1 * h + jnp.tanh(h), other)]
    assert names[0] == names[1] == names[2]
    assert names[3] != names[0]
    seven, eight = (named(network=network(activation=lambda h, far=far: jnp.clip(h, -far, far))) for far in (7, 8))
    assert seven != eight


def test_what_matters_is_begun_anew_and_the_rest_is_taken_up(tmp_path, transitions):
    sample(LANGEVIN, tmp_path / "runs.db")
    del transitions[:]
    flipped = sample(LANGEVIN, tmp_path / "runs.db", y_test=-Y_TEST)
    assert not transitions
    assert flipped.generalisation_error.value == sample(LANGEVIN, y_test=-Y_TEST).generalisation_error.value
    for changes in ({"temperature": 0.4}, {"key": 6}, {"network": network(weight_precisions=(1.5, 0.8))}):
        del transitions[:]
        again = sample(LANGEVIN, tmp_path / "runs.db", **changes)
        assert len(transitions) == 5
        assert same(again, sample(LANGEVIN, **changes))
    assert len(Store(tmp_path / "runs.db").keys()) == 4


def once(folder, what, name, *slowly):
    """In a process of its own: one run, a checkpoint after every chunk; and a while after each, to be killed in."""
    checkpoint.EVERY = 0.0
    if slowly:
        save = Checkpoint.save

        def save_slowly(self, *given):
            (folder / "begun").touch()
            save(self, *given)
            time.sleep(0.1)

        Checkpoint.save = save_slowly
    for g, one in enumerate(sampled(what, None if name == "alone" else folder / "runs.db")):
        one.save(folder / f"{name}{g}.npz")


if __name__ == "__main__":
    folder, what, kind, *rest = sys.argv[1:]
    {"live": live, "once": once}[kind](Path(folder), what, *rest)
