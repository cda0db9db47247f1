"""The suite: the recipe on worlds from all corners, a run for each world and seed, and one table of them all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError
from reverie.files.atomic import write_bytes
from reverie.files.checkpoint import digest_of
from reverie.hardware import core_count
from reverie.progress import announce
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.runs.run import RunResult, run
from reverie.runs.run_folder import open_run
from reverie.settings import to_json, with_changes
from reverie.studies.suite_lines import SuiteRun, keep_run, read_peers, read_runs
from reverie.studies.suite_table import Problem, Row, markdown

EPISODES, LONG_EPISODES = 100, 30  # of a score
SEEDED = "quick"  # the preset at which the table's counts of seeds hold; others have one
TABLE = "suite.md"
AFTER_LEARNING = ("evaluate", "report")  # stages


@dataclass(frozen=True)
class Entry:
    """A world of the suite. seeds: how many runs of it at `quick`; long: whether any episode takes long, however it is
    played."""

    world: str
    seeds: int = 1
    long: bool = False

    @property
    def episodes(self) -> int:
        """How many a score is over."""
        return LONG_EPISODES if self.long else EPISODES


SUITE = (
    Entry("CartPole-v1", seeds=3),
    Entry("Acrobot-v1"),
    Entry("MountainCarContinuous-v0"),
    Entry("Pendulum-v1", seeds=3),
    Entry("LunarLander-v3", seeds=3),
    Entry("MiniGrid-Empty-8x8-v0"),
    Entry("MiniGrid-Dynamic-Obstacles-8x8-v0", seeds=3),
    Entry("ALE/Freeway-v5", seeds=3, long=True),
    Entry("ALE/Pong-v5", long=True),
    Entry("ALE/Breakout-v5", long=True),
    Entry("InvertedPendulum-v5"),
    Entry("doom"),
    Entry("carracing", long=True),
)


@dataclass(frozen=True)
class Suite:
    """Every run of one preset in a folder, what peers got there, and what could not be made just now."""

    folder: Path
    preset: str
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]

    @classmethod
    def read(cls, folder: Path, preset: str, problems: Sequence[Problem] = ()) -> Suite:
        """What stands in `folder`: the suite's worlds in their order, then others."""
        runs = [run for run in read_runs(folder) if run.preset == preset]
        peers = read_peers(folder)
        worlds = dict.fromkeys([entry.world for entry in SUITE] + [run.world for run in runs])
        rows = []
        for world in worlds:
            of_world = sorted((run for run in runs if run.world == world), key=lambda run: run.seed)
            beside = [peer for peer in peers if any(peer.is_beside(run) for run in of_world)]
            rows += [Row(world, tuple(of_world), tuple(beside))] if of_world else []
        return cls(folder, preset, tuple(rows), tuple(problems))

    @property
    def file(self) -> Path:
        """Where the table is."""
        return self.folder / TABLE

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: a row for each world."""
        return {
            "preset": self.preset,
            "table": str(self.file),
            "worlds": [row.as_dict() for row in self.rows],
            "problems": [problem.as_dict() for problem in self.problems],
        }

    def table(self) -> str:
        """The table in Markdown."""
        return markdown(self.rows, self.problems)

    def write(self) -> None:
        """Put the table beside the runs."""
        write_bytes(self.file, f"{self.table()}\n".encode())


def suite(
    folder: Path,
    worlds: Sequence[str] = (),
    preset: str = SEEDED,
    seeds: int | None = None,
    settings: Sequence[str] = (),
    workers: int | str = 0,
    device: str = "auto",
) -> Suite:
    """Make the runs that `folder` does not have yet, world by world and seed by seed; what is broken goes on.

    worlds: those to run now, in the suite or not; all of the suite where there are none
    seeds: runs of each world, from seed 0 on; None: as the suite's table says
    settings: beyond the preset's, as on the command line
    A world that cannot be run becomes a problem in the table, and the next one follows.
    """
    with_changes(make_experiment("tiny", preset), settings)  # words that no world would take end the command
    if seeds is not None and seeds < 1:
        raise ReverieError(f"--seeds is {seeds}; expected at least 1")
    problems: list[Problem] = []
    Suite.read(folder, preset).write()
    for entry in _entries(worlds):
        for seed in range(_count(entry, preset, seeds)):
            try:
                _run(folder, entry, preset, seed, settings, workers, device)
            except ReverieError as error:
                problems.append(Problem(entry.world, seed, str(error)))
            Suite.read(folder, preset, problems).write()
    return Suite.read(folder, preset, problems)


def _entries(worlds: Sequence[str]) -> list[Entry]:
    known = {entry.world: entry for entry in SUITE}
    return [known.get(world, Entry(world)) for world in dict.fromkeys(worlds or known)]


def _count(entry: Entry, preset: str, seeds: int | None) -> int:
    return seeds or (entry.seeds if preset == SEEDED else 1)


def _run(
    folder: Path, entry: Entry, preset: str, seed: int, settings: Sequence[str], workers: int | str, device: str
) -> None:
    """Bring one run to its end and keep its line, if that is not done."""
    experiment = replace(make_experiment(entry.world, preset, seed=seed), evaluation_episodes=entry.episodes)
    experiment = with_changes(experiment, settings)
    digest = digest_of(to_json(experiment))
    if any(line.key == (entry.world, preset, seed) and line.digest == digest for line in read_runs(folder)):
        return
    announce(f"suite: {entry.world}, seed {seed}")
    path = folder / _folder_name(experiment)
    keep_run(folder, _line(run(experiment, path, workers, device), experiment, digest))


def _folder_name(experiment: Experiment) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{experiment.world}-{experiment.preset}-{experiment.seed}")


def _line(result: RunResult, experiment: Experiment, digest: str) -> SuiteRun:
    timings = open_run(result.run_dir).timings
    learning = {stage: seconds for stage, seconds in timings.items() if stage.split(",")[0] not in AFTER_LEARNING}
    return SuiteRun(
        world=experiment.world,
        preset=experiment.preset,
        seed=experiment.seed,
        digest=digest,
        run_dir=result.run_dir.name,
        score=result.score,
        random=result.random.mean,
        random_std=result.random.std,
        dream=result.dream,
        real_steps=result.real_steps,
        seconds=round(sum(timings.values()), 1),
        learning_seconds=round(sum(learning.values()), 1),
        cores=core_count(),
        verdict=result.diagnosis.verdict,
    )
