"""What other programs do to the machine while we measure: the cores' busy time that is not ours."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType

import psutil

SECONDS_BETWEEN_SAMPLES = 1.0


class LoadWatch:
    """A context manager whose `others` is the mean number of our cores that other programs kept busy meanwhile.

    Ours is this process and all its descendants. Where the hypervisor gave the cores to somebody else, that counts
    as others too.
    """

    def __init__(self) -> None:
        self.others = 0.0
        self._ours = 0.0
        self._tree = tree_seconds()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="load-watch", daemon=True)

    def __enter__(self) -> LoadWatch:
        self._start = time.perf_counter(), machine_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        begun, machine = self._start
        elapsed = max(time.perf_counter() - begun, 1e-9)
        self.others = max(0.0, machine_seconds() - machine - self._ours) / elapsed

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self._closed.wait(SECONDS_BETWEEN_SAMPLES)
            tree = tree_seconds()
            # a game whose worker was killed is nobody's child any more, and its time gone from the sum
            self._ours += max(0.0, tree - self._tree)
            self._tree = tree


def machine_seconds() -> float:
    """Seconds that the cores which we may use have been busy, by whomever, since the machine started."""
    times = psutil.cpu_times(percpu=True)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    idle = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in user already
    chosen = [times[core] for core in cores if core < len(times)]
    return sum(value for core in chosen for name, value in core._asdict().items() if name not in idle)


def tree_seconds() -> float:
    """Processor time of this process and its descendants, those that ended and were waited for included."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it ended just now
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
