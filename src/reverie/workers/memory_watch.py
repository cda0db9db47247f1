"""The peak memory of a run: this process and all its children, sampled."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 2.0


class MemoryWatch:
    """A context manager whose `peak_mb` is the largest total seen while it was open.

    Shared pages count once (proportional set size) where the system tells it, else resident sizes are added up.
    """

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def sample(self) -> None:
        """Look now."""
        self.peak_mb = max(self.peak_mb, tree_memory_mb())

    def _watch(self) -> None:
        self.sample()
        while not self._closed.wait(SECONDS_BETWEEN_SAMPLES):
            self.sample()


def tree_memory_mb() -> float:
    """Memory of this process and its descendants now, in MiB."""
    me, total = psutil.Process(), 0
    for process in (me, *me.children(recursive=True)):
        try:
            usage = process.memory_full_info()
        except psutil.Error:  # it ended, or belongs to somebody else
            continue
        total += getattr(usage, "pss", usage.rss)
    return total / 2**20
