"""scikit-learn's face of the theory: a regressor and a classifier of finite width."""

from widthwise.sklearn.classifier import FiniteWidthClassifier
from widthwise.sklearn.regressor import FiniteWidthRegressor

__all__ = ["FiniteWidthClassifier", "FiniteWidthRegressor"]
