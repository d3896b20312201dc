"""CPU seconds, interleaved; and what a call takes in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def interleaved(repeats: int, *tasks: Callable[[], object]) -> list[float]:
    """Median CPU seconds of each task, run in turn."""
    times: list[list[float]] = [[] for _ in tasks]
    for _ in range(repeats):
        for slot, task in zip(times, tasks):
            start = time.process_time()
            task()
            slot.append(time.process_time() - start)
    return [statistics.median(slot) for slot in times]


def alone(task: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """(CPU seconds, peak GiB of the whole process, what it returned) of a module's function in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (task, arguments))


def _measured(task: Callable[..., Any], arguments: tuple) -> tuple[float, float, Any]:
    start = time.process_time()
    answer = task(*arguments)
    return time.process_time() - start, _peak(), answer


def _peak() -> float:
    """The most memory this process ever held, GiB: its own, where `ru_maxrss` remembers its parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
