"""scikit-learn's multilayer perceptrons, alone or at the end of a Pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from widthwise.bound.adapters.layer import PAIR, LastLayer, in_batches, linear_readout
from widthwise.errors import InputError

_ACTIVATIONS = {"identity": lambda h: h, "logistic": expit, "tanh": np.tanh, "relu": lambda h: np.maximum(h, 0.0)}


def fetch(model: Any, X: Any, *, layer: str | None, batch_size: int) -> LastLayer:
    """From the weights; of a classifier the predictions are its logits."""
    name = type(model).__name__
    if layer is not None:
        raise InputError(f"layer: expected none with {name}, got {layer!r}; its readout is its last layer.")
    if hasattr(model, "steps"):
        before, network = model[:-1], model.steps[-1][1]
    else:
        before, network = None, model
    if not hasattr(network, "hidden_layer_sizes"):
        raise InputError(
            f"model: expected MLPRegressor, MLPClassifier or a Pipeline that ends in one, got {name}"
            f"{'' if network is model else f' of {type(network).__name__}'}; {PAIR}."
        )
    if not hasattr(network, "coefs_"):
        raise InputError(f"model: expected a fitted {name}, got one without weights; call fit(X, y) first.")
    classifies = hasattr(network, "classes_")
    if not classifies and network.out_activation_ != "identity":
        raise InputError(
            f"model: expected a linear readout and quadratic loss, got {name} with {network.out_activation_!r} after "
            "its last layer; fit with loss='squared_error'."
        )

    def run(batch: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        seen = batch if before is None or not len(before) else before.transform(batch)
        h = np.asarray(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float64)
        phi = _ACTIVATIONS[network.activation]
        for W, b in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
            h = phi(h @ W + b)
        output = h @ network.coefs_[-1] + network.intercepts_[-1]
        return h, output, output if classifies else network.predict(seen)

    try:
        features, output, predictions = in_batches(run, X, batch_size)
    except ValueError as error:
        raise InputError(
            f"X: expected what {name} was fitted on, got shape {tuple(X.shape)} ({error}); pass its inputs."
        ) from error
    eps = float(np.finfo(network.coefs_[0].dtype).eps)
    return linear_readout(
        features, output, predictions, bias=True, eps=eps, name=f"{name}'s last layer", remedy=PAIR
    )  # fmt: skip
