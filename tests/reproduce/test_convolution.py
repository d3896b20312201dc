"""Patches: rows are direct computations, wide networks are the infinite column, the linear network is exact."""

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.convolution import STUDY, THEORY_ERROR, OrderParameter, Sizes, compute
from widthwise.reproduce.curves import MNIST_PARITY

TINY = Sizes(
    channels=(3, 500), sampled_channels=(), train_size=10, test_size=12, temperature=0.3, nodes=100, theory_draws=40
)


@pytest.fixture(scope="module")
def found():
    return compute(Setup(full=False, seed=2), TINY)


def test_the_rows_are_direct_computations(found):
    data = ww.load_data("digits", classes="parity", train_size=10, test_size=12, seed=2, flatten=False)
    network = ww.Convolutional(channels=3, patch=(4, 4), activation="erf")
    integral = ww.MonteCarlo(draws=40, nodes=100, seed=2)
    posterior = ww.infer(
        network, data.X, data.y, temperature=0.3, approximation="integrated", monte_carlo=integral
    )  # fmt: skip
    row = curves.chosen(found.rows)[0]
    score = posterior.score(data.X_test, data.y_test)
    assert row.theory == pytest.approx(score.total, rel=1e-9)
    own = curves.chosen(found.rows, quantity=THEORY_ERROR + curves.TEST)[0]
    assert own.theory == pytest.approx(score.monte_carlo_error, rel=1e-9)
    np.testing.assert_allclose(found.setup["order parameter"].values, posterior.order_parameters["Q"])


def test_infinite_channels_are_regression_with_the_mean_kernel_of_the_patches(found):
    X, y, X_test, y_test = ww.load_data(
        "digits", classes="parity", train_size=10, test_size=12, seed=2, flatten=False
    )  # fmt: skip
    every = np.concatenate([X, X_test])
    K = np.zeros((22, 22))
    for i in (0, 4):
        for j in (0, 4):
            patch = every[:, i : i + 4, j : j + 4].reshape(22, 16) / 4
            a = 1 + 2 * np.sum(patch**2, axis=1)
            K += 2 / np.pi * np.arcsin(2 * patch @ patch.T / np.sqrt(np.outer(a, a))) / 4
    A, k = K[:10, :10] + 0.3 * np.eye(10), K[10:, :10]
    variance = np.diag(K)[10:] - np.sum(k * np.linalg.solve(A, k.T).T, axis=1)
    error = np.mean((y_test - k @ np.linalg.solve(A, y)) ** 2 + variance)
    for row in curves.chosen(found.rows):
        assert row.infinite == pytest.approx(error, rel=1e-9)


def test_wide_networks_are_the_infinite_column(found):
    moved = []
    for quantity in (curves.TEST, curves.TRAINING):
        narrow, wide = curves.chosen(found.rows, quantity=quantity)
        own, own_wide = curves.chosen(found.rows, quantity=THEORY_ERROR + quantity)
        assert wide.theory == pytest.approx(wide.infinite, rel=5e-3, abs=4 * own_wide.theory)
        assert own.theory > own_wide.theory > 0
        moved.append(abs(narrow.theory - narrow.infinite) / own.theory)
    assert max(moved) > 4


def test_the_figure_shows_the_rows(found):
    left, _, heat = STUDY.figure(found).axes[:3]
    rows = curves.chosen(found.rows)
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [(row.x, row.theory) for row in rows])
    shown = found.setup["order parameter"]
    np.testing.assert_array_equal(heat.images[0].get_array(), shown.values - np.eye(4))
    assert len(heat.texts) == 16
    assert shown.channels == 3
    assert str(shown) in found.markdown()


def test_the_order_parameter_in_words():
    Q = np.array([[1.5, -0.25], [-0.25, 0.5]])
    assert str(OrderParameter(4, (1, 2), Q)) == "of 4 channels: diagonal 0.50 to 1.50, largest off it 0.25"


def test_missing_data_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"^--data: expected a folder with mnist\.npz, got .* without it; [^\n]*$"):
        compute(Setup(full=True, data=tmp_path), Sizes(source=MNIST_PARITY))


def test_images_must_be_square(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 10
    np.savez(tmp_path / "mnist.npz", X_train=rng.random((60, 10)), y_train=y, X_test=rng.random((60, 10)), y_test=y)
    with pytest.raises(InputError, match=r"^convolution: expected square images .*, got rows of 10 numbers"):
        compute(Setup(full=True, data=tmp_path), Sizes(source=MNIST_PARITY, train_size=20, test_size=20))


@pytest.mark.slow
def test_linear_networks_are_sampled_where_the_integral_is_exact():
    sizes = Sizes(
        activation="identity", channels=(3,), sampled_channels=(3,), train_size=20, test_size=20, temperature=0.1,
        nodes=2000, draws=400,
    )  # fmt: skip
    found = compute(Setup(full=False), sizes)
    moved = []
    for quantity in (curves.TEST, curves.TRAINING):
        [row] = curves.chosen(found.rows, quantity=quantity)
        [own] = curves.chosen(found.rows, quantity=THEORY_ERROR + quantity)
        error = np.hypot(row.standard_error, 2 * own.theory)  # the integral's draws are not quite independent
        assert abs(row.sampled - row.theory) < 4 * error
        moved.append(abs(row.sampled - row.infinite) / error)
    assert max(moved) > 4
