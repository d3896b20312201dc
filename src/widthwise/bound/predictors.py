"""Whatever fits and whatever predicts, as one function from labels to predictions on given points."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.errors import InputError


@dataclass(frozen=True)
class Fitter:
    """A fit at fixed inputs: labels in, predictor out.

    Args:
        fit: fit(X, y) → predictor.
        X: the training inputs, handed on as they came, arrays as copies.
        shape: of the labels, as the caller gave them.
        warm: whether the fit takes a `start`.
    """

    fit: Callable[..., Any]
    X: Any = field(repr=False)
    shape: tuple[int, ...]
    warm: bool

    @classmethod
    def of(cls, fit: Any, X: Any, shape: tuple[int, ...]) -> Fitter:
        """Any callable, or a scikit-learn regressor, of which every fit is a clone."""
        if isinstance(fit, type) and hasattr(fit, "fit"):
            raise InputError(
                f"fit: expected a function fit(X, y) or a regressor, got the class {fit.__name__}; pass an instance, "
                f"{fit.__name__}(…)."
            )
        if hasattr(fit, "fit") and hasattr(fit, "get_params"):
            fit = _cloned(fit)
        if not callable(fit):
            raise InputError(
                f"fit: expected a function fit(X, y) that returns a predictor, or a scikit-learn regressor, got "
                f"{type(fit).__name__}; wrap the training in a function."
            )
        return cls(fit, X, shape, _takes_start(fit))

    def __call__(self, Y: Float[np.ndarray, "P D"], start: Any = None) -> Any:
        """The predictor of these labels; `start` is where a warm fit begins."""
        y, X = Y.reshape(self.shape).copy(), own(self.X)
        return self.fit(X, y, start=start) if self.warm and start is not None else self.fit(X, y)


def own(X: Any) -> Any:
    """A copy of an array, as the caller's code may write into it; anything else as it is."""
    return X.copy() if isinstance(X, np.ndarray) else X


def _cloned(estimator: Any) -> Callable[[Any, Any], Any]:
    from sklearn.base import clone, is_classifier

    if is_classifier(estimator):
        raise InputError(
            f"fit: expected a regressor, whose labels may be changed a little, got the classifier "
            f"{type(estimator).__name__}; fit ±1 or one-hot targets by a regressor."
        )
    return lambda X, y: clone(estimator).fit(X, y)


def _takes_start(fit: Callable[..., Any]) -> bool:
    try:
        parameter = inspect.signature(fit).parameters.get("start")
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def predictions(predictor: Any, X: Any, rows: int, outputs: int, where: str) -> Float[np.ndarray, "n D"]:
    """A predictor's values as (n, D) float64.

    Args:
        predictor: has `.predict`, or is a function; its values an array of any framework, or carry one as `.mean`.
        X: inputs (n, …).
        rows: n.
        outputs: D.
        where: what the predictions are of, in words.
    """
    ask = getattr(predictor, "predict", predictor)
    if not callable(ask):
        raise InputError(
            f"fit: expected to get a predictor (a function, or with .predict), got {type(predictor).__name__}; "
            "return the trained model."
        )
    values = ask(own(X))
    mean = getattr(values, "mean", None)
    values = values if mean is None or callable(mean) else mean  # a Prediction, not an array
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = checks.real(f"predictions {where}", values, (1, 2), "(examples,) or (examples, outputs)")
    if array.reshape(len(array), -1).shape != (rows, outputs):
        shape = f"({rows},)" if outputs == 1 else f"({rows}, {outputs})"
        raise InputError(
            f"predictions {where}: expected shape {shape} like the targets, got {array.shape}; reshape them."
        )
    return array.reshape(rows, outputs)
