"""Standardisation by the training set's numbers."""

import numpy as np
import pytest

from widthwise.data.standardise import standardise
from widthwise.errors import DataWarning, InputError


@pytest.fixture
def X(rng):
    return rng.normal(3.0, [0.1, 1.0, 10.0], size=(50, 3))


def test_global_is_one_mean_and_one_deviation(X, rng):
    T = rng.normal(size=(5, 3))
    Z, Z_test = standardise(X, T, "global")
    assert abs(Z.mean()) < 1e-12
    assert Z.std() == pytest.approx(1)
    np.testing.assert_allclose(Z_test, (T - X.mean()) / X.std())
    np.testing.assert_allclose(Z.std(axis=0) / X.std(axis=0), 1 / X.std())


def test_feature_is_one_of_each(X, rng):
    from sklearn.preprocessing import StandardScaler

    T = rng.normal(size=(5, 3))
    scaler = StandardScaler().fit(X)
    Z, Z_test = standardise(X, T, "feature")
    np.testing.assert_allclose(Z, scaler.transform(X))
    np.testing.assert_allclose(Z_test, scaler.transform(T))


def test_none_leaves_them(X):
    assert np.array_equal(standardise(X, X, "none")[0], X)


def test_integers_become_floats():
    Z, _ = standardise(np.array([[0, 255]], dtype=np.uint8), np.array([[255, 0]], dtype=np.uint8), "global")
    assert Z.tolist() == [[-1.0, 1.0]]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_constant_inputs_warn_and_are_centred(value):
    with pytest.warns(DataWarning, match="all inputs are equal"):
        Z, Z_test = standardise(np.full((7, 3), value), np.full((2, 3), value + 1), "global")
    assert not Z.any()
    np.testing.assert_allclose(Z_test, 1.0)


def test_constant_features_warn_and_are_centred(X):
    X = X.copy()
    X[:, 1] = 0.1
    with pytest.warns(DataWarning, match="1 of 3 features"):
        Z, _ = standardise(X, X, "feature")
    assert not Z[:, 1].any()
    np.testing.assert_allclose(Z[:, [0, 2]].std(axis=0), 1)


def test_numbers_that_overflow():
    with pytest.raises(InputError, match="rescale"):
        standardise(np.array([[1e308, -1e308], [1e308, 1e308]]), np.zeros((1, 2)), "global")
