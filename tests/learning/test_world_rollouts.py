"""C that learns by gradients in the real world, on Follow, seen through a V and an M of random weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.errors import ReverieError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning.config import PPOConfig
from reverie.learning.gradient import learn
from reverie.learning.learner import Learner, gae
from reverie.learning.world_rollouts import Episodes, Task, WorldRollouts, experience_of, joined, play_episodes
from reverie.play.candidates import returns_of
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Limits
from reverie.workers.pool import Workers

CONFIG = PPOConfig(num_envs=20, n_epochs=2, learning_rate=0.01, gamma=0.8, final_std=0.12, average_last=2)


@pytest.fixture
def world(envs: dict[str, EnvSpec]) -> EnvSpec:
    return envs["world"]


def tune(
    world: EnvSpec,
    folder: Path,
    workers: int = 0,
    updates: int = 4,
    start: np.ndarray | None = None,
    earlier: Path | None = None,
    **changes: Any,
) -> np.ndarray:
    with Workers(workers) as pool:
        return learn("ppo", replace(CONFIG, **changes), updates, world, folder, 0, pool, start, earlier)


def last(folder: Path) -> Checkpoint:
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    return checkpoint


def test_c_learns_what_pays_in_the_world(world: EnvSpec, tmp_path: Path) -> None:
    mean = replace(world.controller, sample_z=False)  # an untrained V's spread would blind C
    world = replace(world, controller=mean, limits=Limits(60))
    params = tune(world, tmp_path, updates=20, num_envs=32, n_epochs=6)
    rivals = np.stack([np.zeros_like(params), params])
    returns = returns_of(world, rivals, range(160), Workers(0), (2, 160)).returns
    gain = returns[1] - returns[0]
    assert gain.mean() > 4 * gain.std() / 160**0.5, returns.mean(1)


def test_what_c_tries_narrows(world: EnvSpec, tmp_path: Path) -> None:
    tune(world, tmp_path / "narrow")
    tune(world, tmp_path / "wide", final_std=None)
    narrow, wide = (np.exp(last(tmp_path / name).arrays["model.log_std"]).max() for name in ("narrow", "wide"))
    assert narrow == pytest.approx(0.35 * (0.12 / 0.35) ** (3 / 4), rel=0.05)
    assert wide == pytest.approx(0.35, rel=0.2)


def test_the_number_of_workers_changes_no_bit(world: EnvSpec, tmp_path: Path) -> None:
    """20 episodes are two tasks."""
    here = tune(world, tmp_path / "here")
    np.testing.assert_array_equal(here, tune(world, tmp_path / "there", workers=2))
    assert here.any()


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3])
def test_killed_after_any_update_it_ends_with_the_same_bits(world: EnvSpec, tmp_path: Path, stop: int) -> None:
    whole = tune(world, tmp_path / "whole")

    class Dies(Workers):
        calls = 0

        def map(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > stop:
                raise Killed
            return super().map(*args, **kwargs)

    with pytest.raises(Killed), Dies(0) as pool:
        learn("ppo", CONFIG, 4, world, tmp_path / "killed", 0, pool)
    np.testing.assert_array_equal(tune(world, tmp_path / "killed"), whole)
    for name, array in last(tmp_path / "whole").arrays.items():
        np.testing.assert_array_equal(array, last(tmp_path / "killed").arrays[name], name)
    rows = read_metrics(tmp_path / "killed" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    taken = np.diff([0, *(row["world_steps"] for row in rows)])
    np.testing.assert_allclose(taken, [20 * row["episode_length_mean"] for row in rows])
    assert all(row["episode_return_min"] <= row["episode_return_mean"] for row in rows)


def test_another_setting_is_refused_and_harms_nothing(world: EnvSpec, tmp_path: Path) -> None:
    whole = tune(world, tmp_path)
    with pytest.raises(ReverieError, match=r"holds a training of C with num_envs 20, asked for 21; use the same"):
        tune(world, tmp_path, num_envs=21)
    np.testing.assert_array_equal(tune(world, tmp_path), whole)


def test_it_goes_on_from_the_critic_of_an_earlier_phase(world: EnvSpec, tmp_path: Path) -> None:
    """And from the C that it is given, which need not be that phase's last: it may be a mean of the last ones."""
    first = tune(world, tmp_path / "first") + 0.01
    second = tune(world, tmp_path / "second", 0, 1, first, tmp_path / "first", learning_rate=1e-9, final_std=None)
    np.testing.assert_allclose(second, first, atol=1e-6)
    before, after = (last(tmp_path / name).arrays for name in ("first", "second"))
    for name in ("model.scale", "model.reward_scale", "model.log_std"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    np.testing.assert_allclose(after["model.critic_in.weight"], before["model.critic_in.weight"], atol=0.03)
    tune(world, tmp_path / "anew", 0, 1, first, tmp_path / "nothing", learning_rate=1e-9)
    assert not np.allclose(last(tmp_path / "anew").arrays["model.critic_in.weight"], before["model.critic_in.weight"])


def test_only_in_the_world_a_critic_is_taken_over(envs: dict[str, EnvSpec], tmp_path: Path) -> None:
    first = learn("ppo", CONFIG, 2, envs["dream"], tmp_path / "first", 0, Workers(0))
    again = [
        learn("ppo", CONFIG, 1, envs["dream"], tmp_path / name, 0, Workers(0), first, earlier)
        for name, earlier in (("alone", None), ("after", tmp_path / "first"))
    ]
    np.testing.assert_array_equal(*again)


def task_of(world: EnvSpec, **changes: Any) -> Task:
    count = world.controller_shape().parameter_count
    task = Task(world, np.zeros(count, np.float32), np.log(np.full(1, 0.3, np.float32)), (5, 6, 7), noise=1)
    return replace(task, **changes)


def test_an_episode_is_what_the_seed_and_the_tries_say(world: EnvSpec) -> None:
    first, again, other = (play_episodes(task_of(world, noise=noise)) for noise in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first.choice != other.choice).any()
    assert first.features.shape == (13, 3, world.controller_shape().feature_size)
    np.testing.assert_array_equal(first.length, [12, 7, 12])  # in the second it lost the target
    np.testing.assert_array_equal(first.terminated, [False, True, False])
    assert first.reward[:7, 1].any()
    for padded in (first.reward[7:, 1], first.choice[7:, 1], first.features[8:, 1]):
        assert not padded.any()


def test_what_is_recorded_is_what_happened(world: EnvSpec) -> None:
    """Sums of rewards, C's features at each step through the same env, and actions that are the choices' tanh."""
    task = task_of(world, seeds=tuple(range(20)))  # more than there are rows
    episodes = play_episodes(task)
    assert episodes.length.min() < episodes.length.max() == 12
    ((env, _),) = world.envs([3])
    env.begin(torch.arange(1), [3])
    controller = world.controller_shape()
    for step in range(int(episodes.length[3])):
        seen = env.observe().features(controller.config)
        np.testing.assert_allclose(episodes.features[step, 3], seen[0], atol=1e-3)
        outcome = env.step(torch.from_numpy(episodes.choice[step, 3:4]).tanh())
        assert float(outcome.reward[0]) == pytest.approx(episodes.reward[step, 3], abs=1e-5)


def test_an_episode_without_reward_is_ended(world: EnvSpec) -> None:
    seeds = tuple(range(16))
    whole, short = (
        play_episodes(task_of(replace(world, limits=Limits(12, timeout)), seeds=seeds)) for timeout in (None, 1)
    )
    for episode, length in enumerate(short.length):
        rewards = short.reward[:length, episode]
        assert (rewards[:-1] > 0).all()
        assert short.terminated[episode] == (rewards[-1] <= 0 or length < 12)
    assert short.length.mean() <= whole.length.mean()
    assert (np.take_along_axis(whole.reward, whole.length[None] - 1, 0) <= 0).any()


def made_episodes(steps: int, length: list[int], terminated: list[bool], features: int, value: float) -> Episodes:
    shape = (steps, len(length))
    seen = np.random.default_rng(0).normal(size=(steps + 1, len(length), features)).astype(np.float32)
    reward = np.full(shape, value, np.float32) * (np.arange(steps)[:, None] < np.array(length))
    return Episodes(seen, np.zeros((*shape, 1), np.float32), reward, np.array(length), np.array(terminated))


@pytest.mark.parametrize(("survival", "endless"), [(False, False), (True, False), (False, True)])
def test_experience_is_of_steps_that_were_played(world: EnvSpec, survival: bool, endless: bool) -> None:
    shape, config = world.controller_shape(), replace(CONFIG, bootstrap_at_end=endless)
    learner = Learner(shape, None, 0)
    with torch.no_grad():
        learner.critic_out.weight.normal_(generator=torch.Generator().manual_seed(1))
    parts = [
        made_episodes(4, [4, 2], [False, True], shape.feature_size, 1.0),
        made_episodes(3, [3], [False], shape.feature_size, 7.0),
    ]
    found = experience_of(joined(parts), learner, config, survival)
    assert len(found.features) == 9
    paid = torch.zeros(4, 2) if survival else torch.ones(4, 2)
    if survival:
        paid[1, 1] = -1  # the end itself
    values = learner.value(torch.from_numpy(parts[0].features)).detach()
    stops, cut = torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 2)
    stops[3, 0], stops[1, 1], cut[3, 0] = True, True, values[4, 0]
    if endless:
        cut[1, 1] = values[2, 1]
    expected = gae(paid, values, cut, stops, config)
    order = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0)]
    places = [0, 1, 3, 4, 6, 8]  # beside the third episode's 2, 5 and 7
    torch.testing.assert_close(found.advantage[places], torch.stack([expected[at] for at in order]))
    torch.testing.assert_close(found.returns[places], torch.stack([expected[at] + values[at] for at in order]))


def test_episodes_carry_nothing_over(world: EnvSpec) -> None:
    rollouts = WorldRollouts(world, 0, Workers(0))
    assert rollouts.to_arrays() == {}
    rollouts.from_arrays({})
    with pytest.raises(ReverieError) as error:
        rollouts.from_arrays({"0.z": np.zeros(2)})
    assert str(error.value) == "episodes in the world carry nothing over, found ['0.z']"
