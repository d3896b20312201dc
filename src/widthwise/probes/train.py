"""Students: a network trained on a task, as long as it takes, and the best of a few restarts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from widthwise import checks
from widthwise.errors import InputError, NumericalError, unknown_name
from widthwise.networks import FullyConnected
from widthwise.probes.student import Layer, Student

METHODS = ("gauss-newton", "adam", "lbfgs", "posterior")
SCALE = 0.01  # of the first layer at the start: from there far fewer students are stuck than from 1, measured

Weights = tuple[tuple[Layer, ...], np.ndarray]


def train(
    network: Any,
    X: Any,
    y: Any,
    *,
    method: str = "gauss-newton",
    restarts: int = 1,
    key: int = 0,
    start: Any = None,
    **settings: Any,
) -> Student:
    """A network trained on (X, y): the best by training error of a few restarts, or a draw from its posterior.

        minimises ε_t = ⟨(y − f(x))²⟩,   f(x) = Σ_i a_i φ(w_i·x + b_i)

    Labels are measured in units of the power of two next to √⟨y²⟩, so that their scale changes nothing, and the readout
    is brought back. Restarts end at the first whose training error is zero (below `tolerance`). Restart k begins at
    random weights of its own, whatever the number of restarts: W ~ N(0, 1/fan-in), times `scale` in the first layer; no
    biases.

    Assumes: one output. The network's 1/√N are absorbed into its weights; its precisions matter to the posterior alone;
        a layer with bias_variance > 0 has biases, and they are trained.

    Args:
        network: its widths and activation; one hidden layer for "gauss-newton".
        X: inputs (P, N0).
        y: targets (P,).
        method: "gauss-newton" (Levenberg–Marquardt, small networks: to zero training error in a few steps), "adam" or
            "lbfgs" (any depth), "posterior" (the last draw of a chain of `ww.sample`; `predict` averages over all).
        restarts: at most so many; 1 for "posterior", whose draws are not to be chosen among.
        key: seed, a whole number.
        start: a student of this network; the first restart begins there.
        settings: of the method: the fields of `training.GaussNewton`, `training.Adam`, `training.LBFGS`, and `scale`
            (0.01); of "posterior" `temperature`, which must be given, and all that `ww.sample` takes.

    Returns:
        `Student`, with its status.

    Raises:
        InputError: arrays, network, settings or start are not what is needed.
        NumericalError: every restart diverged.
        MissingExtra: what the method needs is not installed.
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if not isinstance(network, FullyConnected):
        raise InputError(
            f"network: expected FullyConnected, got {type(network).__name__}; train it yourself and hand it in as "
            "Student.of_functions(predict, hidden=…)."
        )
    X = checks.features(X, "X")
    y = checks.columns(y, len(X), "y", outputs=1)[:, 0]
    restarts, key = checks.whole("restarts", restarts, 1), checks.whole("key", key, 0)
    learnt = fit(network, method=method, restarts=restarts, key=key, **settings), X, y
    if method == "posterior":
        return replace(_posterior(network, X, y, restarts, key, start, settings), learnt=learnt)
    scale = checks.number("scale", settings.pop("scale", SCALE), 0.0)
    run, tolerance = _METHODS[method](network, settings)
    unit = _unit(y)
    y = y / unit
    goal, found = tolerance * float(np.mean(y**2)), []
    for k in range(restarts):
        begin = _random(network, X.shape[1], scale, key, k) if start is None or k else _given(network, X, start, unit)
        layers, readout, error, status, steps = run(X, y, begin, key + k)
        if math.isfinite(error):
            scaled = error * unit**2
            record = {"training_error": scaled, "status": status, "method": method, "restart": k, "steps": steps}
            found.append(_student(network, layers, readout * unit, **record))
        if error <= goal:
            break
    if not found:
        raise NumericalError(
            f"all {restarts} restarts diverged: expected a smaller step; pass e.g. learning_rate=1e-3."
        )
    return replace(min(found, key=lambda student: student.training_error or 0.0), learnt=learnt)


def fit(network: FullyConnected, **settings: Any) -> Callable[..., Student]:
    """The training as a function fit(X, y, start=None) → `Student`, as `ww.memorisation` takes it.

    From a start it makes one run and no restarts. The posterior's has no `start`: its fit is the mean predictor of the
    same chains.

    Args:
        network, settings: as `train`.
    """
    if settings.get("method") == "posterior":
        return lambda X, y: train(network, X, y, **settings)

    def run(X: Any, y: Any, start: Student | None = None) -> Student:
        return train(network, X, y, **(settings if start is None else settings | {"start": start, "restarts": 1}))

    return run


train.fit = fit  # type: ignore[attr-defined]


