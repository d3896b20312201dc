"""The first layer's reduction: it keeps every inner product, of training and of test inputs."""

import numpy as np
import pytest

from widthwise.sampling.coordinates import Frame


@pytest.mark.parametrize(("P", "n", "N0"), [(3, 4, 9), (3, 12, 5), (8, 4, 5), (1, 2, 1)])
@pytest.mark.parametrize("bias", [0.0, 0.3])
def test_gram_matrices_are_kept(rng, P, n, N0, bias):
    X, tests, lam = rng.normal(size=(P, N0)), rng.normal(size=(n, N0)), 2.5
    frame = Frame.of(X, lam, bias)
    inside, outside = frame.inside(tests), frame.outside(tests)
    np.testing.assert_allclose(frame.inside(X) @ frame.inside(X).T, X @ X.T / (lam * N0) + bias, atol=1e-12)
    np.testing.assert_allclose(inside @ frame.inside(X).T, tests @ X.T / (lam * N0) + bias, atol=1e-12)
    np.testing.assert_allclose(inside @ inside.T + outside @ outside.T, tests @ tests.T / (lam * N0) + bias, atol=1e-12)
    assert frame.outside(X).shape == (P, 0)
    assert outside.shape[1] <= n or outside.shape[1] <= N0 + 1


def test_duplicated_rows_add_no_coordinates(rng):
    X = rng.normal(size=(3, 6))
    assert Frame.of(np.vstack([X, X]), 1.0, 0.0).basis.shape == (7, 3)


def test_zero_inputs_leave_one_coordinate():
    frame = Frame.of(np.zeros((2, 3)), 1.0, 0.0)
    assert frame.inside(np.zeros((2, 3))).shape == (2, 1)
    assert frame.outside(np.ones((2, 3))).shape[0] == 2
