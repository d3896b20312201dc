"""How to sample: the two samplers' settings, validated."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, ClassVar

from widthwise.errors import InputError


def _whole(name: str, value: Any, least: int) -> None:
    good = isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
    if not good:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}; pass e.g. {4 * least}.")


def _between(name: str, value: Any, low: float, high: float, example: float) -> None:
    if not (isinstance(value, numbers.Real) and low < float(value) < high):
        raise InputError(f"{name}: expected a number in ({low:g}, {high:g}), got {value!r}; pass e.g. {example:g}.")


@dataclass(frozen=True)
class AbstractHMC:
    """Hamiltonian Monte Carlo in coordinates where the prior is N(0, 1), its force integrated exactly.

    Args:
        chains: independent chains, each from its own draw of the prior.
        draws: kept from each chain.
        warmup: transitions before them, in which the step size adapts; a quarter as many short ones come first.
        target_acceptance: that the step size is adapted to, in (0, 1).
        trajectory: mean length of a trajectory; π/2 turns a draw of the prior into an independent one.
        memory: GiB that a run may need; above it nothing is started.
        weights_memory: GiB of weights kept for `Samples.predict`; beyond it they are thinned evenly.

    Raises:
        InputError: a field outside its range.
    """

    chains: int = 8
    draws: int = 500
    warmup: int = 300
    target_acceptance: float = 0.8
    trajectory: float = math.pi / 2
    memory: float = 4.0
    weights_memory: float = 0.5
    collapsed: ClassVar[bool]
    name: ClassVar[str]

    def __post_init__(self) -> None:
        _whole("chains", self.chains, 1)
        _whole("draws", self.draws, 10)
        _whole("warmup", self.warmup, 20)
        _between("target_acceptance", self.target_acceptance, 0.0, 1.0, 0.8)
        _between("trajectory", self.trajectory, 0.0, 100.0, math.pi / 2)
        _between("memory", self.memory, 0.0, math.inf, 4.0)
        _between("weights_memory", self.weights_memory, 0.0, math.inf, 0.5)


@dataclass(frozen=True)
class CollapsedHMC(AbstractHMC):
    """HMC on the hidden weights, the readout integrated out in closed form.

        log p(W|D) = log N(y; 0, T I + ΦΦᵀ/(λ_L N_L)) + log prior(W),   Φ = φ(h^L)

    Each draw predicts by the exact mean and variance of f given W (Rao–Blackwell).
    The fields are those of `AbstractHMC`.
    """

    collapsed: ClassVar[bool] = True
    name: ClassVar[str] = "collapsed-hmc"


@dataclass(frozen=True)
class HMC(AbstractHMC):
    """HMC on every weight, the readout's included: the independent check of `CollapsedHMC`, with the same fields."""

    collapsed: ClassVar[bool] = False
    name: ClassVar[str] = "hmc"
