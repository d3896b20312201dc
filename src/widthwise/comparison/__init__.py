"""Theory beside experiment. Imports neither: it is handed the results of both."""

from widthwise.comparison.calibration import CalibrationTable, Level, calibration
from widthwise.comparison.table import Comparison, Row, compare

__all__ = ["CalibrationTable", "Comparison", "Level", "Row", "calibration", "compare"]
