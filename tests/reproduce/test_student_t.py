"""The scale of the posterior and the prior's law against SciPy's distributions, roots and integrals."""

import math

import numpy as np
import pytest
from scipy import stats

import widthwise as ww
from widthwise.errors import InputError
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.curves import MNIST_PARITY
from widthwise.reproduce.student_t import (
    FACTOR,
    KURTOSIS,
    STUDY,
    TAIL,
    Sizes,
    compute,
    integrated_factor,
    mixture_tail,
    prior_variances,
    saddle_factor,
    t_factor,
)

TINY = Sizes(
    widths=(6, 12, 10**7), norms=(0.25, 4.0), train_size=8, test_size=15, coldness=1e-7, prior_draws=40_000,
    prior_widths=(4, 16), thresholds=(1.0, 2.0), chains=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    return compute(Setup(full=False), TINY)


def rows_of(found, quantity, start=""):
    return [row for row in found.rows if row.quantity == quantity and row.series.startswith(start)]


@pytest.mark.parametrize("activation", ["identity", "erf"])
def test_the_factor_is_the_mean_of_a_generalised_inverse_gaussian(found, activation):
    rows = rows_of(found, FACTOR, activation)
    assert len(rows) == 6
    for row in rows:
        N, s = 8 / row.x, float(row.series.split("= ")[1])
        if N > 100:
            continue
        p, psi, chi = (N - 8) / 2, N, 8 * s
        law = stats.geninvgauss(p, math.sqrt(psi * chi), scale=math.sqrt(chi / psi))
        assert row.theory == pytest.approx(law.mean(), rel=1e-5)
        assert integrated_factor(N, 8, s) == pytest.approx(law.mean(), rel=1e-7)


def test_wide_networks_have_the_infinite_variance(found):
    for row in rows_of(found, FACTOR):
        if row.x < 1e-5:
            assert row.theory == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("s", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.1, 1.0, 3.0])
def test_the_saddle_is_the_one_that_infer_finds(alpha, s, rng):
    P, N = 60, round(60 / alpha)
    y = rng.standard_normal(P)
    y *= math.sqrt(P * s) / np.linalg.norm(y)  # K = 1: s is the target's power
    posterior = ww.infer(ww.PrecomputedKernel(widths=[N]), np.eye(P), y, temperature=1e-9)
    assert saddle_factor(P / N, s) == pytest.approx(float(posterior.order_parameters["Q"][0]), rel=1e-7)
    assert (saddle_factor(P / N, s) - 1) * (s - 1) >= 0
    assert saddle_factor(1e-9, s) == pytest.approx(1, abs=1e-7)
    # and ⟨Q⟩ of many examples, whose formula shares nothing with the root
    assert integrated_factor(N * 50, P * 50, s) == pytest.approx(saddle_factor(P / N, s), rel=0.01)


def test_the_factors_of_student_t_are_those_of_its_conditional_law():
    """Of a bivariate t with covariance 1 at y: Var(f | y) over 1, drawn in a thin slice."""
    nu, y, rng = 8.0, 2.0, np.random.default_rng(3)
    draws = stats.multivariate_t(shape=np.eye(2) * (nu - 2) / nu, df=nu, seed=rng).rvs(2_000_000)
    slice_ = draws[np.abs(draws[:, 0] - y) < 0.05, 1]
    error = slice_.var() * math.sqrt(stats.kurtosis(slice_) + 2) / math.sqrt(len(slice_))
    assert t_factor(nu - 2, 1, y**2) == pytest.approx(slice_.var(), abs=4 * error)
    assert t_factor(nu, 5, 1.0) == 1


def test_the_tails_are_those_of_the_variance_gamma_law(rng):
    Q = rng.chisquare(6, 400_000) / 6
    f = np.sqrt(Q) * rng.standard_normal(len(Q))
    for t, tail in zip((1.0, 2.5), mixture_tail(6, (1.0, 2.5))):
        seen = np.abs(f) > t
        assert tail == pytest.approx(seen.mean(), abs=4 * seen.std() / math.sqrt(len(f)))
    assert mixture_tail(10**6, 3.0)[0] == pytest.approx(2 * stats.norm.sf(3), rel=1e-4)


def test_the_prior_is_the_mixture_for_the_identity_alone(found):
    for row in [*rows_of(found, KURTOSIS, "identity"), *rows_of(found, TAIL, "identity")]:
        assert abs(row.z) < 4
    moments = {"identity": 3.0, "relu": 6.0}
    for activation, ratio in moments.items():  # E[φ⁴]/E[φ²]²
        for row in rows_of(found, KURTOSIS, activation):
            assert row.theory == 6 / row.x
            assert row.sampled == pytest.approx(3 * (ratio - 1) / row.x, abs=5 * row.standard_error)
    assert all(row.sampled < row.theory for row in rows_of(found, KURTOSIS, "erf"))


def test_draws_of_the_prior_are_of_the_network_that_is_sampled():
    q = prior_variances("relu", 3, 100_000, np.random.default_rng(0), scale=1.5)
    assert q.mean() == pytest.approx(0.75, abs=5 * q.std() / math.sqrt(len(q)))


def test_the_figure_shows_the_rows(found):
    left, middle, right = STUDY.figure(found).axes
    alpha, factor = left.lines[0].get_data()
    np.testing.assert_allclose(factor, [integrated_factor(8 / a, 8, 0.25) for a in alpha])
    assert middle.get_yscale() == right.get_yscale() == "log"
    assert len(right.containers) == 3


def test_missing_data_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"^--data: expected a folder with mnist\.npz, got .* without it; [^\n]*$"):
        compute(Setup(full=True, data=tmp_path), Sizes(source=MNIST_PARITY, chains=0))


@pytest.mark.slow
def test_sampled_linear_networks_have_the_factor():
    sizes = Sizes(
        activations=("identity",), norms=(0.25, 4.0), widths=(8, 24), train_size=8, test_size=20, prior_widths=(4,),
        prior_draws=1000, thresholds=(1.0,), draws=400,
    )  # fmt: skip
    found = compute(Setup(full=False), sizes)
    for row in rows_of(found, FACTOR, "identity"):
        assert abs(row.z) < 4
        assert abs(row.sampled - 1) > 4 * row.standard_error
    assert curves.names(found.rows)
