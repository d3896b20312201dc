"""What `make bench-truth` samples: networks on five families of data, and how each is drawn.

A family is what is left out when the error bar is calibrated on the others. Digits are embedded and synthetic data
made here; the others join where their files are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from problems import images, synthetic

import widthwise as ww

TEST = 200
EVEN, ODD = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
TABLES = ("energy", "concrete", "yacht", "kin8nm", "protein")
SAMPLER = ww.CollapsedHMC(chains=4, draws=400, warmup=250, weights_memory=0.005)
LONGER = ww.CollapsedHMC(chains=8, draws=800, warmup=600, weights_memory=0.005)  # where those have not mixed
KEY = 11


@dataclass(frozen=True)
class Task:
    """A data set of a family.

    Args:
        family: "synthetic", "digits", "mnist", "cifar" or "uci".
        name: in words.
        make: P ↦ (X, y, X_test, y_test).
    """

    family: str
    name: str
    make: Callable[[int], tuple[np.ndarray, ...]] = field(repr=False)


@dataclass(frozen=True)
class Case:
    """One network on one task.

    Args:
        task: the data.
        P: training examples.
        network: what is predicted and sampled.
        temperature: T.
        part: "calibration", or "published" for the rows that stand beside a published table only.
    """

    task: Task
    P: int
    network: ww.FullyConnected | ww.Convolutional
    temperature: float
    part: str = "calibration"

    @property
    def name(self) -> str:
        """Unique, in words."""
        lam = "-".join(f"{value:g}" for value in self.network.precisions)
        return f"{self.task.name} · P {self.P} · {self.network.name} · precisions {lam} · T {self.temperature:g}"

    def data(self) -> tuple[np.ndarray, ...]:
        """(X, y, X_test, y_test)."""
        return _data(self.task, self.P)

    def sample(self, store: str) -> ww.sampling.Samples:  # type: ignore[name-defined]
        """The real network, drawn; what the store holds is not drawn again."""
        X, y, X_test, y_test = self.data()

        def draw(sampler):
            return ww.sample(
                self.network, X, y, X_test, y_test, temperature=self.temperature, sampler=sampler, key=KEY,
                throw=False, store=store,
            )  # fmt: skip

        found = draw(SAMPLER)
        return found if found.diagnostics.status == "mixed" else draw(LONGER)


@cache
def _data(task: Task, P: int) -> tuple[np.ndarray, ...]:
    return task.make(P)


def linear_teacher(P: int, N0: int = 32, noise: float = 0.3) -> tuple[np.ndarray, ...]:
    """Isotropic Gaussian inputs, targets of unit power: linear in them, and noise."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(P + TEST, N0))
    y = X @ rng.normal(size=N0) / np.sqrt(N0) + noise * rng.normal(size=P + TEST)
    y /= y[:P].std()
    return X[:P], y[:P], X[P:], y[P:]


def network_teacher(P: int, N0: int = 20, units: int = 3) -> tuple[np.ndarray, ...]:
    """Isotropic Gaussian inputs, targets of unit power: three erf units of orthonormal weights, gain 2."""
    from scipy.special import erf

    rng = np.random.default_rng(4)
    W = np.linalg.qr(rng.normal(size=(N0, units)))[0]
    X = rng.normal(size=(P + TEST, N0))
    y = erf(2.0 * X @ W).sum(axis=1)
    y /= y[:P].std()
    return X[:P], y[:P], X[P:], y[P:]


def table(path: Path, P: int) -> tuple[np.ndarray, ...]:
    """A regression table: features and target standardised by the training examples."""
    with np.load(path) as stored:
        X, y = stored["X"].astype(float), stored["y"].astype(float)
    rows = np.random.default_rng(5).permutation(len(y))[: P + TEST]
    X, y = X[rows], y[rows]
    keep = X[:P].std(axis=0) > 0
    X = (X[:, keep] - X[:P, keep].mean(axis=0)) / X[:P, keep].std(axis=0)
    y = (y - y[:P].mean()) / y[:P].std()
    return X[:P], y[:P], X[P:], y[P:]


