"""Learning curves: each row is what a direct computation says; wide networks are the infinite column."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.curves import CIFAR, DIGITS_01, DIGITS_PARITY, MNIST_01
from widthwise.reproduce.pacelli2023 import STUDY, Sizes, compute

TINY = Sizes(
    sources=(DIGITS_01,), widths=(8, 10**8), train_sizes=(8, 16), sampled_sizes=(), test_size=20, temperature=0.3
)


@pytest.fixture(scope="module")
def found():
    return compute(Setup(full=False), TINY)


def arcsine_process(X, y, X_test, y_test, T):
    """Error of Gaussian-process regression with the erf network's kernel, written out."""

    def kernel(A, B):
        a, b = (np.sum(M**2, axis=1) / A.shape[1] for M in (A, B))
        return 2 / math.pi * np.arcsin(2 * A @ B.T / A.shape[1] / np.sqrt(np.outer(1 + 2 * a, 1 + 2 * b)))

    K, k = kernel(X, X) + T * np.eye(len(X)), kernel(X_test, X)
    mean = k @ np.linalg.solve(K, y)
    variance = np.diag(kernel(X_test, X_test)) - np.sum(k * np.linalg.solve(K, k.T).T, axis=1)
    return float(np.mean((y_test - mean) ** 2 + variance))


def test_every_row_is_a_direct_computation(found):
    data = ww.load_data("digits", classes=(0, 1), train_size=16, test_size=20)
    rows = curves.chosen(found.rows, quantity=curves.TEST)
    assert [row.x for row in rows] == [8] * 4 + [16] * 4
    for row in rows:
        _, activation, width = row.series.split(", ")
        network = ww.FullyConnected(widths=[int(width.removeprefix("N = "))], activation=activation)
        P = int(row.x)
        posterior = ww.infer(network, data.X[:P], data.y[:P], temperature=0.3)
        assert row.theory == pytest.approx(posterior.score(data.X_test, data.y_test).total, rel=1e-9)
        [training] = [r for r in found.rows if (r.series, r.x, r.quantity) == (row.series, row.x, curves.TRAINING)]
        assert training.theory == pytest.approx(posterior.training_error.total, rel=1e-9)
        if activation == "erf":
            exact = arcsine_process(data.X[:P], data.y[:P], data.X_test, data.y_test, 0.3)
            assert row.infinite == pytest.approx(exact, rel=1e-9)


def test_wide_networks_are_the_infinite_column(found):
    wide = [row for row in found.rows if row.series.endswith("N = 100000000")]
    narrow = [row for row in found.rows if row.series.endswith("N = 8")]
    assert len(wide) == len(narrow) == 8
    for row in wide:
        assert row.theory == pytest.approx(row.infinite, rel=1e-6)
    assert max(abs(row.theory / row.infinite - 1) for row in narrow) > 0.01


def test_the_figure_shows_the_rows(found):
    axes = STUDY.figure(found).axes
    assert [a.get_title(loc="left") for a in axes] == ["digits 0/1, erf", "digits 0/1, relu"]
    for a, activation in zip(axes, ("erf", "relu")):
        rows = curves.chosen(found.rows, series=f"digits 0/1, {activation}, N = 8")
        np.testing.assert_array_equal(a.lines[0].get_xydata(), [(row.x, row.theory) for row in rows])


@dataclass
class Number:
    value: float
    standard_error: float = 0.01
    rhat: float = 1.0
    ess: float = 500.0


@dataclass
class Chains:
    generalisation_error: Number
    training_error: Number
    seconds: float = 1.0


@dataclass(frozen=True)
class Pretended(Setup):
    """Samples nothing: says the number of training examples, and remembers what was asked."""

    asked: list = field(default_factory=list)

    def sample(self, network, X, y, X_test, y_test, **options):
        self.asked.append((network.widths, network.phi.name, len(X), len(X_test), options["temperature"]))
        return Chains(Number(len(X)), Number(2 * len(X)))


def test_what_is_sampled_stands_beside_its_theory():
    sizes = Sizes(
        sources=(DIGITS_01,), activations=("erf",), widths=(8, 16), train_sizes=(8, 16), sampled_sizes=(16,),
        sampled_widths=(8,), test_size=20,
    )  # fmt: skip
    setup = Pretended(full=False)
    found = compute(setup, sizes)
    assert setup.asked == [((8,), "erf", 16, 20, 0.1)]
    sampled = {(row.series, row.x, row.quantity): row.sampled for row in found.rows if row.sampled is not None}
    series = "digits 0/1, erf, N = 8"
    assert sampled == {(series, 16, curves.TEST): 16, (series, 16, curves.TRAINING): 32}
    assert "1 of 1 points" in found.notes[0]
    assert len(STUDY.figure(found).axes[0].containers) >= 1


@pytest.mark.parametrize("source", [MNIST_01, CIFAR], ids=lambda source: source.file)
def test_missing_data_are_one_clear_error(tmp_path, source):
    with pytest.raises(InputError, match=rf"^--data: expected a folder with {source.file}, got .* without it; ") as e:
        compute(Setup(full=True, data=tmp_path), Sizes(sources=(source,)))
    assert "\n" not in str(e.value)


def test_the_folder_of_the_full_version_is_read(tmp_path):
    digits = ww.load_data("digits", classes=(0, 1), labels="raw", standardise="none", train_size=100, test_size=100)
    for name in ("mnist_01.npz", "cifar10_airplane_automobile.npz"):
        np.savez(
            tmp_path / name, X_train=digits.X, y_train=digits.y, X_test=digits.X_test, y_test=digits.y_test
        )  # fmt: skip
    sizes = Sizes(sources=(MNIST_01, CIFAR), activations=("erf",), train_sizes=(16,), sampled_sizes=(), test_size=20)
    found = compute(Setup(full=True, data=tmp_path), sizes)
    assert {row.series.split(",")[0] for row in found.rows} == {"MNIST 0/1", "CIFAR-10 planes/cars"}
    one = [row.theory for row in found.rows if row.series.startswith("MNIST")]
    assert one == [row.theory for row in found.rows if row.series.startswith("CIFAR")]


@pytest.mark.slow
def test_linear_networks_are_sampled_where_theory_is_exact():
    sizes = Sizes(
        sources=(DIGITS_PARITY,), activations=("identity",), widths=(6,), train_sizes=(12,), sampled_sizes=(12,),
        sampled_widths=(6,), test_size=20, draws=400,
    )  # fmt: skip
    found = compute(Setup(full=False), sizes)
    for row in found.rows:
        assert abs(row.z) < 4
        assert abs(row.infinite - row.sampled) > 4 * row.standard_error
