"""A worker as the pool holds it: a process and this side of its pipe. `process.py` is the other side."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe

from reverie.workers.patience import IN_WORKER

LEAVE_SECONDS = 2.0  # what a worker has to leave by itself
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLOSC_NTHREADS"), "1")


class Worker:
    """One process; `ready` once it has said that it started."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        with theirs:
            self.process = _launch(theirs.fileno())
        self.ready = False

    def end(self, grace: float = 0.0) -> int:
        """Wait `grace` seconds for it to leave, then end it and all that it started; returns its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace)
        self.process.terminate()  # the keeper then ends the worker's whole group
        try:
            self.process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.pipe.close()
        return self.process.wait()


def _launch(descriptor: int) -> subprocess.Popen[bytes]:
    program = (
        f"import sys; sys.path[:] = {[entry for entry in sys.path if isinstance(entry, str)]!r}; "
        f"from reverie.workers.process import serve; serve({descriptor}, {os.getpid()})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a task prints must not mix with the result that a command prints
        env=os.environ | ONE_THREAD | {IN_WORKER: "1"},
        pass_fds=[descriptor],
        start_new_session=True,  # Ctrl-C reaches only the parent
    )


def cause(code: int) -> str:
    """How a process that ended with `code` ended, in words."""
    try:
        number = signal.Signals(code - 128)
        return "in a call that did not come back" if number == signal.SIGALRM else f"by {number.name}"
    except ValueError:
        return f"with exit code {code}"


def advice(code: int) -> str:
    """What to do about processes that end with `code`; SIGBUS tells of shared memory that is full."""
    if code == 128 + getattr(signal, "SIGBUS", -1):
        return "shared memory is full: give it more (/dev/shm; docker run --shm-size 1g), or use fewer workers"
    return "use fewer workers if memory is short, or 0 to run the task in this process"
