"""What `make bench-probes` trains: the transition, runs labelled by construction, real data, and one story."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from widthwise.probes import Teacher
from widthwise.probes.experiment import Recipe

GAIN = 2.0
SIZES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
NOISE = 0.05
TRANSITIONS = (
    Recipe(restarts=5, repeats=2),
    Recipe(restarts=5, repeats=2, noise=NOISE),
    Recipe(restarts=1, repeats=2, noise=NOISE, method="adam"),  # never quite at the minimum of the training error
)
SEEDS = 8
# activation, N0, M, N1/M
NETWORKS = (
    ("erf", 20, 3, 1), ("erf", 20, 3, 2), ("erf", 10, 2, 1), ("erf", 10, 2, 2),
    ("tanh", 15, 3, 1), ("tanh", 15, 3, 2), ("relu", 10, 2, 1), ("relu", 10, 2, 2),
    ("relu", 12, 4, 1), ("relu", 12, 4, 2),
)  # fmt: skip
COLLAPSE, MEMORISE, SHUFFLED = (4.0, 6.0), (0.25, 0.45), (0.25, 0.75)  # P/p
BETWEEN = (0.75, 1.0, 1.5, 2.0, 3.0)
SHUFFLED_BETWEEN = (1.0, 2.0, 4.0)
PIXELS = 7  # of the sides of MNIST, averaged: p stays small
REAL = {"digits": (150, 500, 1200), "MNIST": (150, 500, 1500)}
REAL_WIDTH, REAL_TEMPERATURE, REAL_STEPS, REAL_SEEDS = 8, 0.05, 300, 3
STORY = {6: (0.5, 1.0, 2.0, 4.0), 60: (0.05, 0.1, 0.2, 0.4)}  # N1: P/(N0 N1); the same P
STORY_TEMPERATURE, STORY_SEEDS = 0.01, 3
SAMPLED_WIDTH = 60  # drawn from its posterior too


@dataclass(frozen=True)
class Case:
    """One student to train.

    Args:
        part: "transition", "labelled", "between", "shuffled".
        network: activation, N0, M, N1.
        P: examples.
        seed: of the run.
        recipe: how.
        must: what it must become by construction, if its training error is zero; "" where nothing says.
    """

    part: str
    network: tuple[str, int, int, int]
    P: int
    seed: int
    recipe: Recipe
    must: str = ""

    @property
    def parameters(self) -> int:
        """p."""
        _, N0, _, N1 = self.network
        return N1 * (N0 + 1)

    @property
    def teacher(self) -> Any:
        activation, N0, M, _ = self.network
        return Teacher.one_hidden_layer(inputs=N0, units=M, activation=activation, gain=GAIN, key=0)


def cases(parts: tuple[str, ...]) -> Iterator[Case]:
    """All students of these parts; seeds outermost, so that an interrupted run has everything of fewer seeds."""
    for seed in range(SEEDS):
        if "transition" in parts:
            for recipe in TRANSITIONS:
                recipe = replace(recipe, permutations=1 if seed < 3 and not recipe.noise else 0)
                for size in SIZES:
                    yield Case("transition", ("erf", 20, 3, 6), round(size * 120), seed, recipe)
        if "labelled" in parts:
            yield from _labelled(seed)


def _labelled(seed: int) -> Iterator[Case]:
    plain = Recipe(restarts=10, repeats=1)
    able = replace(plain, retries=10, permutations=1)  # can it learn anything by heart?
    permuted = replace(plain, shuffled=1.0)
    for number, (activation, N0, M, ratio) in enumerate(NETWORKS):
        network = activation, N0, M, ratio * M
        p = network[3] * (N0 + 1)
        few, some = seed < 3, seed < 5
        asked = [("labelled", COLLAPSE, plain, "collapsed", some), ("labelled", MEMORISE, able, "memorised", few),
                 ("labelled", SHUFFLED, replace(permuted, retries=10), "memorised", few)]  # fmt: skip
        if number in (0, 1, 4, 6):
            asked += [("between", BETWEEN, plain, "", some), ("shuffled", SHUFFLED_BETWEEN, permuted, "", few)]
        for part, ratios, recipe, must, wanted in asked:
            for size in ratios if wanted else ():
                yield Case(part, network, round(size * p), seed, recipe, must)


def real(folder: Path | None) -> dict[str, Any]:
    """Teachers of real data, odd against even, standardised as a whole."""
    from sklearn.datasets import load_digits

    found = {"digits": load_digits(return_X_y=True)}
    path = folder / "mnist.npz" if folder else None
    if path is not None and path.is_file():
        found["MNIST"] = _mnist(path)
    signs = {name: (X, np.where(y % 2 == 0, 1.0, -1.0)) for name, (X, y) in found.items()}
    return {name: Teacher.of_data((X - X.mean()) / X.std(), y) for name, (X, y) in signs.items()}


def _mnist(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first ten thousand, in blocks of pixels."""
    with np.load(path) as stored:
        X, y = stored["X_train"][:10_000], stored["y_train"][:10_000]
    side = 28 // PIXELS
    images = np.asarray(X, float).reshape(-1, PIXELS, side, PIXELS, side).mean(axis=(2, 4))
    return images.reshape(len(images), -1), y
