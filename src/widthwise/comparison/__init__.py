"""Theory beside experiment. Imports neither: it is handed the results of both."""

from widthwise.comparison.table import Comparison, Row, compare

__all__ = ["Comparison", "Row", "compare"]
