"""The whole pipeline learns: on the world made for it, and without a line of code on worlds it has never seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.runs.verify import verify_run
from tests.small_runs import reverie


def run(folder: Path, *words: str) -> dict[str, Any]:
    """What `reverie run ... --json` prints."""
    done = reverie("run", *words, "--run-dir", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, done.stdout
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def scores(folder: Path) -> dict[str, Score]:
    return {file.stem: Score.from_dict(read_json(file)) for file in (folder / "scores").iterdir()}


def test_an_agent_trained_in_its_dream_beats_random_in_the_real_world(tmp_path: Path) -> None:
    """Measured over four seeds: agents 80 and more, random 22 ± 18, and blind ones are no better (worlds/tiny.py)."""
    result = run(tmp_path / "run", "tiny", "--preset", "tiny", "--workers", "2")
    found = scores(tmp_path / "run")
    agent, random = found["agent"], found["random"]
    assert (agent.episodes, random.episodes) == (100, 100)
    standard_error = np.sqrt((agent.std**2 + random.std**2) / 100)
    assert agent.mean > random.mean + 5 * standard_error
    assert agent.mean > 3 * random.mean
    assert agent.mean > 60
    assert found["dream"].mean > 60
    assert result["score"] == agent.as_dict()
    assert result["random"] == {"mean": random.mean, "std": random.std}
    assert verify_run(tmp_path / "run") == []


LITTLE = [
    *("--preset", "tiny", "--workers", "0", "--evaluation-episodes", "1"),
    *("--collect.episodes", "4", "--collect.max_steps", "20"),
    *("--vision.updates", "5", "--vision.batch_size", "8", "--memory.updates", "4", "--memory.batch_size", "4"),
    *("--memory.hidden_size", "16", "--cmaes.population", "4", "--cmaes.rescore_episodes", "2"),
    *("--ppo.num_envs", "4", "--ppo.num_steps", "4"),
    *("--collect.steps", "0", "--rounds.steps", "0", "--rounds.count", "0"),
]


@pytest.mark.parametrize(
    ("world", "words"),
    [
        # Discrete actions, a rendered picture; trained in the dream and in the world
        ("CartPole-v1", ["--phases", "ppo:dream:2", "cmaes:world:1:all:max_steps=10"]),
        # Box actions in [-2, 2], rewards below 0; trained in the world alone, so that there is no dream to score
        ("Pendulum-v1", ["--phases", "cmaes:world:2:all:max_steps=10"]),
    ],
)
def test_a_world_never_seen_runs_from_end_to_end(world: str, words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    result = run(folder, world, *LITTLE, *words)
    assert (result["world"], result["score"]["episodes"]) == (world, 1)
    awake = not any("dream" in word for word in words)
    assert (result["dream"] is None) == awake
    assert np.isfinite(result["score"]["scores"]).all()
    assert verify_run(folder) == []
    page = (folder / "report.html").read_text()
    assert world in page
    assert page.count("<video") >= (1 if awake else 2)
    assert page.rstrip().endswith("</html>")
