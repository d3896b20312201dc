"""Any network as two functions of batches: its trunk, and its readout."""

from __future__ import annotations

from typing import Any

import numpy as np

from widthwise.bound.adapters.layer import LastLayer, checked_layer, in_batches, numpy
from widthwise.errors import InputError

_TOLERANCE = 1e-3  # in single precision, with cancellation


def fetch(model: Any, X: Any, *, layer: str | None, batch_size: int) -> LastLayer:
    """From (trunk, readout); whether the readout is linear, and has a bias, is seen from what it answers."""
    trunk, readout = model
    if layer is not None:
        raise InputError(f"layer: expected none with (trunk, readout), got {layer!r}; the readout is the second.")

    def run(batch: Any) -> tuple[Any, Any]:
        features = trunk(batch)
        return features, readout(features)

    features, predictions = in_batches(run, X, batch_size)
    checked = checked_layer(features, predictions, False)
    phi = trunk(X[: min(len(X), batch_size)])
    zero = numpy(readout(0 * phi))
    f, twice = numpy(readout(phi)) - zero, numpy(readout(2 * phi + phi[:1])) - zero
    if np.linalg.norm(twice - 2 * f - f[:1]) > _TOLERANCE * np.linalg.norm(twice):
        raise InputError(
            "readout: expected a linear function of the features, with a bias or without, got another: the bound is "
            "for a linear readout and quadratic loss; move what comes before its last linear layer into the trunk."
        )
    constant = bool(np.abs(zero).max() > 1e-12 * np.abs(predictions).max())
    return LastLayer(checked.features, checked.predictions, constant)
