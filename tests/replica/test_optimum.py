"""The best ridge and the worst load: closed forms, brute force over the curve, and what the optimum promises."""

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.replica import Peak, Population, interpolation_peak, optimal_ridge

LOADS = np.array([0.05, 0.5, 1.0, 1.3, 4.0, 300.0])


def test_with_equal_eigenvalues_in_closed_form():
    N, omega, theta = 30, 2.3, np.linspace(-1, 3, 30)
    population = Population(omega * np.eye(N), omega * theta, omega * theta @ theta + 1.9)
    best = optimal_ridge(population, LOADS)
    assert best.ridge == pytest.approx(N * 1.9 / (theta @ theta), rel=1e-9)


@pytest.mark.parametrize("noise_fraction", [0.02, 0.4, 0.97])
def test_no_other_ridge_is_better(turned, spectrum, noise_fraction):
    population = turned(spectrum, 20, noise_fraction)
    best = optimal_ridge(population, LOADS)
    others = population.learning_curve(LOADS, np.r_[0.0, np.geomspace(1e-8, 1e8, 3000)])
    least = others.generalisation_error.min(axis=0)
    assert (best.generalisation_error <= least * (1 + 1e-10)).all()
    assert best.generalisation_error == pytest.approx(least, rel=1e-4)
    for i, ridge in enumerate(best.ridge):
        again = population.learning_curve(LOADS[i], ridge)
        assert again.generalisation_error == pytest.approx(best.generalisation_error[i], rel=1e-9)
        assert again.training_error == pytest.approx(best.training_error[i], rel=1e-9, abs=1e-12)
        assert again.memorisation == pytest.approx(best.memorisation[i], rel=1e-9)


def test_with_the_best_ridge_the_gap_keeps_the_bound(turned, spectrum):
    for noise_fraction in (0.0, 0.02, 0.4, 0.97):
        population = turned(spectrum, 20, noise_fraction)
        loads = np.geomspace(0.01, 100, 25)
        best = optimal_ridge(population, loads)
        assert (best.generalisation_error <= population.target_power * (1 + 1e-12)).all()
        assert (best.gap / population.target_power <= 2 / loads + 1e-12).all()


def test_both_ends():
    """An exact teacher wants no ridge above interpolation; where nothing can be learnt the best fit is none."""
    exact = Population(np.diag([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], 6.0)
    assert optimal_ridge(exact, [1.0, 2.0]).ridge.tolist() == [0.0, 0.0]
    nothing = Population(np.eye(4), np.zeros(4), 2.0)
    best = optimal_ridge(nothing, [0.5, 1.0, 2.0])
    assert np.isinf(best.ridge).all()
    assert best.generalisation_error.tolist() == best.training_error.tolist() == [2.0, 2.0, 2.0]


def test_the_peak_without_a_ridge(turned):
    assert interpolation_peak(turned("1/i", 20, 0.3)) == Peak(1.0, np.inf)
    assert interpolation_peak(turned("flat", 20, 0.0)) is None
    dead = Population(np.diag([1.0, 2.0, 0.0, 0.0]), [1.0, 1.0, 0.0, 0.0], 4.0)
    assert interpolation_peak(dead) == Peak(0.5, np.inf)


def test_an_exact_teacher_peaks_where_a_group_of_eigenvalues_is_learnt():
    """Three large eigenvalues: what the other directions teach is noise to them, and P = 3 is their interpolation."""
    omega = np.r_[np.full(3, 90.0), np.full(37, 0.02)]
    b = omega * np.r_[np.zeros(3), np.ones(37)]
    population = Population(np.diag(omega), b, 37 * 0.02)
    peak = interpolation_peak(population)
    assert peak.load * 40 == pytest.approx(3.0, abs=0.2)
    near = population.learning_curve(peak.load * np.array([0.99, 1.0, 1.01]), 0.0).generalisation_error
    assert near[1] == pytest.approx(peak.height, rel=1e-9)
    assert near[1] > max(near[0], near[2])


@pytest.mark.parametrize("ridge", [1e-8, 1e-3, 0.05])
def test_the_peak_with_a_ridge(turned, spectrum, ridge):
    population = turned(spectrum, 20, 0.5)
    peak = interpolation_peak(population, ridge)
    near = population.learning_curve(peak.load * np.array([1 - 1e-4, 1.0, 1 + 1e-4]), ridge).generalisation_error
    assert near[1] == pytest.approx(peak.height, rel=1e-9)
    assert near[1] > max(near[0], near[2])
    loads = np.geomspace(0.05, 100, 4000)
    errors = population.learning_curve(loads, ridge).generalisation_error
    inner = (errors[1:-1] > errors[:-2]) & (errors[1:-1] > errors[2:])
    assert errors[1:-1][inner].max(initial=0.0) <= peak.height * (1 + 1e-9)


def test_a_large_ridge_has_no_peak(turned, spectrum):
    population = turned(spectrum, 20, 0.5)
    ridge = 100 * float(np.trace(population.feature_covariance))
    errors = population.learning_curve(np.geomspace(0.05, 1000, 2000), ridge).generalisation_error
    assert (np.diff(errors) < 0).all()
    assert interpolation_peak(population, ridge) is None


def test_bad_input(turned):
    with pytest.raises(InputError, match="loads"):
        optimal_ridge(turned("flat", 3, 0.1), [0.0])
    for ridge in (-1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="ridge"):
            interpolation_peak(turned("flat", 3, 0.1), ridge)
