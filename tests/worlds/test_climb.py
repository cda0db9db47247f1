"""Climb: determinism, what a frame shows, and the margin between random play and swinging."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reverie.worlds.climb import CLIMB, LEFT, RIGHT, ClimbGames, places_in
from reverie.worlds.registry import make
from reverie.worlds.vector import WorldVectorEnv

Policy = Callable[[ClimbGames, np.random.Generator], np.ndarray]


def play(policy: Policy, episodes: int = 100) -> np.ndarray:
    games = ClimbGames(episodes)
    worlds = WorldVectorEnv(CLIMB, games)
    worlds.reset(seed=1000)
    rng, returns = np.random.default_rng(0), np.zeros(episodes)
    for _ in range(CLIMB.max_steps):
        _, rewards, _, truncated, _ = worlds.step(policy(games, rng).astype(np.float32)[:, None])
        returns += rewards
    assert truncated.all()
    return returns


def test_random_play_never_climbs_and_swinging_always_does() -> None:
    assert play(lambda games, rng: rng.uniform(-1, 1, len(games.place))).max() == 0
    assert play(lambda games, rng: np.ones(len(games.place))).max() == 0
    swung = play(lambda games, rng: np.where(games.speed >= 0, 1.0, -1.0))
    assert swung.min() > 35


def test_the_frame_shows_where_the_cart_is() -> None:
    games = ClimbGames(30)
    for slot, place in enumerate(np.linspace(LEFT, RIGHT, 30)):
        games.place[slot] = place
    games.step(np.arange(30), np.zeros((30, 1), np.float32))
    np.testing.assert_allclose(places_in(games.frames), games.place, atol=0.003)
    assert (games.frames[:, -1] == games.frames[0, -1]).all()  # the hill stands still


def test_an_episode_is_a_function_of_its_seed_and_actions() -> None:
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (40, 3, 1)).astype(np.float32)
    frames = []
    for _ in range(2):
        worlds = make("climb", 3)
        worlds.reset(seed=[5, 5, 6])
        frames.append([worlds.step(action)[0].copy() for action in actions])
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0][0][0] != frames[0][0][2]).any()


def test_the_walls_stop_the_cart() -> None:
    games = ClimbGames(2)
    games.place[:], games.speed[:] = (LEFT + 0.01, RIGHT - 0.01), (-0.07, 0.07)
    rewards, *_ = games.step(np.arange(2), np.array([[-1.0], [1.0]], np.float32))
    assert games.place.tolist() == [LEFT, RIGHT]
    assert games.speed.tolist() == [0, 0]
    assert rewards.tolist() == [0, 1]
