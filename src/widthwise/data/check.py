"""Arrays from outside, refused in one line when they cannot be used."""

from __future__ import annotations

import numpy as np

from widthwise.errors import InputError


def inputs(name: str, X: np.ndarray) -> np.ndarray:
    """`X` as it came, once it is numeric, finite and has one row per example.

    Args:
        name: what to call it in the message.
        X: (n, N0) or images (n, H, W[, C]).

    Raises:
        InputError: another shape, no examples, no features, not numbers, NaN or ±inf.
    """
    if X.dtype.kind not in "biuf":
        raise InputError(f"{name}: expected real numbers, got an array of {X.dtype}; convert it to float first.")
    if not 2 <= X.ndim <= 4:
        raise InputError(
            f"{name}: expected shape (examples, features) or images (examples, H, W[, C]), got {X.shape}; reshape it."
        )
    if len(X) == 0:
        raise InputError(f"{name}: expected at least one example, got none (shape {X.shape}); give some data.")
    if X.size == 0:
        raise InputError(f"{name}: expected at least one feature, got shape {X.shape}; give every example a value.")
    finite(name, X)
    return X


def finite(name: str, values: np.ndarray) -> None:
    """Raise when any entry of a numeric array is NaN or ±inf, and say where the first one is."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    bad = ~np.isfinite(values)
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    place = where[0] if len(where) == 1 else where
    raise InputError(
        f"{name}: expected finite numbers, got {values[where]} at index {place} ({int(bad.sum())} such entries); "
        "drop those examples or fill them in."
    )


def same_length(X_name: str, X: np.ndarray, y_name: str, y: np.ndarray) -> None:
    """Raise unless there is one target per example."""
    if len(X) != len(y):
        raise InputError(
            f"{y_name}: expected one target per example of {X_name}, got {len(y)} targets for {len(X)} examples; "
            "give arrays of equal length."
        )


def whole_number(name: str, value: object, *, at_least: int) -> int:
    """`value` as an int."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise InputError(f"{name}: expected a whole number of at least {at_least}, got {value!r}.")
    return int(value)
