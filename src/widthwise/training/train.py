"""Adam on the quadratic loss: from data and a seed to a trained network, with a status."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError, MissingExtra
from widthwise.training.architectures import Architecture, Parameters

BLOCK = 512  # examples at a time where no gradient is needed: one shape, compiled once
CHUNK = 50  # steps between two looks at the loss


@dataclass(frozen=True)
class Training:
    """How a network is trained: Adam [Kingma & Ba 2015], decoupled weight decay [Loshchilov & Hutter 2019].

    Args:
        steps: at most so many, rounded up to fifties; the learning rate falls to zero along half a cosine.
        batch_size: examples a step, drawn without repetition until all were seen; None for all at once.
        learning_rate: at the start.
        weight_decay: the weights lose this share times the learning rate each step.
        tolerance: of the training error, in units of mean y²: converged below it.
        frozen_trunk: only the readout learns.
    """

    steps: int = 1000
    batch_size: int | None = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    tolerance: float = 1e-4
    frozen_trunk: bool = False

    def __post_init__(self) -> None:
        for name in ("steps",) if self.batch_size is None else ("steps", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: expected a whole number of at least 1, got {value!r}; pass e.g. 64.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning_rate: expected a positive number, got {self.learning_rate!r}; pass e.g. 1e-3.")
        for name in ("weight_decay", "tolerance"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name}: expected a number of at least 0, got {getattr(self, name)!r}; pass 0.")


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Args:
        architecture: what was trained.
        parameters: as they are now, float32.
        training_error: mean (y − f)², over outputs summed.
        status: "converged" (the error is below the tolerance), "steps" (all spent) or "diverged".
        steps: taken.
    """

    architecture: Architecture
    parameters: Parameters = field(repr=False)
    training_error: float
    status: str
    steps: int

    def features(self, X: np.ndarray) -> Float[np.ndarray, "n N"]:
        """φ(x) of the last layer."""
        return features(self.architecture, self.parameters, X)

    @property
    def readout(self) -> tuple[np.ndarray, np.ndarray]:
        """(w, c): (N,) and (), or (N, D) and (D,)."""
        W, b = (np.asarray(self.parameters.readout[name], float) for name in ("W", "b"))
        return W, b

    def predict(self, X: np.ndarray) -> Float[np.ndarray, "n *D"]:
        """f(x) = φ(x)·w + c."""
        W, b = self.readout
        return self.features(X) @ W + b


def train(
    architecture: Architecture,
    X: np.ndarray,
    y: np.ndarray,
    settings: Training = Training(),
    *,
    key: int = 0,
    start: Parameters | None = None,
) -> Trained:
    """A network trained on (X, y): minimises mean (y − f(x))².

    What it does is a function of its arguments: the same seed, the same network.

    Args:
        architecture: what is trained.
        X: (P, N0), (P, H, W) or (P, H, W, C).
        y: (P,) or (P, D).
        settings: how.
        key: seed of the first parameters and of the batches.
        start: parameters to begin with, such as another training's; random without.

    Raises:
        InputError: shapes that do not belong together, values that are not finite.
        MissingExtra: Optax is not installed.
    """
    adam, (X, y) = _adam(), _checked(X, y)
    outputs = None if y.ndim == 1 else y.shape[1]
    parameters = architecture.init(key, X.shape[1:], outputs) if start is None else start
    trunk = parameters.trunk if settings.frozen_trunk else ()
    free: Any = parameters.readout if settings.frozen_trunk else (parameters.trunk, parameters.readout)
    state, steps, chunks = adam.init(free), 0, math.ceil(settings.steps / CHUNK)
    goal = settings.tolerance * float(np.sum(y**2)) / len(y)
    batches = _batches(len(y), settings.batch_size or len(y), np.random.default_rng((key, 1)))
    seen = math.inf if start is None else 0.0  # the loss of the last steps; that of a start given may be small: look
    while True:
        if seen <= 4.0 * goal or steps == chunks * CHUNK or not math.isfinite(seen):
            error = _error(architecture, _whole(free, trunk), X, y)
            if error <= goal or steps == chunks * CHUNK or not math.isfinite(error):
                break
        rows = next(batches)
        rates = settings.learning_rate * _cosine((steps + np.arange(CHUNK)) / (chunks * CHUNK))
        free, state, mean = _chunk(
            architecture, adam.update, free, trunk, state, X[rows], y[rows], rates, settings.weight_decay
        )
        seen, steps = float(mean), steps + CHUNK
    status = "converged" if error <= goal else "steps" if math.isfinite(error) else "diverged"
    return Trained(architecture, _whole(free, trunk), error, status, steps)


