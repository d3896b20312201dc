"""What an adapter returns, and the check that it is what the bound is about: a linear readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, log_softmax, softmax

from widthwise.errors import InputError

_ENDS = (partial(softmax, axis=1), partial(log_softmax, axis=1), expit, np.tanh)  # what may stand after a last layer
_COARSE = 1e-4  # precisions of which this is more, of half width, have a root that lets anything pass

PAIR = "pass (trunk, readout), two functions of batches, instead"


@dataclass(frozen=True, eq=False)
class LastLayer:
    """The features that reach a network's last layer, and its predictions.

    Args:
        features: φ (P, N_out).
        predictions: f (P,) or (P, D), as the network gives them.
        constant: whether the readout has a bias.
    """

    features: Float[np.ndarray, "P N"]
    predictions: Float[np.ndarray, "P ..."]
    constant: bool


def in_batches(function: Callable[[Any], Sequence[Any]], X: Any, batch_size: int) -> list[np.ndarray]:
    """What `function` returns of every batch, joined, in double precision.

    Args:
        function: batch → arrays whose first axis is the batch's.
        X: (P, …), anything that can be sliced.
        batch_size: rows at a time, at most.
    """
    P = len(X)
    size = -(-P // -(-P // batch_size))  # no lonely last row: `squeeze` would take it for no batch
    parts = [[numpy(a) for a in function(X[i : i + size])] for i in range(0, P, size)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def numpy(array: Any) -> np.ndarray:
    """Any framework's array as NumPy's, in double precision and on its own memory."""
    if hasattr(array, "detach"):
        array = array.detach().cpu().double().numpy()
    return np.array(array, dtype=np.float64)


def checked_layer(features: np.ndarray, predictions: np.ndarray, constant: bool) -> LastLayer:
    """The checked result.

    Raises:
        InputError: not one vector of features and one of predictions per example, or not finite.
    """
    P = len(features)
    if features.ndim != 2 or predictions.ndim not in (1, 2) or len(predictions) != P:
        raise InputError(
            f"the last layer: expected features (P, N_out) and predictions (P,) or (P, D), got shapes "
            f"{features.shape} and {predictions.shape}; {PAIR}."
        )
    if not (np.isfinite(features).all() and np.isfinite(predictions).all()):
        raise InputError(
            "the last layer: expected finite features and predictions, got NaN or infinity; check the network's "
            "weights and X."
        )
    if predictions.shape[1:] == (1,):
        predictions = predictions[:, 0]
    return LastLayer(features, predictions, constant)


def precise(eps: float) -> float:
    """How far apart, relative to their size, two ways to the same numbers may end."""
    return 4.0 * eps if eps > _COARSE else eps**0.5


def follows(output: np.ndarray, predictions: np.ndarray, tolerance: float) -> float | None:
    """The largest shift between a linear layer's output and the predictions that are affine in it; None if none are.

    Args:
        output: of the layer (P, D).
        predictions: of the network (P,) or (P, D').
        tolerance: relative to the predictions.
    """
    P, f = len(output), predictions.reshape(len(predictions), -1)
    scale = tolerance * float(np.linalg.norm(f))
    if output.shape == f.shape:
        missed = float(np.linalg.norm(output - f))
        closer = missed > 0.0 and any(np.linalg.norm(end(output) - f) < min(0.5 * missed, scale) for end in _ENDS)
        if closer:  # a softmax of small logits is affine in them, up to the rounding of a low precision
            return None
        if missed <= scale:
            return 0.0
    centre = output.mean(axis=0)
    A = np.column_stack([output - centre, np.ones(P)])
    if 2 * A.shape[1] >= P:  # so few examples are affine in anything
        return None
    found = np.linalg.lstsq(A, f, rcond=None)[0]
    if np.linalg.norm(A @ found - f) > scale:
        return None
    return float(np.abs(found[-1] - centre @ found[:-1]).max())


def linear_readout(features: np.ndarray, output: np.ndarray, predictions: np.ndarray, *, bias: bool, eps: float,
                   name: str, remedy: str) -> LastLayer:  # fmt: skip
    """The result, once it is sure that the predictions are the layer's output: as it is, or rescaled and shifted.

    Args:
        features: that reach the layer (P, N_out).
        output: of the layer (P, D).
        predictions: of the network.
        bias: whether the layer has one.
        eps: relative precision of the network's numbers.
        name: of the layer, for the message.
        remedy: what to do where something follows.

    Raises:
        InputError: something that is not affine stands between the layer and the predictions.
    """
    checked = checked_layer(features, predictions, bias)
    tolerance = precise(eps)
    shift = follows(output.reshape(len(output), -1), checked.predictions, tolerance)
    if shift is None:
        raise InputError(
            f"expected predictions that are linear in the features of {name}, got something after it (a softmax, an "
            f"activation, a skip connection?): the bound is for a linear readout and quadratic loss; {remedy}."
        )
    shifted = shift > tolerance * float(np.abs(predictions).max())
    return LastLayer(checked.features, checked.predictions, bias or shifted)
