"""The studies by name. Each lives in a module of its own, as its `STUDY`, imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from widthwise.errors import unknown_name
from widthwise.reproduce.study import Study

_MODULES = {
    "baglioni2024": "baglioni2024",
    "pacelli2023-fig1": "pacelli2023",
    "depth": "depth",
    "student-t": "student_t",
    "multi-output": "multi_output",
    "convolution": "convolution",
}


class _Studies(Mapping[str, Study]):
    """Name → study."""

    def __getitem__(self, name: str) -> Study:
        if name not in _MODULES:
            raise KeyError(name)
        study: Study = importlib.import_module(f"widthwise.reproduce.{_MODULES[name]}").STUDY
        return study

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


STUDIES: Mapping[str, Study] = _Studies()


def find(name: str) -> Study:
    """The study of that name.

    Args:
        name: a key of `STUDIES`.

    Raises:
        InputError: there is none.
    """
    if name not in _MODULES:
        raise unknown_name("study", name, _MODULES)
    return STUDIES[name]
