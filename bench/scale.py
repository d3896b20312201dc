"""Every architecture at a size that people use: seconds and peak memory, each in a process of its own."""

from __future__ import annotations

import numpy as np
from problems import synthetic
from timing import alone

import widthwise as ww

T = 0.01


def ten_classes(P: int, test: int = 1000) -> tuple[np.ndarray, ...]:
    """(X, Y, X_test, Y_test): 3072 inputs with the spectrum of images; the nearest of ten prototypes, one-hot."""
    X, _, X_test, _ = synthetic(P, test, N0=3072)
    labels = [(Z @ X[:10].T).argmax(axis=1) for Z in (X, X_test)]
    Y, Y_test = (np.eye(10)[label] for label in labels)
    return X, Y, X_test, Y_test


def outputs(P: int, approximation: str) -> str:
    """Ten classes."""
    data = ten_classes(P)
    return _score(ww.FullyConnected([1000], "erf"), data, approximation)


def depth(P: int, layers: int, closure: str) -> str:
    """Layers of P units."""
    return _score(ww.FullyConnected([P] * layers, "erf", closure=closure), synthetic(P, 1000), "saddle")


def patches(P: int, side: int, approximation: str) -> str:
    """28 x 28 inputs cut into square patches."""
    X, y, X_test, y_test = synthetic(P, 1000)
    data = (X.reshape(-1, 28, 28), y, X_test.reshape(-1, 28, 28), y_test)
    return _score(ww.Convolutional(64, side, activation="erf"), data, approximation)


def _score(network, data, approximation: str) -> str:
    X, y, X_test, y_test = data
    posterior = ww.infer(network, X, y, temperature=T, approximation=approximation)
    error = posterior.certificate.monte_carlo_error
    known = "" if error is None else f", Q to {100 * error:.1g} %"
    return f"ε_g {posterior.score(X_test, y_test).total:.4f}, ε_t {posterior.training_error.total:.4f}{known}"


CASES = (
    ("ten classes, 3072 inputs, N = 1000, P = 1000, saddle", outputs, 1000, "saddle"),
    ("ten classes, 3072 inputs, N = 1000, P = 2000, saddle", outputs, 2000, "saddle"),
    ("ten classes, 3072 inputs, N = 1000, P = 2000, integrated", outputs, 2000, "integrated"),
    ("ten layers, global, P = 1000", depth, 1000, 10, "global"),
    ("two layers, nested, P = 1000", depth, 1000, 2, "nested"),
    ("ten layers, nested, P = 1000", depth, 1000, 10, "nested"),
    ("ten layers, linearised, P = 1000", depth, 1000, 10, "linearised"),
    ("64 channels on 4 patches of 14x14, P = 1000, saddle", patches, 1000, 14, "saddle"),
    ("64 channels on 16 patches of 7x7, P = 500, saddle", patches, 500, 7, "saddle"),
    ("64 channels on 16 patches of 7x7, P = 200, integrated", patches, 200, 7, "integrated"),
)


def table() -> list[str]:
    """Seconds and memory of every case, loading Python and making the data included."""
    rows = ["| network | CPU, s | peak memory, GiB | |", "|---|---|---|---|"]
    for name, task, *arguments in CASES:
        seconds, peak, answer = alone(task, *arguments)
        rows.append(f"| {name} | {seconds:.1f} | {peak:.2f} | {answer} |")
        print(rows[-1], flush=True)
    return rows
