"""A network with its data: checked once, then as its chains see it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from widthwise.errors import InputError
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.sampling import checks
from widthwise.sampling.coordinates import Frame
from widthwise.sampling.patches import Network, above, inputs, rows
from widthwise.sampling.precision import float64

if TYPE_CHECKING:
    from widthwise.sampling.model import Data, Model


@dataclass(frozen=True, eq=False)
class Problem:
    """What is sampled: p(θ|D) ∝ exp( −Σ_μ |y_μ − f(x_μ)|²/2T ) × prior.

    Args:
        network: `FullyConnected` or `Convolutional`.
        X: training inputs (P, N0); for a convolutional network images (P, H, W) or (P, H, W, C).
        y: training targets (P,) or (P, D).
        X_test: test inputs (n, …), each of the shape of a training input.
        y_test: test targets (n,) or (n, D).
        temperature: T > 0.

    Raises:
        InputError: arrays, temperature or network are not what is needed.
    """

    network: Network
    X: Any
    y: Any
    X_test: Any = None
    y_test: Any = None
    temperature: float = 0.0

    def __post_init__(self) -> None:
        _check_network(self.network)
        T = checks.positive("temperature", self.temperature)
        X = inputs("X", self.X, self.network)
        y = checks.targets("y", self.y, len(X))
        if self.X_test is None and self.y_test is not None:
            raise InputError("X_test: expected inputs for y_test, got None; pass both.")
        shape = X.shape[1:]
        tests = np.empty((0, *shape)) if self.X_test is None else inputs("X_test", self.X_test, self.network, shape)
        y_test = None if self.y_test is None else checks.targets("y_test", self.y_test, len(tests), y.ndim)
        outputs = math.prod(y.shape[1:])
        if y_test is not None and math.prod(y_test.shape[1:]) != outputs:
            raise InputError(f"y_test: expected {outputs} columns, as in y, got {y_test.shape[1]}; give both the same.")
        fields = {"temperature": T, "X": X, "y": y, "X_test": tests, "y_test": y_test}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def targets(self) -> np.ndarray:
        """y as (P, D)."""
        return self.y.reshape(len(self.y), -1)

    @property
    def test_targets(self) -> np.ndarray | None:
        """y_test as (n, D)."""
        return None if self.y_test is None else self.y_test.reshape(len(self.y_test), -1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.X.shape[1:]

    @cached_property
    def frame(self) -> Frame:
        """The coordinates of the first layer."""
        return Frame.of(rows(self.network, self.X), self.network.precisions[0], self.network.bias_variances[0])

    @cached_property
    def inputs(self) -> np.ndarray:
        """The training inputs, or their patches, in these coordinates ("rows r")."""
        return self.frame.inside(rows(self.network, self.X))

    def points(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Other inputs: their coordinates, and the root of what sticks out of the training inputs' span."""
        patches = rows(self.network, X)
        return self.frame.inside(patches), self.frame.outside(patches)

    def model(self, collapsed: bool) -> tuple[Model, Data]:
        """The static shape and the numbers of a run, as JAX sees them."""
        stack = above(self.network, self.shape)
        return model(self.network, collapsed, self.temperature, self.inputs, self.targets, stack)


def model(
    network: Network, collapsed: bool, T: float, inputs: np.ndarray, y: np.ndarray, stack: list[np.ndarray]
) -> tuple[Model, Data]:
    """The static shape and the numbers of a run, as JAX sees them.

    Args:
        network: to sample.
        collapsed: whether the readout is integrated out.
        T: temperature.
        inputs: the training inputs' coordinates ("rows r").
        y: targets ("P D").
        stack: what `patches.above` gives.
    """
    import jax.numpy as jnp

    from widthwise.sampling.model import Data, Model

    lam, biases, N = network.precisions, network.bias_variances, network.widths
    patches = [len(inputs) // len(y), *(len(above) for above in stack)]
    seen = [above.shape[1] for above in stack]
    static = Model(
        inputs=inputs.shape[1],
        widths=N,
        outputs=y.shape[1],
        phi=network.phi,
        biased=tuple(variance > 0 for variance in biases[1:]),
        collapsed=collapsed,
        patches=patches[-1],
        pooled=isinstance(network, Convolutional) and network.readout == "average",
        stack=tuple(zip(patches, seen)),
    )
    entries = seen or [1] * len(N[:-1])
    scales = [1.0 / math.sqrt(precision * width * many) for precision, width, many in zip(lam[1:-1], N[:-1], entries)]
    data = Data(
        inputs=jnp.asarray(inputs),
        y=jnp.asarray(y),
        temperature=jnp.asarray(T, dtype=float),
        scales=jnp.asarray(scales, dtype=float),
        bias_scales=jnp.asarray(np.sqrt(np.asarray(biases[1:], dtype=float))),
        readout=jnp.asarray(lam[-1] * static.features, dtype=float),
        precisions=jnp.asarray(lam, dtype=float),
        above=tuple(map(jnp.asarray, stack)),
    )
    return static, data


def _check_network(network: Any) -> None:
    if isinstance(network, PrecomputedKernel):
        raise InputError(
            "network: expected FullyConnected or Convolutional, got PrecomputedKernel, whose weights are not known; "
            "there is nothing to sample: describe the network by its widths and activation."
        )
    if not isinstance(network, FullyConnected | Convolutional):
        raise InputError(
            f"network: expected FullyConnected or Convolutional, got {type(network).__name__}; "
            "pass ww.FullyConnected(...)."
        )
    import jax

    with float64():
        try:
            shape = jax.eval_shape(jax.grad(lambda h: network.phi(h).sum()), jax.numpy.ones((2, 3)))
            traced = network.phi.builtin or jax.eval_shape(network.phi, shape).shape == (2, 3)
        except Exception as error:  # whatever the caller's function raises
            raise InputError(
                f"activation {network.phi.name}: expected a function that JAX can trace and differentiate, got "
                f"{type(error).__name__}; write it with jax.numpy."
            ) from error
    if not traced:
        raise InputError(
            f"activation {network.phi.name}: expected an elementwise function, got another shape back; "
            "write it with jax.numpy, one output for each input."
        )
