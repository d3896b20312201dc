"""widthwise: what a Bayesian deep network of finite width will do, computed from its training data."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name → where it lives. Resolved on first use, so that `import widthwise` costs next to nothing.
_PUBLIC = {
    "FullyConnected": "widthwise.networks",
    "Convolutional": "widthwise.networks",
    "PrecomputedKernel": "widthwise.networks",
    "InputError": "widthwise.errors",
    "NumericalError": "widthwise.errors",
    "DataWarning": "widthwise.errors",
    "load_data": "widthwise.data",
    "prepare": "widthwise.posterior",
    "infer": "widthwise.posterior",
    "load": "widthwise.posterior",
    "scan": "widthwise.posterior",
    "phase_diagram": "widthwise.posterior.phase_diagram",
    "MonteCarlo": "widthwise.actions",
    "Cavity": "widthwise.actions",
    "sample": "widthwise.sampling",
    "CollapsedHMC": "widthwise.sampling",
    "HMC": "widthwise.sampling",
    "NUTS": "widthwise.sampling",
    "Langevin": "widthwise.sampling",
    "Tempered": "widthwise.sampling",
    "compare": "widthwise.comparison",
    "calibration": "widthwise.comparison",
    "StudentTProcess": "widthwise.prior",
    "memorisation": "widthwise.bound",
}
_ROOMS = ("bound", "prior", "probes", "replica", "training")  # public as they are: ww.prior.draw

__all__ = ["__version__", *sorted((*_PUBLIC, *_ROOMS))]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return importlib.import_module(f"widthwise.{name}")
    raise AttributeError(f"module 'widthwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC, *_ROOMS])
