"""C that learns in the real world by gradients, on Follow, seen through a V and an M of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning.arena import Arena, close_arenas
from reverie.learning.config import FinetuneConfig, GradientConfig
from reverie.learning.episodes import Episodes, Task, experience_of, joined, play_episodes
from reverie.learning.finetune import finetune
from reverie.learning.fitness import returns_of
from reverie.learning.learner import Learner, advantages
from reverie.workers.pool import Workers

GRADIENT = GradientConfig(critic_size=8, discount=0.8)
CONFIG = FinetuneConfig(updates=4, keep=2, episodes=10, epochs=2, batches=3, learning_rate=0.01)


@pytest.fixture
def world(arenas: dict[str, Arena]) -> Iterator[Arena]:
    yield arenas["world"]
    close_arenas()


def tune(world: Arena, folder: Path, workers: int = 0, config: FinetuneConfig = CONFIG) -> np.ndarray:
    with Workers(workers) as pool:
        return finetune(config, GRADIENT, world, folder, 0, pool)


def test_c_learns_what_pays_in_the_world(world: Arena, tmp_path: Path) -> None:
    mean = replace(world.controller, sample_z=False)
    world = replace(world, controller=mean, slots=32, max_steps=60)  # an untrained V's spread would blind C
    params = tune(world, tmp_path, config=replace(CONFIG, updates=20, episodes=32, epochs=6))
    rivals = np.stack([np.zeros_like(params), params])
    returns = returns_of(world, rivals, range(160), Workers(0), (2, 160)).returns
    gain = returns[1] - returns[0]
    assert gain.mean() > 4 * gain.std() / 160**0.5, returns.mean(1)


def test_what_c_tries_narrows(world: Arena, tmp_path: Path) -> None:
    tune(world, tmp_path / "narrow")
    tune(world, tmp_path / "wide", config=replace(CONFIG, last_spread=None))
    spreads = []
    for name in ("narrow", "wide"):
        checkpoint = latest_checkpoint(tmp_path / name)
        assert checkpoint is not None
        spreads.append(float(np.exp(checkpoint.arrays["model.log_spread"]).max()))
    assert spreads[0] == pytest.approx(0.12, rel=0.05)
    assert spreads[1] == pytest.approx(0.35, rel=0.2)


def test_the_number_of_workers_changes_no_bit(world: Arena, tmp_path: Path) -> None:
    here = tune(world, tmp_path / "here")
    np.testing.assert_array_equal(here, tune(world, tmp_path / "there", workers=2))
    assert here.any()


@pytest.mark.parametrize("stop", [1, 3])
def test_killed_after_any_update_it_ends_with_the_same_bits(world: Arena, tmp_path: Path, stop: int) -> None:
    whole = tune(world, tmp_path / "whole")

    class Killed(Exception):
        pass

    class Dies(Workers):
        calls = 0

        def map(self, *args: object, **kwargs: object) -> list:  # type: ignore[override, type-arg]
            self.calls += 1
            if self.calls > stop:
                raise Killed
            return super().map(*args, **kwargs)  # type: ignore[arg-type]

    with pytest.raises(Killed), Dies(0) as pool:
        finetune(CONFIG, GRADIENT, world, tmp_path / "killed", 0, pool)
    np.testing.assert_array_equal(tune(world, tmp_path / "killed"), whole)
    rows = read_metrics(tmp_path / "killed" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    taken = np.diff([0, *(row["world_steps"] for row in rows)])
    np.testing.assert_allclose(taken, [10 * row["length"] for row in rows])


def test_another_setting_is_refused_and_harms_nothing(world: Arena, tmp_path: Path) -> None:
    whole = tune(world, tmp_path)
    with pytest.raises(ReverieError, match=r"holds a fine-tuning of C with episodes 10, asked for 11; use the same"):
        tune(world, tmp_path, config=replace(CONFIG, episodes=11))
    np.testing.assert_array_equal(tune(world, tmp_path), whole)


def test_it_goes_on_from_the_critic_of_the_dream(world: Arena, tmp_path: Path) -> None:
    """And from the C that it is given, which need not be the dream's last: it may be a mean of the last ones."""
    first = tune(world, tmp_path / "dream") + 0.01
    with Workers(0) as pool:
        tiny = replace(CONFIG, updates=1, learning_rate=1e-9)
        there = finetune(tiny, GRADIENT, world, tmp_path / "world", 0, pool, first, tmp_path / "dream")
    before, after = (latest_checkpoint(tmp_path / name) for name in ("dream", "world"))
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(there, first, atol=1e-6)
    for name in ("model.critic_in.weight", "model.scale", "model.reward_scale", "model.log_spread"):
        np.testing.assert_allclose(after.arrays[name], before.arrays[name], atol=1e-6)


