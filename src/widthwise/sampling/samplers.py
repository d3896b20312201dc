"""How to sample: each sampler's settings, validated."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from widthwise.errors import InputError

if TYPE_CHECKING:
    from widthwise.sampling.moves.move import AbstractMove

SHORT = 10  # steps of a trajectory at most: on the way down from the prior, and afterwards
LONG = 1000


@dataclass(frozen=True)
class Stage:
    """Some transitions of a run, all made in the same way.

    Args:
        name: "warm-up" or "draws".
        move: what makes them.
        count: how many.
        limit: of the steps of one; Langevin's takes exactly so many.
        adapts: whether the step size is still adapted.
    """

    name: str
    move: AbstractMove
    count: int
    limit: int
    adapts: bool


@dataclass(frozen=True)
class AbstractSampler:
    """What every sampler is asked for.

    Args:
        chains: independent chains, each from its own draw of the prior.
        draws: made by each chain after the warm-up; those before it has settled are dropped.
        warmup: transitions before them.
        memory: GiB that a run may need; above it nothing is started.
        weights_memory: GiB of weights kept for `Samples.predict`; beyond it they are thinned evenly.

    Raises:
        InputError: a field outside its range.
    """

    chains: int = 8
    draws: int = 500
    warmup: int = 300
    memory: float = 4.0
    weights_memory: float = 0.5
    collapsed: ClassVar[bool]
    name: ClassVar[str]

    def __post_init__(self) -> None:
        _whole(self, "chains", 1)
        _whole(self, "draws", 10)
        _whole(self, "warmup", 20)
        _between(self, "memory", 0.0, math.inf, 4.0)
        _between(self, "weights_memory", 0.0, math.inf, 0.5)

    @property
    def first_step(self) -> float:
        """The step size to begin with."""
        raise NotImplementedError

    @property
    def replicas(self) -> int:
        """Networks that one chain moves."""
        return 1

    @property
    def length(self) -> float:
        """Of a trajectory; no step is longer."""
        return math.pi / 2

    @property
    def target(self) -> float:
        """The acceptance that the step size is adapted to."""
        return 0.8

    def stages(self) -> tuple[Stage, ...]:
        """The run, from the first transition to the last."""
        raise NotImplementedError

    def steps(self, size: float) -> float:
        """Gradients that a transition will take, about, with steps of this size."""
        return min(max(1.0, self.length / size), LONG)

    def longer(self, divergent: bool) -> str:
        """How to ask for a longer run with smaller steps, in code."""
        settings = f"warmup={2 * self.warmup}, draws={4 * self.draws}"
        return f"{type(self).__name__}({settings}{self._smaller() if divergent else ''})"

    def _smaller(self) -> str:
        return f", target_acceptance={(3.0 + self.target) / 4.0:.2f}"


@dataclass(frozen=True)
class AbstractHMC(AbstractSampler):
    """Hamiltonian Monte Carlo in coordinates where the prior is N(0, 1), its force integrated exactly.

    Beside the fields of every sampler; the step size adapts during the warm-up, a quarter as many short transitions
    come first.

    Args:
        target_acceptance: that the step size is adapted to, in (0, 1).
        trajectory: mean length of a trajectory; π/2 turns a draw of the prior into an independent one.
    """

    target_acceptance: float = 0.8
    trajectory: float = math.pi / 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _between(self, "target_acceptance", 0.0, 1.0, 0.8)
        _between(self, "trajectory", 0.0, 100.0, math.pi / 2)

    @property
    def first_step(self) -> float:
        return min(0.1, self.trajectory)

    @property
    def length(self) -> float:
        return self.trajectory

    @property
    def target(self) -> float:
        return self.target_acceptance

    def stages(self) -> tuple[Stage, ...]:
        from widthwise.sampling.moves.hmc import Trajectory

        move = Trajectory()
        return (
            Stage("warm-up", move, self.warmup // 4, SHORT, True),
            Stage("warm-up", move, self.warmup, LONG, True),
            Stage("draws", move, self.draws, LONG, False),
        )


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
class Tempered(AbstractHMC):
    """Parallel tempering of `CollapsedHMC`: crosses between phases, weighs them, and gives the log evidence.

        p_β(W) ∝ p(W) p(y|W)^β,   β_0 = 0 … β_K = 1

    A chain is a ladder of replicas, one at each β; after a trajectory of each, neighbours offer to swap, even and odd
    pairs in turns. At β = 0 a replica is drawn afresh from the prior, at β = 1 it is a draw of the posterior. During
    the warm-up the β move to where all pairs are rejected equally often.
    [Syed, Bouchard-Côté, Deligiannidis and Doucet 2022, arXiv 1905.02939]
    `Samples.tempering` says how well it went, and holds the log evidence. A draw costs up to `levels` times one of
    `CollapsedHMC`: use this where chains disagree, or for the evidence.

    Beside the fields of `CollapsedHMC`:

    Args:
        levels: K + 1, both ends included; about 2Λ + 1, see `Tempering.barrier`.
    """

    levels: int = 16
    collapsed: ClassVar[bool] = True
    name: ClassVar[str] = "tempered"

    def __post_init__(self) -> None:
        super().__post_init__()
        _whole(self, "levels", 2)

    @property
    def replicas(self) -> int:
        return self.levels

    def stages(self) -> tuple[Stage, ...]:
        from widthwise.sampling.moves.exchange import Exchange

        move = Exchange(self.levels, self.first_step)
        # the ladder is set anew before each but the first: in rounds that grow, as Syed et al. have it
        rounds = (self.warmup // 8, self.warmup // 8, self.warmup // 4, self.warmup // 2)
        return (
            Stage("warm-up", move, self.warmup // 4, SHORT, True),
            *(Stage("warm-up", move, count, LONG, True) for count in rounds),
            Stage("draws", move, self.draws, LONG, False),
        )


@dataclass(frozen=True)
class HMC(AbstractHMC):
    """HMC on every weight, the readout's included: the independent check of `CollapsedHMC`, with the same fields."""

    collapsed: ClassVar[bool] = False
    name: ClassVar[str] = "hmc"


