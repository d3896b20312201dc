"""The real network's posterior, sampled: shares no code with the theory it is held against."""

from widthwise.sampling.estimates import Estimate, GibbsError
from widthwise.sampling.progress import Progress
from widthwise.sampling.run import sample
from widthwise.sampling.samplers import HMC, CollapsedHMC
from widthwise.sampling.samples import Diagnostics, Prediction, Samples
from widthwise.sampling.storage import load

__all__ = [
    "HMC",
    "CollapsedHMC",
    "Diagnostics",
    "Estimate",
    "GibbsError",
    "Prediction",
    "Progress",
    "Samples",
    "load",
    "sample",
]
