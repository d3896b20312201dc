"""Local files: .npz arrays, .csv and .parquet tables. Nothing is ever unpickled."""

from __future__ import annotations

import difflib
import os
import zipfile
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from widthwise.data.sources import Source
from widthwise.errors import InputError, unknown_name

TARGETS = ("target", "y", "label", "class")
_SPLIT = ("X_train", "y_train", "X_test", "y_test")
_POOL = ("X", "y")


def read_file(path: str | os.PathLike[str], target: str | None = None) -> Source:
    """The examples in a file.

    Args:
        path: .npz with X_train, y_train, X_test, y_test or X, y; .csv or .parquet with one column per feature.
        target: the table's target column; by default the one called target, y, label or class.

    Raises:
        InputError: no such file, not readable as what its name says, missing arrays or columns.
    """
    path = Path(path).expanduser()
    readers = {".npz": _npz, ".csv": _csv, ".parquet": _parquet}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise InputError(
            f"{path}: expected a .npz, .csv or .parquet file, got {suffix or 'no suffix'!r}; convert or rename."
        )
    if not path.is_file():
        if path.is_dir():
            raise InputError(f"{path}: expected a file, got a folder; name the file in it.")
        folder = path.parent
        others = [p.name for p in folder.iterdir() if p.suffix.lower() in readers] if _is_folder(folder) else []
        near = difflib.get_close_matches(path.name, others, n=1, cutoff=0.6)
        hint = f"did you mean {str(folder / near[0])!r}?" if near else "check the path."
        raise InputError(f"{path}: expected a file, but there is none; {hint}")
    if suffix == ".npz" and target is not None:
        raise InputError(f"{path}: target={target!r} names a column of a table; a .npz holds X and y: leave it out.")
    try:
        return _npz(path) if suffix == ".npz" else _table(path, readers[suffix](path), target)
    except PermissionError as error:
        raise InputError(f"{path}: expected a readable file, got permission denied; change its permissions.") from error
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, got {_first_line(error)}; check it.") from error


def _is_folder(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.R_OK)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160].rstrip(".; ")


def _npz(path: Path) -> Source:
    arrays = read_arrays(path, {*_SPLIT, *_POOL})
    wanted = next((keys for keys in (_SPLIT, _POOL) if set(keys) <= set(arrays)), None)
    if wanted is None:
        raise InputError(
            f"{path}: expected arrays X_train, y_train, X_test, y_test or X, y, "
            f"got {', '.join(arrays) or 'none'}; save them under these names."
        )
    X, y, *test = (arrays[key] for key in wanted)
    return Source(str(path), X, y, test[0], test[1]) if test else Source(str(path), X, y)


def read_arrays(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Named arrays of a .npz file, in its order; nothing is unpickled.

    Args:
        path: of the file.
        names: which to read; of the others there is only the name, with None.

    Raises:
        InputError: not an archive of arrays, or one that cannot be read.
    """
    try:
        with path.open("rb") as stream:  # ours to close: np.load leaves a broken archive open
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise InputError(f"{path}: expected an archive of named arrays, got a single array; use np.savez.")
            return {name: archive[name] if name in names else None for name in archive.files}
    except InputError:
        raise
    except ValueError as error:
        if "pickle" in str(error).lower() or "object array" in str(error).lower():
            raise InputError(
                f"{path}: expected plain numeric or text arrays, got Python objects (or no npz at all), "
                "which are never unpickled; save arrays of numbers with np.savez."
            ) from error
        raise _broken(path, "npz", error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise _broken(path, "npz", error) from error


def _broken(path: Path, kind: str, error: BaseException) -> InputError:
    return InputError(
        f"{path}: expected a complete {kind} file, got one that cannot be read ({_first_line(error)}); "
        "it may be truncated: write it again."
    )


def _csv(path: Path) -> Any:
    import pyarrow
    import pyarrow.csv

    with path.open("rb") as stream:
        header = stream.readline(1 << 20)
    if not header.strip():
        raise InputError(f"{path}: expected a header line and rows of numbers, got an empty file; fill it.")
    delimiter = max(",;\t", key=lambda mark: header.count(mark.encode()))
    try:
        table = pyarrow.csv.read_csv(path, parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter))
        _ = table.column_names  # names are decoded only when asked for
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected column names in UTF-8, got other bytes; save the file as UTF-8.") from error
    except pyarrow.ArrowException as error:
        raise _broken(path, "csv", error) from error
    return table


def _parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise _broken(path, "parquet", error) from error


def _table(path: Path, table: Any, target: str | None) -> Source:
    names = [name.strip() for name in table.column_names]
    keep = [i for i, name in enumerate(names) if name != "__index_level_0__"]  # pandas' own row numbers
    if table.num_rows == 0 or len(keep) < 2:
        raise InputError(
            f"{path}: expected rows with at least one feature and one target column, "
            f"got {table.num_rows} rows and {len(keep)} columns; fill it."
        )
    if all(_is_number(names[i]) for i in keep):
        raise InputError(f"{path}: expected column names in the first line, got numbers; add a header line.")
    if any(not names[i] for i in keep):
        raise InputError(f"{path}: expected a name for every column, got one without (row numbers?); drop or name it.")
    column = _target_column(path, [names[i] for i in keep], target)
    features = [i for i in keep if names[i] != column]
    if len(features) != len(keep) - 1:
        raise InputError(f"{path}: expected one column called {column!r}, got {len(keep) - len(features)}; rename.")
    if not features:
        raise InputError(f"{path}: expected at least one feature column beside {column!r}, got none; add one.")
    X = np.column_stack([_numbers(path, names[i], table.column(i)) for i in features])
    return Source(str(path), X, _labels(path, column, table.column(names.index(column))))


def _target_column(path: Path, names: Sequence[str], target: str | None) -> str:
    if target is not None:
        if target not in names:
            raise unknown_name(f"column of {path.name}", target, names)
        return target
    found = [name for name in TARGETS if name in names]
    if len(found) != 1:
        got = f"several ({', '.join(found)})" if found else "none"
        raise InputError(
            f"{path}: expected one column called {', '.join(TARGETS[:-1])} or {TARGETS[-1]}, got {got} "
            f"of them in {', '.join(names[:12])}{', …' if len(names) > 12 else ''}; name the target column."
        )
    return found[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, name: str, column: Any) -> np.ndarray:
    import pyarrow

    kinds = pyarrow.types
    kind = column.type
    if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind)):
        raise InputError(
            f"{path}: expected numbers in every feature column, got {kind} in {name!r}; encode or drop that column."
        )
    if column.null_count:
        raise InputError(
            f"{path}: expected a number in every row of {name!r}, got {column.null_count} missing; fill or drop them."
        )
    if kinds.is_boolean(kind):
        column = column.cast(pyarrow.int8())
    return np.asarray(column.cast(pyarrow.float64(), safe=False).to_numpy(), dtype=np.float64)


def _labels(path: Path, name: str, column: Any) -> np.ndarray:
    import pyarrow

    kinds = pyarrow.types
    if kinds.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise InputError(
            f"{path}: expected a target in every row of {name!r}, got {column.null_count} missing; drop those rows."
        )
    if kinds.is_integer(column.type) or kinds.is_boolean(column.type):
        return np.asarray(column.cast(pyarrow.int64()).to_numpy())
    if kinds.is_string(column.type) or kinds.is_large_string(column.type) or kinds.is_string_view(column.type):
        return np.array(column.to_pylist(), dtype=str)
    return _numbers(path, name, column)
