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
from typing import Any, Literal

import numpy as np
import pytest

from reverie.controller.file import load_controller
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning import cmaes as train
from reverie.learning.arena import Arena
from reverie.learning.cmaes import Best, evolve
from reverie.learning.evolution_config import EvolutionConfig
from reverie.learning.fitness import Returns, returns_of
from reverie.workers.pool import Workers
from reverie.workers.seeds import EVALUATION_SEED_BASE

CONFIG = EvolutionConfig(
    population=6, rollouts=2, generations=5, shard=4, rescore_every=2, rescore_best=2, rescore_rollouts=20
)


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
    params = load_controller(folder / "best.safetensors")[1]
    arrays = {name: array.tobytes() for name, array in checkpoint.arrays.items()}
    return {"arrays": arrays, "state": checkpoint.state, "rows": rows, "params": params.tobytes()}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return read_metrics(folder / "metrics.jsonl")


@pytest.mark.parametrize(("where", "calls"), [("dream", range(8)), ("world", (4,))])  # 5 generations, 3 re-scorings
def test_stopped_anywhere_it_ends_with_the_same_bits(
    where: Literal["dream", "world"], calls: Iterable[int], arenas: dict[str, Arena], tmp_path: Path
) -> None:
    config = replace(CONFIG, where=where, max_steps=5)
    straight = evolve(config, arenas[where], tmp_path / "straight", 3, Workers(0))
    for call in calls:
        folder = tmp_path / f"stopped-{call}"
        with pytest.raises(Stop):
            evolve(config, arenas[where], folder, 3, Interrupted(call))
        resumed = evolve(config, arenas[where], folder, 3, Workers(0))
        assert content(folder) == content(tmp_path / "straight")
        np.testing.assert_array_equal(resumed.params, straight.params)
    assert len(content(tmp_path / "straight")["rows"]) == 5


KILLED = """
import os, pickle, signal, sys
from reverie.learning import cmaes as train
from reverie.workers.pool import Workers
config, arena, folder = pickle.load(open(sys.argv[1], "rb"))
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
train.evolve(config, arena, folder, 3, Workers(0))
"""


def test_killed_inside_a_generation_it_ends_with_the_same_bits(arenas: dict[str, Arena], tmp_path: Path) -> None:
    """kill -9 after a generation's episodes, before anything of them is saved."""
    task = tmp_path / "task"
    task.write_bytes(pickle.dumps((CONFIG, arenas["dream"], tmp_path / "killed")))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert subprocess.run([sys.executable, "-c", KILLED, task], env=environment).returncode == -signal.SIGKILL
    assert 0 < len(rows_of(tmp_path / "killed")) < 5
    evolve(CONFIG, arenas["dream"], tmp_path / "killed", 3, Workers(0))
    evolve(CONFIG, arenas["dream"], tmp_path / "straight", 3, Workers(0))
    assert content(tmp_path / "killed") == content(tmp_path / "straight")


