"""A world's code shares our process: what it changes there is its own while it runs, and ours is put back after.

The folder that it went to, NumPy's and torch's defaults and the handlers of signals belong to the whole process. A run
whose folder is relative would go on elsewhere, training would compute in another format, Ctrl-C would do nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reverie.workers.patience import IN_WORKER
from reverie.worlds.faults import WorldExit

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)

TOLERANCE = 0.5  # seconds between an alarm as it is and as it should be


class Contained:
    """`with contained():` runs code of one world; what it leaves behind is there again the next time."""

    def __init__(self, folder: str | None = None) -> None:
        """folder: where its code begins; None: in the current one."""
        self._theirs: dict[str, Any] = {} if folder is None else {"folder": folder}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Raises WorldExit where the code ends the process, by `sys.exit`, `os._exit` or what no `except` is meant for.

        KeyboardInterrupt passes, but in a worker, where nobody can have pressed Ctrl-C.
        """
        ours, handlers, leave, timer = _read(), _handlers(), os._exit, _timer()
        begun = time.monotonic()
        _write(ours | self._theirs, ours)
        os._exit = _refused(leave)
        try:
            with _gradients():
                yield
        except SystemExit as exit_:
            raise WorldExit(f"it called sys.exit({'' if exit_.code is None else repr(exit_.code)})") from exit_
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and IN_WORKER not in os.environ:
                raise
            raise WorldExit(f"it raised {type(error).__name__}") from error
        finally:
            os._exit = leave
            theirs = _read()
            if "dtype" in theirs and "dtype" not in ours:
                ours |= _torch_as_it_comes()
            self._theirs = {name: theirs[name] for name, value in ours.items() if theirs[name] != value}
            _write(ours, theirs)
            _restore_handlers(handlers)
            _restore_timer(timer - (time.monotonic() - begun) if timer else 0.0)


def _refused(leave: Callable[[int], Any]) -> Any:
    """An `os._exit` that raises in this process; the forks that a world makes may leave."""
    here = os.getpid()

    def refuse(status: int) -> None:
        if os.getpid() != here:
            leave(status)
        raise WorldExit(f"it called os._exit({status})")

    return refuse


def _read() -> dict[str, Any]:
    """The state of this process that worlds change, by what it is."""
    found = {
        "folder": _folder(),
        "numpy errors": np.geterr(),
        "garbage": gc.isenabled(),
        "stdout": sys.stdout,
        "stderr": sys.stderr,
    }
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_default_device"):  # else it is just being imported
        found |= {"dtype": torch.get_default_dtype(), "threads": torch.get_num_threads()}
        found |= {"device": torch.get_default_device(), "gradients": torch.is_grad_enabled()}
    return found


def _write(wanted: dict[str, Any], present: dict[str, Any]) -> None:
    """Make the state of this process `wanted` where it is not."""
    for name, value in wanted.items():
        if name in present and present[name] != value:
            SETTERS[name](value)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody removed it
        return None


def _go_to(folder: str | None) -> None:
    if folder is not None:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _torch(name: str) -> Callable[[Any], Any]:
    return lambda value: getattr(sys.modules["torch"], name)(value)


SETTERS: dict[str, Callable[[Any], Any]] = {
    "folder": _go_to,
    "numpy errors": lambda errors: np.seterr(**errors),
    "garbage": lambda on: gc.enable() if on else gc.disable(),
    "stdout": lambda stream: setattr(sys, "stdout", stream),
    "stderr": lambda stream: setattr(sys, "stderr", stream),
    "dtype": _torch("set_default_dtype"),
    "threads": _torch("set_num_threads"),
    "device": _torch("set_default_device"),
    "gradients": _torch("set_grad_enabled"),
}


def _torch_as_it_comes() -> dict[str, Any]:
    """Torch's own defaults, for where a world was the first to import it."""
    torch = sys.modules["torch"]
    return {"dtype": torch.float32, "device": torch.device("cpu"), "gradients": True}


def _timer() -> float:
    """The seconds that SIGALRM is away; 0: nobody has asked for it."""
    return signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0.0


def _restore_timer(left: float) -> None:
    """Put back the alarm that was away so many seconds: without its handler, a world's own would end the process."""
    if abs(_timer() - left) > TOLERANCE:
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.001) if left else 0)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in SIGNALS}


def _restore_handlers(handlers: dict[int, Any]) -> None:
    """Put back the handlers that were changed; they are the main thread's alone to change."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextlib.contextmanager
def _gradients() -> Iterator[None]:
    """Worlds that differentiate run where we do not: scores are played in torch's inference mode."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "is_inference_mode_enabled") and torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            yield
    else:
        yield
