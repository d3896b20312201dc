"""Effective actions: order parameters in, S and the renormalised kernel out. One file per action."""

from widthwise.actions.cavity import Cavity, CavityAction
from widthwise.actions.hierarchy import PatchHierarchy
from widthwise.actions.layered import LayeredAction
from widthwise.actions.matrix import MatrixAction, MonteCarlo
from widthwise.actions.outputs import OutputsTerm
from widthwise.actions.patches import PatchTerm
from widthwise.actions.scalar import ScalarAction, zero_temperature_order_parameter
from widthwise.actions.two_parameter import TwoParameterAction

__all__ = [
    "Cavity",
    "CavityAction",
    "LayeredAction",
    "MatrixAction",
    "MonteCarlo",
    "OutputsTerm",
    "PatchHierarchy",
    "PatchTerm",
    "ScalarAction",
    "TwoParameterAction",
    "zero_temperature_order_parameter",
]
