"""What an action predicts: means, variances, errors, evidence, with the certificate of how they were found."""

from widthwise.posterior.calibration import Calibration
from widthwise.posterior.certificate import Certificate, Validity
from widthwise.posterior.features import Alignment
from widthwise.posterior.infer import infer
from widthwise.posterior.posterior import Posterior
from widthwise.posterior.prediction import Prediction
from widthwise.posterior.prepare import Prepared, PreparedInputs, prepare
from widthwise.posterior.scan import Scan, scan
from widthwise.posterior.score import Errors, Score
from widthwise.posterior.storage import load

__all__ = [
    "Alignment",
    "Calibration",
    "Certificate",
    "Errors",
    "Posterior",
    "Prediction",
    "Prepared",
    "PreparedInputs",
    "Scan",
    "Score",
    "Validity",
    "infer",
    "load",
    "prepare",
    "scan",
]
