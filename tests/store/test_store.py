"""What goes in comes out, exactly; what is undone was never there."""

import json
import math
import os
import pickle
import sqlite3
from datetime import UTC, datetime

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.store import Store, arrays
from widthwise.store.entry import checked_key, checked_part, encode_record


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs.db")


ARRAYS = {
    "bool": np.array([True, False, True]),
    "uint32": np.array([[0, 2**32 - 1]], np.uint32),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "float16": np.array([65504.0, 6e-8], np.float16),
    "float32": np.array([np.pi, -0.0, np.nan, np.inf], np.float32),
    "float64": np.array([5e-324, -0.0, -np.inf, np.nextafter(1.0, 2.0)]),
    "complex": np.array([1 + 2j, -0.0 - 1j]),
    "big-endian": np.arange(3, dtype=">f8"),
    "text": np.array(["é", "ab\0c"]),
    "bytes": np.array([b"x", b"yz"]),
    "time": np.array(["2024-06-07", "NaT"], "datetime64[D]"),
    "empty": np.zeros((0, 3), np.float32),
    "no text": np.zeros(2, "<U0"),
    "scalar": np.array(2.5),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(20)[::-3],
}


@pytest.mark.parametrize("block", [1, 7, 2**26])
def test_arrays_come_back_bit_for_bit(store, monkeypatch, block):
    monkeypatch.setattr(arrays, "BLOCK", block)
    store.put("all", {}, ARRAYS)
    found = Store(store.path).get("all").arrays
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype.str == array.dtype.str, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name
        assert found[name].flags.writeable, name


def test_records_come_back(store):
    record = {"a": [1, 2.5, None, True, "π\n", {"b": {}}], "big": 2**200, "tiny": 5e-324, "inf": [math.inf, -math.inf]}
    store.put("k", record | {"tuple": (1, (2,)), "numpy": np.float32(0.5), "nan": math.nan})
    found = store.get("k").record
    assert math.isnan(found.pop("nan"))
    assert found == record | {"tuple": [1, [2]], "numpy": 0.5}
    assert encode_record(record) == json.dumps(record)


def test_an_entry_says_when_it_was_written(store):
    before = datetime.now(UTC)
    store.put("k", {})
    store.append("k", 3, {})
    entry, (part,) = store.get("k"), store.parts("k")
    assert before <= datetime.fromisoformat(entry.written) <= datetime.fromisoformat(part.written) <= datetime.now(UTC)
    assert (entry.key, entry.part, part.key, part.part) == ("k", None, "k", 3)


def test_an_entry_and_parts_are_apart_and_each_replaced(store):
    store.append("run", 2, {"n": 2})
    assert store.get("run") is None
    assert "run" in store
    store.put("run", {"n": "entry"}, {"a": np.zeros(3)})
    for part in (10, 0, 2):
        store.append("run", part, {"n": part}, {"a": np.full(4, part)})
    store.put("run", {"n": "new"})
    assert store.get("run").record == {"n": "new"}
    assert store.get("run").arrays == {}
    parts = list(store.parts("run"))
    assert [p.record["n"] for p in parts] == [p.part for p in parts] == [0, 2, 10]
    assert [p.arrays["a"].tolist() for p in parts] == [[0] * 4, [2] * 4, [10] * 4]


def test_parts_are_read_one_by_one(store):
    for part in range(3):
        store.append("run", part, {"n": part})
    parts = store.parts("run")
    assert next(parts).part == 0
    store.append("run", 1, {"n": "again"})
    store.append("other", 0, {})
    assert next(parts).record == {"n": "again"}
    store.delete("run")
    assert list(parts) == []
    assert list(store.parts("run")) == []


def test_keys_by_prefix(store):
    for key in ("b/2", "b/10", "a", "b", "b0", "é", "b/😀", "%", "b_"):
        store.append(key, 0, {})
        store.append(key, 1, {})
    store.put("b", {})
    assert store.keys() == sorted(["b/2", "b/10", "a", "b", "b0", "é", "b/😀", "%", "b_"])
    assert store.keys("b/") == ["b/10", "b/2", "b/😀"]
    assert store.keys("%") == ["%"]
    assert store.keys("b_") == ["b_"]
    assert store.keys("z") == []
    assert len(store) == 9
    store.delete("b")
    store.delete("never there")
    assert "b" not in store
    assert store.get("b") is None
    assert len(store) == 8


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, sqlite3.OperationalError])
def test_an_exception_undoes_a_whole_transaction(store, fault):
    store.put("old", {"n": 0}, {"a": np.arange(3)})

    def fail():
        with store.transaction():
            store.put("old", {"n": 1}, {"a": np.arange(4)})
            store.append("new", 0, {})
            store.delete("old")
            assert store.get("old") is None
            raise fault

    with pytest.raises(fault):
        fail()
    assert store.keys() == ["old"]
    assert store.get("old").record == {"n": 0}
    assert store.get("old").arrays["a"].tolist() == [0, 1, 2]
    store.put("after", {})
    assert store.keys() == ["after", "old"]


