"""Files in, sources out; and every broken file refused in one line."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from widthwise import load_data
from widthwise.data.files import read_file
from widthwise.errors import InputError


@pytest.fixture
def table(rng):
    X = rng.normal(size=(30, 3))
    y = np.tile([0, 1], 15)
    columns = {"a": X[:, 0], "b": X[:, 1], "target": y, "c": X[:, 2]}
    return X, y, pa.table(columns)


def write(table, path):
    (pa.csv.write_csv if path.suffix == ".csv" else pa.parquet.write_table)(table, path)
    return path


def refusal(path):
    """The one line with which a file is refused; None when it is not."""
    try:
        load_data(path)
    except InputError as error:
        return str(error) if "\n" not in str(error) else pytest.fail("more than one line")
    return None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_round_trip(table, tmp_path, suffix):
    X, y, columns = table
    source = read_file(write(columns, tmp_path / f"t{suffix}"))
    np.testing.assert_array_equal(source.X, X)
    np.testing.assert_array_equal(source.y, y)
    assert source.X_test is None


def test_every_route_gives_the_same_data(table, tmp_path):
    X, y, columns = table
    np.savez(tmp_path / "t.npz", X=X, y=y, other=np.zeros(3))
    paths = [tmp_path / "t.npz", write(columns, tmp_path / "t.csv"), write(columns, tmp_path / "t.parquet")]
    first, *others = (load_data(str(path), train_size=20, test_size=10, seed=2) for path in paths)
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_named_target_and_text_labels(table, tmp_path, suffix):
    _X, y, columns = table
    columns = columns.append_column("kind", pa.array(np.array(["cat", "dog"])[y])).drop_columns("target")
    path = write(columns, tmp_path / f"t{suffix}")
    data = load_data(path, target="kind", train_size=10)
    assert data.classes == ("cat", "dog")
    assert data.X.shape == (10, 3)
    np.testing.assert_array_equal(data.y, 2.0 * y[data.train_rows] - 1)
    with pytest.raises(InputError, match="did you mean 'kind'"):
        load_data(path, target="kinds")
    with pytest.raises(InputError, match="name the target column"):
        load_data(path)
    with pytest.raises(InputError, match="encode or drop"):
        load_data(path, target="a")


def test_parquet_types(tmp_path):
    path = tmp_path / "t.parquet"
    kinds = {
        "flag": pa.array([True, False, True]),
        "small": pa.array([1, 2, 3], pa.int8()),
        "half": pa.array([0.5, 1, 2], pa.float32()),
        "label": pa.array(["a", "b", "a"]).dictionary_encode(),
    }
    pa.parquet.write_table(pa.table(kinds), path)
    source = read_file(path)
    assert source.X.tolist() == [[1, 1, 0.5], [0, 2, 1], [1, 3, 2]]
    assert source.y.tolist() == ["a", "b", "a"]


def test_csv_with_semicolons_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeffa; b;y\n1;2.5;0\n3;4;1\n", encoding="utf-8")
    source = read_file(path)
    assert source.X.tolist() == [[1, 2.5], [3, 4]]
    assert source.y.tolist() == [0, 1]


def test_npz_with_its_own_split(tmp_path, rng):
    arrays = {
        "X_train": rng.integers(0, 256, (40, 2, 2), dtype=np.uint8),
        "y_train": np.tile([3, 8], 20),
        "X_test": rng.integers(0, 256, (10, 2, 2), dtype=np.uint8),
        "y_test": np.tile([3, 8], 5),
    }
    np.savez(tmp_path / "t.npz", **arrays)
    data = load_data(tmp_path / "t.npz", train_size=10, test_size=4, standardise="none", labels="raw")
    np.testing.assert_array_equal(data.X, arrays["X_train"].reshape(40, 4)[data.train_rows])
    np.testing.assert_array_equal(data.X_test, arrays["X_test"].reshape(10, 4)[data.test_rows])
    np.testing.assert_array_equal(data.y_test, arrays["y_test"][data.test_rows])
    assert load_data(tmp_path / "t.npz", flatten=False).X.shape == (40, 2, 2)


BAD_CSV = {
    "empty": ("", "empty file"),
    "not UTF-8": ("a,\udce0,y\n1,2,0\n3,4,1\n", "save the file as UTF-8"),
    "header only": ("a,b,y\n", "got 0 rows"),
    "ragged": ("a,b,y\n1,2,0\n1,2\n", "cannot be read"),
    "no header": ("1,2,0\n3,4,1\n", "add a header line"),
    "text": ("a,b,y\n1,red,0\n2,blue,1\n", "'b'; encode or drop"),
    "missing": ("a,b,y\n1,,0\n2,3,1\n", "1 missing"),
    "missing target": ("a,b,y\n1,1,0\n2,3,\n", "1 missing"),
    "unnamed": (",b,y\n0,1,0\n1,3,1\n", "one without"),
    "twice": ("a,y,y\n0,1,0\n1,3,1\n", "rename"),
    "two targets": ("a,y,target\n0,1,0\n1,3,1\n", "got several"),
    "no features": ("y\n0\n1\n", "at least one feature"),
    "infinite": ("a,y\ninf,0\n1,1\n", "finite"),
    "nan": ("a,y\nnan,0\n1,1\n", "fill|finite"),
    "binary": ("a,y\n\x00\x01\udcff,0\n", "expected"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_csv_that_cannot_be_used(case, tmp_path):
    text, words = BAD_CSV[case]
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=words) as caught:
        load_data(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".csv"])
def test_truncated_files_at_every_length(suffix, table, tmp_path):
    X, y, columns = table
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".npz":
        np.savez_compressed(whole, X=X, y=y)
    else:
        write(columns, whole)
    content = whole.read_bytes()
    part = tmp_path / f"part{suffix}"
    for length in np.linspace(0, len(content) - 1, 23).astype(int):
        part.write_bytes(content[:length])
        message = refusal(part)
        # a csv cut at the end of a line, or inside a number, is a shorter csv
        assert suffix == ".csv" or (message is not None and str(part) in message)


def test_corrupted_npz(tmp_path, rng):
    path = tmp_path / "t.npz"
    np.savez_compressed(path, X=rng.normal(size=(30, 3)), y=np.tile([0, 1], 15))
    content, refused = bytearray(path.read_bytes()), 0
    for place in range(20, len(content) - 100, 37):
        broken = content.copy()
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        refused += refusal(path) is not None
    assert refused > 10


def test_npz_with_objects_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    np.savez(tmp_path / "t.npz", X=np.array([Bomb(), 1], dtype=object), y=np.arange(2))
    with pytest.raises(InputError, match="never unpickled"):
        load_data(tmp_path / "t.npz")


def test_npz_with_other_names(tmp_path):
    np.savez(tmp_path / "t.npz", data=np.zeros((3, 2)), y=np.zeros(3))
    with pytest.raises(InputError, match="got data, y"):
        load_data(tmp_path / "t.npz")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    (tmp_path / "plain.npy").rename(tmp_path / "plain.npz")
    with pytest.raises(InputError, match="single array"):
        load_data(tmp_path / "plain.npz")


def test_paths_that_lead_nowhere(tmp_path):
    np.savez(tmp_path / "images.npz", X=np.eye(4), y=np.arange(4) % 2)
    with pytest.raises(InputError, match=r"did you mean '.*images\.npz'"):
        load_data(tmp_path / "imags.npz")
    with pytest.raises(InputError, match="there is none"):
        load_data(tmp_path / "no" / "such.csv")
    (tmp_path / "folder.csv").mkdir()
    for bad in (tmp_path / "folder.csv", tmp_path, tmp_path / "a.txt", tmp_path / "a.pkl"):
        with pytest.raises(InputError, match="expected a"):
            load_data(bad)
    with pytest.raises(InputError, match="leave it out"):
        load_data(tmp_path / "images.npz", target="y")
