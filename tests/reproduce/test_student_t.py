"""The scale of the posterior and the prior's law against SciPy's distributions, roots and integrals."""

import math

import numpy as np
import pytest
from scipy import stats

from widthwise.errors import InputError
from widthwise.prior import integrated_factor
from widthwise.reproduce import Setup, curves
from widthwise.reproduce.curves import MNIST_PARITY
from widthwise.reproduce.student_t import (
    FACTOR,
    KURTOSIS,
    STUDY,
    TAIL,
    Sizes,
    compute,
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


def test_the_prior_is_the_mixture_for_the_identity_alone(found):
    for row in [*rows_of(found, KURTOSIS, "identity"), *rows_of(found, TAIL, "identity")]:
        assert abs(row.z) < 4
    moments = {"identity": 3.0, "relu": 6.0}
    for activation, ratio in moments.items():  # E[φ⁴]/E[φ²]²
        for row in rows_of(found, KURTOSIS, activation):
            assert row.theory == 6 / row.x
            assert row.sampled == pytest.approx(3 * (ratio - 1) / row.x, abs=5 * row.standard_error)
    assert all(row.sampled < row.theory for row in rows_of(found, KURTOSIS, "erf"))


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
