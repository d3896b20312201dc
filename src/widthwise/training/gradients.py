"""Adam and L-BFGS in 64 bits, for small fully connected networks of any depth and one output."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.activations.phi import Activation
from widthwise.errors import InputError, MissingExtra
from widthwise.sampling.precision import float64
from widthwise.training.gauss_newton import padded

CHUNK = 100  # steps between two looks at the error
Layers = tuple[tuple[Any, Any], ...]  # (W, b or None) of each hidden layer
Weights = tuple[Layers, Any]  # and the readout


@dataclass(frozen=True)
class Adam:
    """Adam, its learning rate falling to zero along half a cosine. [Kingma, Ba 2015, arXiv 1412.6980]

    Args:
        steps: at most so many, rounded up to hundreds.
        learning_rate: at the start.
        batch_size: examples a step, drawn with repetition; None for all at once.
        tolerance: of the training error, in units of mean y².
    """

    steps: int = 5000
    learning_rate: float = 1e-2
    batch_size: int | None = None
    tolerance: float = 1e-10

    def __post_init__(self) -> None:
        _whole("steps", self.steps)
        if self.batch_size is not None:
            _whole("batch_size", self.batch_size)
        _fraction("tolerance", self.tolerance)
        if not (isinstance(self.learning_rate, numbers.Real) and 0 < self.learning_rate < math.inf):
            raise InputError(f"learning_rate: expected a positive number, got {self.learning_rate!r}; pass e.g. 1e-3.")


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with a line search, all data at once. [Liu, Nocedal 1989, Math. Program. 45, 503]

    Args:
        steps: at most so many, rounded up to hundreds.
        memory: pairs of past steps that the curvature is made of.
        tolerance: of the training error, in units of mean y².
        gradient: of the largest derivative of the training error, in units of mean y².
        progress: stalled where a hundred steps win less than this share of the error.
    """

    steps: int = 5000
    memory: int = 20
    tolerance: float = 1e-18
    gradient: float = 1e-9
    progress: float = 1e-3

    def __post_init__(self) -> None:
        _whole("steps", self.steps)
        _whole("memory", self.memory)
        for name in ("tolerance", "gradient", "progress"):
            _fraction(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class Descended:
    """Where an optimiser ended.

    Args:
        weights: ((W, b or None) of each hidden layer, a).
        error: mean (y − f)².
        status: "converged", "stalled", "steps" (all spent) or "diverged".
        steps: taken.
    """

    weights: Weights
    error: float
    status: str
    steps: int


def descend(
    phi: Activation,
    X: Float[np.ndarray, "P N0"],
    y: Float[np.ndarray, " P"],
    start: Weights,
    settings: Adam | LBFGS,
    *,
    key: int = 0,
) -> Descended:
    """The network f(x) = a·φ(W^L … φ(W^1 x + b^1) …) that minimises mean (y − f(x))², by gradients.

    Args:
        phi: φ, traceable by JAX.
        X: inputs.
        y: targets.
        start: the weights to begin with.
        settings: `Adam` or `LBFGS`.
        key: seed of the batches.

    Raises:
        MissingExtra: Optax is not installed.
    """
    optimiser, P = _optimiser(settings), len(y)
    rows = padded(P)
    mask = (np.arange(rows) < P) / P
    X, y = (np.concatenate([array, np.zeros((rows - P, *array.shape[1:]))]) for array in (X, y))
    power = float(np.sum(y**2)) / P or 1.0
    with float64():
        data = tuple(map(jnp.asarray, (X, y, mask)))
        random = jax.random.key(key if key < 2**63 else int(np.random.SeedSequence(key).generate_state(1)[0]))
        weights = jax.tree.map(jnp.asarray, start)
        state, steps, end = optimiser.init(weights), 0, -(-settings.steps // CHUNK) * CHUNK
        error, steepest = map(float, _look(phi.function, weights, data))
        while (status := _status(settings, error / power, steepest / power)) == "" and steps < end:
            before = error
            if isinstance(settings, Adam):
                weights, state = _adam(
                    phi.function, optimiser.update, settings.batch_size, weights, state, data, P,
                    jax.random.fold_in(random, steps), settings.learning_rate, steps / end, 1 / end,
                )  # fmt: skip
            else:
                weights, state = _lbfgs(phi.function, optimiser.update, weights, state, data)
            error, steepest = map(float, _look(phi.function, weights, data))
            steps += CHUNK
            if isinstance(settings, LBFGS) and not error <= (1 - settings.progress) * before:
                status = _status(settings, error / power, steepest / power) or "stalled"
                break
        return Descended(jax.tree.map(np.asarray, weights), error, status or "steps", steps)


def outputs(phi: Any, weights: Weights, X: Any) -> Any:
    """f (P,), in JAX."""
    layers, a = weights
    for W, b in layers:
        X = phi(X @ W.T if b is None else X @ W.T + b)
    return X @ a


def _error(phi: Any, weights: Weights, data: Any) -> Any:
    X, y, mask = data
    return jnp.sum(mask * (y - outputs(phi, weights, X)) ** 2)


@partial(jax.jit, static_argnums=0)
def _look(phi: Any, weights: Weights, data: Any) -> tuple[Any, Any]:
    error, slope = jax.value_and_grad(partial(_error, phi))(weights, data)
    return error, jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(slope)]))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _adam(
    phi: Any, update: Any, size: int | None, weights: Any, state: Any, data: Any, P: Any, key: Any, rate: Any,
    done: Any, share: Any,
) -> Any:  # fmt: skip
    """A chunk of steps; `done` of the whole way before it, `share` of it a step."""

    def step(carry: Any, item: Any) -> Any:
        (weights, state), (number, own) = carry, item
        batch = data
        if size is not None:
            rows = jax.random.randint(own, (size,), 0, P)
            batch = data[0][rows], data[1][rows], jnp.full(size, 1.0 / size)
        change, state = update(jax.grad(partial(_error, phi))(weights, batch), state)
        eta = rate * 0.5 * (1 + jnp.cos(jnp.pi * (done + number * share)))
        return (jax.tree.map(lambda w, d: w - eta * d, weights, change), state), None

    carry, _ = jax.lax.scan(step, (weights, state), (jnp.arange(CHUNK), jax.random.split(key, CHUNK)))
    return carry


