"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from widthwise.errors import InputError
from widthwise.files import whole, writable, write_files


def test_the_file_takes_its_place_only_at_the_end(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    with whole(path, "w") as file:
        file.write("new: π")
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "new: π"
    assert os.listdir(tmp_path) == ["result.json"]


def test_binary_and_a_path_as_text(tmp_path):
    with whole(str(tmp_path / "result.npz")) as file:
        file.write(b"\x00\x01")
    assert (tmp_path / "result.npz").read_bytes() == b"\x00\x01"


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", [None, "old"])
def test_nothing_is_left_behind_by_a_failure(tmp_path, fault, before):
    path = tmp_path / "result.json"
    if before is not None:
        path.write_text(before)

    def fail():
        with whole(path, "w") as file:
            file.write("half of it")
            raise fault

    with pytest.raises(fault):
        fail()
    assert os.listdir(tmp_path) == ([] if before is None else ["result.json"])
    assert before is None or path.read_text() == before


def test_it_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with whole(tmp_path / "whole", "w"):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")]
    assert modes[0] == modes[1]


def test_a_path_relative_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole("result.txt", "w") as file:
        file.write("here")
    assert (tmp_path / "result.txt").read_text() == "here"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected the name of a file, got a folder"),
        ("missing/result", "expected an existing folder, got .*missing"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, message):
    for attempt in (writable, lambda path: whole(path).__enter__()):
        with pytest.raises(InputError, match=message):
            attempt(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_folder_or_a_file_without_permission(tmp_path):
    path = tmp_path / "result"
    path.write_text("kept")
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write anything")
    with pytest.raises(InputError, match="choose another path"):
        writable(path)


def test_files_are_written_and_replaced(tmp_path):
    target = writable(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
    write_files({target: b"one"})
    write_files({target: b"two", tmp_path / "b": b"three"})
    assert target.read_bytes() == b"two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_files({writable(tmp_path / "link"): b"new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_nothing_changes_when_one_cannot_be_written(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "gone" / "bad"
    good.write_text("old")
    with pytest.raises(InputError):
        write_files({good: b"new", bad: b"new"})
    assert good.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["good"]


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for bad in (tmp_path, tmp_path / "no" / "such", tmp_path / "file" / "below", Path(os.devnull)):
        with pytest.raises(InputError, match="--figure: expected"):
            writable(bad, "--figure")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that refuses everybody")
def test_a_folder_that_refuses():
    with pytest.raises(InputError, match="choose another path"):
        writable("/proc/self/out.json")