def one_hot(X: np.ndarray, labels: np.ndarray, P: int, classes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """The classes named, one output each, 1 and 0."""
    rng = np.random.default_rng(6)
    rows = rng.permutation(np.flatnonzero(np.isin(labels, classes)))[: P + TEST]
    Z, y = X[rows].reshape(P + TEST, -1).astype(float), (labels[rows][:, None] == classes).astype(float)
    Z = (Z - Z[:P].mean()) / Z[:P].std()
    return Z[:P], y[:P], Z[P:], y[P:]


def _pictures(data: tuple[np.ndarray, ...], side: int) -> tuple[np.ndarray, ...]:
    """Flat inputs as images again."""
    X, y, X_test, y_test = data
    return X.reshape(-1, side, side), y, X_test.reshape(-1, side, side), y_test


def digits(classes) -> Callable[[int], tuple[np.ndarray, ...]]:
    """Two-class digits of 8 x 8 pixels."""
    return lambda P: tuple(ww.load_data("digits", classes=classes, train_size=P, test_size=TEST, seed=1))


def labelled(folder: Path | None) -> list[Task]:
    """Every task of one output at hand."""
    tasks = [
        Task("digits", "digits odd/even", digits("parity")),
        Task("synthetic", "Gaussian, linear teacher", linear_teacher),
        Task("digits", "digits 3/8", digits((3, 8))),
        Task("synthetic", "Gaussian, network teacher", network_teacher),
        Task("synthetic", "power law, quadratic teacher", lambda P: synthetic(P, TEST, N0=300, seed=2)),
        Task("digits", "digits 0/1", digits((0, 1))),
    ]
    if folder is None:
        return tasks
    mnist, cifar = str(folder / "mnist.npz"), str(folder / "cifar10_airplane_automobile.npz")
    if Path(mnist).is_file():
        tasks.insert(1, Task("mnist", "MNIST odd/even", lambda P: images(mnist, P, TEST, (EVEN, ODD), seed=1)))
        tasks.append(Task("mnist", "MNIST 3/8", lambda P: images(mnist, P, TEST, ((3,), (8,)), seed=1)))
        tasks.append(Task("mnist", "MNIST 0/1", lambda P: images(mnist, P, TEST, ((0,), (1,)), seed=1)))
    if Path(cifar).is_file():
        tasks.insert(2, Task("cifar", "CIFAR-10", lambda P: images(cifar, P, TEST, ((0,), (1,)), seed=1)))
        tasks.append(Task("cifar", "CIFAR-10, other images", lambda P: images(cifar, P, TEST, ((0,), (1,)), seed=2)))
    for place, name in zip((3, 5, 8, 10, 11), TABLES):
        path = folder / "uci" / f"{name}.npz"
        if path.is_file():
            tasks.insert(place, Task("uci", f"UCI {name}", lambda P, path=path: table(path, P)))
    return tasks


def several(folder: Path | None) -> list[Task]:
    """Tasks of three outputs."""

    def digits_three(P: int) -> tuple[np.ndarray, ...]:
        from sklearn.datasets import load_digits

        found = load_digits()
        return one_hot(found.images, found.target, P, (0, 1, 2))

    def mnist_three(P: int) -> tuple[np.ndarray, ...]:
        with np.load(folder / "mnist.npz") as stored:  # type: ignore[operator]
            X, y = stored["X_test"], stored["y_test"]
        return one_hot(X, y, P, (3, 5, 8))

    tasks = [Task("digits", "digits 0, 1, 2", digits_three)]
    if folder is not None and (folder / "mnist.npz").is_file():
        tasks.append(Task("mnist", "MNIST 3, 5, 8", mnist_three))
    return tasks


def pictures(folder: Path | None) -> list[tuple[Task, int]]:
    """Tasks whose inputs are images, with the side of the patches that cut them into four."""
    sides = {"digits odd/even": 8, "MNIST odd/even": 28, "CIFAR-10": 32}
    return [
        (
            Task(task.family, f"{task.name}, images", lambda P, task=task: _pictures(task.make(P), sides[task.name])),
            sides[task.name] // 2,
        )
        for task in labelled(folder)
        if task.name in sides
    ]


def published(folder: Path | None) -> Iterator[Case]:
    """The setting of Baglioni et al. 2024 (arXiv 2401.11004): CIFAR-10 in its own order, labels 0 and 1, P = N_1/4."""
    if folder is None or not (folder / "cifar10_airplane_automobile.npz").is_file():
        return
    from widthwise.reproduce import cifar10

    def make(P: int) -> tuple[np.ndarray, ...]:
        found = cifar10.images(folder)
        return found.X[:P], found.y[:P], found.X_test, found.y_test

    task = Task("cifar", "CIFAR-10, published table", make)
    for T in (0.01, 0.5):
        for P in (50, 100):
            yield Case(task, P, ww.FullyConnected((4 * P,), "erf"), T, "published")


def cases(folder: Path | None) -> Iterator[Case]:
    """Every row, the most telling first."""
    tasks, P = labelled(folder), 64

    def flat(activation, share, T, lam=1.0, size=P):
        """One hidden layer of load `share`, or several."""
        shares = share if isinstance(share, tuple) else (share,)
        widths = tuple(max(2, round(size / one)) for one in shares)
        network = ww.FullyConnected(widths, activation, weight_precisions=lam)
        yield from (Case(task, size, network, T) for task in tasks)

    yield from flat("erf", 1, 0.1)
    yield from flat("relu", 1, 0.1)
    yield from flat("erf", 0.25, 0.1)
    yield from flat("erf", 4, 0.1)
    yield from flat("erf", (1, 1), 0.1)
    yield from flat("erf", 1, 0.01)
    for task in several(folder):
        for N in (P, P // 4, 4 * P):
            yield Case(task, P, ww.FullyConnected((N,), "erf"), 0.1)
    for task, side in pictures(folder):
        for channels in (32, 8, 128):
            yield Case(task, P, ww.Convolutional(channels, (side, side), activation="erf"), 0.1)
    yield from published(folder)
    yield from flat("relu", (1, 1), 0.1)
    yield from flat("erf", 2, 1.0, lam=(1.0, 0.25))
    yield from flat("relu", 4, 0.1)
    yield from flat("erf", (0.5, 0.5, 0.5), 0.1)
    yield from flat("tanh", 1, 0.1, size=32)
    yield from flat("erf", 0.5, 1.0, size=128)
    yield from flat("erf", 2, 0.03, size=32)
    yield from flat("relu", 0.5, 1.0, size=32)
    yield from flat("erf", 2, 0.01, size=32)
    yield from flat("erf", 0.5, 0.01)
    yield from flat("relu", 1, 0.01, size=32)
