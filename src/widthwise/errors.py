"""What can go wrong, as three classes: the caller's input, the numbers, and what deserves a warning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WidthwiseError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(WidthwiseError, ValueError):
    """The input is not what is needed: the message says what was expected, what came, and what to do."""


class NumericalError(WidthwiseError, RuntimeError):
    """A computation did not reach a trustworthy number; the message carries the status and the remedy."""


class MissingExtra(WidthwiseError, ImportError):
    """An optional dependency is needed: the message names the extra that installs it."""


class DataWarning(UserWarning):
    """The data are legal but unusual (constant targets, duplicated rows with conflicting labels, …)."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a list, with the nearest match where there is one.

    Args:
        kind: what the name names, such as "activation".
        name: what came.
        known: the names that exist.
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of these."
    return InputError(f"unknown {kind} {name!r}: expected one of {', '.join(names)}; {hint}")
