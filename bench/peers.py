"""Target 7: deepbays' models on the same data, to the same answer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
from problems import synthetic
from timing import interleaved

import widthwise as ww

T = 0.01
HOW = (
    "To measure it: `.venv/bin/pip install torch==2.13.0 && .venv/bin/pip install --no-deps deepbays`, then "
    "`make bench`; the benchmark puts empty stand-ins for the `cupy` and `torchvision` that deepbays imports. "
    "Its class for several outputs does not run; the index version has neither the `global` nor the `linearised` "
    "closure."
)


def _one_layer(P: int) -> tuple[Callable, Callable]:
    from deepbays.rkgp.theory_1HL_FC_single_output import FC_1HL

    X, y, X_test, y_test = synthetic(P, 200)

    def theirs():
        network = FC_1HL(P, T, act="erf")
        network.preprocess(X, y)
        return _run(network, X_test, y_test, y)

    def ours():
        return ww.infer(ww.FullyConnected([P], "erf"), X, y, temperature=T).score(X_test, y_test).total

    return theirs, ours


def _nested(P: int) -> tuple[Callable, Callable]:
    import torch
    from deepbays.rkgp.theory_deep_FC import FC_deep

    X, y, X_test, y_test = synthetic(P, 200)

    def theirs():
        network = FC_deep(2, P, T, [1.0, 1.0, 1.0], "erf")
        network.preprocess(X, torch.tensor(y))
        return _run(network, X_test, y_test, y)

    def ours():
        network = ww.FullyConnected([P, P], "erf", closure="nested")
        return ww.infer(network, X, y, temperature=T).score(X_test, y_test).total

    return theirs, ours


def _patches(P: int) -> tuple[Callable, Callable]:
    import torch
    from deepbays.rkgp.theory_1HL_CONV import CONV_1HL

    X, y, X_test, y_test = synthetic(P, 200)
    images, test = X.reshape(-1, 28, 28), X_test.reshape(-1, 28, 28)

    def theirs():
        network = CONV_1HL(P, T, 14, 14, act="erf")
        network.preprocess(X, torch.tensor(y))
        return _run(network, X_test, y_test, y)

    def ours():
        network = ww.Convolutional(P, 14, activation="erf")
        return ww.infer(network, images, y, temperature=T, approximation="saddle").score(test, y_test).total

    return theirs, ours


def _run(network, X_test: np.ndarray, y_test: np.ndarray, y: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its solver
        network.optimize()
    network.Y = y  # NumPy's: its predictions mix the two libraries
    network.predict(X_test)
    return float(network.averageLoss(y_test)[0])


def _cases() -> Iterator[tuple[str, int, Callable]]:
    for P in (500, 1000, 2000):
        yield "one layer", P, _one_layer
    for P in (500, 1000, 2000):
        yield "two layers, nested", P, _nested
    for P in (500, 1000):
        yield "4 patches of 14x14, saddle", P, _patches


def table() -> list[str]:
    """Times and answers of both."""
    for name in ("cupy", "cupy.cuda", "torchvision", "torchvision.datasets", "torchvision.transforms"):
        sys.modules.setdefault(name, mock.MagicMock())  # deepbays imports them, undeclared; these models use neither
    try:
        import deepbays.rkgp.theory_1HL_FC_single_output  # noqa: F401
        import torch

        torch.set_num_threads(1)
    except ImportError as fault:
        return [f"Not measured: deepbays could not be imported ({fault}).", "", HOW]
    from importlib.metadata import version

    rows = [f"deepbays {version('deepbays')} from the package index.", ""]
    rows += ["| network | P | deepbays, s | widthwise, s | times faster | ε_g, both |", "|---|---|---|---|---|---|"]
    for name, P, case in _cases():
        theirs, ours = case(P)
        both = ours(), theirs()
        a, b = interleaved(3 if P <= 500 or (name == "one layer" and P <= 1000) else 1, theirs, ours)
        rows.append(f"| {name} | {P} | {a:.2f} | {b:.3f} | **{a / b:.0f}** | {both[1]:.6f}, {both[0]:.6f} |")
        print(rows[-1], flush=True)
    return [*rows, "", HOW]
