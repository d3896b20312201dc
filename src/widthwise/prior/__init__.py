"""Before the data: the network's law of f, its two approximations, and Student's t process beside them."""

from widthwise.prior.characteristic import characteristic_function
from widthwise.prior.draws import draw
from widthwise.prior.scale import ScaleFactors, integrated_factor, saddle_factor, scale_factors, t_factor
from widthwise.prior.student_t import StudentTPrediction, StudentTProcess
from widthwise.prior.tails import kurtosis, tail

__all__ = [
    "ScaleFactors",
    "StudentTPrediction",
    "StudentTProcess",
    "characteristic_function",
    "draw",
    "integrated_factor",
    "kurtosis",
    "saddle_factor",
    "scale_factors",
    "t_factor",
    "tail",
]
