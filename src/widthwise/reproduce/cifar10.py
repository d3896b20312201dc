"""Airplanes and automobiles of CIFAR-10, in its own order: from the official binary files, or from an .npz.

The images stay outside the package; what it holds is the order of their labels (facts/cifar10_order.json).
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from widthwise.errors import InputError
from widthwise.reproduce.facts import fact

TRAIN, TESTS = 1225, 1000  # images that are read
GREY = (0.2989, 0.587, 0.114)
MEAN, DEVIATION = 0.1307, 0.3081
NPZ, BINARIES = "cifar10_airplane_automobile.npz", "cifar-10-batches-bin"
RECORD = 1 + 3 * 1024  # bytes of an image in the binary files: its label, then red, green, blue


@dataclass(frozen=True, eq=False)
class Task:
    """Training and test inputs with their labels, 0 or 1.

    Args:
        X, y: training inputs in the published order.
        X_test, y_test: the 1000 test inputs.
        name: where they come from.
    """

    X: Float[np.ndarray, "P N0"]
    y: Float[np.ndarray, " P"]
    X_test: Float[np.ndarray, "n N0"]
    y_test: Float[np.ndarray, " n"]
    name: str


def images(path: Path | None) -> Task:
    """The two classes in CIFAR's own order: grey, (x − 0.1307)/0.3081, flattened, N_0 = 1024; labels raw, 0 and 1.

    Args:
        path: the folder cifar-10-batches-bin of CIFAR-10's binary version, or cifar10_airplane_automobile.npz (uint8
            X_train and X_test, images of the two classes in turn); or a folder that holds one of them.

    Raises:
        InputError: neither is there, or they are not CIFAR-10's.
    """
    wanted = f"the folder {BINARIES} of CIFAR-10's binary version (cs.toronto.edu/~kriz/cifar.html), or {NPZ}"
    if path is None:
        raise InputError(f"data: expected {wanted}, got none; pass --data FOLDER, or --quick, which needs no images.")
    path = path.expanduser()
    if path.is_dir():
        places = [path / NPZ, path / BINARIES, path]
        path = next((place for place in places if place.is_file() or (place / "data_batch_1.bin").is_file()), path)
    read = _binaries if (path / "data_batch_1.bin").is_file() else _archive if path.is_file() else None
    if read is None:
        raise InputError(f"data: expected {wanted}, got {str(path)!r}, which holds neither; see there to download it.")
    arrays: dict[str, Any] = {}
    for split, end, count in (("train", "", TRAIN), ("test", "_test", TESTS)):
        known = labels(split)[:count]
        pixels = np.ascontiguousarray(read(path, split, known))
        arrays["X" + end] = (pixels / 255.0 @ np.array(GREY) - MEAN) / DEVIATION
        arrays["y" + end] = known.astype(float)
    return Task(**arrays, name=f"CIFAR-10, {path.name}")


def labels(split: str) -> UInt8[np.ndarray, " count"]:
    """The labels in CIFAR's own order: 0 airplane, 1 automobile."""
    order = json.loads(fact("cifar10_order.json").read_text(encoding="utf-8"))
    key, count = {
        "train": ("train_labels_packbits_hex_first4000", 4000),
        "test": ("test_labels_packbits_hex_2000", 2000),
    }[split]
    return np.unpackbits(np.frombuffer(bytes.fromhex(order[key]), np.uint8))[:count]


def _archive(path: Path, split: str, labels: UInt8[np.ndarray, " count"]) -> UInt8[np.ndarray, "count 1024 3"]:
    """From the .npz, whose row 2k + c is the k-th image of class c."""
    rank = np.where(labels == 1, np.cumsum(labels == 1), np.cumsum(labels == 0)) - 1
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            pixels = archive[f"X_{split}"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:  # TypeError: one array
        raise InputError(
            f"data: expected uint8 X_train and X_test in {str(path)!r}, got {error}; download it again."
        ) from error
    rows = 2 * rank + labels
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (32, 32, 3) or len(pixels) <= rows.max():
        raise InputError(
            f"data: expected X_{split} of uint8 (n, 32, 32, 3) in {str(path)!r}, got {pixels.dtype} {pixels.shape}; "
            f"pass {NPZ} or the folder {BINARIES}."
        )
    return pixels[rows].reshape(len(labels), 1024, 3)


def _binaries(folder: Path, split: str, labels: UInt8[np.ndarray, " count"]) -> UInt8[np.ndarray, "count 1024 3"]:
    """From CIFAR-10's binary version: the first images of the two classes, batch after batch."""
    names = ["test_batch.bin"] if split == "test" else [f"data_batch_{i}.bin" for i in range(1, 6)]
    found: list[np.ndarray] = []
    for name in names:
        if sum(map(len, found)) >= len(labels):
            break
        try:
            content = np.fromfile(folder / name, np.uint8)
        except OSError as error:
            raise InputError(f"data: expected {name} in {str(folder)!r}, got {error.strerror or error}.") from error
        if len(content) == 0 or len(content) % RECORD:
            raise InputError(
                f"data: expected records of {RECORD} bytes in {name}, got {len(content)} bytes; download it again."
            )
        records = content.reshape(-1, RECORD)
        found.append(records[records[:, 0] <= 1])
    records = np.concatenate(found)[: len(labels)]
    if len(records) < len(labels) or not np.array_equal(records[:, 0], labels):
        raise InputError(f"data: expected CIFAR-10's images in their own order in {str(folder)!r}, got others.")
    return records[:, 1:].reshape(-1, 3, 1024).transpose(0, 2, 1)
