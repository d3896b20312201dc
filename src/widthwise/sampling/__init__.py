"""The real network's posterior, sampled: shares no code with the theory it is held against."""

from widthwise.sampling.cost import Cost, cost
from widthwise.sampling.estimates import Estimate, GibbsError
from widthwise.sampling.problem import Problem
from widthwise.sampling.progress import Progress
from widthwise.sampling.run import sample, sample_grid
from widthwise.sampling.samplers import HMC, NUTS, CollapsedHMC, Langevin, Tempered
from widthwise.sampling.samples import Diagnostics, Prediction, Samples
from widthwise.sampling.step_bias import StepBias, step_bias
from widthwise.sampling.storage import load
from widthwise.sampling.tempering import Tempering

__all__ = [
    "HMC",
    "NUTS",
    "CollapsedHMC",
    "Cost",
    "Diagnostics",
    "Estimate",
    "GibbsError",
    "Langevin",
    "Prediction",
    "Problem",
    "Progress",
    "Samples",
    "StepBias",
    "Tempered",
    "Tempering",
    "cost",
    "load",
    "sample",
    "sample_grid",
    "step_bias",
]