@dataclass(frozen=True)
class NUTS(AbstractSampler):
    """The No-U-Turn sampler on every weight: HMC that chooses each trajectory's length itself.

    Beside the fields of every sampler; steps rotate under the prior as those of `HMC` do.
    [Hoffman and Gelman 2014, arXiv 1111.4246; multinomial as in Betancourt 2017, arXiv 1701.02434; BlackJAX's kernel]

    Args:
        target_acceptance: that the step size is adapted to, in (0, 1).
        max_doublings: of a trajectory; at most 2^max_doublings steps.
    """

    target_acceptance: float = 0.8
    max_doublings: int = 10
    collapsed: ClassVar[bool] = False
    name: ClassVar[str] = "nuts"

    def __post_init__(self) -> None:
        super().__post_init__()
        _between(self, "target_acceptance", 0.0, 1.0, 0.8)
        _whole(self, "max_doublings", 1)

    @property
    def first_step(self) -> float:
        return 0.1

    @property
    def length(self) -> float:
        return 1.5 * math.pi  # what doubling until it turns comes to, measured

    @property
    def target(self) -> float:
        return self.target_acceptance

    def stages(self) -> tuple[Stage, ...]:
        from widthwise.sampling.moves.hmc import Trajectory
        from widthwise.sampling.moves.nuts import NoUTurn

        move = NoUTurn(self.max_doublings)
        return (
            # down from the prior by short trajectories: one that doubles until it turns would lose its time there
            Stage("warm-up", Trajectory(), self.warmup // 4, SHORT, True),
            Stage("warm-up", move, self.warmup, LONG, True),
            Stage("draws", move, self.draws, LONG, False),
        )


@dataclass(frozen=True)
class Langevin(AbstractSampler):
    """Discretised Langevin dynamics of every weight, unadjusted: full batch, noise, weight decay.

        θ ← θ − η ∂/∂θ [ ½ Σ_μ |y_μ − f(x_μ)|² + ½ T Σ_ℓ λ_ℓ |W^ℓ|² ] + √(2ηT) ξ,   ξ ~ N(0, I)

    [Pacelli et al. 2023, arXiv 2209.04882, numerical experiments]. Its stationary law is off by O(η): see
    `widthwise.sampling.step_bias`, which measures that and extrapolates. A bias of variance σ_b² moves with the step
    ηλσ_b² in place of η: in units of their prior deviations, weights and biases of a layer move alike.

    Args:
        step_size: η > 0, for the weights in their own units; stable below 2/(largest curvature of the loss).
        thinning: steps from one kept draw to the next; a transition of the warm-up is as many.
    """

    step_size: float = 1e-3
    thinning: int = 100
    collapsed: ClassVar[bool] = False
    name: ClassVar[str] = "langevin"

    def __post_init__(self) -> None:
        super().__post_init__()
        _between(self, "step_size", 0.0, math.inf, 1e-3)
        _whole(self, "thinning", 1)

    @property
    def first_step(self) -> float:
        return self.step_size

    def stages(self) -> tuple[Stage, ...]:
        from widthwise.sampling.moves.langevin import Diffusion

        move = Diffusion()
        return (
            Stage("warm-up", move, self.warmup, self.thinning, False),
            Stage("draws", move, self.draws, self.thinning, False),
        )

    def steps(self, size: float) -> float:
        return self.thinning

    def _smaller(self) -> str:
        return f", step_size={self.step_size / 4:.2g}, thinning={4 * self.thinning}"


SAMPLERS: dict[str, type[AbstractSampler]] = {s.name: s for s in (CollapsedHMC, HMC, NUTS, Langevin, Tempered)}


def _whole(settings: AbstractSampler, name: str, least: int) -> None:
    """A field that is to be a whole number, made Python's own: NumPy's would fit into no file."""
    value = getattr(settings, name)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or int(value) < least:
        raise InputError(f"{name}: expected a whole number of at least {least}, got {value!r}; pass e.g. {4 * least}.")
    object.__setattr__(settings, name, int(value))


def _between(settings: AbstractSampler, name: str, low: float, high: float, example: float) -> None:
    """A field that is to be a number between two others, made Python's own."""
    value = getattr(settings, name)
    if not (isinstance(value, numbers.Real) and low < float(value) < high):
        raise InputError(f"{name}: expected a number in ({low:g}, {high:g}), got {value!r}; pass e.g. {example:g}.")
    object.__setattr__(settings, name, float(value))
