"""Inputs with a power-law spectrum, like natural images, and a noisy sign teacher: the same everywhere, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def synthetic(P: int, test: int = 0, N0: int = 784, seed: int = 0) -> tuple[np.ndarray, ...]:
    """(X, y, X_test, y_test): covariance eigenvalues k^-1.2, targets ±1 of a quadratic teacher with 5 % flips."""
    rng = np.random.default_rng(seed)
    scales = np.arange(1, N0 + 1) ** -0.6
    rotation = np.linalg.qr(rng.normal(size=(N0, N0)))[0]
    Z = rng.normal(size=(P + test, N0)) * scales
    field = Z[:, 0] + Z[:, 1] * Z[:, 2] + 0.5 * Z[:, 3] - Z[:, 4] * Z[:, 5]
    y = np.sign(field) * np.where(rng.random(P + test) < 0.05, -1.0, 1.0)
    X = Z @ rotation
    X /= X.std()
    return X[:P], y[:P], X[P:], y[P:]


def images(path: str, P: int, test: int, classes: tuple[tuple[int, ...], tuple[int, ...]], seed: int = 0):
    """(X, y, X_test, y_test) of a two-class problem from an .npz with X_train, y_train, X_test, y_test; grey, ±1."""
    with np.load(path) as data:
        arrays = [data[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    rng = np.random.default_rng(seed)
    out = []
    for X, y, n in ((arrays[0], arrays[1], P), (arrays[2], arrays[3], test)):
        keep = np.flatnonzero(np.isin(y, classes[0] + classes[1]))
        rows = rng.permutation(keep)[:n]
        Z = X[rows].astype(float)
        if Z.ndim == 4:
            Z = Z @ [0.2989, 0.587, 0.114]
        out += [Z.reshape(n, -1) / 255.0, np.where(np.isin(y[rows], classes[1]), 1.0, -1.0)]
    mean, deviation = out[0].mean(), out[0].std()
    return (out[0] - mean) / deviation, out[1], (out[2] - mean) / deviation, out[3]


def exists(path: str | None) -> bool:
    """Whether an optional data file is there."""
    return path is not None and Path(path).is_file()


def between(path: Path, mark: str, text: str) -> None:
    """Put `text` between `<!-- mark -->` and the next `<!-- end -->` of a Markdown file."""
    head, rest = path.read_text().split(f"<!-- {mark} -->")
    tail = rest.split("<!-- end -->", 1)[1]
    path.write_text(f"{head}<!-- {mark} -->\n\n{text}\n\n<!-- end -->{tail}")
