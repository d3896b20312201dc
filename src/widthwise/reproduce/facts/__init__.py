"""Published numbers and condensed data: facts, never images."""

from importlib import resources
from typing import Any


def fact(name: str) -> Any:
    """The file of that name in this folder."""
    return resources.files(__name__) / name
