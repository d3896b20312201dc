"""What the laws of the prior share: their names, the kernel and widths of their network, and their mixing variables.

f | Q ~ GP(0, Q K):  mixture    Q = Π_ℓ Q_ℓ,  Q_ℓ ~ χ²_{N_ℓ}/N_ℓ      [Pacelli et al. 2023, arXiv 2209.04882, (iii)]
                     gaussian   Q = 1
                     student-t  Q ~ ν/χ²_ν, K its shape matrix   [Shah, Wilson, Ghahramani 2014, arXiv 1402.4306]
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from widthwise.errors import InputError, unknown_name
from widthwise.networks import Convolutional, FullyConnected, PrecomputedKernel
from widthwise.posterior import checks
from widthwise.posterior.sources import AbstractSource, source_of

LAWS = ("network", "mixture", "gaussian", "student-t")


@dataclass(frozen=True)
class Asked:
    """A network on its inputs, checked for the law that was asked of it.

    Args:
        source: the network and its inputs.
        law: one of `LAWS`.
        degrees: ν of "student-t".
        outputs: D, or None for one output without its axis.
    """

    source: AbstractSource
    law: str
    degrees: float
    outputs: int | None

    @property
    def network(self) -> Any:
        """As described."""
        return self.source.network

    @property
    def dense(self) -> bool:
        """Whether the order parameter is a matrix over patches."""
        network = self.network
        return isinstance(network, Convolutional) and network.readout == "dense" and self.law == "mixture"

    def kernel(self) -> Float[np.ndarray, "P P"]:
        """K, the infinite-width kernel, both triangles."""
        return self.source.training().K


def ask(network: Any, X: Any, law: str, outputs: int | None = None, degrees_of_freedom: float | None = None) -> Asked:
    """The request, or why there is no answer to it.

    Raises:
        InputError: an unknown law, a law that this network does not have, or inputs that do not fit.
    """
    if law not in LAWS:
        raise unknown_name("law", law, LAWS)
    if outputs is not None:
        outputs = whole("outputs", outputs, least=1)
    source = source_of(network, X, copies=3)
    if law == "network" and isinstance(network, PrecomputedKernel):
        raise InputError(
            'law="network": expected a network with weights, got PrecomputedKernel; ask for "mixture", "gaussian" or '
            '"student-t".'
        )
    if law == "mixture":
        _refuse_without_mixture(network, outputs)
    degrees = network.widths[-1] if degrees_of_freedom is None else degrees_of_freedom
    return Asked(source, law, checks.positive("degrees_of_freedom", degrees), outputs)


def _refuse_without_mixture(network: Any, outputs: int | None) -> None:
    """A scale mixture is one kernel, or one linear map of Q, times what the readout's norm draws."""
    deep = network.depth > 1
    if isinstance(network, Convolutional):
        if deep:
            raise InputError(
                'law="mixture": expected one convolutional layer, got several; ask for law="network", or "gaussian".'
            )
        if network.readout == "dense" and outputs is not None and outputs > 1:
            raise InputError(
                f'law="mixture": expected one output of a dense readout of patches, got {outputs}; ask for '
                'law="network", or readout="average".'
            )
    if isinstance(network, FullyConnected) and deep:
        biased, other = any(network.bias_variances[1:]), network.closure != "global" and not network.phi.homogeneous
        if biased or other:
            came = "biases above the first layer" if biased else f"closure={network.closure!r}"
            raise InputError(
                f'law="mixture": expected several layers that renormalise one kernel by one number, got {came}; ask '
                'for law="network", or leave it out.'
            )


def whole(name: str, value: Any, *, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}.")
    return int(value)


def stream(key: int, number: int) -> np.random.Generator:
    """An independent stream of random numbers for each (key, number)."""
    return np.random.default_rng([key, number])
