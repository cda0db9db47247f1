"""What a reader may use and touch, watched while it reads."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPARE_BYTES = 1 << 30  # of address space, beyond what the libraries took when they were loaded
CPU_SECONDS, WALL_SECONDS = 5, 120  # of one reading; a busy machine is slow, a reader is not
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork"}


class OutOfBoundsError(BaseException):
    """Too slow, or something that no reader has a reason to do; not an `Exception`, so that no reader catches it."""


def limit_memory() -> None:
    """Let this process have `SPARE_BYTES` more address space than it has now."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + SPARE_BYTES, resource.RLIM_INFINITY))


class Watch:
    """Hears of every file that is opened and all code that is started, by Python's audit events, while it is `on`."""

    def __init__(self, outside: Path) -> None:
        self.outside, self.on = str(outside), False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise `OutOfBoundsError` in a `with` block that takes too long, and after one that did what it may not."""
        signal.signal(signal.SIGPROF, _too_slow)
        signal.signal(signal.SIGALRM, _too_slow)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        self.on, self.seen = True, []
        try:
            yield
        finally:
            self.on = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self.seen:
                raise OutOfBoundsError("; ".join(self.seen))

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in FORBIDDEN:
            self.seen.append(f"{event} {arguments!r:.100}")
        elif event == "open" and str(arguments[0]).startswith(self.outside):
            self.seen.append(f"opened {arguments[0]}")


def _too_slow(number: int, frame: object) -> None:
    raise OutOfBoundsError(f"over {CPU_SECONDS} s of computing or {WALL_SECONDS} s in all")
