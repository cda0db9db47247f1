"""Commands in processes of their own, started fast: forks of a process that has imported the heavy libraries already.

What is loaded of Reverie is forgotten behind the fork, so each command is as new as one from a shell.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

LIBRARIES = ("torch", "numpy", "blosc2", "safetensors.numpy", "gymnasium.vector", "cma", "matplotlib", "av", "jinja2")
LIBRARIES += ("PIL.Image", "tyro", "rich.progress", "rich.table", "threadpoolctl")
MARK = "REVERIE_CHAOS"  # in the environment of all that a command starts
GONE_SECONDS = 300.0  # what helpers have to notice that their command is dead, one that still imports torch too


def import_libraries() -> None:
    """Once, before anything is launched."""
    for name in LIBRARIES:
        importlib.import_module(name)


@dataclass
class Command:
    """A `reverie` command at work.

    log: what it printed
    """

    process_id: int
    mark: str
    log: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Its exit code as `subprocess` has it, minus the signal for a killed one; None while it works."""
        if self.code is None:
            found, status = os.waitpid(self.process_id, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if found else None
        return self.code

    def wait(self, seconds: float) -> int | None:
        """Its exit code, or None where it still works after so long."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        return self.code

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.process_id, number)

    def helpers(self) -> list[psutil.Process]:
        """All processes that it has started, by its mark in their environment, wherever they hang now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.pid != os.getpid():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def orphans(self) -> list[str]:
        """Helpers that are still there some time after its end, in words; they are ended here."""
        end = time.monotonic() + GONE_SECONDS
        while (left := self.helpers()) and time.monotonic() < end:
            time.sleep(0.05)
        words = [f"{process.pid} {' '.join(process.cmdline())[-60:]}" for process in left]
        for process in left:
            process.kill()
        return words


def launch(words: list[str], scratch: Path, prepare: Callable[[], None] = lambda: None) -> Command:
    """Start `reverie WORDS` with its temporary files in `scratch`; `prepare` is called in it first."""
    scratch.mkdir(parents=True, exist_ok=True)
    log, mark = scratch.with_suffix(".log"), f"{os.getpid()}-{time.monotonic_ns()}"
    child = os.fork()
    if child:
        return Command(child, mark, log)
    code = 1
    try:
        os.setpgid(0, 0)
        _redirect(log)
        os.environ |= {MARK: mark, "TMPDIR": str(scratch), "REVERIE_QUIET": "1", "OMP_NUM_THREADS": "1"}
        code = _run(words, prepare)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)


def _run(words: list[str], prepare: Callable[[], None]) -> int:
    import tempfile

    tempfile.tempdir = None  # may have been looked up before the fork
    for name in [name for name in sys.modules if name.partition(".")[0] == "reverie"]:
        del sys.modules[name]  # what judged the last run: its state is not the command's
    prepare()
    from reverie.cli import main

    try:
        main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
