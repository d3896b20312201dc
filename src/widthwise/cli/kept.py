"""A run that is kept: whether the store holds something of it, and what Control-C then says."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from widthwise.store import Store


class KeptRun(Store):
    """A store that knows whether it holds something of the one run that it is used for."""

    holds = False

    def get(self, key: str) -> Any:
        entry = super().get(key)
        self.holds = self.holds or entry is not None
        return entry

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        self.holds = True


@contextmanager
def interruptible(store: KeptRun | None, resume: bool) -> Iterator[None]:
    """Control-C says what is kept; where it is not the command's own to answer, nothing changes."""
    from widthwise.cli import INTERRUPTED, _interrupt

    if store is None or signal.getsignal(signal.SIGINT) is not _interrupt:
        yield
        return

    def interrupt(signal_number: int, frame: object) -> None:
        command = "the same command" if resume else "the command without --no-resume"
        kept = f"{store.path} keeps what was done until the last checkpoint; {command} goes on from there."
        line = f"widthwise: interrupted; {kept if store.holds else 'nothing has been kept yet.'}\n"
        os.write(2, line.encode(errors="replace"))
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, _interrupt)
