"""What a world changes in the process is its own while it runs, and ours again after."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.worlds.contained import Contained
from reverie.worlds.faults import WorldExit

STATE: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {  # what to read, how a world changes it
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "numpy's errors": (np.geterr, lambda: np.seterr(all="raise")),
    "torch's type": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "torch's threads": (torch.get_num_threads, lambda: torch.set_num_threads(torch.get_num_threads() + 1)),
    "torch's gradients": (torch.is_grad_enabled, lambda: torch.set_grad_enabled(False)),
    "stdout": (lambda: sys.stdout, lambda: setattr(sys, "stdout", sys.stderr)),
}


@pytest.mark.parametrize("what", STATE)
def test_our_state_comes_back_and_the_worlds_waits_for_it(what: str) -> None:
    read, change = STATE[what]
    ours, contained = read(), Contained()
    with contained():
        change()
        theirs = read()
    assert read() == ours != theirs
    with contained():
        assert read() == theirs
    with pytest.raises(KeyError), contained():
        raise KeyError
    assert read() == ours


def test_handlers_of_signals_come_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    timer = signal.getitimer(signal.ITIMER_REAL)[0]
    with Contained()():
        for number in before:
            signal.signal(number, lambda *_: None)
        signal.alarm(100)
    assert {number: signal.getsignal(number) for number in before} == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(timer, abs=5)  # the world's would end the process


def throw(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("leave", "message"),
    [
        (sys.exit, "it called sys.exit()"),
        (lambda: sys.exit("no licence"), "it called sys.exit('no licence')"),
        (lambda: os._exit(0), "it called os._exit(0)"),
        (lambda: throw(GeneratorExit()), "it raised GeneratorExit"),
        (lambda: throw(asyncio.CancelledError()), "it raised CancelledError"),
    ],
)
def test_an_exit_of_the_world_is_none_of_ours(leave: Callable[[], Any], message: str) -> None:
    with pytest.raises(WorldExit) as caught, Contained()():
        leave()
    assert str(caught.value) == message
    assert os._exit.__module__ == "posix"


def test_ctrl_c_passes_but_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt), Contained()():
        throw(KeyboardInterrupt())
    monkeypatch.setenv("REVERIE_WORKER", "1")
    with pytest.raises(WorldExit, match=r"^it raised KeyboardInterrupt$"), Contained()():
        throw(KeyboardInterrupt())


def test_a_fork_of_the_worlds_may_leave() -> None:
    with Contained()():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_world_may_differentiate_where_we_do_not() -> None:
    with torch.inference_mode(), Contained()():
        x = torch.ones(1, requires_grad=True)
        (x * 2).sum().backward()
    assert x.grad is not None


def test_a_world_may_begin_in_a_folder_of_its_own(tmp_path: Path) -> None:
    with Contained(str(tmp_path))():
        assert Path.cwd() == tmp_path
    assert Path.cwd() != tmp_path
