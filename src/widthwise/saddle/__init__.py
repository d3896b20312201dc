"""Stationary points of any smooth function of a few variables. Knows no physics; never returns a silent failure."""

from widthwise.saddle.descend import minimise
from widthwise.saddle.result import Saddle, StationaryPoint, Status
from widthwise.saddle.scalar import minimise_scalar, refine
from widthwise.saddle.vector import stationary_near

__all__ = ["Saddle", "StationaryPoint", "Status", "minimise", "minimise_scalar", "refine", "stationary_near"]
