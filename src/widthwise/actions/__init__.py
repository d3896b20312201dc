"""Effective actions: order parameters in, S and the renormalised kernel out. One file per action."""

from widthwise.actions.scalar import ScalarAction, zero_temperature_order_parameter
from widthwise.actions.two_parameter import TwoParameterAction

__all__ = ["ScalarAction", "TwoParameterAction", "zero_temperature_order_parameter"]
