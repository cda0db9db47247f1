"""The other side of the pool: a process that runs one task after another until its pipe closes."""

from __future__ import annotations

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
    """Answer each (function, task) on the pipe with (True, result) or (False, exception)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with(parent)
    faulthandler.enable()
    os.set_inheritable(descriptor, False)
    with Connection(descriptor) as pipe:
        pipe.send_bytes(b"ready")
        while True:
            try:
                message = pipe.recv_bytes()
            except EOFError:
                return
            pipe.send_bytes(_answer(message))


def _answer(message: bytes) -> bytes:
    try:
        function, task = pickle.loads(message)
        return pickle.dumps((True, function(task)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> bytes:
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"in a worker process:\n{trace}")
    try:
        data = pickle.dumps((False, error), protocol=pickle.HIGHEST_PROTOCOL)
        pickle.loads(data)
    except Exception:  # an exception that cannot travel goes as text
        return pickle.dumps((False, RuntimeError(trace)), protocol=pickle.HIGHEST_PROTOCOL)
    return data


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _check_parent(parent)  # it may have died before the call above
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        _check_parent(parent)
        time.sleep(1.0)


def _check_parent(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)
