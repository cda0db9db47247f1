"""Where a row keeps its work, and that work kept: what is done stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reverie.errors import DamagedFileError
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json, read_object, write_json

AGAIN = "remove the file"

Place = Literal["dream", "world", "engine"]  # where a score was taken: engine is the plan's


@dataclass(frozen=True)
class RowFolder:
    """`gradient/`, `controller/`, `memory/` as in a run folder; `scores/`, a file for each `Place`; `timings.json`."""

    path: Path

    @property
    def controller(self) -> Path:
        """The evolution of the row's own C."""
        return self.path / "controller"

    @property
    def gradient(self) -> Path:
        """What the row's own C learned by gradients."""
        return self.path / "gradient"

    @property
    def memory(self) -> Path:
        """The row's own M, where it has one."""
        return self.path / "memory"

    @property
    def seconds(self) -> float:
        """Wall seconds spent on the row so far, but for sessions that were killed."""
        file = self.path / "timings.json"
        found = read_object(file, AGAIN).get("seconds", 0.0) if file.exists() else 0.0
        if not isinstance(found, int | float):
            raise DamagedFileError(f"{file} has {found!r}, expected seconds; {AGAIN}")
        return found

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the wall time of a `with` block to `seconds`, also when it is interrupted."""
        before, started = self.seconds, time.monotonic()
        try:
            yield
        finally:
            write_json(self.path / "timings.json", {"seconds": before + time.monotonic() - started})

    def score(self, place: Place, episodes: int, seed: int, play: Callable[[], Score], known: Score | None) -> Score:
        """The score over so many episodes of these seeds: `known`, or the one that is kept, or that of `play`."""
        file = self.path / "scores" / f"{place}.json"
        kept = Score.from_dict(read_json(file), str(file)) if file.exists() else None
        for score in (known, kept):
            if score is not None and (score.episodes, score.seed) == (episodes, seed):
                return score
        with self.timed():
            score = play()
            write_json(file, score.as_dict())
        return score
