"""The phases in turn: each from where the one before it left C, the same whenever it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.files.checkpoint import latest_checkpoint
from reverie.learning import train
from reverie.learning.cmaes import evolve
from reverie.learning.config import CMAESConfig, PPOConfig
from reverie.learning.gradient import learn
from reverie.learning.phases import Phase, planned
from reverie.learning.train import train_controller
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits
from reverie.workers.pool import Workers

SECTIONS = {
    "ppo": PPOConfig(num_envs=6, num_steps=4, n_epochs=1, no_reward_timeout=5),
    "cmaes": CMAESConfig(population=4, episodes=2, max_steps=7, rescore_episodes=3),
}
WORDS = ["ppo:dream:2", "cmaes:world:2", "backprop:dream:1", "ppo:world:2:all:learning_rate=0.01", "cmaes:dream:1"]
PLAN = planned([Phase.from_word(word) for word in WORDS], SECTIONS, 0, 0)
Opened = list[tuple[str, Limits]]


@pytest.fixture
def opened() -> Opened:
    return []


def trained(
    envs: dict[str, EnvSpec], folder: Path, opened: Opened, plan: Sequence[Any] = PLAN, start: np.ndarray | None = None
) -> np.ndarray | None:
    def open_env(phase: Phase, limits: Limits) -> EnvSpec:
        opened.append((phase.word(), limits))
        return replace(envs[phase.place], limits=limits)

    return train_controller(plan, open_env, folder, 3, Workers(0), start)


def test_each_phase_goes_on_from_the_one_before_it(
    envs: dict[str, EnvSpec], tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their starts, the folder of the last phase of gradients, seeds of their own, and where they take place."""
    calls: list[tuple[str, Any, Any, int]] = []
    results: list[np.ndarray] = []

    def evolving(config: Any, updates: int, env: Any, folder: Path, seed: int, workers: Any, start: Any) -> Any:
        calls.append((folder.name, start, None, seed))
        results.append(evolve(config, updates, env, folder, seed, workers, start))
        return results[-1]

    def learning(
        method: Any,
        config: Any,
        updates: int,
        env: Any,
        folder: Path,
        seed: int,
        workers: Any,
        start: Any,
        earlier: Any,
    ) -> Any:
        calls.append((folder.name, start, earlier, seed))
        results.append(learn(method, config, updates, env, folder, seed, workers, start, earlier))
        return results[-1]

    monkeypatch.setattr(train, "evolve", evolving)
    monkeypatch.setattr(train, "learn", learning)
    params = trained(envs, tmp_path, opened)
    names = ["1-ppo-dream", "2-cmaes-world", "3-backprop-dream", "4-ppo-world", "5-cmaes-dream"]
    assert [name for name, *_ in calls] == names
    assert calls[0][1] is None
    assert all(call[1] is result for call, result in zip(calls[1:], results, strict=False))
    assert [call[2] and call[2].name for call in calls] == [None, None, names[0], names[2], None]
    assert len({seed for *_, seed in calls}) == 5
    assert params is results[-1]
    assert all(latest_checkpoint(tmp_path / name) for name in names)
    limits = [Limits(None, 5), Limits(7, None), Limits(None, 5), Limits(None, 5), Limits(7, None)]
    assert opened == [(word, limit) for word, limit in zip(WORDS, limits, strict=True)]


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_stopped_between_phases_it_ends_with_the_same_bits(
    stop: int, envs: dict[str, EnvSpec], tmp_path: Path, opened: Opened
) -> None:
    start = np.linspace(-0.1, 0.1, envs["dream"].controller_shape().parameter_count)
    straight = trained(envs, tmp_path / "straight", opened, start=start)
    trained(envs, tmp_path / "stopped", opened, PLAN[:stop], start)
    resumed = trained(envs, tmp_path / "stopped", opened, start=start)
    assert straight is not None
    np.testing.assert_array_equal(straight, resumed)
    other = trained(envs, tmp_path / "other", opened)
    assert other is not None
    assert (other != straight).any()


def test_without_a_phase_c_stays_what_it_was(envs: dict[str, EnvSpec], tmp_path: Path, opened: Opened) -> None:
    start = np.arange(3.0)
    assert trained(envs, tmp_path, opened, [], start) is start
    assert trained(envs, tmp_path, opened, []) is None
    assert not list(tmp_path.iterdir())
