"""Take Cover: its facts, its determinism, and a game that is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from reverie.worlds.doom import guard as doom_guard
from reverie.worlds.doom.helper import games
from reverie.worlds.registry import make
from reverie.worlds.vector import WorldVectorEnv

pytest.importorskip("vizdoom")


@pytest.fixture(scope="module")
def two() -> Iterator[WorldVectorEnv]:
    worlds = make("doom", 2)
    yield worlds
    worlds.close()


def sides(seed: int, steps: int) -> np.ndarray:
    """Random actions held for 8 tics, float32 [steps, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, (steps // 8 + 1, 1)).astype(np.float32).repeat(8, axis=0)[:steps]


def play_slot(worlds: WorldVectorEnv, slot: int, seed: int, actions: np.ndarray) -> tuple[np.ndarray, int]:
    """One episode in one slot: frames [T + 1, ...] and the step of its end (0: none)."""
    seeds = [1] * worlds.num_envs
    seeds[slot] = seed
    frames = [worlds.reset(seed=seeds)[0][slot]]
    batch = np.zeros((worlds.num_envs, 1), np.float32)
    for step, action in enumerate(actions, start=1):
        batch[slot] = action
        observed, rewards, terminated, truncated, _ = worlds.step(batch)
        frames.append(observed[slot])
        assert rewards[slot] == 1
        assert not truncated[slot]
        if terminated[slot]:
            return np.stack(frames), step
    return np.stack(frames), 0


def test_a_seed_gives_the_same_episode_in_every_slot_and_every_game(two: WorldVectorEnv) -> None:
    actions = sides(0, 500)
    frames, end = play_slot(two, 0, 7, actions)
    again, end_again = play_slot(two, 1, 7, actions)
    assert end == end_again > 60  # it ends by death
    assert (frames == again).all()
    fresh = make("doom")
    frames_fresh, _ = play_slot(fresh, 0, 7, actions[:60])
    fresh.close()
    assert (frames[:61] == frames_fresh).all()
    assert (frames[end] == frames[end - 1]).all()  # nothing is shown after death


def test_seeds_differ(two: WorldVectorEnv) -> None:
    frames, _ = two.reset(seed=[1, 2])
    for _ in range(100):
        frames, *_ = two.step(np.zeros((2, 1), np.float32))
    assert (frames[0] != frames[1]).any()


@pytest.mark.parametrize(("action", "same_as"), [(-0.34, -1), (-0.33, 0), (0.33, 0), (0.34, 1)])
def test_thirds_decide_the_button(two: WorldVectorEnv, action: float, same_as: float) -> None:
    two.reset(seed=[3, 3])
    for _ in range(20):
        frames, *_ = two.step(np.array([[action], [same_as]], np.float32))
    assert (frames[0] == frames[1]).all()


def test_left_and_right_move_the_view_apart(two: WorldVectorEnv) -> None:
    ends = {}
    for action in (-1, 0, 1):
        two.reset(seed=[3, 3])
        for _ in range(20):
            frames, *_ = two.step(np.full((2, 1), action, np.float32))
        ends[action] = frames[0]
    assert (ends[-1] != ends[0]).mean() > 0.1
    assert (ends[1] != ends[0]).mean() > 0.1
    assert (ends[1] != ends[-1]).mean() > 0.1


def test_skill_changes_the_game() -> None:
    lengths = {}
    for skill in (1, 5):
        worlds = make("doom", skill=skill)
        lengths[skill] = sum(play_slot(worlds, 0, seed, np.zeros((400, 1), np.float32))[1] or 400 for seed in (1, 2, 3))
        worlds.close()
    assert lengths[5] < lengths[1]


def test_a_skill_is_a_world_by_its_name() -> None:
    named, asked, plain = make("doom-skill-5"), make("doom", skill=5), make("doom")
    assert named.world_spec.name == asked.world_spec.name == "doom-skill-5"
    still = np.zeros((300, 1), np.float32)
    lives = [[play_slot(worlds, 0, seed, still)[1] for seed in (1, 2, 3)] for worlds in (named, asked, plain)]
    assert lives[0] == lives[1] != lives[2]
    for worlds in (named, asked, plain):
        worlds.close()


def test_an_action_can_last_and_what_it_lives_through_is_counted() -> None:
    """The same buttons, tic by tic and four tics at a time: one game, whose last step may be a part of four."""
    buttons = np.repeat(np.random.default_rng(0).uniform(-1, 1, (100, 1)).astype(np.float32), 4, axis=0)
    frames, returns = {}, {}
    for name, step in (("doom-skill-5", 1), ("doom-skill-5-repeat-4", 4)):
        worlds = make(name)
        first, _ = worlds.reset(seed=[4])
        seen, total, over = [first[0]], 0.0, False
        for button in buttons[::step]:
            frame, reward, terminated, truncated, _ = worlds.step(button[None])
            total += float(reward[0])
            over = bool(terminated[0])
            if over:
                break
            seen.append(frame[0])
        assert over
        assert not truncated.any()
        frames[step], returns[step] = seen, total
        worlds.close()
    assert returns[4] == returns[1] == len(frames[1])
    assert len(frames[4]) == -(-len(frames[1]) // 4)
    assert all((one == other).all() for one, other in zip(frames[4], frames[1][::4], strict=True))


def test_a_killed_game_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    worlds = make("doom", 2)
    worlds.reset(seed=[5, 6])
    still = np.zeros((2, 1), np.float32)
    worlds.step(still)
    for process_id in process_ids(worlds)[:1]:
        os.kill(process_id, signal.SIGKILL)
    _, rewards, terminated, truncated, infos = worlds.step(still)
    assert infos["died"].tolist() == [True, False]
    assert (rewards.tolist(), terminated.any(), truncated.tolist()) == ([0.0, 1.0], False, [True, False])
    assert "world 'doom' with seed 5 died at step 2: ViZDoom" in caplog.text
    worlds.reset(seed=[5, 6])
    assert worlds.step(still)[1].tolist() == [1.0, 1.0]
    worlds.close()


def process_ids(worlds: WorldVectorEnv) -> list[int]:
    """The processes of this environment's games, slot by slot."""
    assert doom_guard._guard is not None
    running = {instance: process_id for process_id, instance in games(str(doom_guard._guard.folder))}
    return [running[world._game.get_instance_id()] for world in worlds._backend._worlds]  # type: ignore[attr-defined]
