"""How often and how long a case is measured, and the median of what is found."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reverie.hardware import core_count, thread_count


@dataclass(frozen=True)
class Setting:
    """What all cases of one call share.

    folder: scratch space for files
    workers, threads: processes that dream and play; threads of the one that trains
    repeats: of what is timed, after one run to warm up
    effort: 1 gives each repeat the work that a figure needs, 1 to 3 seconds on two cores; tests ask for less
    """

    folder: Path
    workers: int = field(default_factory=core_count)
    threads: int = field(default_factory=thread_count)
    repeats: int = 3
    effort: float = 1.0

    def amount(self, whole: int, least: int = 1) -> int:
        """`whole` units of work at full effort, and at least `least`."""
        return max(least, round(whole * self.effort))


def median(run: Callable[[], float], repeats: int, warm_up: bool = True) -> float:
    """The median of what `run` returns."""
    if warm_up:
        run()
    return statistics.median(run() for _ in range(repeats))


def processes(count: int, threads: int = 1) -> str:
    """`2 processes x 1 thread`."""
    many = "processes" if count > 1 else "process"
    return f"{count} {many} x {threads} {'threads' if threads > 1 else 'thread'}"
