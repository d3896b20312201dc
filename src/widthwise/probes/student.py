"""A student: a network that learnt a task, with raw weights, or only by what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise import checks
from widthwise.activations.phi import Activation, resolve
from widthwise.errors import InputError

Layer = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True, eq=False, repr=False)
class Student:
    """A network of one hidden layer and one output, its scalings absorbed into its weights.

        f(x) = Σ_i a_i φ(w_i·x + b_i)

    A deep one has more hidden `layers`, a ↦ φ(W a + b), between its first and its readout.

    Args:
        weights: the first layer's rows w_i (N1, N0).
        readout: a, one number for each unit of the last hidden layer.
        activation: φ, a name or an elementwise callable.
        biases: b (N1,) of the first layer; None without.
        above: (W, b or None) of each further hidden layer.
        training_error: mean (y − f)² over what it learnt from; None where unknown.
        status: "converged" (no training error, or a minimum), "stalled" or "steps" (all spent); of a
            posterior's draw "mixed" or "not mixed"; "given" by the user.
        method: how it was trained.
        restart: which of the restarts it is.
        steps: taken.
        samples: the posterior's `Samples`, of which this is one draw; None for any other method.
        learnt: (fit, X, y) of a student that `train` returned: what it learnt from, and how it would learn it again.

    Raises:
        InputError: shapes that do not belong together, numbers that are not finite.
    """

    weights: Any
    readout: Any
    activation: str | Activation | Callable[[Any], Any] = "erf"
    biases: Any = None
    above: tuple[Layer, ...] = ()
    training_error: float | None = None
    status: str = "given"
    method: str = "given"
    restart: int = 0
    steps: int = 0
    samples: Any = None
    functions: tuple[Any, Any, int | None] | None = field(default=None, kw_only=True)
    learnt: tuple[Callable[..., Any], np.ndarray, np.ndarray] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.weights is not None:
            put(self, "weights", _frozen(checks.real("weights", _host(self.weights), (2,), "(N1, N0)")))
        if self.functions is not None:
            return
        put(self, "activation", resolve(self.activation))
        units = len(self.weights)
        put(self, "biases", _biases("biases", self.biases, units))
        above = []
        for W, b in self.above:
            W = _frozen(checks.real("above", _host(W), (2,), "(units, units below)"))
            if W.shape[1] != units:
                raise InputError(f"above: expected {units} columns, one a unit below, got {W.shape[1]}; transpose it?")
            units = len(W)
            above.append((W, _biases("above", b, units)))
        put(self, "above", tuple(above))
        readout = checks.real("readout", _host(self.readout), (1,), "(units,)")
        if len(readout) != units:
            raise InputError(f"readout: expected one number for each of {units} units, got {len(readout)}.")
        put(self, "readout", _frozen(readout))

    @classmethod
    def of_functions(
        cls, predict: Any, *, hidden: Any = None, first_layer: Any = None, parameters: int | None = None
    ) -> Student:
        """A network known by what it computes: the user's own, of any framework.

        Args:
            predict: X ↦ f(X), (n,) or (n, 1); or an object with `.predict`.
            hidden: X ↦ the representation to look at (n, N); None: probes of it have no value.
            first_layer: weights of the first layer (N1, N0); None: probes of the weights have no value.
            parameters: p; None where unknown.

        Raises:
            InputError: what is no function, no matrix or no count.
        """
        predict = predict if callable(predict) else getattr(predict, "predict", predict)
        for name, function in (("predict", predict), ("hidden", hidden)):
            if not callable(function) and not (name == "hidden" and function is None):
                raise InputError(f"{name}: expected a function of X, got {type(function).__name__}; wrap the network.")
        count = None if parameters is None else checks.whole("parameters", parameters, 1)
        return cls(first_layer, None, functions=(predict, hidden, count))

    @property
    def layers(self) -> tuple[Layer, ...] | None:
        """(W, b) of every hidden layer; None of a student given by functions."""
        return None if self.functions is not None else ((self.weights, self.biases), *self.above)

    @property
    def parameters(self) -> int | None:
        """p, the numbers that were trained; None where unknown."""
        if self.functions is not None:
            return self.functions[2]
        layers = ((self.weights, self.biases), *self.above)
        return self.readout.size + sum(W.size + (0 if b is None else b.size) for W, b in layers)

    @property
    def has_hidden(self) -> bool:
        """Whether `hidden` can be asked for."""
        return self.functions is None or self.functions[1] is not None

    def hidden(self, X: Any) -> Float[np.ndarray, "n N"]:
        """φ of the last hidden layer (n, N): the representation.

        Raises:
            InputError: X of another shape; a student given without.
        """
        if self.functions is not None:
            if self.functions[1] is None:
                raise InputError("hidden: expected a student that knows its representation; pass hidden=function.")
            return checks.real("hidden(X)", _host(self.functions[1](X)), (2,), "(n, N)")
        h = checks.features(X, "X", columns=self.weights.shape[1])
        for W, b in ((self.weights, self.biases), *self.above):
            h = resolve(self.activation)(h @ W.T + (0.0 if b is None else b))
        return np.asarray(h, float)

    def __call__(self, X: Any) -> Float[np.ndarray, " n"]:
        """f(X), (n,): of a posterior's student that of its one draw."""
        if self.functions is None:
            return self.hidden(X) @ self.readout
        f = checks.real("predict(X)", _host(self.functions[0](X)), (1, 2), "(n,) or (n, 1)")
        if f.ndim == 2 and f.shape[1] != 1:
            raise InputError(f"predict(X): expected one output, got {f.shape[1]}; choose one of them.")
        return f.reshape(len(f))

    def predict(self, X: Any) -> Float[np.ndarray, " n"]:
        """The mean predictor (n,): f itself, of a posterior the average over all its draws."""
        return self(X) if self.samples is None else np.asarray(self.samples.predict(X).mean, float)

    def __repr__(self) -> str:
        if self.functions is not None:
            return "Student(of functions)"
        widths = "-".join(str(len(W)) for W, _ in ((self.weights, self.biases), *self.above))
        error = "" if self.training_error is None else f", training error {self.training_error:.3g}"
        return f"Student({resolve(self.activation).name} network, width {widths}, {self.method}, {self.status}{error})"


def _biases(name: str, values: Any, units: int) -> np.ndarray | None:
    if values is None:
        return None
    b = checks.real(name, _host(values), (1,), "(units,)")
    if len(b) != units:
        raise InputError(f"{name}: expected one bias for each of {units} units, got {len(b)}.")
    return _frozen(b)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _host(values: Any) -> Any:
    return values.detach().cpu() if hasattr(values, "detach") else values
