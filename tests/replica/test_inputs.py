"""What is no real number is refused by name, in one line, wherever it comes in."""

import numpy as np
import pytest

from widthwise.errors import InputError
from widthwise.replica import Population, Teacher, interpolation_peak, optimal_ridge, random_features, solve
from widthwise.replica.inputs import precision

OMEGA, B = np.array([[2.0, 0.3], [0.3, 0.7]]), np.array([0.4, -0.2])
LAW = Population(OMEGA, B, 1.3)
MASKED = np.ma.array(np.ones((30, 2)), mask=np.arange(60).reshape(30, 2) == 5)
NOT_REAL = {
    "loads, a word": ("loads", lambda: LAW.learning_curve("x")),
    "loads, complex": ("loads", lambda: LAW.learning_curve([1.0 + 1j])),
    "loads, nothing": ("loads", lambda: LAW.learning_curve(None)),
    "loads of the best ridge": ("loads", lambda: optimal_ridge(LAW, ["1"])),
    "size": ("size", lambda: solve(LAW, "3")),
    "ridge": ("ridge", lambda: solve(LAW, 3, 1j)),
    "ridge of the peak": ("ridge", lambda: interpolation_peak(LAW, "1")),
    "ridges of the peak": ("ridge", lambda: interpolation_peak(LAW, [1.0])),
    "Ω, complex": ("feature_covariance", lambda: Population(OMEGA * 1j, B, 1.3)),
    "Ω, ragged": ("feature_covariance", lambda: Population([[1.0, 2.0], [3.0]], B, 1.3)),
    "b": ("feature_target_covariance", lambda: Population(OMEGA, ["a", "b"], 1.3)),
    "T_y": ("target_power", lambda: Population(OMEGA, B, "y")),
    "several T_y": ("target_power", lambda: Population(OMEGA, B, [1.3])),
    "masked features": ("features", lambda: Population.of_sample(MASKED, np.ones(30))),
    "masked targets": ("targets", lambda: Population.of_sample(MASKED.data, MASKED[:, 0])),
    "features, words": ("features", lambda: Population.of_sample([["a", "b"]], [1.0])),
    "weights": ("weights", lambda: random_features("x", "erf", teacher=B)),
    "teacher": ("teacher", lambda: random_features(OMEGA, "erf", teacher="x")),
    "teacher's values": ("teacher", lambda: random_features(OMEGA, "erf", teacher=lambda x: x[:, 0] * 1j)),
    "readout": ("teacher readout", lambda: Teacher(OMEGA, ["a", "b"])),
    "noise": ("noise", lambda: random_features(OMEGA, "erf", teacher=B, noise="x")),
}


@pytest.mark.parametrize("case", NOT_REAL)
def test_what_is_no_real_number(case):
    name, call = NOT_REAL[case]
    with pytest.raises(InputError) as error:
        call()
    said = str(error.value)
    assert said.startswith(f"{name}: expected ")
    assert ", got " in said
    assert "\n" not in said


def test_one_line_says_which_of_the_loads():
    with pytest.raises(InputError, match=r"got shape \(1, 2\)"):
        LAW.learning_curve([[1, 2]])
    with pytest.raises(InputError, match="got -2;"):
        LAW.learning_curve([1, -2, -3])


def test_integers_and_half_precision_are_numbers():
    assert LAW.learning_curve([1, 2], 1).gap == pytest.approx(LAW.learning_curve([1.0, 2.0], 1.0).gap)
    half = LAW.learning_curve(np.array([1, 2], dtype=np.float16))
    assert half.gap[1] == LAW.learning_curve([2.0]).gap[0]
    assert LAW.learning_curve([1.5]).ridge == 0.0


def test_float32_is_recognised_and_not_what_is_exact():
    born = OMEGA.astype(np.float32)
    assert precision(born) == precision(born.astype(np.float64)) == np.finfo(np.float32).eps
    assert precision(OMEGA.astype(np.float16)) == 2.0**-10
    for exact in (OMEGA, np.diag([1.0, 2.0**-30]), np.array([[1.0, 2.0], [2.0, 5.0]]), [[3, 1], [1, 2]], 1e300 * OMEGA):
        assert precision(exact) == np.finfo(float).eps
