"""The other side of the pool: a process that runs one task after another until its pipe closes.

It comes as a pair. The keeper, which the pool launched, does nothing but wait for the worker, which it forked into a
process group of its own. Whatever ends first, the pool's process, the worker or the keeper, the rest goes too, with
all that a task has started: a game engine outlives a killed worker otherwise (ViZDoom's waits forever).
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def serve(descriptor: int, parent: int) -> None:
    """Start the worker on the pipe `descriptor` for the process `parent`, and keep it; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to answer; what a task starts inherits this
    keeper = os.getpid()
    worker = os.fork()
    if worker:
        os.close(descriptor)
        _keep(worker, parent)
    os.setpgid(0, 0)
    _signal_on_death(keeper, signal.SIGKILL)
    faulthandler.enable()
    os.set_inheritable(descriptor, False)
    with Connection(descriptor) as pipe, contextlib.suppress(EOFError, OSError):  # at either the pool has left
        _work(pipe)
    sys.exit(0)


def _work(pipe: Connection) -> None:
    pipe.send_bytes(b"ready")
    while True:
        pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(message: bytes) -> bytes:
    try:
        function, task = pickle.loads(message)
        return pickle.dumps((True, function(task)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return failure(error)


def failure(error: Exception) -> bytes:
    """What a worker answers where a task raised: a pickle of (False, the exception with the traceback in its notes)."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{trace}")
    try:
        data = pickle.dumps((False, error), protocol=pickle.HIGHEST_PROTOCOL)
        pickle.loads(data)
    except Exception:  # an exception that cannot travel goes as text
        return pickle.dumps((False, RuntimeError(trace)), protocol=pickle.HIGHEST_PROTOCOL)
    return data


def _keep(worker: int, parent: int) -> None:
    with contextlib.suppress(OSError):  # the worker does the same; whichever comes first counts
        os.setpgid(worker, worker)
    signal.signal(signal.SIGTERM, lambda *_: _end_group(worker))
    _signal_on_death(parent, signal.SIGTERM)
    _, status = os.waitpid(worker, 0)
    _end_group(worker)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)  # 128 + the signal, as a shell says it


def _end_group(worker: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker, signal.SIGKILL)


def _signal_on_death(parent: int, number: signal.Signals) -> None:
    """Have `number` sent to this process as soon as its `parent` is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os.kill(os.getpid(), number)
    else:
        threading.Thread(target=_watch, args=(parent, number), daemon=True).start()


def _watch(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), number)
