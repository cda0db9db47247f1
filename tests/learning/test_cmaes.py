from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.feature_env import Place
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning import cmaes as train
from reverie.learning.cmaes import RESCORE_BEST, evolve
from reverie.learning.config import CMAESConfig
from reverie.play.candidates import Returns, returns_of
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits
from reverie.workers.pool import Workers
from reverie.workers.seeds import EVALUATION_SEED_BASE

CONFIG = CMAESConfig(population=6, episodes=2, rescore_every=2, rescore_episodes=20)
START = np.linspace(-1, 1, 13)


class Stop(BaseException):
    """Stands for Ctrl-C or a crash."""


class Interrupted(Workers):
    """Stops at its k-th call of `map`: in the middle of a generation, or of a re-scoring."""

    def __init__(self, call: int) -> None:
        super().__init__(0)
        self.left = call

    def map(self, *args: Any, **kwargs: Any) -> Any:
        if self.left == 0:
            raise Stop
        self.left -= 1
        return super().map(*args, **kwargs)


def content(folder: Path) -> dict[str, Any]:
    """All that a search leaves behind, but for its seconds."""
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in rows_of(folder)]
    arrays = {name: array.tobytes() for name, array in checkpoint.arrays.items()}
    return {"arrays": arrays, "state": checkpoint.state, "rows": rows}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return read_metrics(folder / "metrics.jsonl")


@pytest.mark.parametrize(
    ("place", "start", "calls"),
    [("dream", None, range(8)), ("dream", START, range(9)), ("world", None, (4,))],  # 5 generations, 3 re-scorings
    ids=["dream", "from a start", "world"],
)
def test_stopped_anywhere_it_ends_with_the_same_bits(
    place: Place, start: np.ndarray | None, calls: Iterable[int], envs: dict[str, EnvSpec], tmp_path: Path
) -> None:
    env = replace(envs[place], limits=Limits(5))
    straight = evolve(CONFIG, 5, env, tmp_path / "straight", 3, Workers(0), start)
    for call in calls:
        folder = tmp_path / f"stopped-{call}"
        with pytest.raises(Stop):
            evolve(CONFIG, 5, env, folder, 3, Interrupted(call), start)
        resumed = evolve(CONFIG, 5, env, folder, 3, Workers(0), start)
        assert content(folder) == content(tmp_path / "straight")
        np.testing.assert_array_equal(resumed, straight)
    assert len(content(tmp_path / "straight")["rows"]) == 5


def test_the_number_of_workers_changes_no_bit(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    evolve(CONFIG, 2, envs["dream"], tmp_path / "here", 3, Workers(0))
    with Workers(2) as pool:
        evolve(CONFIG, 2, envs["dream"], tmp_path / "there", 3, pool)
    assert content(tmp_path / "here") == content(tmp_path / "there")


KILLED = """
import os, pickle, signal, sys
from reverie.learning import cmaes as train
from reverie.workers.pool import Workers
config, env, folder = pickle.load(open(sys.argv[1], "rb"))
calls = 0
inner = train.returns_of
def kill_itself(*args):
    global calls
    calls += 1
    if calls == 4:
        inner(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(*args)
train.returns_of = kill_itself
train.evolve(config, 5, env, folder, 3, Workers(0))
"""


def test_killed_inside_a_generation_it_ends_with_the_same_bits(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    """kill -9 after a generation's episodes, before anything of them is saved."""
    task = tmp_path / "task"
    task.write_bytes(pickle.dumps((CONFIG, envs["dream"], tmp_path / "killed")))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", KILLED, task], env=environment).returncode == -signal.SIGKILL
    assert 0 < len(rows_of(tmp_path / "killed")) < 5
    evolve(CONFIG, 5, envs["dream"], tmp_path / "killed", 3, Workers(0))
    evolve(CONFIG, 5, envs["dream"], tmp_path / "straight", 3, Workers(0))
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


def test_once_done_it_does_nothing_again(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    first = evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)
    again = evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Interrupted(0))
    assert content(tmp_path) == before
    np.testing.assert_array_equal(again, first)


def test_metrics_are_those_of_the_fitness(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Workers(0))
    rows = rows_of(tmp_path)
    usual = {"step", "sigma", "episode_length_mean", "dream_steps", "seconds"}
    usual |= {f"fitness_{name}" for name in ("mean", "max", "min", "std")}
    rescored = {"best_return_mean", "search_return_mean"}
    assert [set(row) - usual for row in rows] == [set(), rescored, set(), rescored, rescored]
    assert all(usual <= set(row) for row in rows)
    for row in rows:
        assert row["fitness_min"] < row["fitness_mean"] < row["fitness_max"]
    trained = rows[0]["episode_length_mean"] * CONFIG.population * CONFIG.episodes
    assert rows[0]["dream_steps"] == trained
    assert rows[1]["dream_steps"] > trained + rows[1]["episode_length_mean"] * CONFIG.population * CONFIG.episodes


def test_seeds_are_shared_fresh_and_never_those_of_evaluation(
    envs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, list[int]]] = []

    def spy(env: EnvSpec, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        asked.append((len(params), seeds))
        return returns_of(env, params, seeds, *rest)

    monkeypatch.setattr(train, "returns_of", spy)
    evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Workers(0))
    rivals = 1 + RESCORE_BEST
    assert [count for count, _ in asked] == [6, 6, rivals, 6, 6, rivals + 1, 6, rivals + 1]
    assert [len(seeds) for _, seeds in asked] == [2, 2, 20, 2, 2, 20, 2, 20]
    every = [seed for _, seeds in asked for seed in seeds]
    assert len(set(every)) == len(every)
    assert max(every) < EVALUATION_SEED_BASE


