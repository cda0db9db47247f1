"""Curiosity, with and without, on a world that random play does not cover: coverage and score against real steps.

For each seed two runs of `climb` that differ in `rounds.curiosity` alone, and so take as many real
steps. What their stores cover is counted in the world's own terms, for V and its latents differ from run to run: the
cells of a grid over places and speeds, read off the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from reverie.errors import ReverieError
from reverie.evaluation.table import as_text
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.runs.rounds import rounds_of
from reverie.runs.run import run
from reverie.runs.run_folder import open_run
from reverie.settings import with_changes
from reverie.studies.summary import as_mean_std, mean_and_std
from reverie.worlds.climb import FASTEST, LEFT, RIGHT, places_in

if TYPE_CHECKING:
    from reverie.episodes.store import Store

WORLD = "climb"
WEIGHT = 1.0
PLACES, SPEEDS = 24, 14  # cells of the grid

Arm = Literal["without", "with"]
ARMS: tuple[Arm, ...] = ("without", "with")

SETTINGS = (
    *("--collect.episodes", "40", "--collect.max-steps", "150", "--collect.policies", "uniform"),
    *("--vision.latent-size", "8", "--vision.learning-rate", "3e-3", "--vision.min-lr", "3e-4"),
    *("--vision.batch-size", "32", "--vision.updates", "300"),
    *("--memory.hidden-size", "64", "--memory.batch-size", "32", "--memory.sequence-length", "50"),
    *("--memory.learning-rate", "5e-3", "--memory.lr-decay", "0.995", "--memory.updates", "500"),
    *("--controller.sample-z", "false", "--dream.starts", "replay", "--dream.horizon", "75"),
    *("--phases", "ppo:dream:60", "--ppo.num-envs", "512"),
    *("--rounds.count", "6", "--rounds.episodes", "32", "--rounds.vision-updates", "100"),
    *("--rounds.memory-updates", "400", "--evaluation-episodes", "50"),
)


@dataclass(frozen=True)
class Trial:
    """One run: after each round, the real steps so far, cells of the grid visited, and C's mean score in the world."""

    arm: Arm
    seed: int
    real_steps: tuple[int, ...]
    cells: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class CuriosityStudy:
    """Both arms over the same seeds."""

    weight: float
    trials: tuple[Trial, ...]

    def of(self, arm: Arm) -> list[Trial]:
        """The trials of one arm, in the order of their seeds."""
        return [trial for trial in self.trials if trial.arm == arm]

    def as_dict(self) -> dict[str, Any]:
        """Every trial, and each arm's figures after the last round."""
        last = {
            arm: {
                "cells": mean_and_std([trial.cells[-1] for trial in self.of(arm)]),
                "score": mean_and_std([trial.scores[-1] for trial in self.of(arm)]),
            }
            for arm in ARMS
        }
        return {"study": "curiosity", "world": WORLD, "weight": self.weight, "grid": [PLACES, SPEEDS]} | {
            "trials": [asdict(trial) for trial in self.trials],
            "last": last,
        }

    def table(self) -> str:
        """A line for each round: both arms' means and standard deviations over the seeds."""
        from rich.table import Table

        seeds = len(self.of("with"))
        title = f"{WORLD}: curiosity of weight {self.weight:g} beside none, mean ± std over {seeds} seeds"
        table = Table(title=title, title_justify="left")
        columns = ("round", "real steps", "cells seen without", "with", "score without", "with")
        for column in columns:
            table.add_column(column, justify="right")
        for number, steps in enumerate(self.of("with")[0].real_steps):
            cells = [as_mean_std([trial.cells[number] for trial in self.of(arm)]) for arm in ARMS]
            scores = [as_mean_std([trial.scores[number] for trial in self.of(arm)]) for arm in ARMS]
            table.add_row(str(number), f"{steps:,}", *cells, *scores)
        return as_text(table, width=110)


def curiosity_study(
    folder: Path,
    seeds: int,
    weight: float = WEIGHT,
    settings: Sequence[str] = (),
    workers: int | str = 0,
    device: str = "auto",
) -> CuriosityStudy:
    """Make both runs of each seed in `folder`, or finish them; settings: beyond `SETTINGS`, as on the command line."""
    if weight <= 0:
        raise ReverieError(f"--weight is {weight}; expected a number above 0")
    trials = []
    for seed in range(seeds):
        for arm in ARMS:
            path = folder / f"{arm}-{seed}"
            run(_experiment(arm, seed, weight, settings), path, workers, device)
            trials.append(_trial(arm, seed, path))
    return CuriosityStudy(weight, tuple(trials))


def _experiment(arm: Arm, seed: int, weight: float, settings: Sequence[str]) -> Experiment:
    chosen = ["--rounds.curiosity", str(weight if arm == "with" else 0.0)]
    return with_changes(make_experiment(WORLD, "tiny", seed=seed), [*SETTINGS, *settings, *chosen])


def _trial(arm: Arm, seed: int, path: Path) -> Trial:
    from reverie.episodes.store import Store

    folder = open_run(path)
    rounds = rounds_of(folder)
    counts = [folder.episodes_by(row.number) for row in rounds]
    scores = tuple(row.agent.mean for row in rounds if row.agent is not None)
    assert len(scores) == len(rounds), "run() scores every round"
    cells = cells_seen(Store(folder.rollouts), counts)
    return Trial(arm, seed, tuple(row.real_steps for row in rounds), tuple(cells), scores)


def cells_seen(store: Store, counts: Sequence[int]) -> list[int]:
    """How many cells of places and speeds the first counts[0], counts[1], ... episodes went through."""
    cells = [cells_of(places_in(store.read(index).frames)) for index in range(counts[-1])]
    return [len(np.unique(np.concatenate(cells[:count]))) for count in counts]


def cells_of(places: np.ndarray) -> np.ndarray:
    """The cell of each step of an episode, int64 [T], from its places [T + 1]."""
    place = np.floor((places[1:] - LEFT) / (RIGHT - LEFT) * PLACES).clip(0, PLACES - 1).astype(np.int64)
    speed = np.floor((np.diff(places) / FASTEST + 1) / 2 * SPEEDS).clip(0, SPEEDS - 1).astype(np.int64)
    cells: np.ndarray = place * SPEEDS + speed
    return cells
