"""The file itself: what it costs, what damage does to it, and what is not ours."""

import os
import sqlite3

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.store import Store, connection

MEGABYTE = 2**20


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs.db")


def rows(store, table):
    with sqlite3.connect(store.path) as db:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    db.close()
    return count


def alter(store, sql, *values):
    with sqlite3.connect(store.path) as db:
        assert db.execute(sql, values).rowcount > 0
    db.close()


def test_what_is_no_path_is_refused():
    with pytest.raises(
        InputError, match=r"store: expected a Store or the path of a file, got 'a\\x00b' \(embedded null"
    ):
        Store("a\0b")


def test_an_array_is_kept_once(store, rng):
    noise = rng.bytes(MEGABYTE)
    array = np.frombuffer(noise, np.uint8)
    store.put("0", {}, {"a": array, "b": array})
    assert store.size < 1.1 * MEGABYTE
    for i in range(1, 20):
        store.put(str(i), {}, {"a": array.copy()})
        store.append("parts", i, {}, {"a": array})
    assert store.size < 1.1 * MEGABYTE
    assert store.size == os.path.getsize(store.path)
    store.put("other shape", {}, {"a": array.reshape(2, -1)})
    assert store.size > 2 * MEGABYTE


def test_it_goes_with_the_last_that_has_it(store, rng):
    array = np.frombuffer(rng.bytes(MEGABYTE), np.uint8)
    for key in ("a", "b"):
        store.put(key, {}, {"x": array, "own": np.arange(ord(key))})
    store.append("c", 0, {}, {"x": array})
    store.delete("a")
    store.put("b", {})
    assert rows(store, "blobs") == 1
    assert np.array_equal(next(store.parts("c")).arrays["x"], array)
    store.append("c", 0, {})
    assert [rows(store, table) for table in ("blobs", "blocks", "arrays")] == [0, 0, 0]
    store.vacuum()
    assert store.size < 0.1 * MEGABYTE
    assert store.keys() == ["b", "c"]


def test_a_state_replaced_for_ever_takes_the_room_of_two(store, rng):
    for _ in range(6):
        store.put("state", {}, {"a": np.frombuffer(rng.bytes(MEGABYTE), np.uint8)})
    assert rows(store, "blobs") == 1
    assert store.size < 2.2 * MEGABYTE


def test_one_flipped_bit_of_an_array_anywhere_in_the_file(store, rng):
    array = rng.normal(size=4096)
    store.put("good", {"n": 1}, {"a": np.zeros(3)})
    store.put("bad", {"n": 2}, {"a": array})
    content = bytearray(store.path.read_bytes())
    # a page in the middle of the array, found by what it says
    where = content.index(array[2000:2004].tobytes())
    content[where] ^= 1
    store.path.write_bytes(content)
    with pytest.raises(InputError, match=r"runs\.db', key 'bad': expected what was written, got other bytes"):
        store.get("bad")
    assert store.get("good").record == {"n": 1}
    store.put("again", {}, {"a": array})  # the same array, computed again, mends it
    assert np.array_equal(store.get("bad").arrays["a"], array)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET record = replace(record, '0.25', '0.75')",
        "UPDATE entries SET record = CAST(x'ff' || record AS TEXT)",
        "UPDATE entries SET written = '1970-01-01'",
        "UPDATE entries SET digest = ''",
        "UPDATE arrays SET name = 'other' WHERE name = 'a'",
        "UPDATE arrays SET hash = (SELECT hash FROM arrays WHERE name = 'b')",
        "DELETE FROM arrays WHERE name = 'a'",
        "UPDATE blobs SET shape = '[3, 2]'",
        "UPDATE blobs SET dtype = '<i8'",
        "UPDATE blobs SET dtype = '|O'",
        "UPDATE blocks SET bytes = substr(bytes, 1, 8)",
        "UPDATE blocks SET bytes = 'text'",
        "UPDATE blocks SET number = 1 - number",
        "DELETE FROM blocks WHERE number = 1",
        "DELETE FROM blobs",
    ],
)
def test_damage_of_every_column_is_found(store, sql, monkeypatch):
    monkeypatch.setattr("widthwise.store.arrays.BLOCK", 32)
    store.append("run", 7, {"T": 0.25}, {"a": np.arange(6.0).reshape(2, 3), "b": np.ones((2, 3))})
    assert next(store.parts("run")).record == {"T": 0.25}
    if "1 - number" in sql:
        alter(store, "UPDATE blocks SET number = -number - 1")
        sql = "UPDATE blocks SET number = -number"
        alter(store, "UPDATE blocks SET number = number + 100 WHERE number = -2")
    alter(store, sql)
    with pytest.raises(InputError, match=r"runs\.db', key 'run', part 7: expected what was written"):
        list(store.parts("run"))


