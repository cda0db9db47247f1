"""The whole pipeline: every stage in turn, each from where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverie.evaluation.diagnosis import Diagnosis
from reverie.evaluation.score import Score
from reverie.evaluation.table import score_table
from reverie.hardware import resolve_device
from reverie.learning.phases import in_words
from reverie.progress import announce
from reverie.recipe.experiment import Experiment
from reverie.runs import stages
from reverie.runs.gather import examine
from reverie.runs.rounds import Round, rounds_of, rounds_table
from reverie.runs.run_folder import RunFolder, create_run
from reverie.runs.scoring import read_scores
from reverie.settings import to_json
from reverie.tracking.follow import Following
from reverie.tracking.tracker import MakeTracker
from reverie.workers.memory_watch import MemoryWatch

TITLES = {
    "collect": "play the world at random",
    "vision": "V learns to see",
    "memory": "M learns what comes next",
    "controller": "C learns to act, {how}",
    "evaluate": "the real world",
    "report": "the report",
}

AGAIN = TITLES | {
    "collect": "play the world with C",
    "vision": "V sees what is new",
    "memory": "M learns on",
    "controller": "C learns on, {how}",
}


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    score, random: of the agent and of the random policy in the real world; dream: of the agent in its dream, where
    C was trained in one
    seconds: of this call; peak_memory_mb: of this process and its workers together, in this call
    """

    run_dir: Path
    world: str
    preset: str
    seconds: float
    peak_memory_mb: float
    score: Score
    random: Score
    dream: Score | None
    report: Path
    real_steps: int
    rounds: list[Round]
    diagnosis: Diagnosis

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        return {
            "run_dir": str(self.run_dir),
            "world": self.world,
            "preset": self.preset,
            "seconds": round(self.seconds, 1),
            "peak_memory_mb": round(self.peak_memory_mb),
            "score": self.score.as_dict(),
            "random": {"mean": self.random.mean, "std": self.random.std},
            "dream": None if self.dream is None else self.dream.as_dict(),
            "report": str(self.report),
            "real_steps": self.real_steps,
            "rounds": [row.as_dict() for row in self.rounds],
            "diagnosis": self.diagnosis.as_dict(),
        }

    def table(self) -> str:
        """The scores and where the report is, for a terminal."""
        rows = {"agent": self.score, "random policy": self.random}
        if self.dream is not None:
            rows["agent in its dream"] = self.dream
        minutes, seconds = divmod(round(self.seconds), 60)
        before = f"{rounds_table(self.world, self.rounds)}\n\n" if len(self.rounds) > 1 else ""
        return (
            f"{before}{score_table(self.world, rows)}\n"
            f"{minutes} min {seconds:02d} s, at most {self.peak_memory_mb / 1024:.1f} GiB\n"
            f"report: {self.report}\n"
            f"{self.diagnosis.verdict}"
        )


def _play_round(
    run: RunFolder, names: Sequence[str], workers: int | str, device: str, left: Callable[[int, str], str] | None
) -> None:
    """The stages of one round in turn."""
    of_round = f"round {run.round} of {run.experiment.rounds.count}, " if run.experiment.rounds.count else ""
    for place, name in enumerate(names, start=1):
        still = "" if left is None else f" ({left(run.round, name)})"
        announce(f"{of_round}{place}/{len(names)} {name}: {title_of(run, name)}{still}")
        getattr(stages, name)(run, workers, device)


def title_of(run: RunFolder, name: str) -> str:
    """What a stage does in this round, in a few words."""
    if name == "collect" and run.round == 0 and run.experiment.data is not None:
        return f"take in the episodes of {run.experiment.data}"
    how = in_words([one.phase for one in run.phases])
    return (AGAIN if run.round else TITLES)[name].format(how=f"by {how}" if how else "in no phase of this round")


def run(
    experiment: Experiment,
    path: Path,
    workers: int | str,
    device: str = "auto",
    tracker: MakeTracker | None = None,
    left: Callable[[int, str], str] | None = None,
) -> RunResult:
    """Bring the run in folder `path` to its end, from wherever it is.

    workers: processes that play, 0 for none but this; "ray" or an address: the workers of that Ray cluster
    device: where V and M are trained
    tracker: makes what the metrics go to besides the run folder (`tracking/tracker.py`)
    left: how long it takes from a stage of a round on, in words, to be told before it
    Raises: ReverieError for a folder of another experiment, a damaged file, a loss or fitness that is not finite.
    """
    started = time.monotonic()
    resolve_device(device)  # a device that is not there should not show only after hours of collecting
    folder = create_run(path, experiment)
    follow = contextlib.nullcontext() if tracker is None else Following(path, to_json(experiment), tracker)
    with folder.locked(), MemoryWatch() as memory, follow:
        for number in range(experiment.rounds.count):
            _play_round(folder.at(number), stages.ROUND, workers, device, left)
        _play_round(folder, stages.STAGES, workers, device, left)
    scores, rounds = read_scores(folder), rounds_of(folder)
    return RunResult(
        run_dir=path,
        world=experiment.world,
        preset=experiment.preset,
        seconds=time.monotonic() - started,
        peak_memory_mb=memory.peak_mb,
        score=scores["agent"],
        random=scores["random"],
        dream=scores.get("dream"),
        report=folder.report,
        real_steps=rounds[-1].real_steps,
        rounds=rounds,
        diagnosis=examine(folder),
    )
