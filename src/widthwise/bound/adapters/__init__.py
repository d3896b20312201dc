"""Adapters: what reaches a network's last layer and what leaves it, of any framework, as NumPy. They only fetch."""

from widthwise.bound.adapters.fetch import fetch
from widthwise.bound.adapters.layer import LastLayer

__all__ = ["LastLayer", "fetch"]
