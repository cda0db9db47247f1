"""What befalls a command: each fault is given the command, a source of chance, and how long it may take."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.chaos.fragile import SIMULATOR
from tests.chaos.launching import Command

Random = np.random.Generator
CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "ftruncate")
SLICE = 0.02


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    strike: done while the command works; returns whether it came in time
    prepare: what the command's own process does first
    workers: how many the command has
    ends: whether the command is to be ended by it, or to come through
    """

    name: str
    strike: Callable[[Command, Random, float], bool]
    prepare: Callable[[Random], Callable[[], None]] = lambda rng: lambda: None
    workers: int = 0
    ends: bool = True


def _wait(command: Command, rng: Random, seconds: float) -> bool:
    """A random moment of the command's life; False where it ended before."""
    end = time.monotonic() + seconds * rng.random()
    while time.monotonic() < end:
        if command.poll() is not None:
            return False
        time.sleep(SLICE)
    return command.poll() is None


def _kill(command: Command, rng: Random, seconds: float) -> bool:
    struck = _wait(command, rng, seconds)
    command.send(signal.SIGKILL)
    return struck


def _kill_all(command: Command, rng: Random, seconds: float) -> bool:
    """As the system does where memory is short, or somebody in a hurry: all of its processes at once."""
    struck = _wait(command, rng, seconds)
    helpers = command.helpers()
    command.send(signal.SIGKILL)
    for helper in helpers:
        _end(helper, signal.SIGKILL)
    return struck


def _terminate(command: Command, rng: Random, seconds: float) -> bool:
    struck = _wait(command, rng, seconds)
    command.send(signal.SIGTERM)
    return struck


def _kill_itself(command: Command, rng: Random, seconds: float) -> bool:
    return command.wait(seconds * 20) == -signal.SIGKILL


def _at_a_call(rng: Random) -> Callable[[], None]:
    """SIGKILL in the place of a random call to the file system; of a write, half is done."""
    last = int(np.exp(rng.uniform(0, np.log(1500))))

    def prepare() -> None:
        calls = itertools.count(1)

        def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def act(*args: Any, **kwargs: Any) -> Any:
                if next(calls) == last:
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            return act

        for name in CALLS:
            setattr(os, name, dying(name, getattr(os, name)))

    return prepare


def _strike_helper(number: int, is_target: Callable[[psutil.Process], bool]) -> Callable[..., bool]:
    def strike(command: Command, rng: Random, seconds: float) -> bool:
        """Send the signal to one of its processes, at a random moment of the time in which there are such."""
        while command.poll() is None:
            targets = [process for process in command.helpers() if is_target(process)]
            if targets and rng.random() < 0.2:
                return _end(targets[rng.integers(len(targets))], number)
            time.sleep(max(SLICE, seconds / 1000) * rng.random())  # looking takes time from a slow machine
        return False

    return strike


def _is_simulator(process: psutil.Process) -> bool:
    try:
        return SIMULATOR in process.cmdline()
    except psutil.Error:
        return False


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "reverie.workers.process" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _end(process: psutil.Process, number: int) -> bool:
    try:
        process.send_signal(number)
    except psutil.Error:
        return False
    return True


def _clock_runs_back(rng: Random) -> Callable[[], None]:
    """Python's clock of the day goes back by up to a day at every look."""
    steps = rng.random(1000)

    def prepare() -> None:
        now, looks = time.time(), itertools.count()

        def earlier() -> float:
            nonlocal now
            now -= 86_400 * steps[next(looks) % len(steps)]
            return now

        time.time = earlier
        time.time_ns = lambda: int(earlier() * 1e9)

    return prepare


def dates_in_the_future(run: Path) -> None:
    """As files look after the clock was set back by ten years."""
    later = time.time() + 10 * 365 * 86_400
    for path in run.rglob("*"):
        os.utime(path, (later, later), follow_symlinks=False)


NOTHING = Fault("nothing", lambda command, rng, seconds: False, ends=False)
KILL = Fault("kill -9", _kill)
KILLS = [
    KILL,
    Fault("kill -9 in a file operation", _kill_itself, _at_a_call),
    Fault("kill -9, workers at work", _kill, workers=2),
    Fault("kill -9 of all its processes", _kill_all, workers=2),
]
SIGTERM = Fault("SIGTERM", _terminate, workers=2)
WORKER = Fault("a worker killed", _strike_helper(signal.SIGKILL, _is_worker), workers=2, ends=False)
CLOCK = Fault("clock set back", _kill, _clock_runs_back)
SIMULATOR_KILLED = Fault("a simulator killed", _strike_helper(signal.SIGKILL, _is_simulator), workers=2, ends=False)
SIMULATOR_HUNG = Fault("a simulator hung", _strike_helper(signal.SIGSTOP, _is_simulator), workers=2, ends=False)
