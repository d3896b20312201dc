"""What `widthwise bound` is given: arrays in a .npz file, or a PyTorch module to import and examples for it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from widthwise.errors import InputError, MissingExtra

_TRAINING = ("features", "targets", "predictions")
_FRESH = tuple(f"fresh_{name}" for name in _TRAINING)

Sample = tuple[Any, ...]


def from_file(file: str) -> tuple[Sample, Sample | None]:
    """(features, targets, predictions) of training, and of fresh examples with or without predictions, or None.

    Raises:
        InputError: not such a file, or arrays missing from it.
    """
    arrays = _read(file)
    missing = [name for name in _TRAINING if name not in arrays]
    if missing:
        hint = "; of inputs X and y, name the network by --torch" if "X" in arrays or "X_train" in arrays else ""
        raise InputError(
            f"{file}: expected arrays {', '.join(_TRAINING)}, got {', '.join(arrays) or 'none'}; "
            f"add {', '.join(missing)}{hint}."
        )
    fresh = [arrays.get(name) for name in _FRESH]
    if all(array is None for array in fresh):
        return tuple(arrays[name] for name in _TRAINING), None
    if fresh[0] is None or fresh[1] is None:
        got = ", ".join(name for name in _FRESH if name in arrays)
        raise InputError(f"{file}: expected fresh_features and fresh_targets together, got {got}; add the other.")
    return tuple(arrays[name] for name in _TRAINING), tuple(array for array in fresh if array is not None)


def _read(file: str) -> dict[str, Any]:
    """The named arrays of a .npz file; None for those that are not for us."""
    from widthwise.data.files import read_arrays

    path = Path(file).expanduser()
    if path.suffix.lower() != ".npz":
        raise InputError(f"{file}: expected a .npz file, got {path.suffix or 'no suffix'!r}; write one with np.savez.")
    if not path.is_file():
        raise InputError(f"{file}: expected a file, but there is none; check the path.")
    try:
        return dict(read_arrays(path, {*_TRAINING, *_FRESH}))
    except OSError as error:
        raise InputError(f"{file}: expected a readable file, got {error.strerror or error}; check it.") from error


def from_torch(file: str, name: str, layer: str | None) -> tuple[Sample, Sample | None]:
    """The same, fetched from a PyTorch module at X_train and, if there are any, at X_test.

    Args:
        file: .npz with X_train, y_train, X_test, y_test or X, y.
        name: module:object; a torch.nn.Module, or what returns one when called.
        layer: of the module; None for the last linear layer that runs.
    """
    from widthwise.data.files import read_file

    if Path(file).suffix.lower() != ".npz":
        raise InputError(f"{file}: expected a .npz file with --torch, got another; write X and y with np.savez.")
    source = read_file(file)
    from widthwise.bound import fetch

    def at(X: Any, y: Any) -> Sample:
        found = fetch(model, X, layer=layer)
        D, columns = found.predictions.size // len(found.predictions), y.size // max(len(y), 1)
        if columns != D:
            raise InputError(
                f"{file}: expected {D} columns of targets, one per output of {name}, got shape {y.shape}; save labels "
                "one-hot, as the loss saw them."
            )
        return found.features, y, found.predictions

    with _importable_here() as here:
        model = _module(name, here)
        training = at(source.X, source.y)
        return training, None if source.X_test is None else at(source.X_test, source.y_test)


@contextmanager
def _importable_here() -> Iterator[str]:
    """The current folder on the import path, as `python -m` has it; a network may import more when it is called."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield here
    finally:
        with suppress(ValueError):
            sys.path.remove(here)


def _module(name: str, here: str) -> Any:
    """The torch.nn.Module called module:object."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtra("--torch needs PyTorch: pip install 'widthwise[torch]'.")
    import torch

    place, _, path = name.partition(":")
    if not place or not path:
        raise InputError(f"--torch: expected MODULE:OBJECT, such as mynet:model, got {name!r}.")
    try:
        found: Any = importlib.import_module(place)
        for part in path.split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.nn.Module):
            found = found() if callable(found) else found
    except (Exception, SystemExit) as error:  # the module's own code: it may raise anything
        raise InputError(
            f"--torch: expected {name!r} to import from {here}, got {type(error).__name__}: {_first_line(error)}; "
            "try it with python -c first."
        ) from error
    if not isinstance(found, torch.nn.Module):
        raise InputError(
            f"--torch: expected {name!r} to be a torch.nn.Module, or a function without arguments that returns one, "
            f"got {type(found).__name__}."
        )
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:160].rstrip(".; ")
