"""Data-averaged theory of a readout fitted on fixed features: learning curves and the generalisation-gap bound."""

from widthwise.replica.curve import LearningCurve, learning_curve, solve
from widthwise.replica.equivalence import Equivalence, gaussian_equivalence, tau
from widthwise.replica.optimum import OptimalRidge, Peak, interpolation_peak, optimal_ridge
from widthwise.replica.population import Population
from widthwise.replica.random_features import Teacher, random_features
from widthwise.replica.state import State, Status

__all__ = [
    "Equivalence",
    "LearningCurve",
    "OptimalRidge",
    "Peak",
    "Population",
    "State",
    "Status",
    "Teacher",
    "gaussian_equivalence",
    "interpolation_peak",
    "learning_curve",
    "optimal_ridge",
    "random_features",
    "solve",
    "tau",
]
