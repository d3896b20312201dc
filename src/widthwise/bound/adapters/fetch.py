"""Which adapter: by the names of the model's own classes, so that none is imported that is not there already."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from widthwise.bound.adapters.layer import LastLayer
from widthwise.errors import InputError

_FRAMEWORKS = ("torch", "equinox", "flax", "sklearn")


def fetch(model: Any, X: Any, *, layer: str | None = None, batch_size: int = 1024) -> LastLayer:
    """What reaches a network's last linear layer and what leaves it, for `last_layer` and `readout`.

    The network is evaluated as in use (no dropout, running averages), without gradients, where it lies and in its own
    precision, and left exactly as it was.

    Assumes: the predictions are the last layer's output, as it is or rescaled: no softmax after it. It is checked.

    Args:
        model: a torch.nn.Module; an Equinox module of one example or of a batch; of Flax an nnx module,
            (module, variables) or a bound module; scikit-learn's MLPRegressor or MLPClassifier (its logits), also at
            the end of a Pipeline; or (trunk, readout), two functions of batches.
        X: inputs (P, …), as the network takes them.
        layer: name of the readout, as its framework writes it; by default the last linear layer that runs.
        batch_size: examples at a time.

    Returns:
        Features (P, N_out) and predictions (P,) or (P, D), in double precision; one output is (P,).

    Raises:
        InputError: an unknown model or layer, an unfitted network, something between the last layer and the
            predictions, or features that are no vectors: the message says what to pass.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size: expected a whole number from 1, got {batch_size!r}; the default is 1024.")
    if not hasattr(X, "__getitem__") or not hasattr(X, "shape"):
        raise InputError(f"X: expected an array (P, …), got {type(X).__name__}; pass e.g. np.asarray(X).")
    if len(X.shape) < 1 or X.shape[0] < 1:
        raise InputError(f"X: expected at least one example (P, …), got shape {tuple(X.shape)}; pass some.")
    name = _framework(model)
    if name is None:
        raise InputError(
            f"model: expected a torch.nn.Module, an Equinox module, a Flax nnx module or (module, variables), an "
            f"MLPRegressor, MLPClassifier or Pipeline of one, or (trunk, readout), two functions of batches, "
            f"got {_described(model)}; pass such a pair: trunk(X) -> features, readout(features) -> predictions."
        )
    adapter = importlib.import_module(f"widthwise.bound.adapters.{name}")
    found: LastLayer = adapter.fetch(model, X, layer=layer, batch_size=batch_size)
    return found


def _framework(model: Any) -> str | None:
    """The adapter's name."""
    if isinstance(model, tuple | list):
        if len(model) != 2:
            return None
        if _base(model[0]) == "flax" and isinstance(model[1], Mapping):
            return "flax"
        return "callables" if all(callable(part) for part in model) else None
    return _base(model)


def _base(model: Any) -> str | None:
    """The framework that one of the model's classes comes from."""
    modules = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    return next((name for name in _FRAMEWORKS if name in modules), None)


def _described(model: Any) -> str:
    if isinstance(model, tuple | list):
        return f"({', '.join(type(part).__name__ for part in model)})"
    return f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
