"""Published results, computed anew: theory, sampled networks and the published numbers, point by point.

`rows` says what a point is and what is to be said of it, `study` what a study is; `registry` knows them by name, and
each has a file of its own. `facts/` holds published numbers and condensed data, never images.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from widthwise.reproduce.registry import STUDIES, find
from widthwise.reproduce.rows import Reproduction, Row
from widthwise.reproduce.study import Setup, Study

__all__ = ["STUDIES", "Reproduction", "Row", "Setup", "Study", "reproduce"]


def reproduce(
    name: str,
    *,
    full: bool = False,
    data: Any = None,
    seed: int = 0,
    store: Any = None,
    resume: bool = True,
    say: Callable[[str], object] | None = None,
    progress: bool | Callable[..., object] = False,
) -> Reproduction:
    """Compute a published result anew: theory, sampled networks, and both beside what was published.

    Args:
        name: a key of `STUDIES`.
        full: every point, on the real data (up to hours); False takes the embedded data and minutes.
        data: a file or folder, where the study needs one.
        seed: of the chains.
        store: a `widthwise.store.Store` or a path; an interrupted run is taken up there.
        resume: False starts anew, whatever the store holds.
        say: told what is being done, a line at a time.
        progress: as of `ww.sample`.

    Returns:
        reproduction: rows with verdicts; `.markdown()`, `.csv()`, `.records()`.

    Raises:
        InputError: no such study, or the data are not what it needs.
    """
    study = find(name)
    heard = {} if say is None else {"say": say}
    folder = None if data is None else Path(data)
    setup = Setup(full, folder, seed, store, resume, progress=progress, **heard)
    began = time.perf_counter()
    found = study.run(setup)
    return dataclasses.replace(found, seconds=time.perf_counter() - began)
