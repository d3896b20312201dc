"""Depth: rows are direct computations, closures coincide where they must, and wide networks are the infinite column."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.curves import DIGITS_PARITY, MNIST_PARITY
from widthwise.reproduce.depth import STUDY, Sizes, compute

TINY = Sizes(
    depths=(1, 2), widths=(20, 10**7), sampled_widths=(), train_size=12, test_size=15, temperature=0.3,
    weight_precision=1.7,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return compute(Setup(full=False), TINY)


def test_every_row_is_a_direct_computation(found):
    data = ww.load_data("digits", classes="parity", train_size=12, test_size=15)
    assert len(found.rows) == 2 * (2 * (1 + 3) + 2 * 2)
    for row in curves.chosen(found.rows):
        activation, width, closure = row.series.split(", ")
        network = ww.FullyConnected(
            widths=[int(width.removeprefix("N = "))] * int(row.x), activation=activation, closure=closure,
            weight_precisions=1.7,
        )  # fmt: skip
        posterior = ww.infer(network, data.X, data.y, temperature=0.3)
        assert row.theory == pytest.approx(posterior.score(data.X_test, data.y_test).total, rel=1e-9)


def test_infinite_width_is_the_deep_relu_kernel(found):
    """Two layers of relu: the arc-cosine kernel twice, and Gaussian-process regression, written out."""
    X, y, X_test, y_test = ww.load_data("digits", classes="parity", train_size=12, test_size=15)
    every = np.concatenate([X, X_test])
    K = every @ every.T / (1.7 * every.shape[1])
    for _ in range(2):
        d = np.sqrt(np.diag(K))
        u = np.clip(K / np.outer(d, d), -1, 1)
        K = np.outer(d, d) * (np.sqrt(1 - u**2) + u * (np.pi - np.arccos(u))) / (2 * np.pi * 1.7)
    A, k = K[:12, :12] + 0.3 * np.eye(12), K[12:, :12]
    variance = np.diag(K)[12:] - np.sum(k * np.linalg.solve(A, k.T).T, axis=1)
    error = np.mean((y_test - k @ np.linalg.solve(A, y)) ** 2 + variance)
    [row] = [r for r in curves.chosen(found.rows, series="relu, N = 20, global") if r.x == 2]
    assert row.infinite == pytest.approx(error, rel=1e-7)


def test_wide_networks_are_the_infinite_column_whatever_the_closure(found):
    wide = [row for row in found.rows if "N = 10000000," in row.series]
    assert {row.series.split(", ")[2] for row in wide} == {"global", "nested", "linearised"}
    for row in wide:
        assert row.theory == pytest.approx(row.infinite, rel=1e-5)


def test_closures_have_rows_only_where_they_differ(found):
    closures = {(r.series.split(", ")[0], r.x): set() for r in found.rows}
    for row in found.rows:
        closures[row.series.split(", ")[0], row.x].add(row.series.split(", ")[2])
    assert closures["relu", 2] == closures["relu", 1] == closures["erf", 1] == {"global"}
    assert closures["erf", 2] == {"global", "nested", "linearised"}
    two = {r.series: r.theory for r in curves.chosen(found.rows) if r.x == 2}
    assert abs(two["erf, N = 20, nested"] / two["erf, N = 20, global"] - 1) > 1e-3


def test_the_figure_shows_the_rows(found):
    axes = STUDY.figure(found).axes
    assert [a.get_title(loc="left") for a in axes[:2]] == ["erf", "relu"]
    for a, activation in zip(axes, ("erf", "relu")):
        rows = curves.chosen(found.rows, series=f"{activation}, N = 20, global")
        np.testing.assert_array_equal(a.lines[0].get_xydata(), [(row.x, row.theory) for row in rows])


def test_missing_data_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"^--data: expected a folder with mnist\.npz, got .* without it; [^\n]*$"):
        compute(Setup(full=True, data=tmp_path), Sizes(source=MNIST_PARITY))


@pytest.mark.slow
def test_deep_linear_networks_are_sampled_where_theory_is_exact():
    sizes = Sizes(
        source=DIGITS_PARITY, activations=("identity",), depths=(1, 2), widths=(8,), sampled_widths=(8,), train_size=12,
        test_size=15, weight_precision=1.7, draws=400,
    )  # fmt: skip
    found = compute(Setup(full=False), sizes)
    assert len(found.rows) == 4
    for row in found.rows:
        assert abs(row.z) < 4
    assert max(abs(row.infinite - row.sampled) / row.standard_error for row in found.rows) > 4
    assert len(STUDY.figure(found).axes) == 2
