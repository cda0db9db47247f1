"""Passing a run's metrics on to a tracker while they are written, from a thread that cannot stop the run.

It reads the stages' metrics.jsonl, so no training loop knows of it, and what a killed session had not passed on is
passed on by the next.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reverie.files.metrics import read_metrics
from reverie.progress import announce
from reverie.tracking.tracker import MakeTracker, Tracker

SECONDS = 2.0  # between two looks
STAGES = ("*", "memory/member-*", "round-*/*", "round-*/memory/member-*")  # in a run folder
LAST_SECONDS = 10.0  # what the tracker has when the run has ended


class Following:
    """While it is entered, every row of every stage in the run folder `run` goes to the tracker, from the first on.

    A tracker that raises is told of in one line and dropped; one that hangs is left behind.
    """

    def __init__(self, run: Path, settings: Mapping[str, Any], make: MakeTracker) -> None:
        self._run, self._settings, self._make = run, settings, make
        self._sent: dict[str, int] = {}  # stage -> the step of the last row that was passed on
        self._sizes: dict[Path, tuple[int, int]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tracking", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            announce(f"tracking: the tracker has not finished within {LAST_SECONDS:g} s and is left behind")

    def _follow(self) -> None:
        try:
            tracker = self._make(self._run, self._settings)
            while not self._ending.wait(SECONDS):
                self._pass_on(tracker)
            self._pass_on(tracker)
            tracker.close()
        except BaseException as error:  # also a SystemExit of somebody's library
            announce(f"tracking stops, the run goes on: {type(error).__name__}: {error}")

    def _pass_on(self, tracker: Tracker) -> None:
        for file in sorted(file for folder in STAGES for file in self._run.glob(f"{folder}/metrics.jsonl")):
            stage = str(file.parent.relative_to(self._run))
            stat = file.stat()
            state = (stat.st_ino, stat.st_size)
            if self._sizes.get(file) == state:
                continue
            for row in read_metrics(file):
                if row["step"] > self._sent.get(stage, -1):
                    tracker.log(stage, row["step"], {name: row[name] for name in row if name != "step"})
                    self._sent[stage] = row["step"]
            self._sizes[file] = state
