"""Episodes as streams: every step once an epoch, in order, never across two episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.memory.sequences import Sequences, Streams, reward_scale, split_episodes
from reverie.vision.latents import LatentEntry, Latents, Part, part_path, write_part
from reverie.worlds.spec import ActionSpec

from .orbits import ACTIONS, Orbits

LENGTHS = [7, 1, 12, 0, 20, 8]  # 48 steps


def epoch(streams: Streams, number: int = 0) -> list[Sequences]:
    return [streams.sequences(number * streams.epoch_updates + position) for position in range(streams.epoch_updates)]


def lines(windows: list[Sequences], name: str) -> np.ndarray:
    """Each stream's whole line of an epoch, [B, steps, ...]."""
    return np.concatenate([getattr(window, name) for window in windows], 1)


def test_an_epoch_holds_every_step_once() -> None:
    orbits = Orbits(LENGTHS)
    windows = epoch(Streams(orbits, ACTIONS, batch_size=2, sequence_length=6, seed=0))
    assert len(windows) == 4
    found = lines(windows, "action").reshape(-1, 2)
    expected = np.concatenate([episode.actions for episode in orbits.episodes.values()])
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(expected, axis=0))
    assert [window.begins for window in windows] == [True, False, False, False]


def test_streams_go_on_where_their_last_window_ended() -> None:
    orbits = Orbits(LENGTHS)
    windows = epoch(Streams(orbits, ACTIONS, batch_size=2, sequence_length=6, seed=3))
    names = ("mu", "next_mu", "restart", "done", "reward", "action", "next_action", "has_next")
    line = {name: np.concatenate(list(lines(windows, name))) for name in names}  # the two streams end to end
    starts = [int(step) for step in np.flatnonzero(line["restart"])]
    assert starts[0] == 0
    by_first = {tuple(episode.mu[0]): episode for episode in orbits.episodes.values()}
    for first, last in zip(starts, [*starts[1:], 48], strict=True):
        episode = by_first[tuple(line["mu"][first].astype(np.float16))]
        assert last - first == len(episode)
        np.testing.assert_array_equal(line["mu"][first:last], episode.mu[:-1])
        np.testing.assert_array_equal(line["next_mu"][first:last], episode.mu[1:])
        np.testing.assert_array_equal(line["action"][first:last], episode.actions)
        np.testing.assert_array_equal(line["reward"][first:last], episode.rewards)
        np.testing.assert_array_equal(line["next_action"][first : last - 1], episode.actions[1:])
        assert line["has_next"][first:last].tolist() == [1.0] * (len(episode) - 1) + [0.0]
        assert line["done"][first:last].tolist() == [0.0] * (len(episode) - 1) + [float(episode.terminated)]


def test_a_window_is_a_function_of_seed_and_update() -> None:
    first, second = (Streams(Orbits(LENGTHS), ACTIONS, 2, 6, seed=1) for _ in range(2))
    for update in (9, 0, 4):
        for name, array in vars(first.sequences(update)).items():
            np.testing.assert_array_equal(array, vars(second.sequences(update))[name])
    other = Streams(Orbits(LENGTHS), ACTIONS, 2, 6, seed=2)
    assert not np.array_equal(lines(epoch(first), "mu"), lines(epoch(other), "mu"))
    assert not np.array_equal(lines(epoch(first), "mu"), lines(epoch(first, 1), "mu"))


def test_few_episodes_are_taken_several_times() -> None:
    streams = Streams(Orbits([5, 4]), ACTIONS, batch_size=4, sequence_length=8, seed=0)
    window = streams.sequences(0)
    assert repr(window) == "Sequences(streams=4, steps=8, latent_size=4, action_size=2, begins=True)"
    assert window.restart.sum() >= 5


def test_only_the_episodes_asked_for() -> None:
    orbits = Orbits(LENGTHS)
    actions = lines(epoch(Streams(orbits, ACTIONS, 2, 5, seed=0, episodes=[2, 5])), "action").reshape(-1, 2)
    allowed = np.concatenate([orbits.episodes[index].actions for index in (2, 5)])
    assert all((allowed == action).all(1).any() for action in actions)


def test_actions_are_those_that_memory_sees() -> None:
    orbits = Orbits([30])
    window = Streams(orbits, ActionSpec("three-way", 2), 1, 30, seed=0).sequences(0)
    assert window.action.dtype == np.float32
    np.testing.assert_array_equal(window.action[0], ActionSpec("three-way", 2).for_memory(orbits.episodes[0].actions))
    assert set(np.unique(window.action)) == {-1.0, 0.0, 1.0}


def test_reads_what_vision_wrote(tmp_path: Path) -> None:
    orbits = Orbits(LENGTHS)
    entries = tuple(LatentEntry(index, length, 0.0, index % 2 == 1, "") for index, length in enumerate(LENGTHS))
    write_part(part_path(tmp_path, 0), Part("", entries), list(orbits.episodes.values()))
    found, expected = (Streams(source, ACTIONS, 2, 6, seed=0).sequences(2) for source in (Latents(tmp_path), orbits))
    for name, array in vars(expected).items():
        np.testing.assert_array_equal(vars(found)[name], array)


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_step_is_refused(lengths: list[int]) -> None:
    with pytest.raises(ReverieError) as error:
        Streams(Orbits(lengths), ACTIONS, 2, 6, seed=0)
    assert str(error.value) == "Orbits holds no step to train M on; collect episodes and encode them first"


@pytest.mark.parametrize(("every", "held_out"), [(2, [1, 4]), (3, [2]), (6, [])])
def test_split(every: int, held_out: list[int]) -> None:
    training, unseen = split_episodes(Orbits(LENGTHS), every)
    assert unseen == held_out
    assert sorted(training + unseen) == [0, 1, 2, 4, 5]


def test_no_mirror_image_of_a_held_out_episode_is_trained_on() -> None:
    class Mirrored:
        entries = tuple(LatentEntry(index, 3, 0.0, True, "") for index in (-4, -3, -2, -1, 0, 1, 2, 3))

    assert split_episodes(Mirrored(), 2) == ([-3, -1, 0, 2], [1, 3])  # type: ignore[arg-type]


def test_reward_scale_is_the_root_mean_square() -> None:
    orbits = Orbits(LENGTHS)
    rewards = np.concatenate([orbits.episodes[index].rewards for index in (2, 4)]).astype(np.float64)
    assert reward_scale(orbits, [2, 4]) == pytest.approx(np.sqrt((rewards**2).mean()))
    for episode in orbits.episodes.values():
        episode.rewards[:] = 0
    assert reward_scale(orbits, [0, 2]) == 1.0
