"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from widthwise.errors import InputError
from widthwise.report.files import check_writable, write_files


def test_files_are_written_and_replaced(tmp_path):
    target = check_writable("--json", tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
    write_files({target: b"one"})
    write_files({target: b"two", tmp_path / "b": b"three"})
    assert target.read_bytes() == b"two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_files({check_writable("--json", tmp_path / "link"): b"new"})
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
            check_writable("--figure", bad)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that refuses everybody")
def test_a_folder_that_refuses():
    with pytest.raises(InputError, match="choose another path"):
        check_writable("--json", "/proc/self/out.json")