def test_a_file_cut_short(store, rng):
    store.put("k", {}, {"a": rng.normal(size=10_000)})
    os.truncate(store.path, store.size // 2)
    with pytest.raises(InputError, match=r"key 'k'.*damaged"):
        store.get("k")


def test_what_is_not_a_store_is_left_untouched(tmp_path):
    places = {name: tmp_path / name for name in ("notes.txt", "other.db", "wal.db", "later.db", "empty.db")}
    places["notes.txt"].write_text("Not a data base. " * 500)
    short = {f"{n} bytes": tmp_path / f"{n} bytes" for n in (1, 100, 511, 512, 1023, 1024, 4095, 4096)}
    for n, path in short.items():
        path.write_bytes(b"x" * int(n.split()[0]))
    places |= short
    for name, mode in (("other.db", "delete"), ("wal.db", "wal")):
        db = sqlite3.connect(places[name])
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("CREATE TABLE theirs (a)")
        db.commit()
        db.close()
    Store(places["later.db"])
    for name, sql in (("later.db", f"PRAGMA user_version = {connection.VERSION + 1}"), ("empty.db", "VACUUM")):
        db = sqlite3.connect(places[name])
        db.execute(sql)
        db.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    messages = {
        "notes.txt": "a file of something else",
        **dict.fromkeys(short, "a file of something else"),
        "other.db": "a database of something else",
        "wal.db": "a database of something else",
        "later.db": "got version 2; read it with the release that wrote it",
    }
    for name, message in messages.items():
        with pytest.raises(InputError, match=message):
            Store(places[name])
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_places_that_are_no_files(tmp_path):
    for path, message in [
        (tmp_path, "got a folder"),
        (tmp_path / "no" / "such.db", "expected an existing folder"),
        (os.devnull, "got the device"),
    ]:
        with pytest.raises(InputError, match=message):
            Store(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that refuses everybody")
def test_a_folder_that_refuses():
    with pytest.raises(InputError, match="choose another path"):
        Store("/proc/self/runs.db")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write anything")
def test_a_store_that_may_only_be_read_or_not_even_that(store):
    store.put("k", {"n": 1})
    store.path.chmod(0o444)
    assert Store(store.path).get("k").record == {"n": 1}
    with pytest.raises(InputError, match="expected a file that may be read and written"):
        store.put("k", {"n": 2})
    store.path.chmod(0)
    with pytest.raises(InputError, match="choose another path"):
        Store(store.path)
    store.path.chmod(0o644)


def test_a_full_disk_loses_nothing(store, rng):
    resource = pytest.importorskip("resource")
    store.put("k", {"n": 1}, {"a": np.arange(3)})
    big = np.frombuffer(rng.bytes(4 * MEGABYTE), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def both():
        with store.transaction():
            store.put("k", {"n": 2})
            store.put("k2", {}, {"a": big})

    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, limits[1]))
    try:
        for attempt in (lambda: store.put("k", {"n": 2}, {"a": big}), both):
            with pytest.raises(InputError, match="expected room to write, got none"):
                attempt()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.keys() == ["k"]
    assert store.get("k").record == {"n": 1}
    assert store.get("k").arrays["a"].tolist() == [0, 1, 2]
    both()
    assert np.array_equal(store.get("k2").arrays["a"], big)
