"""Where a run stands, in a store: what has been drawn is kept, and an interrupted run goes on from there.

A run is named by everything that its numbers depend on, so that only the same run is ever taken up. Its randomness
depends on the key and the transition's number alone: it goes on to the same numbers as if it had not been interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

import numpy as np

from widthwise.activations.phi import BUILTIN
from widthwise.sampling.patches import Network
from widthwise.sampling.samplers import AbstractSampler
from widthwise.store import Store, fingerprint

FORMAT = 1
EVERY = 10.0  # seconds between two checkpoints
_INDIFFERENT = {"draws", "memory", "weights_memory"}  # settings that no draw depends on
_SPELLED_OUT = {"activation", "weight_precisions", "bias_variance", "closure"}  # the last is the theory's own


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes:
        stage: index of the stage.
        start: transitions of that stage that are done.
        seconds: that the run has taken.
        sizes: step sizes after the latest adaptation (" networks").
        states, adapting: of the chains and the adaptation, as flat lists of arrays.
    """

    stage: int
    start: int
    seconds: float
    sizes: np.ndarray
    states: list[np.ndarray]
    adapting: list[np.ndarray]


class Checkpoint:
    """The standing of one run and its draws, chunk by chunk, in a store.

    Args:
        store: where; None keeps nothing.
        name: of the run, from `name_of`.
    """

    def __init__(self, store: Store | None, name: str) -> None:
        self.store, self.name = store, f"sampling/{name}"
        self._waiting: dict[int, list[np.ndarray]] = {}
        self._latest = time.monotonic()

    def exists(self) -> bool:
        """Whether an earlier run has left something."""
        return self.store is not None and self.name in self.store

    def forget(self) -> None:
        """Let go of whatever an earlier run has left."""
        if self.exists():
            self.store.delete(self.name)  # type: ignore[union-attr]

    def load(self) -> tuple[Standing | None, list[list[np.ndarray]]]:
        """The standing of an earlier run of this name, and the draws that it left."""
        entry = None if self.store is None else self.store.get(self.name)
        if self.store is None or entry is None:
            return None, []
        record, arrays = entry.record, entry.arrays
        states = [arrays[f"state{i}"] for i in range(record["states"])]
        adapting = [arrays[f"adapting{i}"] for i in range(record["adapting"])]
        standing = Standing(record["stage"], record["start"], record["seconds"], arrays["sizes"], states, adapting)
        parts = list(islice(self.store.parts(self.name), record["chunks"]))
        if [part.part for part in parts] != list(range(record["chunks"])):
            return None, []  # another process has begun it anew, and not come so far again
        return standing, [[part.arrays[f"{i}"] for i in range(len(part.arrays))] for part in parts]

    def note(self, chunk: int, drawn: list[np.ndarray]) -> None:
        """Keep a chunk of draws for the next checkpoint."""
        if self.store is not None:
            self._waiting[chunk] = drawn

    def due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return self.store is not None and time.monotonic() - self._latest >= EVERY

    def save(self, standing: Standing, chunks: int) -> None:
        """Write the standing and the chunks since the last checkpoint, all or nothing."""
        if self.store is None:
            return
        record = {
            "stage": standing.stage,
            "start": standing.start,
            "seconds": standing.seconds,
            "chunks": chunks,
            "states": len(standing.states),
            "adapting": len(standing.adapting),
        }
        arrays = {f"state{i}": a for i, a in enumerate(standing.states)}
        arrays |= {f"adapting{i}": a for i, a in enumerate(standing.adapting)} | {"sizes": standing.sizes}
        with self.store.transaction():
            for chunk, drawn in self._waiting.items():
                self.store.append(self.name, chunk, {}, {f"{i}": a for i, a in enumerate(drawn)})
            self.store.put(self.name, record, arrays)
        self._waiting.clear()
        self._latest = time.monotonic()


def name_of(problems: Sequence[Any], sampler: AbstractSampler, words: Sequence[Sequence[int]], thinning: int) -> str:
    """What a run is called: a fingerprint of everything that its draws depend on.

    Args:
        problems: `Problem`s; their test targets do not matter.
        sampler: its settings; a run of more draws is a longer one of the same name.
        words: of each problem's random key.
        thinning: of the kept weights.
    """
    settings = {name: value for name, value in asdict(sampler).items() if name not in _INDIFFERENT}
    asked = [(_network(p.network), p.X, p.targets, p.X_test, p.temperature) for p in problems]
    return fingerprint("draws", FORMAT, sampler.name, settings, asked, [tuple(w) for w in words], thinning)


def _network(network: Network) -> tuple[Any, ...]:
    phi = network.phi
    named = phi.slope is not None or BUILTIN.get(phi.name) is phi
    # a function of the caller's own is known by its values, far out too: clipped at 7 and at 8 are two
    far = np.geomspace(6.0, 1e3, 129)
    where = np.concatenate([-far[:0:-1], np.linspace(-6.0, 6.0, 257), far[1:]])
    function: Any = (phi.name, phi.slope) if named else np.asarray(phi(where), dtype=float)
    rest = {f.name: getattr(network, f.name) for f in fields(network) if f.init and f.name not in _SPELLED_OUT}
    return type(network).__name__, function, network.precisions, network.bias_variances, rest
