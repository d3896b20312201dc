"""Thin factors: what they reproduce, whatever path they take; ranks by precision; least norm on some rows."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from widthwise.numerics.factors import least_norm, of_features, of_kernel, precision

DOUBLE, SINGLE = 2.0**-52, 2.0**-23


def kinds(rng):
    """Of every shape and rank, in units far apart."""
    tall = rng.normal(size=(300, 20)) * np.logspace(-3, 3, 20) + 2.0
    wide = rng.normal(size=(30, 80)) * np.logspace(-3, 3, 80)
    ill = tall @ np.diag(np.logspace(0, -5, 20)) @ np.linalg.qr(rng.normal(size=(20, 20)))[0]
    return {
        "tall": (tall, 20),
        "nearly square": (rng.normal(size=(24, 20)), 20),
        "square": (rng.normal(size=(20, 20)), 19),
        "wide": (wide, 29),
        "dead": (np.column_stack([tall, np.zeros(300), np.full(300, 0.1)]), 20),
        "duplicated": (np.column_stack([tall, tall[:, 3], tall[:, 0] - tall[:, 1]]), 20),
        "ill-conditioned": (ill, 20),
        "wide, of low rank": (wide[:, :5] @ rng.normal(size=(5, 80)), 5),
        "all dead": (np.zeros((10, 3)), 0),
    }


@pytest.mark.parametrize("kind", kinds(np.random.default_rng(0)))
@pytest.mark.parametrize("constant", [True, False])
def test_they_multiply_to_the_features(rng, kind, constant):
    Phi, rank = kinds(rng)[kind]
    parts = of_features(Phi, constant, DOUBLE)
    U, s, Vt = parts.spectrum
    scale = np.maximum(np.abs(Phi).max(axis=0), 1e-300)
    for product in (parts.U @ parts.C, (U * s) @ Vt):
        np.testing.assert_allclose((product + parts.mean) / scale, Phi / scale, atol=1e-9)
    np.testing.assert_allclose(parts.U.T @ parts.U, np.eye(parts.U.shape[1]), atol=1e-11)
    if constant:
        assert parts.U.shape[1] == rank
        np.testing.assert_allclose(parts.mean, Phi.mean(axis=0), rtol=1e-12)
    if parts.C_inverse is not None:
        np.testing.assert_allclose(parts.C @ parts.C_inverse, np.eye(parts.U.shape[1]), atol=1e-9)
    y = rng.normal(size=(len(Phi), 2))
    if kind not in ("ill-conditioned", "wide", "all dead"):  # where units decide it, lstsq cuts
        direct = np.linalg.lstsq(Phi - parts.mean, y, rcond=1e-11)[0]
        np.testing.assert_allclose((Phi - parts.mean) @ parts.weights(y, 0.0), (Phi - parts.mean) @ direct, atol=1e-6)


@pytest.mark.parametrize("P", [400, 20])
@pytest.mark.parametrize("rank", [30, 12])
def test_the_factors_are_the_singular_value_decompositions(rng, P, rank):
    """Tall and wide, of full rank and not, with a condition of 1e4 and columns in units of their own."""
    rank = min(rank, P - 1)
    Phi = rng.normal(size=(P, rank)) * np.logspace(0, -4, rank) @ rng.normal(size=(rank, 30)) * np.logspace(-3, 3, 30)
    parts = of_features(Phi, True, DOUBLE)
    s = np.linalg.svd(Phi - Phi.mean(axis=0), compute_uv=False)
    assert parts.U.shape == (P, rank)
    np.testing.assert_allclose(parts.U.T @ parts.U, np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(parts.U @ parts.C, Phi - Phi.mean(axis=0), atol=1e-11 * s[0])
    np.testing.assert_allclose(parts.spectrum[1][:5], s[:5], rtol=1e-9)
    assert (parts.C_inverse is None) == (rank < 30)
    if rank == 30:
        np.testing.assert_allclose(parts.C_inverse @ parts.C, np.eye(30), atol=1e-6)


@pytest.mark.parametrize(("P", "N"), [(500, 25), (40, 90)])
def test_what_depends_up_to_the_precision_does_not_count(rng, P, N):
    mixed = (rng.normal(size=(P, 12)) @ rng.normal(size=(12, N))).astype(np.float32)
    assert of_features(mixed.astype(float), True, precision(mixed)).U.shape[1] == 12
    assert of_features(mixed.astype(float), True, DOUBLE).U.shape[1] == min(P - 1, N)


def test_precision_is_that_of_birth(rng):
    X = rng.normal(size=(5, 2))
    assert precision(X) == DOUBLE
    assert precision(X.astype(np.float32)) == precision(X.astype(np.float32).astype(float)) == SINGLE
    assert precision(X.astype(np.float16)) == 2.0**-10


def test_a_kernels_factors(rng):
    X = rng.normal(size=(40, 6)) * 3.0
    U, k = of_kernel(X @ X.T, DOUBLE)
    np.testing.assert_allclose(k, np.linalg.svd(X)[1] ** 2, rtol=1e-10)
    np.testing.assert_allclose((U * k) @ U.T, X @ X.T, atol=1e-10)


@pytest.mark.parametrize(("P", "N", "n"), [(60, 12, 50), (40, 60, 30), (21, 20, 15), (30, 25, 27)])
def test_least_norm_on_some_rows_is_scikit_learns(rng, P, N, n):
    Phi, y = rng.normal(size=(P, N)) * np.logspace(-1, 1, N) + 1.0, rng.normal(size=(P, 3))
    U, s, _ = of_features(Phi, True, DOUBLE).spectrum
    kept = rng.permutation(P)[:n]
    expected = LinearRegression().fit(Phi[kept], y[kept]).predict(Phi)
    np.testing.assert_allclose(least_norm(U, s, y, kept), expected, atol=1e-7)


def test_a_direction_that_only_left_out_rows_have_is_not_learnt(rng):
    Phi = np.column_stack([rng.normal(size=(30, 3)), np.arange(30) == 7])
    y, kept = rng.normal(size=(30, 1)), np.delete(np.arange(30), 7)
    U, s, _ = of_features(Phi, True, DOUBLE).spectrum
    expected = LinearRegression().fit(Phi[kept, :3], y[kept]).predict(Phi[:, :3])
    np.testing.assert_allclose(least_norm(U, s, y, kept), expected, atol=1e-8)
