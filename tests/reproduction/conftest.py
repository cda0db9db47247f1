"""A small run of two rounds, and its reproduction that nothing interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from reverie.hardware import single_thread
from reverie.recipe.presets import make_experiment
from reverie.reproduction.reproduce import reproduce_run
from reverie.reproduction.results import Reproduction
from reverie.runs.run import run
from reverie.runs.run_folder import open_run
from reverie.settings import with_changes
from tests.env_specs import quiet_and_single_threaded
from tests.reproduction.parts import EPISODES, SEED, TINY_PLAN
from tests.small_runs import copy_run

SMALL = {
    "collect.episodes": 6,
    "collect.max-steps": 12,
    "vision.updates": 4,
    "vision.batch-size": 4,
    "memory.hidden-size": 8,
    "memory.updates": 6,
    "memory.batch-size": 4,
    "memory.sequence_length": 8,
    "phases": "cmaes:dream:2:first cmaes:dream:1:later",
    "ppo.num-envs": 4,
    "ppo.num-steps": 4,
    "cmaes.population": 4,
    "cmaes.episodes": 1,
    "cmaes.rescore-episodes": 2,
    "evaluation-episodes": 2,
    "rounds.count": 1,
    "rounds.episodes": 4,
    "rounds.memory-updates": 3,
}


@pytest.fixture(scope="session")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed; copy it (`copy_run`)."""
    path = tmp_path_factory.mktemp("two-rounds") / "run"
    words = [part for name, value in SMALL.items() for part in (f"--{name}", *str(value).split())]
    with single_thread():
        run(with_changes(make_experiment("tiny", "tiny"), words), path, workers=0)
    return path


@pytest.fixture(scope="session")
def reproduction(two_rounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    """The whole plan, brought to its end in one go."""
    path = copy_run(two_rounds, tmp_path_factory.mktemp("found") / "run")
    with single_thread():
        return reproduce_run(open_run(path), TINY_PLAN, EPISODES, SEED, workers=0)


__all__ = ["quiet_and_single_threaded"]