def test_an_episode_is_what_the_seed_and_the_tries_say(world: Arena) -> None:
    count = world.controller_shape().parameter_count
    task = Task(world, np.zeros(count, np.float32), np.log(np.full(1, 0.3, np.float32)), (5, 6, 7), noise=1)
    first, again, other = (play_episodes(each) for each in (task, task, replace(task, noise=2)))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first.choice != other.choice).any()
    assert first.features.shape == (13, 3, world.controller_shape().feature_size)
    np.testing.assert_array_equal(first.length, [12, 7, 12])  # in the second it lost the target
    np.testing.assert_array_equal(first.terminated, [False, True, False])
    assert not first.reward[7:, 1].any()


class Scripted:
    """A world of three episodes that is never over and pays, step by step, what a table says."""

    PAYS = np.array([[1, 0, 0, 1, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1, 1, 1], [-1, -1, 1, 0, 0, -1, 1, 1]], np.float32)

    def __init__(self, features: int) -> None:
        self.features, self.steps = np.zeros((3, features), np.float32), 0

    def reset(self, seed: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self.features, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, ...]:
        self.steps += 1
        never = np.zeros(3, bool)
        return self.features, self.PAYS[:, self.steps - 1], never, never, {"died": never}  # type: ignore[return-value]


def test_an_episode_without_reward_is_ended(world: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = world.controller_shape()
    monkeypatch.setattr("reverie.learning.episodes.open_world", lambda arena, slots: Scripted(shape.feature_size))
    arena = replace(world, patience=3, max_steps=8)
    task = Task(arena, np.zeros(shape.parameter_count, np.float32), np.zeros(1, np.float32), (5, 6, 7), noise=1)
    episodes = play_episodes(task)
    np.testing.assert_array_equal(episodes.length, [7, 8, 6])
    np.testing.assert_array_equal(episodes.terminated, [True, False, True])
    np.testing.assert_array_equal(episodes.reward.sum(0), [2, 8, -2])
    all_of_it = play_episodes(replace(task, arena=replace(arena, patience=None)))
    np.testing.assert_array_equal(all_of_it.length, [8, 8, 8])


def made_episodes(steps: int, length: list[int], terminated: list[bool], features: int, value: float) -> Episodes:
    shape = (steps, len(length))
    seen = np.random.default_rng(0).normal(size=(steps + 1, len(length), features)).astype(np.float32)
    reward = np.full(shape, value, np.float32) * (np.arange(steps)[:, None] < np.array(length))
    return Episodes(seen, np.zeros((*shape, 1), np.float32), reward, np.array(length), np.array(terminated))


@pytest.mark.parametrize(("survival", "endless"), [(False, False), (True, False), (False, True)])
def test_experience_is_of_steps_that_were_played(world: Arena, survival: bool, endless: bool) -> None:
    shape = world.controller_shape()
    learner = Learner(shape, GRADIENT, None, 0)
    with torch.no_grad():
        learner.critic_out.weight.normal_(generator=torch.Generator().manual_seed(1))
    parts = [
        made_episodes(4, [4, 2], [False, True], shape.feature_size, 1.0),
        made_episodes(3, [0], [False], shape.feature_size, 7.0),  # its environment died
    ]
    episodes = joined(parts)
    found = experience_of(episodes, learner, GRADIENT, survival, endless)
    assert len(found.features) == 6
    assert not (found.features == 7).any()
    paid = torch.zeros(4, 2) if survival else torch.ones(4, 2)
    if survival:
        paid[1, 1] = -1  # the end itself
    features = torch.from_numpy(parts[0].features)
    values = learner.value(features).detach()
    stops, cut = torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 2)
    stops[3, 0], stops[1, 1], cut[3, 0] = True, True, values[4, 0]
    if endless:
        cut[1, 1] = values[2, 1]
    expected = advantages(paid, values, cut, stops, GRADIENT)
    order = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0)]
    torch.testing.assert_close(found.advantage, torch.stack([expected[at] for at in order]))
    torch.testing.assert_close(found.returns, torch.stack([expected[at] + values[at] for at in order]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": -1}, "finetune.updates is -1, expected at least 0"),
        ({"episodes": 0}, "finetune.episodes is 0, expected at least 1"),
        ({"patience": 0}, "finetune.patience is 0, expected at least 1"),
        ({"trace": 1.5}, "finetune.trace is 1.5, expected 0 to 1"),
        ({"last_spread": 0.0}, "finetune.last_spread is 0.0, expected above 0, at most 0.35, or none"),
        ({"learning_rate": float("nan")}, "finetune.learning_rate is nan, expected a finite number above 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ReverieError, match=f"^{message}$"):
        FinetuneConfig(**changes)  # type: ignore[arg-type]
