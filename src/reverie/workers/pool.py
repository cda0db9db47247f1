"""Spreading work over local processes: the one seam where it happens, and it knows no domain.

A worker is a fresh interpreter that imports only what its tasks need, not the main program, so the pool works
the same from a script without a `__main__` guard, a notebook, pytest or the command line. Every worker computes
on one thread, and so does a pool of no workers: the same task gives the same bits wherever it runs.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Self, TypeVar

from reverie.errors import ReverieError
from reverie.hardware import single_thread

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 3
GRACE_SECONDS = 2.0  # for an idle worker to leave by itself
START_SECONDS = 120.0
POLL_SECONDS = 1.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLOSC_NTHREADS"), "1")


class Workers:
    """`count` worker processes, started as tasks need them; 0 runs every task in this process.

    Processes last until the pool is left, so what a task caches at module level serves the next ones.
    """

    def __init__(self, count: int) -> None:
        if count < 0:
            raise ReverieError(f"found {count} workers; expected 0 (in this process) or more")
        self.count = count
        self._idle: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._idle:
            worker.pipe.close()  # at which it leaves
        for worker in self._idle:
            worker.finish(GRACE_SECONDS)
        self._idle.clear()

    def map(
        self,
        function: Callable[[Task], Result],
        tasks: Sequence[Task],
        *,
        on_done: Callable[[int, Result], None] | None = None,
        deadline_s: float | None = None,
    ) -> list[Result]:
        """`[function(task) for task in tasks]`, spread over the workers.

        function: importable by name (defined at the top of a module)
        on_done: called here with each (index, result) as it finishes
        deadline_s: a task that takes longer is taken from its worker and tried again (workers only)

        A task whose worker dies or hangs is tried 3 times in all, then raises `ReverieError`; an exception of
        a task is raised here, and the tasks still running are dropped.
        """
        report = on_done or (lambda index, result: None)
        if self.count == 0:
            return _map_here(function, tasks, report)
        return _Run(self, function, tasks, report, deadline_s).finish()


def _map_here(
    function: Callable[[Task], Result], tasks: Sequence[Task], report: Callable[[int, Result], None]
) -> list[Result]:
    results = []
    for index, task in enumerate(tasks):
        with single_thread():
            results.append(function(task))
        report(index, results[-1])
    return results


class _Worker:
    """One process and this side of its pipe."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self.process = _launch(theirs.fileno())
        self.ready = False

    def finish(self, grace: float = 0.0) -> int:
        """Wait `grace` seconds for it to leave, then end it and all that it started; returns its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.pipe.close()
        return self.process.wait()


def _launch(descriptor: int) -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {[str(entry) for entry in sys.path]!r}; "
        f"from reverie.workers.process import serve; serve({descriptor}, {os.getpid()})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a task prints must not mix with the result that a command prints
        env=os.environ | ONE_THREAD,
        pass_fds=[descriptor],
        start_new_session=True,  # Ctrl-C reaches only the parent; ending the group ends a game engine too
    )


@dataclass
class _Job:
    index: int
    tries: int = 0
    since: float = field(default=0.0)


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
        self.busy: dict[_Worker, _Job] = {}
        self.results: dict[int, Any] = {}

    def finish(self) -> list[Any]:
        try:
            while len(self.results) < len(self.tasks):
                self._hand_out()
                self._take_in()
                self._drop_late()
        finally:
            for worker in self.busy:  # empty unless something was raised
                worker.finish()
        return [self.results[index] for index in range(len(self.tasks))]

    def _hand_out(self) -> None:
        while self.waiting and len(self.busy) < self.pool.count:
            worker = self.pool._idle.pop() if self.pool._idle else _Worker()
            job = self.waiting.popleft()
            job.tries += 1
            job.since = time.monotonic()
            self.busy[worker] = job
            if worker.ready:
                self._send(worker)

    def _send(self, worker: _Worker) -> None:
        job = self.busy[worker]
        job.since = time.monotonic()
        message = pickle.dumps((self.function, self.tasks[job.index]), protocol=pickle.HIGHEST_PROTOCOL)
        try:
            worker.pipe.send_bytes(message)
        except OSError:  # it died while idle
            self._lost(worker, "died")

    def _take_in(self) -> None:
        pipes: dict[Any, _Worker] = {worker.pipe: worker for worker in self.busy}
        for pipe in wait(list(pipes), timeout=POLL_SECONDS):
            self._receive(pipes[pipe])
        for worker in [worker for worker in self.busy if worker.process.poll() is not None]:
            if not worker.pipe.poll():  # else its last words are read first
                self._lost(worker, "died")

    def _receive(self, worker: _Worker) -> None:
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            self._lost(worker, "died")
            return
        if not worker.ready:
            worker.ready = True
            self._send(worker)
            return
        job = self.busy.pop(worker)
        self.pool._idle.append(worker)
        succeeded, value = pickle.loads(message)
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

    def _lost(self, worker: _Worker, what: str) -> None:
        job = self.busy.pop(worker)
        code = worker.finish()
        if job.tries >= TRIES:
            how = f" ({signal.Signals(-code).name})" if code < 0 and what == "died" else ""
            raise ReverieError(
                f"the worker of task {job.index} {what}{how} {TRIES} times; "
                "if memory is short use fewer workers, or 0 to see the error in this process"
            )
        self.waiting.appendleft(job)
