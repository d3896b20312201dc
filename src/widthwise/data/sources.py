"""Where examples come from: scikit-learn's digits, OpenML, or a file."""

from __future__ import annotations

import difflib
import http.client
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from widthwise.errors import InputError, unknown_name

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


@dataclass(frozen=True, eq=False)
class Source:
    """Examples as they came: one pool, or a training and a test set.

    Args:
        name: what they are called.
        X: inputs (n, …).
        y: targets (n,) or (n, D).
        X_test: inputs of the source's own test set, None where it has none.
        y_test: its targets.
        class_names: other names of the labels.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    class_names: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _OpenML:
    data_id: int
    train: int  # the first so many rows are the customary training set
    planes: tuple[int, ...]  # how a row is stored: (height, width), or colour by colour (colours, height, width)
    class_names: tuple[str, ...] = ()


_OPENML = {
    "mnist": _OpenML(554, 60_000, (28, 28)),
    "fashion_mnist": _OpenML(40_996, 60_000, (28, 28), _FASHION),
    "cifar10": _OpenML(40_927, 50_000, (3, 32, 32), _CIFAR10),
}
NAMES = ("digits", *_OPENML)


def by_name(name: str) -> Source:
    """The data set of that name: `digits` is embedded, every other comes from OpenML or its local cache.

    Args:
        name: "digits", "mnist", "fashion_mnist", "cifar10", or any OpenML name ("openml:NAME" where a name resembles
            one of these).

    Raises:
        InputError: the name is not known, or it cannot be downloaded.
    """
    known = name.strip().lower().replace("-", "_")
    known = {"cifar_10": "cifar10", "fashionmnist": "fashion_mnist"}.get(known, known)
    if known == "digits":
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        return Source("digits", X.reshape(-1, 8, 8), y)
    if known in _OPENML:
        entry = _OPENML[known]
        X, y = _download(known, {"data_id": entry.data_id})
        X = _images(X, entry.planes)
        names = {word: label for label, word in enumerate(entry.class_names)}
        k = entry.train
        return Source(known, X[:k], y[:k], X[k:], y[k:], names)
    explicit = name.startswith("openml:")
    if not name.strip() or (not explicit and difflib.get_close_matches(known, NAMES, n=1, cutoff=0.7)):
        raise unknown_name("data set", name, NAMES)
    name = name.removeprefix("openml:")
    X, y = _download(name, {"name": name})
    return Source(name, X, y)


def _images(X: np.ndarray, planes: tuple[int, ...]) -> np.ndarray:
    """Rows as images (n, H, W) or (n, H, W, C); rows of another length (a stand-in) stay rows."""
    if X.ndim != 2 or X.shape[1] != int(np.prod(planes)):
        return X
    images = X.reshape(-1, *planes)
    return images if len(planes) == 2 else np.ascontiguousarray(np.moveaxis(images, 1, -1))


def _download(name: str, which: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets of an OpenML data set, from the local cache once it is there."""
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its retries and its list of versions
            bunch = fetch_openml(**which, as_frame=False, parser="liac-arff", n_retries=1)
    except (OSError, ValueError, KeyError, ImportError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"data set {name!r}: expected {', '.join(NAMES)}, a file, or an OpenML name that can be downloaded, "
            f"but OpenML gave none ({reason}); "
            "check the spelling and the connection, or download it elsewhere and pass the file."
        ) from error
    X, y = bunch.data, bunch.target
    if y is None:
        raise InputError(f"data set {name!r}: expected a default target on OpenML, got none; download it as a csv.")
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
    if X.dtype.kind == "O":
        raise InputError(f"data set {name!r}: expected numeric features, got text; prepare a numeric csv and pass it.")
    y = np.asarray(y)
    return X, y.astype(str) if y.dtype.kind == "O" else y


def looks_like_path(text: str) -> bool:
    """Whether a text names a file rather than a data set."""
    return os.path.splitext(text)[1] != "" or os.sep in text or "/" in text or os.path.exists(text)
