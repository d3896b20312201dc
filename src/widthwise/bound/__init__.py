"""The last layer: how far training and test error may part, from its features alone; and what a network memorised."""

from widthwise.bound.adapters import LastLayer, fetch
from widthwise.bound.curve import GapCurve, gap_curve, sharp_gap
from widthwise.bound.last_layer import LastLayerReport, last_layer
from widthwise.bound.measurement import Measurement
from widthwise.bound.memorisation import Memorisation, kernel_memorisation, memorisation
from widthwise.bound.readout import Readout, kernel_readout, readout
from widthwise.bound.refit import ReadoutBound, refit
from widthwise.bound.wording import Status

__all__ = [
    "GapCurve",
    "LastLayer",
    "LastLayerReport",
    "Measurement",
    "Memorisation",
    "Readout",
    "ReadoutBound",
    "Status",
    "fetch",
    "gap_curve",
    "kernel_memorisation",
    "kernel_readout",
    "last_layer",
    "memorisation",
    "readout",
    "refit",
    "sharp_gap",
]