def features(architecture: Architecture, parameters: Parameters, X: np.ndarray) -> Float[np.ndarray, "n N"]:
    """φ(x) of the last layer, at any parameters; block by block."""
    X, blocks = np.asarray(X, np.float32), []
    for first in range(0, len(X), BLOCK):
        x = X[first : first + BLOCK]
        padded = np.concatenate([x, np.zeros((BLOCK - len(x), *x.shape[1:]), np.float32)])
        blocks.append(np.asarray(_block(architecture, parameters.trunk, padded), float)[: len(x)])
    return np.concatenate(blocks)


def loss(architecture: Architecture, parameters: Parameters, X: Any, y: Any) -> Any:
    """mean over examples of Σ_outputs (y − f(x))², in JAX."""
    f = architecture.features(parameters.trunk, X) @ parameters.readout["W"] + parameters.readout["b"]
    return jnp.sum(jnp.square(y - f)) / len(y)


@partial(jax.jit, static_argnums=(0, 1))
def _chunk(
    architecture: Architecture, update: Any, free: Any, trunk: Any, state: Any, X: Any, y: Any, rates: Any, decay: Any
) -> Any:
    """So many steps of Adam; all that moves with P stays outside, so that nothing is compiled for it."""

    def step(carry, batch):
        free, state = carry
        value, slope = jax.value_and_grad(lambda free: loss(architecture, _whole(free, trunk), *batch[:2]))(free)
        change, state = update(slope, state)
        free = jax.tree.map(lambda w, d: w - batch[2] * (d + decay * w), free, change)
        return (free, state), value

    (free, state), values = jax.lax.scan(step, (free, state), (X, y, rates))
    return free, state, values.mean()


def _whole(free: Any, trunk: tuple[dict[str, Any], ...]) -> Parameters:
    return Parameters(trunk, free) if isinstance(free, dict) else Parameters(*free)


_block = jax.jit(lambda architecture, trunk, x: architecture.features(trunk, x), static_argnums=0)


def _error(architecture: Architecture, parameters: Parameters, X: np.ndarray, y: np.ndarray) -> float:
    W, b = (np.asarray(parameters.readout[name], float) for name in ("W", "b"))
    residual = y - features(architecture, parameters, X) @ W - b
    return float(np.sum(residual**2) / len(y))


def _batches(P: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """(CHUNK, size) indices, again and again: permutations of all examples, one after the other."""
    left = np.empty(0, int)
    while True:
        missing = CHUNK * size - len(left)
        left = np.concatenate([left, *(rng.permutation(P) for _ in range(-(-missing // P)))])
        yield left[: CHUNK * size].reshape(CHUNK, size)
        left = left[CHUNK * size :]


def _cosine(t: np.ndarray) -> np.ndarray:
    return (0.5 * (1.0 + np.cos(np.pi * t))).astype(np.float32)


def _checked(X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    X, y = np.asarray(X, np.float32), np.asarray(y, np.float32)
    if X.ndim not in (2, 3, 4) or y.ndim not in (1, 2) or len(X) != len(y) or not len(y):
        raise InputError(
            f"expected X (P, N0), (P, H, W) or (P, H, W, C) and y (P,) or (P, D), got {X.shape} and {y.shape}; "
            "give one target to each example."
        )
    for name, values in (("X", X), ("y", y)):
        if not np.isfinite(values).all():
            raise InputError(f"{name}: expected finite numbers, got NaN or ±inf; leave those examples out.")
    return X, y


@cache
def _adam() -> Any:
    try:
        import optax
    except ImportError as error:
        raise MissingExtra("training a network needs Optax: install it with pip install 'widthwise[train]'.") from error
    return optax.scale_by_adam()
