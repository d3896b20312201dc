"""Controlled tasks and what a network made of them: did it become the teacher, or learn its examples by heart?"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

# Public name → where it lives, below this room. Resolved on first use: teachers and probes need no JAX.
_PUBLIC = {
    "CopyAverage": "copy_average",
    "Landscape": "landscape",
    "PhaseDiagram": "phase",
    "Probe": "probe",
    "Recipe": "experiment",
    "Report": "report",
    "Story": "story",
    "Student": "student",
    "Teacher": "teachers",
    "Trajectory": "trajectory",
    "Verdict": "verdict",
    "cka": "representation",
    "copy_average": "copy_average",
    "excess_kurtosis": "gaussianity",
    "infinite_data": "landscape",
    "negentropy": "gaussianity",
    "overlaps": "overlap",
    "participation": "representation",
    "phase_diagram": "phase",
    "population_gradient": "population",
    "population_loss": "population",
    "random_students": "nulls",
    "report": "report",
    "shuffled_r2": "memory",
    "story": "story",
    "subspace": "representation",
    "train": "train",
    "trajectory": "trajectory",
    "verdict": "verdict",
}

__all__ = sorted(_PUBLIC)


class _Room(ModuleType):
    """This module. Importing `probes.train`, the file, would bind `train` here to it: the name is the function's."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'widthwise.probes' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"widthwise.probes.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
