"""Many processes and threads on one file, and processes that die."""

import inspect
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.store import Store, arrays, connection

# A run: its state replaced and a part appended, together. Most of its time goes into commits.
RUN = """
import sys
import numpy as np
from widthwise.store import Store

store = Store(sys.argv[1])
state = store.get("run")
n = 0 if state is None else state.record["n"] + 1
print("go", flush=True)
while True:
    array = np.random.default_rng(n).normal(size=20_000)
    with store.transaction():
        store.put("run", {"n": n}, {"state": array, "twice": 2.0 * array})
        store.append("run", n, {"n": n}, {"draws": array})
    n += 1
"""

BIRTHS = """
import sys
from widthwise.store import Store

print("go", flush=True)
n = 0
while True:
    Store(f"{sys.argv[1]}/{n}.db").put("n", {"n": n})
    n += 1
"""


def killed(code, argument, seconds):
    """Runs `code` until `seconds` after it says go; then kill −9."""
    child = subprocess.Popen([sys.executable, "-c", code, str(argument)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "go\n"
    time.sleep(seconds)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no kill −9")
def test_a_run_killed_at_any_moment_leaves_its_last_commit(tmp_path, rng):
    path, done, torn = tmp_path / "runs.db", 0, 0
    for _ in range(6):
        killed(RUN, path, rng.uniform(0.05, 0.3))
        torn += os.path.exists(f"{path}-journal")
        store = Store(path)
        state, parts = store.get("run"), list(store.parts("run"))
        n = -1 if state is None else state.record["n"]
        assert [part.record["n"] for part in parts] == list(range(n + 1))
        for part in parts[done:]:
            assert np.array_equal(part.arrays["draws"], np.random.default_rng(part.part).normal(size=20_000))
        assert n < 0 or np.array_equal(state.arrays["twice"], 2.0 * parts[-1].arrays["draws"])
        assert len(parts) >= done
        done = len(parts)
    assert done > 0
    assert torn > 0  # at least one died within a transaction
    store.put("after", {})  # a journal that was never begun stays until somebody writes
    assert os.listdir(tmp_path) == ["runs.db"]


@pytest.mark.skipif(sys.platform == "win32", reason="no kill −9")
def test_a_store_killed_at_its_birth_can_be_opened(tmp_path, rng):
    for _ in range(4):
        killed(BIRTHS, tmp_path, rng.uniform(0.0, 0.1))
        for path in tmp_path.glob("*.db"):
            assert Store(path).keys() in ([], ["n"])


def write_many(path, name, count):
    store = Store(path)
    for i in range(count):
        store.put(f"{name}/{i}", {"i": i}, {"shared": np.arange(100.0), "own": np.full(50, i)})
        store.append("both", i, {"i": i}, {"a": np.full(5, i)})
        with store.transaction():
            counter = store.get("counter")
            store.put("counter", {"n": (0 if counter is None else counter.record["n"]) + 1})


def check_many(path, names, count):
    store = Store(path)
    assert store.get("counter").record == {"n": len(names) * count}
    assert len(store) == len(names) * count + 2
    for name in names:
        for i in range(count):
            entry = store.get(f"{name}/{i}")
            assert entry.record == {"i": i}
            assert entry.arrays["own"].tolist() == [i] * 50
    assert [part.record["i"] for part in store.parts("both")] == list(range(count))


def test_processes_at_once_lose_nothing(tmp_path):
    path, names = tmp_path / "runs.db", ("a", "b", "c")
    code = "import sys\nimport numpy as np\nfrom widthwise.store import Store\n" + inspect.getsource(write_many)
    code += "write_many(sys.argv[1], sys.argv[2], 15)"
    # the file does not exist yet: one of them makes it
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in names]
    assert [child.wait() for child in children] == [0, 0, 0]
    check_many(path, names, 15)


def test_threads_at_once_lose_nothing(tmp_path):
    path, names = tmp_path / "runs.db", ("a", "b", "c")
    threads = [threading.Thread(target=write_many, args=(path, name, 10)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_many(path, names, 10)


def test_a_transaction_is_its_own_threads(tmp_path):
    store, seen = Store(tmp_path / "runs.db"), []
    with store.transaction():
        store.put("a", {})
        thread = threading.Thread(target=lambda: seen.append(store.keys()))
        thread.start()
        thread.join()
        seen.append(store.keys())
    assert seen == [[], ["a"]]


def test_a_writer_who_waits_too_long_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.1)
    store, other = Store(tmp_path / "runs.db"), Store(tmp_path / "runs.db")
    store.put("k", {"n": 0})
    with store.transaction():
        store.put("k", {"n": 1}, {"a": np.zeros(500_000)})
        with pytest.raises(InputError, match=r"runs\.db', key 'k': expected its turn within 0\.1 s"):
            other.put("k", {"n": 2})
        assert other.get("k").record == {"n": 0}  # readers do not wait for a transaction, however much it writes
    assert other.get("k").record == {"n": 1}


def test_a_reader_sees_one_state_though_another_replaces_it(tmp_path, monkeypatch):
    store, fetch, late = Store(tmp_path / "runs.db"), arrays.fetch, []
    store.put("k", {"n": 0}, {"a": np.zeros(3)})

    def interrupted(*args):
        with pytest.raises(InputError, match="expected its turn"):
            Store(store.path).put("k", {"n": 1}, {"a": np.ones(3)})
        late.append(True)
        return fetch(*args)

    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(arrays, "fetch", interrupted)
    assert store.get("k").arrays["a"].tolist() == [0, 0, 0]
    assert late == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
@pytest.mark.parametrize("inside", [False, True])
def test_a_fork_has_the_store_but_not_the_transaction(tmp_path, inside):
    store = Store(tmp_path / "runs.db")
    store.put("parent", {"n": 0})

    def fork():
        child = os.fork()
        if child == 0:
            try:
                store.put("child", {})
                os._exit(0)
            except InputError as error:
                os._exit(7 if "got a fork" in str(error) else 1)
            except BaseException:
                os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    if inside:
        with store.transaction():
            store.put("parent", {"n": 1})
            assert fork() == 7
        assert store.get("parent").record == {"n": 1}
        assert store.keys() == ["parent"]
    else:
        assert fork() == 0
        assert store.keys() == ["child", "parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_fork_that_leaves_the_block_undoes_nothing(tmp_path):
    store = Store(tmp_path / "runs.db")
    status, child = 1, None
    try:
        with store.transaction():
            store.put("k", {"n": 1})
            child = os.fork()
    except InputError as error:
        status = 7 if "got a fork" in str(error) else 1
    finally:
        if child == 0:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert store.get("k").record == {"n": 1}
