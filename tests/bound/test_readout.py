import warnings

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from widthwise.bound import kernel_readout, readout
from widthwise.errors import DataWarning, InputError

RIDGES = (0.0, 0.3, 50.0)


def data(rng, P=40, N=7, D=None):
    """Features of several units and off-centre, targets of their own scale."""
    X = rng.normal(size=(P, N)) * np.logspace(-2, 2, N) + 3.0
    y = 2.0 + X @ rng.normal(size=(N, D or 1)) / np.logspace(-2, 2, N).mean() + 0.7 * rng.normal(size=(P, D or 1))
    return X, (y if D else y[:, 0])


def scikit(ridge):
    return Ridge(alpha=ridge, solver="svd", tol=1e-12) if ridge else LinearRegression()


# scikit-learn


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("D", [None, 3])
def test_fit_and_left_out_errors_are_scikit_learns(rng, ridge, D):
    X, y = data(rng, D=D)
    fit, model = readout(X, y, ridge=ridge), scikit(ridge).fit(X, y)
    X_new, _ = data(rng)
    np.testing.assert_allclose(fit.predict(X_new), model.predict(X_new), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(fit.residuals, y - model.predict(X), atol=1e-9)
    left_out = y - cross_val_predict(scikit(ridge), X, y, cv=LeaveOneOut())
    np.testing.assert_allclose(fit.left_out, left_out, atol=1e-8)
    squares = (left_out**2).reshape(len(y), -1).sum(axis=1)
    assert fit.press.value == pytest.approx(squares.mean(), rel=1e-8)
    assert fit.training_error == pytest.approx((fit.residuals**2).reshape(len(y), -1).sum(axis=1).mean())
    assert fit.gap.value == pytest.approx(fit.press.value - fit.training_error)
    assert fit.ratio.value == pytest.approx(fit.gap.value / fit.press.value)


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("constant", [True, False])
def test_leverages_are_the_response_to_a_perturbed_target(rng, ridge, constant):
    X, y = data(rng)
    fit = readout(X, y, ridge=ridge, constant=constant)
    moved = [fit.predict(X)[i] for i in range(len(y))]
    response = np.array(
        [readout(X, y + np.eye(len(y))[i], ridge=ridge, constant=constant).predict(X)[i] for i in range(len(y))]
    )
    np.testing.assert_allclose(fit.leverages, response - moved, atol=1e-8)
    assert fit.memorisation == pytest.approx(fit.leverages.mean())
    assert fit.gcv == pytest.approx(fit.training_error / (1.0 - fit.memorisation) ** 2)
    assert fit.predicted_ratio == pytest.approx(1.0 - (1.0 - fit.memorisation) ** 2)
    assert fit.effective_size == 7 + constant
    assert (ridge > 0.0) == (fit.memorisation < fit.effective_size / 40 - 1e-9)


@pytest.mark.parametrize("ridge", [0.2, 3.0])
def test_of_a_kernel_it_is_scikit_learns_kernel_ridge(rng, ridge):
    X, y = data(rng, D=2)
    X = X / np.logspace(-2, 2, 7)
    K, k = (np.exp(-((X[:n, None] - X[None]) ** 2).sum(axis=2) / 9.0) for n in (40, 5))
    fit, model = kernel_readout(K, y, ridge=ridge), KernelRidge(alpha=ridge, kernel="precomputed").fit(K, y)
    np.testing.assert_allclose(fit.predict(k), model.predict(k), atol=1e-9)
    H = K @ np.linalg.inv(K + ridge * np.eye(40))
    np.testing.assert_allclose(fit.leverages, np.diag(H), atol=1e-10)
    left_out = y - cross_val_predict(model, K, y, cv=LeaveOneOut())
    np.testing.assert_allclose(fit.left_out, left_out, atol=1e-8)


@pytest.mark.parametrize("ridge", RIDGES)
def test_of_features_without_constant_it_is_that_of_their_kernel(rng, ridge):
    X, y = data(rng)
    X = X / np.logspace(-2, 2, 7)
    a, b = readout(X, y, ridge=ridge, constant=False), kernel_readout(X @ X.T, y, ridge=ridge)
    assert a.effective_size == b.effective_size == 7
    for name in ("residuals", "left_out", "leverages", "memorisation", "gcv"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-7, atol=1e-8, err_msg=name)


# interpolation


@pytest.mark.parametrize("case", ["P < N", "P = N_eff", "P = N_eff - 1", "P = N_eff + 1", "one of its own"])
def test_where_a_leverage_is_one_the_left_out_fit_has_least_norm(rng, case):
    P = 16
    X = rng.normal(size=(P, {"P < N": 40, "P = N_eff": P - 1, "P = N_eff - 1": P, "P = N_eff + 1": P - 2}.get(case, 3)))
    if case == "one of its own":
        X = np.column_stack([X, np.arange(P) == 5])
    y = rng.normal(size=P)
    fit = readout(X, y)
    expected = []
    for i in range(P):
        kept = np.arange(P) != i
        mean, level = X[kept].mean(axis=0), y[kept].mean()
        v = np.linalg.lstsq(X[kept] - mean, y[kept] - level, rcond=1e-10)[0]
        expected.append(y[i] - level - (X[i] - mean) @ v)
    np.testing.assert_allclose(fit.left_out, expected, rtol=1e-6, atol=1e-8)
    near = readout(X, y, ridge=1e-8)
    assert fit.gcv == pytest.approx(near.gcv, rel=1e-3)
    np.testing.assert_allclose(fit.left_out, near.left_out, rtol=1e-2, atol=1e-4)
    X_new = rng.normal(size=(3, X.shape[1]))
    np.testing.assert_allclose(fit.predict(X_new), near.predict(X_new), atol=1e-3)
    assert np.isfinite([fit.press.value, fit.press.standard_error, fit.gcv, fit.gap.standard_error]).all()
    assert (fit.tau is None) == (case not in ("P = N_eff + 1", "one of its own"))
    if case == "one of its own":
        others = np.arange(P) != 5
        assert fit.tau.value == pytest.approx(readout(X[others, :3], y[others]).tau.value)


# rank


def test_dead_duplicated_and_constant_features_count_for_nothing(rng):
    X, y = data(rng)
    more = np.column_stack([X, np.zeros(40), X[:, 2], np.full(40, 1e3), X[:, 1] + 4.0, X[:, 0] - 2.0 * X[:, 3]])
    a, b = readout(X, y), readout(more, y)
    assert (a.effective_size, b.effective_size, b.features) == (8, 8, 12)
    np.testing.assert_allclose(a.leverages, b.leverages, atol=1e-8)
    np.testing.assert_allclose(a.residuals, b.residuals, atol=1e-8)
    assert readout(np.zeros((5, 2)), np.arange(5.0) ** 2).effective_size == 1


@pytest.mark.parametrize("handed", [np.float32, np.float64])
def test_the_rank_is_that_of_the_precision_the_features_were_born_with(rng, handed):
    X = rng.normal(size=(300, 20)).astype(np.float32) + np.float32(5.0)
    mixed = (X @ rng.normal(size=(20, 15)).astype(np.float32)).astype(np.float32)
    y = rng.normal(size=300)
    assert readout(np.hstack([X, mixed]).astype(handed), y).effective_size == 21
    exact = np.hstack(
        [X.astype(float), X.astype(float) @ rng.normal(size=(20, 15)) + 1e-7 * rng.normal(size=(300, 15))]
    )
    assert readout(exact, y).effective_size == 36


def test_a_wide_spectrum_is_not_cut_short(rng):
    X = rng.normal(size=(200, 10)) @ np.diag(np.logspace(0, -5, 10)) @ np.linalg.qr(rng.normal(size=(10, 10)))[0]
    assert readout(X, rng.normal(size=200)).effective_size == 11


# invariances


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_a_rotation_of_the_features_changes_nothing(rng, ridge):
    X, y = data(rng)
    Q = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    a, b = readout(X, y, ridge=ridge), readout(X @ Q - 4.0, y, ridge=ridge)
    np.testing.assert_allclose(a.leverages, b.leverages, atol=1e-8)
    np.testing.assert_allclose(a.left_out, b.left_out, atol=1e-7)


def test_units_of_the_features_do_not_matter_without_a_ridge(rng):
    X, y = data(rng)
    X = X - 3.0
    a, b = readout(X, y), readout(X * np.logspace(-14, 14, 7), y)
    assert b.effective_size == 8
    np.testing.assert_allclose(a.leverages, b.leverages, atol=1e-10)
    np.testing.assert_allclose(a.predict(X), b.predict(X * np.logspace(-14, 14, 7)), atol=1e-8)


def test_units_of_features_and_ridge_go_together(rng):
    X, y = data(rng)
    a, b = readout(X, y, ridge=0.5), readout(30.0 * X, 7.0 * y, ridge=450.0)
    np.testing.assert_allclose(7.0 * a.left_out, b.left_out, rtol=1e-9)
    assert b.press.value == pytest.approx(49.0 * a.press.value)
    assert b.tau.value == pytest.approx(a.tau.value)


# known populations


def draws(seed, P, N, cubic=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(P, N))
    return X, (X[:, 0] ** 3 if cubic else X[:, 0] - 0.5 * X[:, 1] + 0.8 * rng.normal(size=P))


def covered(measurements):
    """The values' mean, and how often it lies within two standard errors of one."""
    values, errors = np.array([(m.value, m.standard_error) for m in measurements]).T
    return values.mean(), np.mean(np.abs(values - values.mean()) <= 2.0 * errors)


def test_gcv_and_press_are_unbiased_and_their_bars_are_honest():
    """Least squares with a constant, Gaussian: E ε_g(P) = ε_R (1 + 1/P)(P − 2)/(P − N − 2), E ε_t = ε_R (1 − m)."""
    P, N, noise = 200, 60, 0.64
    fits = [readout(*draws(seed, P, N)) for seed in range(400)]
    full, one_less = (noise * (1.0 + 1.0 / n) * (n - 2.0) / (n - N - 2.0) for n in (P, P - 1))
    press, share = covered([fit.press for fit in fits])
    assert press == pytest.approx(one_less, rel=0.02)
    assert 0.92 < share < 0.98
    gap, share = covered([fit.gap for fit in fits])
    assert gap == pytest.approx(one_less - noise * (1.0 - (N + 1) / P), rel=0.02)
    assert 0.92 < share < 0.98
    assert np.mean([fit.gcv for fit in fits]) == pytest.approx(full, rel=0.02)
    ratio, share = covered([fit.ratio for fit in fits])
    assert ratio == pytest.approx(fits[0].predicted_ratio, rel=0.02)
    assert 0.9 < share < 0.99


def test_the_bar_of_the_gap_is_honest_with_a_ridge():
    _, share = covered([readout(*draws(seed, 200, 150), ridge=10.0).gap for seed in range(200)])
    assert 0.91 < share < 0.985


def test_tau_of_gaussian_features_is_one_and_of_a_cube_seven():
    gaussian = readout(*draws(0, 4000, 30)).tau
    assert abs(gaussian.value - 1.0) < 4.0 * gaussian.standard_error
    cubes = [readout(*draws(seed, 20000, 1, cubic=True), constant=False).tau.value for seed in range(20)]
    assert np.mean(cubes) == pytest.approx(7.0, rel=0.1)


# refusals


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones(5), np.ones(5), r"features: expected shape \(examples, features\), got \(5,\)"),
        (np.ones((5, 2)), np.ones(4), r"targets: expected one row per example \(5\), got 4"),
        (np.ones((0, 2)), np.ones(0), "features: expected at least one example"),
        (np.ones((1, 2)), np.ones(1), "expected at least 2 examples"),
        (np.full((5, 2), np.nan), np.ones(5), r"features: expected finite numbers, got nan at \[0, 0\]"),
        (np.ones((5, 2)), np.full(5, np.inf), r"targets: expected finite numbers, got inf"),
        (np.ones((5, 2)), np.array(list("abcde")), "targets: expected real numbers"),
        (np.ones((5, 2)), np.ones((5, 2, 2)), r"targets: expected shape"),
        (np.full((5, 2), 1e60), np.ones(5), "rescale"),
    ],
)
def test_bad_arrays_are_refused_in_words(X, y, message):
    with pytest.raises(InputError, match=message):
        readout(X, y)


def test_bad_settings_are_refused(rng):
    X, y = data(rng)
    for ridge in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="ridge: expected a finite number of at least 0"):
            readout(X, y, ridge=ridge)
    with pytest.raises(InputError, match="expected 7 features as in training, got 6"):
        readout(X, y).predict(X[:, :6])
    with pytest.raises(InputError, match="K: expected a square matrix"):
        kernel_readout(X, y, ridge=1.0)
    with pytest.raises(InputError, match="K: expected a symmetric matrix"):
        kernel_readout(np.triu(np.ones((40, 40))), y, ridge=1.0)
    with pytest.raises(InputError, match="positive semi-definite"):
        kernel_readout(-np.eye(40), y, ridge=1.0)


def test_class_numbers_as_targets_are_warned_of(rng):
    X, _ = data(rng)
    with pytest.warns(DataWarning, match="numbers of 3 classes"):
        readout(X, np.arange(40) % 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        readout(X, np.arange(40) % 2)
        readout(X, np.eye(3)[np.arange(40) % 3])
        readout(X, np.arange(40.0) % 3 - 1.0)
