"""Which task is whose, and what to do about workers that die or dawdle: pure, with the time as an argument.

`cluster.py` asks it about real workers, `benchmarks/cluster.py` about simulated ones.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from reverie.errors import ReverieError

TRIES = 3  # deaths that a task may cause before it is at fault itself
SLOW = 2.0  # times the median: an idle worker begins the same task too, and whoever ends first counts
LATE = 20.0  # times the median: the worker is given up
LEAST_SLOW_S, LEAST_LATE_S = 0.5, 60.0  # below them nobody is slow or late
FIRST_LATE_S = 1800.0  # while no task has ended, and so none tells how long they take
ENOUGH = 3  # ended tasks tell how long they take


@dataclass
class _Job:
    """A task that has no result yet: who is at it, since when (seconds), and how many died or were late at it."""

    workers: dict[Hashable, float] = field(default_factory=dict)
    losses: int = 0


class Schedule:
    """Hands `count` tasks to workers, which are any hashable names; `now` is in seconds and never goes back.

    A task may be computed twice, since the same task gives the same bits wherever it runs.
    deadline: seconds after which a worker is given up; None: `LATE` times the median
    """

    def __init__(self, count: int, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.reissued = 0
        self._waiting = deque(range(count))
        self._open = {index: _Job() for index in range(count)}
        self._lone: deque[tuple[int, Hashable]] = deque()  # tasks with one worker, oldest first; some are over
        self._task_of: dict[Hashable, tuple[int, float]] = {}  # and since when
        self._durations: list[float] = []  # of the ended tasks, sorted

    @property
    def left(self) -> int:
        """Tasks without a result."""
        return len(self._open)

    def next(self, worker: Hashable, now: float) -> int | None:
        """The task that an idle `worker` begins now; None where there is nothing to do for it."""
        index = self._waiting.popleft() if self._waiting else self._slow(now)
        if index is not None:
            self._lone.append((index, worker))
            self._task_of[worker] = (index, now)
            self._open[index].workers[worker] = now
        return index

    def ended(self, worker: Hashable, now: float) -> int | None:
        """`worker` brought a result: the index of its task, or None where another one had brought it before."""
        index, begun = self._task_of.pop(worker)
        if self._open.pop(index, None) is None:
            return None
        bisect.insort(self._durations, now - begun)
        return index

    def lost(self, worker: Hashable, how: str) -> None:
        """`worker` is gone: its task waits again, in front, unless another one is at it or has ended it.

        how: "died" or "took longer than 60 s", for the error that the third loss of one task raises
        """
        index, _ = self._task_of.pop(worker, (-1, 0.0))
        job = self._open.get(index)
        if job is None:
            return
        del job.workers[worker]
        job.losses += 1
        if job.workers:
            self._lone.appendleft((index, next(iter(job.workers))))
            return
        if job.losses >= TRIES:
            raise ReverieError(
                f"the worker of task {index} {how} {TRIES} times; look at the nodes' logs, "
                "or run with --workers 0 to see the task in this process"
            )
        self.reissued += 1
        self._waiting.appendleft(index)

    def late(self, now: float) -> Iterator[tuple[Hashable, float]]:
        """The workers that should be given up, each with the seconds that it was allowed."""
        limit = self._limit()
        for worker, (_, begun) in list(self._task_of.items()):
            if now - begun > limit:
                yield worker, limit

    def _limit(self) -> float:
        if self.deadline is not None:
            return self.deadline
        if len(self._durations) < ENOUGH:
            return FIRST_LATE_S
        return max(LEAST_LATE_S, LATE * self._median())

    def _median(self) -> float:
        return self._durations[len(self._durations) // 2]

    def _slow(self, now: float) -> int | None:
        """The task that has been under way longest, where that is too long and one worker alone is at it."""
        if len(self._durations) < ENOUGH:
            return None
        while self._lone and list(self._open.get(self._lone[0][0], _Job()).workers) != [self._lone[0][1]]:
            self._lone.popleft()
        if not self._lone:
            return None
        index, worker = self._lone[0]
        if now - self._open[index].workers[worker] <= max(LEAST_SLOW_S, SLOW * self._median()):
            return None
        self.reissued += 1
        return index
