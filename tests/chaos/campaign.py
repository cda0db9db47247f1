"""Runs that are disturbed until they are done, each fault counted, each run compared with an undisturbed one."""

from __future__ import annotations

import collections
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.chaos import confined
from tests.chaos.faults import CLOCK, NOTHING, Fault, dates_in_the_future
from tests.chaos.judging import differences, faults_of, strays
from tests.chaos.launching import Command, launch
from tests.small_runs import ROOT, settings

LONGEST_SECONDS = 3000.0  # of one attempt, on a machine that is very busy


@dataclass
class Tally:
    """What happened: faults that struck, by kind; runs that were finished; what was wrong, in words."""

    struck: collections.Counter[str] = field(default_factory=collections.Counter)
    finished: int = 0
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return {"faults": dict(self.struck), "runs_finished": self.finished, "losses": self.wrong}


class Campaign:
    """Disturbed runs in `folder`, with chance from `seed`."""

    def __init__(self, folder: Path, seed: int, tell: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self.rng, self.tell = folder, np.random.default_rng(seed), tell
        self.tally = Tally()
        self.seconds = 20.0  # of an undisturbed run; known better after the first
        self._number = 0

    def reference(self, world: str = "tiny", command: str = "run") -> Path:
        """A run that nothing disturbs."""
        run, started = self.folder / f"reference-{self._next()}", time.monotonic()
        begun = self._launch(run, NOTHING, world, command)
        if begun.wait(LONGEST_SECONDS) != 0:
            raise RuntimeError(f"the undisturbed run failed: {begun.log.read_text()[-3000:]}")
        self.seconds = time.monotonic() - started
        return run

    def disturb(self, faults: Iterable[Fault], reference: Path, world: str = "tiny", command: str = "run") -> None:
        """Begin one run and give its command again and again, a fault each time, until it is done; then compare."""
        run = self.folder / f"run-{self._next()}"
        for fault in faults:
            if self._attempt(run, fault, world, command):
                break
        else:
            self._attempt(run, NOTHING, world, command)
        self._compare(run, reference)

    def confine(self, reference: Path, times: int) -> None:
        """The same on a disk that is full `times` times, and read-only in between."""
        number = self._next()
        folder = self.folder / f"confined-{number}"
        words = [sys.executable, "-m", "tests.chaos.confined", str(folder), str(number), str(times)]
        done = subprocess.run([*confined.UNSHARE, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            self.tally.wrong.append(f"confined: {done.stderr[-2000:]}")
            return
        found = json.loads(done.stdout.splitlines()[-1])
        self.tally.struck.update({"disk full": len(found["full"]), "read-only folder": len(found["read-only"])})
        self.tally.wrong += found["wrong"]
        self._compare(folder / "run", reference)

    def _attempt(self, run: Path, fault: Fault, world: str, command: str) -> bool:
        """Give the command with a fault; whether the run is done."""
        if fault is CLOCK and run.exists():
            dates_in_the_future(run)
        begun = self._launch(run, fault, world, command)
        share = 1.0 if self.rng.random() < 0.15 or not fault.ends else 0.3
        struck = fault.strike(begun, self.rng, self.seconds * share)
        code = begun.wait(LONGEST_SECONDS)
        self.tell(f"{fault.name}: {'struck' if struck else 'too late'}, exit code {code}")
        if struck and fault is not NOTHING:
            self.tally.struck[fault.name] += 1
        expected = {0, -signal.SIGKILL, 128 + signal.SIGTERM} if fault.ends else {0}
        if code not in expected:
            self._wrong(f"{fault.name}: exit code {code}: {begun.log.read_text()[-1500:]}")
        self._look(run, begun, fault.name)
        return code == 0 or code not in expected

    def _look(self, run: Path, command: Command, fault: str) -> None:
        """After a fault: no process is left, and what is on disk is whole."""
        for what in (*command.orphans(), *faults_of(run)):
            self._wrong(f"after {fault}: {what}")

    def _compare(self, run: Path, reference: Path) -> None:
        self.tally.finished += 1
        scratch = [path for path in self.folder.glob("scratch-*") if path.is_dir()]
        for what in (*differences(run, reference), *(f"stray {path}" for path in strays(run, *scratch))):
            self._wrong(f"{run.name}: {what}")
        if not self.tally.wrong:
            shutil.rmtree(run)

    def _launch(self, run: Path, fault: Fault, world: str, command: str) -> Command:
        words = ["run", world, "--run-dir"] if command == "run" else [command, "--world", world]
        words += [str(run), "--preset", "tiny", "--workers", str(fault.workers), *settings()]
        return launch(words, self.folder / f"scratch-{self._next()}", fault.prepare(self.rng))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _wrong(self, what: str) -> None:
        self.tell(f"WRONG: {what}")
        self.tally.wrong.append(what)
