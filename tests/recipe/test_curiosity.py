"""Collecting with curiosity: who plays what, what leads the search, and that an interrupted one ends the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.cli import main
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.files.metrics import read_metrics
from reverie.learning.cma import CMAES
from reverie.recipe.curiosity import CuriosityConfig
from reverie.recipe.experiment import Experiment
from reverie.runs import exploring, stages
from reverie.runs.exploring import Critic
from reverie.runs.run_folder import RunFolder, create_run
from tests.recipe.test_rounds import SMALL, small

CURIOUS = [
    *("--curiosity.weight", "1", "--curiosity.population", "4", "--curiosity.share", "0.8"),
    *("--rounds.episodes", "11", "--rounds.count", "1"),
]


def first_pass(path: Path, experiment: Experiment) -> RunFolder:
    folder = create_run(path, experiment)
    for stage in ("collect", "vision", "memory", "controller"):
        getattr(stages, stage)(folder.at(0), 0)
    return folder


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose second round has collected: 3 episodes of C's, and two generations of four."""
    folder = first_pass(tmp_path_factory.mktemp("curious") / "run", small(*CURIOUS))
    stages.collect(folder.at(1), 0)
    return folder


def episodes(folder: RunFolder) -> list[tuple[int, str, str]]:
    return [(entry.index, entry.policy, entry.sha256) for entry in Store(folder.rollouts).entries]


def test_a_part_of_the_round_is_played_by_the_curious(explored: RunFolder) -> None:
    played = [policy for _, policy, _ in episodes(explored)[6:]]
    assert len(played) == 11
    assert set(played[:3]) <= {"agent", "agent, disturbed"}
    assert played[3:] == ["curious"] * 8
    rows = read_metrics(explored.path / "round-1" / "curiosity.jsonl")
    assert [row["step"] for row in rows] == [1, 2]


def test_an_interrupted_search_goes_on_to_the_same_episodes(
    explored: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = first_pass(tmp_path / "run", small(*CURIOUS))
    judged = 0

    def judge(self: Critic, store: Store, indices: range) -> Any:
        nonlocal judged
        judged += 1
        if judged == 2:
            raise KeyboardInterrupt
        return whole(self, store, indices)

    whole = Critic.judge
    with monkeypatch.context() as patch:
        patch.setattr(Critic, "judge", judge)
        with pytest.raises(KeyboardInterrupt):
            stages.collect(folder.at(1), 0)
    stages.collect(folder.at(1), 0)
    assert episodes(folder) == episodes(explored)


def test_a_finished_search_is_left_alone(explored: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(exploring, "CMAES")
    before = (explored.path / "round-1" / "curiosity.jsonl").read_bytes()
    stages.collect(explored.at(1), 0)
    assert (explored.path / "round-1" / "curiosity.jsonl").read_bytes() == before


def test_the_search_is_told_rewards_and_surprise(explored: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[np.ndarray] = []
    tell = CMAES.tell

    def listen(self: CMAES, fitness: np.ndarray) -> None:
        told.append(fitness)
        tell(self, fitness)

    monkeypatch.setattr(CMAES, "tell", listen)
    (explored.path / "round-1" / "curiosity.jsonl").unlink()
    stages.collect(explored.at(1), 0)
    rewards, nats = Critic.of(explored.at(0)).judge(Store(explored.rollouts), range(9, 13))
    np.testing.assert_allclose(told[0], rewards + nats, rtol=1e-6)
    assert len(set(nats)) == 4


def test_episodes_that_m_knows_are_worth_nothing_whatever_their_length(explored: RunFolder) -> None:
    critic = Critic.of(explored.at(0))
    _, nats = critic.judge(Store(explored.rollouts), range(6))
    steps = sum(entry.steps for entry in Store(explored.rollouts).entries[:6])
    assert abs(nats.sum()) < steps  # less than one standard deviation a step
    store = Store(explored.rollouts)
    rewards, _ = critic.judge(store, range(2))
    assert rewards[0] / rewards[1] == pytest.approx(
        store.entries[0].total_reward / store.entries[1].total_reward, rel=1e-4
    )


def test_the_word_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["iterate", "tiny", "--preset", "tiny", "--rounds", "1", "--curiosity", "2", "--json", "--workers", "0"]
    with pytest.raises(SystemExit) as stop:
        main(
            [
                *words,
                "--run-dir",
                str(tmp_path / "run"),
                *SMALL,
                "--rounds.episodes",
                "8",
                "--curiosity.population",
                "4",
            ]
        )
    assert stop.value.code == 0, capsys.readouterr().err
    assert len(json.loads(capsys.readouterr().out)["rounds"]) == 2
    assert (tmp_path / "run" / "round-1" / "curiosity.jsonl").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": -1.0}, "curiosity.weight is -1.0; expected a finite number, at least 0"),
        ({"share": 0.0}, "curiosity.share is 0.0; expected a share above 0, at most 1"),
        ({"population": 3}, "curiosity.population is 3; expected 4 to 16"),
        ({"sigma": 0.0}, "curiosity.sigma is 0.0; expected a finite number above 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        CuriosityConfig(**settings)
    assert str(caught.value) == message


def test_without_a_weight_nobody_is_curious() -> None:
    assert CuriosityConfig().generations(400) == 0
    assert CuriosityConfig(weight=1.0).generations(400) == 25
    assert CuriosityConfig(weight=1.0).generations(10) == 0
