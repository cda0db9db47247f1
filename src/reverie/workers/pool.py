"""Spreading work over local processes or a cluster: the one seam where it happens, and it knows no domain.

A worker is a fresh interpreter that imports only what its tasks need and not the main program, so the pool works
alike from a script without a `__main__` guard, a notebook, pytest or the command line. Every worker computes on one
thread, and so does a pool of no workers: the same task gives the same bits wherever it runs.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from reverie.errors import ReverieError
from reverie.hardware import single_thread
from reverie.workers.worker import LEAVE_SECONDS, Worker, advice, cause

if TYPE_CHECKING:
    from reverie.workers.cluster import Cluster

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 3
START_SECONDS = 120.0  # what a worker has to start: a very busy machine
POLL_SECONDS = 0.5


class Workers:
    """Worker processes, started as tasks need them; of 0 of them every task runs in this process.

    Processes last until the pool is left, so what a task caches at module level serves the next ones. `map` must
    be called from the thread that lasts as long as the pool: workers end with the thread that started them.
    """

    def __init__(self, where: int | str) -> None:
        """where: how many processes on this machine; "ray" or an address, one for each core of that Ray cluster."""
        if isinstance(where, int) and where < 0:
            raise ReverieError(f"found {where} workers; expected 0 (in this process) or more")
        if isinstance(where, int) and where and not hasattr(os, "fork"):
            raise ReverieError(
                f"found {where} workers, which need Linux or macOS; use --workers 0, or WSL 2 on Windows"
            )
        self._cluster: Cluster | None = None
        if isinstance(where, str):
            self._cluster = _join(where)
            self.count = self._cluster.count
        else:
            self.count = where
        self._workers: list[Worker] = []

    @property
    def scratch(self) -> Path | None:
        """A folder for what is made only to travel, where workers sit on other machines; None where they sit here."""
        return None if self._cluster is None else self._cluster.scratch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._workers:
            worker.pipe.close()  # at which it leaves, closing what its tasks left open
        grace = LEAVE_SECONDS if error is None else 0.0
        self._stop(grace)
        if self._cluster is not None:
            self._cluster.close(grace)

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        on_done: Callable[[int, Result], None] | None = None,
        deadline_s: float | None = None,
        files: Sequence[Path] = (),
        shared: Sequence[object] = (),
    ) -> list[Result]:
        """`[function(task) for task in tasks]`, spread over the workers.

        function: a function at the top of an importable module
        on_done: called here with each (index, result) as it finishes
        deadline_s: a task that takes longer is taken from its worker and tried again (0 workers: no limit)
        files: files and folders that tasks name by these very paths and read; on a cluster they arrive as copies
        shared: objects that several tasks hold; to a cluster each travels once

        A task whose worker dies or is late is tried 3 times in all, then raises `ReverieError`. An exception of a
        task is raised here with the worker's traceback in its notes; the tasks still running are dropped.
        """
        report = on_done or (lambda index, result: None)
        if self.count == 0:
            return _map_here(function, tasks, report)
        if getattr(function, "__module__", None) == "__main__":
            raise ReverieError(f"workers cannot import {function!r} from the main program; move it to a module")
        try:
            if self._cluster is not None:
                return self._cluster.map(function, tasks, report, deadline_s, files, shared)
            return _Run(self, function, tasks, report, deadline_s).finish()
        except BaseException:
            self._stop(0.0)  # some are at work on what nobody waits for
            if self._cluster is not None:
                self._cluster.drop_all()
            raise

    def _idle(self, busy: dict[Worker, _Job]) -> Worker:
        for worker in self._workers:
            if worker not in busy:
                return worker
        self._workers.append(Worker())
        return self._workers[-1]

    def _stop(self, grace: float) -> None:
        while self._workers:
            self._workers[-1].end(grace)
            self._workers.pop()


def _join(address: str) -> Cluster:
    from reverie.workers.cluster import Cluster  # takes Ray, an extra

    return Cluster(address)


def _map_here(
    function: Callable[[Task], Result], tasks: Sequence[Task], report: Callable[[int, Result], None]
) -> list[Result]:
    results = []
    for index, task in enumerate(tasks):
        with single_thread():
            results.append(function(task))
        report(index, results[-1])
    return results


@dataclass
class _Job:
    """A task on its way: how often it was handed out, and when last (monotonic seconds)."""

    index: int
    tries: int = 0
    since: float = 0.0


class _Run:
    """One call of `map`: which task is where."""

    def __init__(
        self,
        pool: Workers,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        report: Callable[[int, Any], None],
        deadline: float | None,
    ) -> None:
        self.pool, self.function, self.tasks, self.report, self.deadline = pool, function, tasks, report, deadline
        self.waiting = deque(_Job(index) for index in range(len(tasks)))
        self.busy: dict[Worker, _Job] = {}
        self.results: dict[int, Any] = {}

    def finish(self) -> list[Any]:
        """Run to the last result; results in the order of the tasks."""
        while len(self.results) < len(self.tasks):
            while self.waiting and len(self.busy) < self.pool.count:
                self._hand_out(self.waiting.popleft())
            self._take_in()
            self._drop_late()
        return [self.results[index] for index in range(len(self.tasks))]

    def _hand_out(self, job: _Job) -> None:
        worker = self.pool._idle(self.busy)
        job.tries += 1
        job.since = time.monotonic()
        self.busy[worker] = job
        if worker.ready:
            self._send(worker, job)

    def _send(self, worker: Worker, job: _Job) -> None:
        message = pickle.dumps((self.function, self.tasks[job.index]), protocol=pickle.HIGHEST_PROTOCOL)
        job.since = time.monotonic()
        try:
            worker.pipe.send_bytes(message)
        except OSError:
            self._lost(worker, "died")

    def _take_in(self) -> None:
        pipes: dict[Any, Worker] = {worker.pipe: worker for worker in self.busy}
        for pipe in wait(list(pipes), timeout=POLL_SECONDS):
            self._receive(pipes[pipe])
        for worker in [worker for worker in self.busy if worker.process.poll() is not None]:
            if not worker.pipe.poll():  # else its last words are read first
                self._lost(worker, "died")

    def _receive(self, worker: Worker) -> None:
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            self._lost(worker, "died")
            return
        if worker.ready:
            self._finished(self.busy.pop(worker), *pickle.loads(message))
        else:
            worker.ready = True
            self._send(worker, self.busy[worker])

    def _finished(self, job: _Job, succeeded: bool, value: Any) -> None:
        if not succeeded:
            raise value
        self.results[job.index] = value
        self.report(job.index, value)

    def _drop_late(self) -> None:
        now = time.monotonic()
        for worker, job in list(self.busy.items()):
            limit = self.deadline if worker.ready else START_SECONDS
            if limit is not None and now - job.since > limit:
                self._lost(worker, f"took longer than {limit:g} s")

    def _lost(self, worker: Worker, what: str) -> None:
        job = self.busy.pop(worker)
        self.pool._workers.remove(worker)
        code = worker.end()
        if job.tries >= TRIES:
            how = f" (last {cause(code)})" if what == "died" else ""
            raise ReverieError(f"the worker of task {job.index} {what} {TRIES} times{how}; {advice(code)}")
        self.waiting.appendleft(job)
