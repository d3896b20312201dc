"""scikit-learn's own contract, for every architecture; no expected failures."""

import pytest
from sklearn.gaussian_process.kernels import RBF
from sklearn.utils.estimator_checks import parametrize_with_checks

from widthwise.sklearn import FiniteWidthClassifier, FiniteWidthRegressor


@parametrize_with_checks([FiniteWidthRegressor(), FiniteWidthClassifier()])
def test_defaults(estimator, check):
    check(estimator)


# every patch sees every feature of the suite's small tables
CONVOLUTIONAL = {"channels": 20, "patch": (1, 19), "stride": (1, 5), "padding": "same"}
OTHERS = [
    kind(**parameters)
    for kind in (FiniteWidthRegressor, FiniteWidthClassifier)
    for parameters in (
        {"widths": (30, 20), "activation": "relu", "weight_precisions": (1.3, 0.8, 0.6)},
        {"widths": (30, 20), "closure": "nested", "bias_variance": 0.2},
        {"widths": (50,), "approximation": "integrated"},
        {"widths": (50,), "activation": "identity"},
        {"approximation": "infinite"},
        {**CONVOLUTIONAL, "approximation": "saddle"},
        {**CONVOLUTIONAL, "readout": "average"},
        {"widths": (50,), "kernel": RBF(2.0)},
    )
]
OTHERS.append(FiniteWidthRegressor(normalize_y=True))


@pytest.mark.slow
@parametrize_with_checks(OTHERS)
def test_architectures(estimator, check):
    check(estimator)