def test_nobody_else_sees_half_a_transaction(store):
    other = Store(store.path)
    with store.transaction():
        store.put("a", {})
        store.put("b", {})
        assert store.keys() == ["a", "b"]
        assert other.keys() == []
    assert other.keys() == ["a", "b"]


def test_a_transaction_inside_another_joins_it(store):
    def inner():
        with store.transaction():
            store.put("b", {})
            raise KeyError

    with store.transaction():
        store.put("a", {})
        with store.transaction():
            store.put("c", {})
        with pytest.raises(KeyError):
            inner()
        assert Store(store.path).keys() == []
    assert store.keys() == ["a", "c"]

    def outer():
        with store.transaction():
            with store.transaction():
                store.put("d", {})
            raise KeyError

    with pytest.raises(KeyError):
        outer()
    assert store.keys() == ["a", "c"]


def test_a_refused_write_inside_a_transaction_leaves_the_rest(store):
    with store.transaction():
        store.put("a", {})
        with pytest.raises(InputError):
            store.put("b", {}, {"x": np.array([None])})
        with pytest.raises(InputError, match="vacuum: expected no transaction"):
            store.vacuum()
    assert store.keys() == ["a"]


def test_one_file_and_nothing_open(store):
    store.put("k", {"n": 1}, {"a": np.zeros(10)})
    folder = store.path.parent
    assert os.listdir(folder) == ["runs.db"]
    copy = store.path.rename(folder / "moved.db")
    assert Store(copy).get("k").record == {"n": 1}
    with pytest.raises(InputError, match="expected a file that may be read and written"):
        store.get("k")
    assert os.listdir(folder) == ["moved.db"]


def test_a_store_or_its_path(store, tmp_path, monkeypatch):
    assert Store.of(store) is store
    assert Store.of(str(store.path)).path == store.path
    monkeypatch.chdir(tmp_path)
    store.put("k", {})
    assert Store("runs.db").keys() == ["k"]
    with pickle.loads(pickle.dumps(store)) as again:
        assert again.path == store.path
        assert again.keys() == ["k"]
    (tmp_path / "empty.db").touch()
    assert Store("empty.db").keys() == []
    (tmp_path / "a%20b?c#d.db").symlink_to(store.path)
    assert Store("a%20b?c#d.db").keys() == ["k"]
    assert Store("new ?#%.db").path.name == "new ?#%.db"
    assert (tmp_path / "new ?#%.db").exists()


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", 3, None, b"k"])
def test_keys_that_are_none(key):
    with pytest.raises(InputError, match="key: expected a string"):
        checked_key(key)


@pytest.mark.parametrize("part", [-1, 2**63, 1.0, True, "0", None])
def test_parts_that_are_no_numbers(part):
    with pytest.raises(InputError, match="part: expected a whole number"):
        checked_part(part)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([1], "record: expected a dict, got list"),
        ({"a": [0, {1, 2}]}, r"record\['a'\]\[1\]: expected None.*got set"),
        ({"a": {1: 2}}, r"record\['a'\]: expected strings as keys, got 1"),
        ({"a": np.zeros(2)}, "ndarray; arrays go in arrays="),
        ({"a": 1j}, "got complex"),
        ({"a": np.longdouble(1)}, "longdouble"),
    ],
)
def test_records_that_json_cannot_hold(record, message):
    with pytest.raises(InputError, match=message):
        encode_record(record)


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.zeros(2, "f8,i4"), np.zeros(2, "V3"), np.ma.masked_equal([1, 2], 1), [[1], [1, 2]]]
    + ([np.zeros(2, np.longdouble)] if np.dtype(np.longdouble).itemsize > 8 else []),
)
def test_arrays_that_cannot_be_kept(store, array):
    store.put("k", {"n": 1})
    with pytest.raises(InputError, match=r"arrays\['bad'\]: expected an array"):
        store.put("k", {"n": 2}, {"good": np.zeros(2), "bad": array})
    assert store.get("k").record == {"n": 1}
