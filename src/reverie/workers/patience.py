"""How long a worker waits for a simulator that hangs, in native code perhaps, with the interpreter in its grip."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

IN_WORKER = "REVERIE_WORKER"  # set in the environment of worker processes
CALL_SECONDS = 600.0  # for one step of a world, or one start: even on a very busy machine thousands of times enough


@contextmanager
def patience(seconds: float | None = None) -> Iterator[None]:
    """End this process by SIGALRM where a `with` block takes longer than `seconds` (None: `CALL_SECONDS`).

    Only in a worker, whose task the pool then gives to a fresh one; anywhere else it waits for ever. It is the
    system that ends the process, so it needs nothing of an interpreter that hangs.
    """
    if IN_WORKER not in os.environ:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS if seconds is None else seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
