"""Leverages, residuals and errors left out, against the hat matrix itself and fits without each row."""

import numpy as np
import pytest

from widthwise.numerics.factors import of_features
from widthwise.numerics.hat import smooth, square


def smoothed(Phi, y, ridge, constant):
    parts = of_features(Phi, constant, 2.0**-52)
    centred = y - y.mean(axis=0) if constant else y
    return smooth(parts.U, centred, ridge, constant, lambda: (parts.spectrum[0], parts.spectrum[1] ** 2))


@pytest.mark.parametrize("ridge", [0.0, 0.7, 40.0])
@pytest.mark.parametrize("constant", [True, False])
def test_it_is_that_of_the_hat_matrix(rng, ridge, constant):
    P, Phi, y = 25, rng.normal(size=(25, 6)) * 3.0 + 1.0, rng.normal(size=(25, 2)) + 4.0
    X = Phi - Phi.mean(axis=0) if constant else Phi
    H = X @ np.linalg.solve(X.T @ X + ridge * np.eye(6), X.T) + constant / P
    fit, rest = smoothed(Phi, y, ridge, constant), np.eye(P) - H
    np.testing.assert_allclose(fit.leverages, np.diag(H), atol=1e-12)
    np.testing.assert_allclose(fit.residuals, rest @ y, atol=1e-12)
    np.testing.assert_allclose(fit.left_out, rest @ y / np.diag(rest)[:, None], atol=1e-11)
    assert fit.memorisation == pytest.approx(np.trace(H) / P)
    assert fit.gcv == pytest.approx(square(rest @ y) / (1 - np.trace(H) / P) ** 2)
    two, four = (np.trace(np.linalg.matrix_power(rest, power)) for power in (2, 4))
    assert fit.inflation == pytest.approx(P * four / two**2)


@pytest.mark.parametrize("N", [8, 7, 20])
def test_where_every_leverage_is_one_it_is_the_limit_of_small_ridges(rng, N):
    Phi, y = rng.normal(size=(8, N)), rng.normal(size=(8, 1))
    limit, near = smoothed(Phi, y, 0.0, True), smoothed(Phi, y, 1e-7, True)
    assert limit.alone.all()
    np.testing.assert_allclose(limit.left_out, near.left_out, rtol=1e-4, atol=1e-5)
    assert limit.gcv == pytest.approx(near.gcv, rel=1e-4)
