"""Follow: determinism, the margin between seeing and not, and Gymnasium's own checks."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from reverie.worlds.registry import make
from reverie.worlds.tiny import REACH, TINY, FollowGames, TinyEnv
from reverie.worlds.vector import WorldVectorEnv

Policy = Callable[[FollowGames, np.random.Generator], np.ndarray]


def play(policy: Policy, episodes: int = 200) -> np.ndarray:
    games = FollowGames(episodes)
    worlds = WorldVectorEnv(TINY, games)
    worlds.reset(seed=1000)
    rng = np.random.default_rng(0)
    returns = np.zeros(episodes)
    for _ in range(TINY.max_steps):
        _, rewards, *_ = worlds.step(policy(games, rng).astype(np.float32)[:, None])
        returns += rewards
    return returns


def uniform(games: FollowGames, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, len(games.target))


def still(games: FollowGames, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(len(games.target))


def follow(games: FollowGames, rng: np.random.Generator) -> np.ndarray:
    return np.tanh((games.target - games.agent) / 10)


def test_seeing_beats_chance_and_blindness() -> None:
    for blind in (uniform, still):
        assert play(blind).mean() < 25
    returns = play(follow)
    assert returns.mean() > 80
    assert returns.min() > 60


def ends(frame: np.ndarray) -> tuple[float, float]:
    """Read both bars' lengths off a frame: the mean brightness of a row above the night, in columns."""
    rows = frame[[8, 56]].astype(np.float64)
    night, full = rows.min(axis=1, keepdims=True), rows.max(axis=1, keepdims=True)
    filled = ((rows - night) / (full - night)).sum(axis=1)
    return filled[0, 1], filled[1, 1]  # the green channel, where both bars are bright


def test_the_frame_shows_the_state() -> None:
    games = FollowGames(20)
    worlds = WorldVectorEnv(TINY, games)
    frames, _ = worlds.reset(seed=3)
    for frame, target, agent in zip(frames, games.target, games.agent, strict=True):
        assert ends(frame) == pytest.approx((target, agent), abs=0.3)


def test_reward_and_end_follow_from_the_distance() -> None:
    games = FollowGames(50)
    worlds = WorldVectorEnv(TINY, games)
    worlds.reset(seed=4)
    ended = np.zeros(50, bool)
    for _ in range(TINY.max_steps):
        _, rewards, terminated, truncated, _ = worlds.step(np.ones((50, 1), np.float32))
        new = ~ended
        distance = np.abs(games.target - games.agent)
        assert rewards[new] == pytest.approx(np.maximum(0, 1 - distance[new] / REACH), abs=1e-6)
        assert (terminated[new] == (distance[new] > REACH)).all()
        ended |= terminated | truncated
    assert ended.all()


def test_a_seed_gives_the_same_episode_in_every_slot() -> None:
    together, alone = make("tiny", 3), make("tiny", 1)
    frames, _ = together.reset(seed=[5, 6, 7])
    first, _ = alone.reset(seed=6)
    assert (frames[1] == first[0]).all()
    rng = np.random.default_rng(0)
    for _ in range(30):
        action = rng.uniform(-0.3, 0.3, (1, 1)).astype(np.float32)
        frames, rewards, *_ = together.step(np.tile(action, (3, 1)))
        frame, reward, *_ = alone.step(action)
        assert (frames[1] == frame[0]).all()
        assert rewards[1] == reward[0]


def test_actions_beyond_one_are_clipped() -> None:
    games = FollowGames(1)
    worlds = WorldVectorEnv(TINY, games)
    worlds.reset(seed=12)
    before = games.agent[0]
    worlds.step(np.full((1, 1), -3, np.float32))
    assert games.agent[0] == max(6.0, before - 4.0)


def test_the_single_environment_passes_gymnasiums_checks() -> None:
    check_env(TinyEnv("rgb_array"), skip_render_check=True)


def test_it_is_registered() -> None:
    env = gym.make("reverie/Tiny-v0", render_mode="rgb_array")
    frame, _ = env.reset(seed=1)
    assert (env.render() == frame).all()  # type: ignore[attr-defined]
    env.close()