def test_once_done_it_does_nothing_again(arenas: dict[str, Arena], tmp_path: Path) -> None:
    first = evolve(CONFIG, arenas["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)
    again = evolve(CONFIG, arenas["dream"], tmp_path, 3, Interrupted(0))
    assert content(tmp_path) == before
    assert repr(again) == repr(first)


def test_metrics_are_those_of_the_fitness(arenas: dict[str, Arena], tmp_path: Path) -> None:
    evolve(CONFIG, arenas["dream"], tmp_path, 3, Workers(0))
    rows = rows_of(tmp_path)
    usual = {"step", "mean", "max", "min", "std", "sigma", "length", "dream_steps", "seconds"}
    rescored = {"rescored", "search_mean"}
    assert [set(row) - usual for row in rows] == [set(), rescored, set(), rescored, rescored]
    for row in rows:
        assert row["min"] < row["mean"] < row["max"]
    trained = rows[0]["length"] * CONFIG.population * CONFIG.rollouts
    assert rows[0]["dream_steps"] == trained
    assert rows[1]["dream_steps"] > trained + rows[1]["length"] * CONFIG.population * CONFIG.rollouts


def test_seeds_are_shared_fresh_and_never_those_of_evaluation(
    arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, list[int]]] = []

    def spy(arena: Arena, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        asked.append((len(params), seeds))
        return returns_of(arena, params, seeds, *rest)

    monkeypatch.setattr(train, "returns_of", spy)
    evolve(CONFIG, arenas["dream"], tmp_path, 3, Workers(0))
    rivals = 1 + CONFIG.rescore_best
    assert [count for count, _ in asked] == [6, 6, rivals, 6, 6, rivals + 1, 6, rivals + 1]
    assert [len(seeds) for _, seeds in asked] == [2, 2, 20, 2, 2, 20, 2, 20]
    every = [seed for _, seeds in asked for seed in seeds]
    assert len(set(every)) == len(every)
    assert max(every) < EVALUATION_SEED_BASE


def test_early_generations_may_play_fewer_episodes(
    arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def spy(arena: Arena, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        asked.append(len(seeds))
        return returns_of(arena, params, seeds, *rest)

    monkeypatch.setattr(train, "returns_of", spy)
    config = replace(CONFIG, rollouts=3, first_rollouts=1, double_every=2, rescore_every=9)
    evolve(config, arenas["dream"], tmp_path / "straight", 3, Workers(0))
    assert asked == [1, 1, 2, 2, 3, CONFIG.rescore_rollouts]
    evolve(replace(config, generations=3), arenas["dream"], tmp_path / "longer", 3, Workers(0))
    evolve(config, arenas["dream"], tmp_path / "longer", 3, Workers(0))
    assert [row["mean"] for row in rows_of(tmp_path / "longer")] == [
        row["mean"] for row in rows_of(tmp_path / "straight")
    ]


def test_a_search_from_before_a_setting_was_there_goes_on(
    arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = train._settings

    def earlier(*args: Any) -> dict[str, Any]:
        return {name: value for name, value in current(*args).items() if name != "give_up"}

    with monkeypatch.context() as patched:
        patched.setattr(train, "_settings", earlier)
        evolve(replace(CONFIG, generations=1), arenas["dream"], tmp_path, 3, Workers(0))
    evolve(replace(CONFIG, generations=2), arenas["dream"], tmp_path, 3, Workers(0))
    assert len(rows_of(tmp_path)) == 2


def scripted(scores: list[list[float]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every re-scoring find the next of `scores`; the search itself sees its candidates' first parameter."""
    coming = iter(scores)

    def tell(arena: Arena, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        means = next(coming) if len(seeds) == CONFIG.rescore_rollouts else params[:, 0]
        returns = np.repeat(np.array(means)[:, None], len(seeds), 1)
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", tell)


@pytest.mark.parametrize(
    ("scores", "score", "generation"),
    [
        ([[1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 4]], 4.0, 2),  # the first winner stands, at what it got last
        ([[1, 2, 3], [0, 5, 2, 3], [0, 1, 2, 2.5]], 2.5, 4),
        ([[1, 2, 9], [0, 1, 2, 3], [4, 1, 2, 4]], 4.0, 5),  # of equals, the search's mean
    ],
)
def test_the_best_must_defend_itself(
    scores: list[list[float]],
    score: float,
    generation: int,
    arenas: dict[str, Arena],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(scores, monkeypatch)
    best = evolve(CONFIG, arenas["dream"], tmp_path, 3, Workers(0))
    assert (best.score, best.generation) == (score, generation)
    controller, params = load_controller(tmp_path / "best.safetensors")
    np.testing.assert_array_equal(params, best.params)
    assert repr(controller) == repr(arenas["dream"].controller_shape())


def test_it_climbs(arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hill(arena: Arena, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        returns = np.repeat(-((params - 0.3) ** 2).sum(1)[:, None], len(seeds), 1)
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", hill)
    config = replace(CONFIG, generations=250, rescore_every=50, checkpoint_every=50)
    best = evolve(config, arenas["dream"], tmp_path, 3, Workers(0))
    np.testing.assert_allclose(best.params, 0.3, atol=0.02)
    assert len(list(tmp_path.glob("step-*.json"))) == 2


def test_a_c_that_is_not_evolved_needs_no_covariance(
    arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = np.linspace(-1, 1, 13)
    straight = evolve(CONFIG, arenas["dream"], tmp_path / "straight", 3, Workers(0), start)
    with monkeypatch.context() as patch:
        patch.delattr(train, "CMAES")
        kept = evolve(replace(CONFIG, generations=0), arenas["dream"], tmp_path / "kept", 3, Workers(0), start)
        again = evolve(replace(CONFIG, generations=0), arenas["dream"], tmp_path / "kept", 3, Workers(0), start)
    np.testing.assert_array_equal(kept.params, start)
    np.testing.assert_array_equal(load_controller(tmp_path / "kept" / "best.safetensors")[1], start)
    np.testing.assert_array_equal(again.params, start)
    assert (again.score, rows_of(tmp_path / "kept")) == (kept.score, [])
    evolved = evolve(CONFIG, arenas["dream"], tmp_path / "kept", 3, Workers(0))  # begins at what was kept
    assert evolved.params.tobytes() == straight.params.tobytes()
    assert content(tmp_path / "kept") == content(tmp_path / "straight")


def test_refuses_a_search_with_other_settings(arenas: dict[str, Arena], tmp_path: Path) -> None:
    evolve(replace(CONFIG, generations=1), arenas["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)
    other = replace(arenas["dream"], controller=replace(arenas["dream"].controller, features="z"))
    for config, arena, seed, what in [
        (replace(CONFIG, population=8), arenas["dream"], 3, "population 6, asked for 8"),
        (replace(CONFIG, rollouts=3), arenas["dream"], 3, "rollouts 2, asked for 3"),
        (CONFIG, arenas["dream"], 4, "seed 3, asked for 4"),
        (CONFIG, other, 3, "parameters 13, asked for 5"),
    ]:
        with pytest.raises(ReverieError) as error:
            evolve(config, arena, tmp_path, seed, Workers(0))
        assert str(error.value) == (
            f"{tmp_path} holds a search with {what}; use the same settings or another run folder"
        )
    assert content(tmp_path) == before
    assert len(rows_of(tmp_path)) == 1
    evolve(replace(CONFIG, generations=2), arenas["dream"], tmp_path, 3, Workers(0))  # longer is fine
    assert len(rows_of(tmp_path)) == 2


def test_a_fitness_that_is_no_number_stops_it_and_harms_nothing(
    arenas: dict[str, Arena], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolve(replace(CONFIG, generations=2), arenas["dream"], tmp_path, 3, Workers(0))
    before = content(tmp_path)

    def broken(arena: Arena, params: np.ndarray, seeds: list[int], *rest: Any) -> Returns:
        returns = np.zeros((len(params), len(seeds)))
        returns[4, 1] = np.nan
        return Returns(returns, np.ones(returns.shape, np.int64))

    monkeypatch.setattr(train, "returns_of", broken)
    with pytest.raises(ReverieError) as error:
        evolve(CONFIG, arenas["dream"], tmp_path, 3, Workers(0))
    assert str(error.value) == (
        "fitness of candidate 4 in generation 2 is nan, expected a finite number; "
        "the world or M returned a reward that is not one"
    )
    assert content(tmp_path) == before


def test_prints_its_score() -> None:
    assert repr(Best(np.zeros(867), 812.34, 50)) == "Best(score=812.3, generation=50, n=867)"


def test_state_is_json(arenas: dict[str, Arena], tmp_path: Path) -> None:
    evolve(replace(CONFIG, generations=2), arenas["dream"], tmp_path, 3, Workers(0))
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["best.safetensors", "metrics.jsonl"] + [
        f"step-0000000{step}.{kind}" for step in (1, 2) for kind in ("json", "safetensors")
    ]
    state = json.loads((tmp_path / "step-00000002.json").read_text())["state"]
    assert state["settings"]["population"] == 6
    assert set(state) == {"best", "search", "settings", "steps"}