def _gauss_newton(network: FullyConnected, settings: dict[str, Any]) -> Any:
    from widthwise.training.gauss_newton import GaussNewton, gauss_newton

    if network.depth != 1:
        raise InputError(
            f"method: expected 'adam' or 'lbfgs' for {network.depth} hidden layers, got 'gauss-newton'; it is for one."
        )
    how, biased = _settings(GaussNewton, settings), network.bias_variances[0] > 0

    def run(X: Any, y: Any, start: Weights, key: int) -> Any:
        (((W, b),), a) = start
        if biased:
            X, W = np.column_stack([X, np.ones(len(X))]), np.column_stack([W, np.asarray(b)])
        found = gauss_newton(network.phi, X, y, (W, a), how)
        layer = (found.W[:, :-1], found.W[:, -1]) if biased else (found.W, None)
        return (layer,), found.a, found.error, found.status, found.steps

    return run, how.tolerance


def _gradients(name: str) -> Any:
    def prepare(network: FullyConnected, settings: dict[str, Any]) -> Any:
        from widthwise.training import gradients

        how = _settings(getattr(gradients, name), settings)

        def run(X: Any, y: Any, start: Weights, key: int) -> Any:
            found = gradients.descend(network.phi, X, y, start, how, key=key)
            return *found.weights, found.error, found.status, found.steps

        return run, how.tolerance

    return prepare


_METHODS = {"gauss-newton": _gauss_newton, "adam": _gradients("Adam"), "lbfgs": _gradients("LBFGS")}


def _posterior(
    network: FullyConnected, X: Any, y: Any, restarts: int, key: int, start: Any, settings: dict[str, Any]
) -> Student:
    from widthwise.sampling import sample

    if restarts != 1 or start is not None:
        what = f"{restarts} restarts" if restarts != 1 else "a start"
        raise InputError(f"method: expected neither restarts nor a start of 'posterior', got {what}; leave it out.")
    if "temperature" not in settings:
        raise InputError("temperature: expected with method='posterior', got none; pass e.g. temperature=1e-2.")
    samples = sample(network, X, y, **{"key": key, "throw": False} | settings)
    drawn = samples.network_weights(key=key, draws=2)  # of each chain the first that was kept, and the last
    *hidden, last = [
        (layer.weights[0, -1] / math.sqrt(layer.weights.shape[-1]), None if b is None else b[0, -1])
        for layer in drawn
        for b in [layer.biases]
    ]
    steps = samples.log_likelihood.shape[1] + samples.dropped.shape[1]
    record = {"status": samples.diagnostics.status, "method": "posterior", "steps": steps, "samples": samples}
    student = _student(network, tuple(hidden), last[0][0], **record)
    return replace(student, training_error=float(np.mean((y - student(X)) ** 2)))


def _student(network: FullyConnected, layers: tuple[Layer, ...], readout: np.ndarray, **record: Any) -> Student:
    (W, b), *above = layers
    return Student(W, readout, network.phi, b, tuple(above), **record)


def _random(network: FullyConnected, inputs: int, scale: float, key: int, restart: int) -> Weights:
    """W ~ N(0, 1/fan-in), the first layer's times `scale`."""
    random, fan_in = np.random.default_rng([key, restart]), inputs
    layers: list[Layer] = []
    for width, variance in zip(network.widths, network.bias_variances):
        W = random.standard_normal((width, fan_in)) * (1.0 if layers else scale) / math.sqrt(fan_in)
        layers.append((W, np.zeros(width) if variance > 0 else None))
        fan_in = width
    return tuple(layers), random.standard_normal(fan_in) / math.sqrt(fan_in)


def _unit(y: np.ndarray) -> float:
    """The power of two nearest to √⟨y²⟩: dividing by it rounds nothing. 1 of labels that are all zero."""
    largest = float(np.abs(y).max())
    return 2.0 ** round(math.log2(largest * math.sqrt(np.mean((y / largest) ** 2)))) if largest > 1e-150 else 1.0


def _given(network: FullyConnected, X: np.ndarray, start: Any, unit: float) -> Weights:
    """The start's weights, if they are of this network, for labels in these units."""
    layers = start.layers if isinstance(start, Student) else None
    if layers is None:
        raise InputError(f"start: expected a student with weights, got {start!r:.80}; pass one that train returned.")
    fan_in = (X.shape[1], *network.widths)
    expected = [(N, n, s > 0) for N, n, s in zip(network.widths, fan_in, network.bias_variances)]
    if [(*W.shape, b is not None) for W, b in layers] != expected:
        raise InputError(f"start: expected a student of the {network.name} on {X.shape[1]} inputs, got {start!r}.")
    return layers, start.readout / unit


def _settings(kind: Any, settings: dict[str, Any]) -> Any:
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            raise unknown_name("setting", name, [*known, "scale"])
    return kind(**settings)