@partial(jax.jit, static_argnums=(0, 1))
def _lbfgs(phi: Any, update: Any, weights: Any, state: Any, data: Any) -> Any:
    """A chunk of steps."""
    import optax

    value = partial(_error, phi, data=data)
    slope_of = optax.value_and_grad_from_state(value)

    def step(carry: Any, _: Any) -> Any:
        weights, state = carry
        error, slope = slope_of(weights, state=state)
        change, state = update(slope, state, weights, value=error, grad=slope, value_fn=value)
        return (jax.tree.map(jnp.add, weights, change), state), None

    carry, _ = jax.lax.scan(step, (weights, state), length=CHUNK)
    return carry


def _status(settings: Adam | LBFGS, error: float, steepest: float) -> str:
    """Why to stop, or nothing."""
    if error <= settings.tolerance:
        return "converged"
    if not math.isfinite(error):
        return "diverged"
    return "converged" if isinstance(settings, LBFGS) and steepest <= settings.gradient else ""


@cache
def _optimiser(settings: Adam | LBFGS) -> Any:
    """One for equal settings: what is compiled for it is found again."""
    try:
        import optax
    except ImportError as error:
        raise MissingExtra("training a network needs Optax: install it with pip install 'widthwise[train]'.") from error
    return optax.scale_by_adam() if isinstance(settings, Adam) else optax.lbfgs(memory_size=settings.memory)


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < 1:
        raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}; pass e.g. 1000.")


def _fraction(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise InputError(f"{name}: expected a number in [0, 1), got {value!r}; pass e.g. 1e-10.")
