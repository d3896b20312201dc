"""Data sets in, checked arrays out. Knows nothing of networks or of the theory."""

from widthwise.data.dataset import DataSet
from widthwise.data.load import load_data

__all__ = ["DataSet", "load_data"]
