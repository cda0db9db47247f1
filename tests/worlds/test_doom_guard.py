"""However a process that plays Doom ends, no game, shared memory or file is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reverie.worlds.doom.helper import games

pytest.importorskip("vizdoom")
pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finding the games needs /proc")

PLAY = """
import sys, time
import numpy as np
from reverie.worlds.doom import guard as doom_guard
from reverie.worlds.registry import make

worlds = make("doom", 2)
worlds.reset(seed=1)
worlds.step(np.zeros((2, 1), np.float32))
print(doom_guard._guard.folder, flush=True)
if sys.argv[1] == "wait":
    sys.stdin.read()
if sys.argv[1] == "play":
    while True:
        worlds.step(np.zeros((2, 1), np.float32))
if sys.argv[1] == "raise":
    raise OSError("out of paper")
"""


def start(how: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that plays in `folder`, and the folder of its guard."""
    process = subprocess.Popen(
        [sys.executable, "-c", PLAY, how],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def shared_memory(instances: list[str]) -> list[Path]:
    return [path for instance in instances for path in Path("/dev/shm").glob(f"ViZDoom*{instance}")]


def wait_until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


@pytest.mark.parametrize("how", ["wait", "play"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_killed_process(how: str, end: signal.Signals, tmp_path: Path) -> None:
    process, guarded = start(how, tmp_path)
    with process:
        running = games(guarded)
        instances = [instance for _, instance in running]
        assert len(running) == 2
        assert shared_memory(instances)
        process.send_signal(end)
        process.wait(timeout=20)
        assert wait_until(lambda: not games(guarded) and not Path(guarded).exists())
        assert not shared_memory(instances)
    assert os.listdir(tmp_path) == []


def test_a_whole_group_that_is_killed_leaves_no_shared_memory(tmp_path: Path) -> None:
    """The games die with their parent, before the helper can ask them who they were."""
    process, guarded = start("play", tmp_path)
    with process:
        instances = [instance for _, instance in games(guarded)]
        assert len(shared_memory(instances)) == 6
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
        assert wait_until(lambda: not Path(guarded).exists())
        assert not shared_memory(instances)


@pytest.mark.parametrize("how", ["return", "raise"])
def test_nothing_outlives_a_process_that_forgets_to_close(how: str, tmp_path: Path) -> None:
    process, guarded = start(how, tmp_path)
    with process:
        process.wait(timeout=20)
        assert (process.returncode != 0) == (how == "raise")
        assert not games(guarded)
        assert not Path(guarded).exists()
    assert os.listdir(tmp_path) == []


def test_closing_ends_the_games_at_once() -> None:
    from reverie.worlds.doom import guard as doom_guard
    from reverie.worlds.registry import make

    worlds = make("doom", 2)
    assert doom_guard._guard is not None
    before = games(str(doom_guard._guard.folder))
    worlds.close()
    after = games(str(doom_guard._guard.folder))
    assert len(before) - len(after) == 2
    assert doom_guard._guard.helper.poll() is None  # it stays for the next game
