"""What `make bench-gap` trains: architectures, tasks, and how many examples of each.

A task is a pool of examples in a seeded order: the first P train, the next train a readout anew, the last test. So the
training sets of one task lie inside each other, and all of them are tested on the same examples (digits are too few:
there the rest is halved). Gaussian inputs and digits need no file; the other tasks join where theirs are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from widthwise import training

SIDE = 8  # of the Gaussian images
TEST = {"synthetic": 5000, "mnist": 5000, "cifar": 2000}
P_SYNTHETIC = (100, 300, 1000, 3000, 10_000)
P_DIGITS = (10, 30, 100, 300, 1000)
P_CIFAR = (50, 150, 500, 1500, 5000)
ORDER = (0, 2, 4, 1, 3)  # an interrupted run has both ends of the decades


@dataclass(frozen=True)
class Task:
    """A pool of examples.

    Args:
        family: "synthetic", "digits", "mnist" or "cifar".
        name: in words.
        sizes: P.
        pool: () ↦ (X, y), in their order; y has unit power.
        signs: whether the targets are ±1.
        stride: of a convolutional network's first layer.
    """

    family: str
    name: str
    sizes: tuple[int, ...]
    pool: Callable[[], tuple[np.ndarray, np.ndarray]] = field(repr=False)
    signs: bool = False
    stride: int = 1


@dataclass(frozen=True)
class Case:
    """One architecture trained on P examples of a task."""

    task: Task
    architecture: training.Architecture
    P: int
    settings: training.Training
    seed: int

    @property
    def name(self) -> str:
        """Unique, in words."""
        again = "" if self.seed == 0 else f" · seed {self.seed}"
        return f"{self.task.name} · {self.architecture.name} · P {self.P}{again}"

    @property
    def convolutional(self) -> bool:
        """Whether it is anything but fully connected."""
        return not self.architecture.name.startswith("mlp")

    def data(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """(X, y) to train, to refit the readout, to test."""
        X, y = _pool(self.task)
        rest = len(y) - self.P
        test = TEST.get(self.task.family) or rest - min(self.P, rest // 2)
        fresh = min(self.P, rest - test)
        at = slice(0, self.P), slice(self.P, self.P + fresh), slice(len(y) - test, None)
        return tuple((X[rows], y[rows]) for rows in at)


@cache
def _pool(task: Task) -> tuple[np.ndarray, np.ndarray]:
    return task.pool()


def linear_teacher(noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian images; a linear function of them, and noise: a fifth of the power is out of reach."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(25_000, SIDE, SIDE))
    w = rng.normal(size=SIDE * SIDE)
    y = X.reshape(len(X), -1) @ w / np.linalg.norm(w) + noise * rng.normal(size=len(X))
    return X, y / np.sqrt(1.0 + noise**2)


def deep_teacher(depth: int = 3, width: int = 32, gain: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian images; a random network of three erf layers, without noise."""
    from scipy.special import erf

    rng = np.random.default_rng(2)
    X = rng.normal(size=(25_000, SIDE, SIDE))
    h = X.reshape(len(X), -1)
    for _ in range(depth):
        h = erf(gain * h @ rng.normal(size=(h.shape[1], width)) / np.sqrt(h.shape[1]))
    y = h @ rng.normal(size=width)
    return X, (y - y.mean()) / y.std()


def _shuffled(make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    def pool() -> tuple[np.ndarray, np.ndarray]:
        X, y = make()
        return X, np.random.default_rng(3).permutation(y)

    return pool


def digits() -> tuple[np.ndarray, np.ndarray]:
    """8 × 8 digits, odd against even."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return _ordered(found.images, found.target % 2)


def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """MNIST at half its side, odd against even."""
    with np.load(folder / "mnist.npz") as stored:
        X, y = stored["X_train"][:30_000], stored["y_train"][:30_000]
    return _ordered(_halved(X.reshape(-1, 28, 28, 1))[..., 0], y % 2, 25_000)


def cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR-10's airplanes and automobiles at half their side, in colour."""
    with np.load(folder / "cifar10_airplane_automobile.npz") as stored:
        X = np.concatenate([stored["X_train"], stored["X_test"]])
        y = np.concatenate([stored["y_train"], stored["y_test"]])
    return _ordered(_halved(X), y)


def _halved(X: np.ndarray) -> np.ndarray:
    n, H, W, C = X.shape
    return X.reshape(n, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))


def _ordered(X: np.ndarray, labels: np.ndarray, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """In a seeded order, on one scale, with targets ±1."""
    rows = np.random.default_rng(4).permutation(len(X))[:n]
    X = X[rows].astype(float)
    return (X - X.mean()) / X.std(), 2.0 * labels[rows] - 1.0


def tasks(folder: Path | None) -> list[Task]:
    """Those at hand."""
    found = [
        Task("synthetic", "linear teacher, noise", P_SYNTHETIC, linear_teacher),
        Task("synthetic", "deep teacher", P_SYNTHETIC, deep_teacher),
        Task("digits", "digits odd/even", P_DIGITS, digits, signs=True),
        Task("digits", "digits shuffled", P_DIGITS, _shuffled(digits), signs=True),
    ]
    if folder is not None and (folder / "mnist.npz").is_file():

        def images() -> tuple[np.ndarray, np.ndarray]:
            return mnist(folder)

        found.append(Task("mnist", "MNIST odd/even", P_SYNTHETIC, images, signs=True, stride=2))
        found.append(Task("mnist", "MNIST shuffled", P_SYNTHETIC, _shuffled(images), signs=True, stride=2))
    if folder is not None and (folder / "cifar10_airplane_automobile.npz").is_file():
        found.append(Task("cifar", "CIFAR-10", P_CIFAR, lambda: cifar(folder), signs=True, stride=2))
    return found


def architectures(stride: int, size: str) -> list[training.Architecture]:
    """Fully connected of one to four layers, and convolutional; N_out from 8 to 128."""
    mlp, large = training.mlp, size == "gpu"
    found = [
        mlp(8), mlp(32), mlp(128), mlp(128, 8), mlp(128, 32), mlp(64, 64, 64), mlp(128, 128, 16),
        mlp(128, 64, 32, 16), mlp(64, 64, 64, 64),
        training.lenet(32, stride=stride), training.vgg(16, channels=8, stride=stride),
        training.vgg(64, channels=8, stride=stride), training.resnet(16, stride=stride),
        training.resnet(32, stride=stride),
    ]  # fmt: skip
    if large:
        found += [mlp(512, 128), training.vgg(128, channels=32), training.resnet(64), training.resnet(128)]
    return found


def cases(folder: Path | None, size: str = "cpu") -> Iterator[Case]:
    """Every row, in an order that is telling wherever it stops."""
    for rank in ORDER:
        for task in tasks(folder):
            for architecture in architectures(task.stride, size):
                longer = 4 if size == "gpu" else 1
                if architecture.name.startswith("mlp"):
                    settings = training.Training(steps=5000 * longer, learning_rate=3e-3)
                else:
                    settings = training.Training(steps=4000 * longer, learning_rate=3e-3)
                for seed in range(3 if size == "gpu" else 1):
                    yield Case(task, architecture, task.sizes[rank], settings, seed)
