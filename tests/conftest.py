"""What several rooms' tests share: one small run from end to end."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.small_runs import reverie, small_run

# A job in the background or under nohup ignores these, and so do its children; tests send them and expect an end.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True)
class FinishedRun:
    """A small run of the tiny world that nothing interrupted, not to be changed; what `reverie run --json` printed."""

    path: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    folder = tmp_path_factory.mktemp("finished") / "run"
    return FinishedRun(folder, reverie(*small_run(folder), "--json"))


@pytest.fixture(scope="session")
def finished(finished_run: FinishedRun) -> Path:
    """The folder of the small run; copy it (`copy_run`) to change it."""
    assert finished_run.process.returncode == 0, finished_run.process.stderr
    return finished_run.path