def scripted(scores: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every re-scoring find the next of `scores`; the search itself sees its candidates' first parameter."""
    coming = iter(scores)

    def tell(env: EnvSpec, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        means = next(coming) if len(seeds) == CONFIG.rescore_episodes else params[:, 0]
        returns = np.repeat(np.array(means)[:, None], len(seeds), 1)
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", tell)


@pytest.mark.parametrize(
    ("scores", "score", "generation"),
    [
        ([[1, 2, 3, 0], [0, 1, 2, 0, 3], [0, 1, 2, 0, 4]], 4.0, 2),  # the first winner stands, at what it got last
        ([[1, 2, 3, 0], [0, 5, 2, 0, 3], [0, 1, 2, 0, 2.5]], 2.5, 4),
        ([[1, 2, 9, 0], [0, 1, 2, 0, 3], [4, 1, 2, 0, 4]], 4.0, 5),  # of equals, the search's mean
    ],
)
def test_the_best_must_defend_itself(
    scores: list[list[float]],
    score: float,
    generation: int,
    envs: dict[str, EnvSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(scores, monkeypatch)
    params = evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Workers(0))
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state["best"] == {"score": score, "generation": generation}
    np.testing.assert_array_equal(params, checkpoint.arrays["best"])


def test_a_start_is_kept_unless_something_beats_it(
    envs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted([[5], [1, 2, 3, 0, 4]], monkeypatch)
    params = evolve(CONFIG, 2, envs["dream"], tmp_path / "kept", 3, Workers(0), START)
    np.testing.assert_array_equal(params, START)
    scripted([[5], [1, 2, 4.5, 0, 4]], monkeypatch)
    assert (evolve(CONFIG, 2, envs["dream"], tmp_path / "beaten", 3, Workers(0), START) != START).any()
    scripted([[5], [6, 2, 3, 0, 4]], monkeypatch)
    mean = evolve(CONFIG, 2, envs["dream"], tmp_path / "mean", 3, Workers(0), START)
    assert 0 < np.abs(mean - START).max() < 0.3  # where the search began


def test_it_climbs(envs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hill(env: EnvSpec, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        returns = np.repeat(-((params - 0.3) ** 2).sum(1)[:, None], len(seeds), 1)
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", hill)
    config = replace(CONFIG, rescore_every=50)
    np.testing.assert_allclose(evolve(config, 250, envs["dream"], tmp_path, 3, Workers(0)), 0.3, atol=0.02)


def test_refuses_a_search_with_other_settings(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    evolve(CONFIG, 1, envs["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)
    other = replace(envs["dream"], controller=replace(envs["dream"].controller, inputs=("z",)))
    for config, env, seed, what in [
        (replace(CONFIG, population=8), envs["dream"], 3, "population 6, asked for 8"),
        (replace(CONFIG, episodes=3), envs["dream"], 3, "episodes 2, asked for 3"),
        (CONFIG, envs["dream"], 4, "seed 3, asked for 4"),
        (CONFIG, other, 3, "parameters 13, asked for 5"),
    ]:
        with pytest.raises(ReverieError) as error:
            evolve(config, 5, env, tmp_path, seed, Workers(0))
        assert str(error.value) == (
            f"{tmp_path} holds a search with {what}; use the same settings or another run folder"
        )
    assert content(tmp_path) == before
    assert len(rows_of(tmp_path)) == 1
    evolve(CONFIG, 2, envs["dream"], tmp_path, 3, Workers(0))  # longer is fine
    assert len(rows_of(tmp_path)) == 2


def test_a_fitness_that_is_no_number_stops_it_and_harms_nothing(
    envs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolve(CONFIG, 2, envs["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)

    def broken(env: EnvSpec, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        returns = np.zeros((len(params), len(seeds)))
        returns[4, 1] = np.nan
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", broken)
    with pytest.raises(ReverieError) as error:
        evolve(CONFIG, 5, envs["dream"], tmp_path, 3, Workers(0))
    assert str(error.value) == (
        "fitness of candidate 4 in generation 2 is nan, expected a finite number; "
        "the world or M returned a reward that is not one"
    )
    assert content(tmp_path) == before


def test_state_is_json(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    evolve(CONFIG, 2, envs["dream"], tmp_path, 3, Workers(0))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["metrics.jsonl"] + [
        f"step-0000000{step}.{kind}" for step in (1, 2) for kind in ("json", "safetensors")
    ]
    state = json.loads((tmp_path / "step-00000002.json").read_text())["state"]
    assert state["settings"]["population"] == 6
    assert set(state) == {"best", "search", "settings", "steps"}
