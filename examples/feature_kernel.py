"""How a hidden layer turned: the predicted Gram matrix beside that of the sampled network, and beside the NNGP kernel.

    python examples/feature_kernel.py [mnist.npz ...]

One erf layer, parity, 64 training points, T = 0.1. The distances are of Gram matrices on training and test points
together, relative to the sampled one in Frobenius norm; `noise` is the sampled one's own. Alignments are with yyᵀ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np

import widthwise as ww

T = 0.1
HEADER = ("data", "N", "noise", "NNGP", "saddle", "integrated", "before", "after", "after, sampled")


def distance(G: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(G - truth) / np.linalg.norm(truth))


def alignment(G: np.ndarray, y: np.ndarray) -> float:
    return float(y @ G @ y / (np.linalg.norm(G) * (y @ y)))


def rows(
    sources: Sequence[str], widths: Sequence[int] = (16, 64, 256), P: int = 64, chains: int = 4, draws: int = 500
) -> Iterator[tuple[str | float, ...]]:
    """One line of the table per data set and width."""
    for source in sources:
        data = ww.load_data(source, classes="parity", train_size=P, test_size=64, seed=1)
        X, y, Z = data.X, data.y, np.concatenate([data.X, data.X_test])
        for N in widths:
            network = ww.FullyConnected([N], "erf")
            sampler = ww.CollapsedHMC(chains=chains, draws=draws)
            samples = ww.sample(network, X, y, temperature=T, sampler=sampler, key=1)
            sampled = samples.feature_kernel(Z)
            found = [
                ww.infer(network, X, y, temperature=T, approximation=name)
                for name in ("infinite", "saddle", "integrated")
            ]
            noise = float(np.linalg.norm(sampled.standard_error) / np.linalg.norm(sampled.value))
            distances = [distance(posterior.feature_kernel(Z), sampled.value) for posterior in found]
            turned = found[1].alignment()
            yield source, N, noise, *distances, turned.before, turned.after, alignment(sampled.value[:P, :P], y)


def line(cells: Sequence[str | float]) -> str:
    return "| " + " | ".join(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    print(line(HEADER), line(["---"] * len(HEADER)), sep="\n")
    for row in rows(["digits", *sys.argv[1:]]):
        print(line(row), flush=True)
