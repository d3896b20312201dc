"""`load_data` as users call it."""

import os
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest

import widthwise as ww
from widthwise.errors import DataWarning, InputError


def test_the_default_unpacks_into_four_arrays():
    data = ww.load_data("digits", classes=(0, 1), train_size=200, test_size=100, seed=0)
    X, y, X_test, y_test = data
    assert (X.shape, y.shape, X_test.shape, y_test.shape) == ((200, 64), (200,), (100, 64), (100,))
    assert {a.dtype for a in data} == {np.dtype(np.float64)}
    assert abs(X.mean()) < 1e-12
    assert X.std() == pytest.approx(1)
    assert set(y) == set(y_test) == {-1.0, 1.0}
    assert data.describe()["classes"] == ["0", "1"]


def test_the_rows_are_those_of_the_source():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    data = ww.load_data("digits", classes="3,8", train_size=60, test_size=40, standardise="none", seed=7)
    np.testing.assert_array_equal(data.X, images[data.train_rows])
    np.testing.assert_array_equal(data.X_test, images[data.test_rows])
    np.testing.assert_array_equal(data.y, np.where(labels[data.train_rows] == 8, 1.0, -1.0))
    assert not set(data.train_rows) & set(data.test_rows)


def test_parity_groups_the_digits():
    from sklearn.datasets import load_digits

    data = ww.load_data("digits", classes="parity", train_size=100, test_size=50)
    other = ww.load_data("digits", classes=((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), train_size=100, test_size=50)
    np.testing.assert_array_equal(data.y, other.y)
    np.testing.assert_array_equal(data.y, 2 * (load_digits().target[data.train_rows] % 2) - 1)


def test_more_classes_become_columns():
    data = ww.load_data("digits", train_size=100, test_size=50)
    assert data.y.shape == (100, 10)
    np.testing.assert_array_equal(data.y.sum(axis=1), 1)
    assert ww.load_data("digits", train_size=100, test_size=50, labels="raw").y.shape == (100,)


def test_raw_keeps_the_labels_of_the_chosen_classes():
    data = ww.load_data("digits", classes="3,8", labels="raw", train_size=20, test_size=20)
    assert set(data.y) == {3.0, 8.0}


def save(tmp_path, **arrays):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    return path


def test_regression_targets_stay_in_their_units(tmp_path, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(100, 20, size=40)
    data = ww.load_data(save(tmp_path, X=X, y=y), train_size=30)
    assert data.task == "regression"
    np.testing.assert_array_equal(data.y, y[data.train_rows])
    two = ww.load_data(save(tmp_path, X=X, y=np.column_stack([y, y])), train_size=30)
    assert two.y.shape == (30, 2)


def test_one_training_example(tmp_path):
    assert ww.load_data("digits", classes="0,1", train_size=1, test_size=5).y.shape == (1,)


X, Y = np.arange(24.0).reshape(8, 3), np.arange(8) % 2
BAD = {
    "nan": ({"X": np.where(X == 5, np.nan, X), "y": Y}, r"nan at index \(1, 2\)"),
    "inf": ({"X": np.where(X == 5, -np.inf, X), "y": Y}, "-inf at index"),
    "nan target": ({"X": X, "y": np.where(Y, np.nan, 0)}, "y: expected finite"),
    "lengths": ({"X": X, "y": Y[:5]}, "got 5 targets for 8 examples"),
    "one-dimensional": ({"X": X[:, 0], "y": Y}, r"got \(8,\)"),
    "no examples": ({"X": X[:0], "y": Y[:0]}, "at least one example"),
    "no features": ({"X": X[:, :0], "y": Y}, "at least one feature"),
    "text": ({"X": X.astype(str), "y": Y}, "expected real numbers"),
    "complex": ({"X": X + 1j, "y": Y}, "expected real numbers"),
    "one class": ({"X": X, "y": np.zeros(8, dtype=int)}, "at least two classes, got one"),
    "scalar target": ({"X": X, "y": np.array(1)}, "targets of shape"),
    "one example": ({"X": X[:1], "y": np.array([0.5])}, "at least one example of each"),
    "features differ": ({"X_train": X, "y_train": Y, "X_test": X[:, :2], "y_test": Y}, "as in X_train"),
    "unseen label": ({"X_train": X, "y_train": Y, "X_test": X, "y_test": Y + 1}, "labels that y_train has"),
    "kinds differ": ({"X_train": X, "y_train": Y, "X_test": X, "y_test": np.array(list("abababab"))}, "same kind"),
    "nan in test": ({"X_train": X, "y_train": Y, "X_test": X * np.nan, "y_test": Y}, "X_test: expected finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_cannot_be_used(case, tmp_path):
    arrays, words = BAD[case]
    with pytest.raises(InputError, match=words) as caught:
        ww.load_data(save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": "sings"}, "did you mean 'sign'"),
        ({"standardise": "globe"}, "did you mean 'global'"),
        ({"seed": -1}, "seed"),
        ({"target": "x"}, "leave target out"),
        ({"train_size": 2000}, "ask for fewer"),
        ({"labels": "sign"}, "expected two classes, got 10"),
        ({"classes": "0,11"}, "unknown class '11'"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        ww.load_data("digits", **options)


def test_text_cannot_be_a_raw_target(tmp_path):
    with pytest.raises(InputError, match="got text"):
        ww.load_data(save(tmp_path, X=X, y=np.array(list("abababab"))), labels="raw")


def test_constant_inputs_are_legal_and_warn(tmp_path):
    with pytest.warns(DataWarning, match="equal"):
        data = ww.load_data(save(tmp_path, X=np.ones((8, 3)), y=Y))
    assert not data.X.any()


def test_constant_targets_are_legal_and_warn(tmp_path):
    with pytest.warns(DataWarning, match="nothing to learn"):
        data = ww.load_data(save(tmp_path, X=X, y=np.full(8, 0.5)))
    assert set(data.y) == {0.5}


def test_images_keep_their_shape_on_request(tmp_path):
    path = save(tmp_path, X=np.arange(96.0).reshape(8, 2, 2, 3), y=Y)
    assert ww.load_data(path).X.shape[1:] == (12,)
    assert ww.load_data(path, flatten=False).X.shape[1:] == (2, 2, 3)


@pytest.mark.parametrize(("name", "near"), [("digist", "digits"), ("minst", "mnist"), ("cifar_11", "cifar10")])
def test_a_near_name(name, near):
    with pytest.raises(InputError, match=f"did you mean '{near}'"):
        ww.load_data(name)


def test_openml_names(monkeypatch):
    asked = []

    def fetch(**which):
        asked.append(which)
        labels = np.array([str(k % 10) for k in range(70_000)], dtype=object)
        return SimpleNamespace(data=np.arange(70_000.0)[:, None] % 255, target=labels)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    data = ww.load_data("fashion-mnist", classes="trouser,bag", train_size=20, test_size=10, standardise="none")
    assert data.classes == ("trouser", "bag")
    assert asked[0]["data_id"] == 40996
    assert asked[0]["as_frame"] is False
    assert data.train_rows.max() < 60_000
    assert data.test_rows.max() < 10_000
    np.testing.assert_array_equal(data.X_test[:, 0], (60_000 + data.test_rows) % 255)
    ww.load_data("openml:digitz", classes="0,1", train_size=20, test_size=10)
    assert asked[1]["name"] == "digitz"


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route\nto host"), TimeoutError(), ValueError("no such set")]
)
def test_no_network_is_one_clear_line(monkeypatch, error):
    def fetch(**which):
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    for name in ("mnist", "higgs"):
        with pytest.raises(InputError, match="download it elsewhere and pass the file") as caught:
            ww.load_data(name)
        assert "\n" not in str(caught.value)


DATA = os.environ.get("WIDTHWISE_DATA", "../shared/data")


@pytest.mark.skipif(not os.path.exists(f"{DATA}/mnist.npz"), reason="no local MNIST")
def test_local_mnist():
    data = ww.load_data(f"{DATA}/mnist.npz", classes="parity", train_size=100, test_size=100)
    assert data.X.shape == (100, 784)
    assert set(data.y) == {-1.0, 1.0}
