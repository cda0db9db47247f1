"""The front of every world: seeds, masks, caps, frozen ends, deaths, and what it refuses."""

from __future__ import annotations

import logging
import pickle
import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from reverie.errors import ReverieError
from reverie.worlds.vector import WorldDiedError, next_seed

from .fakes import fake_worlds


def actions(num_envs: int, value: float = 0.5) -> np.ndarray:
    return np.full((num_envs, 2), value, np.float32)


def test_spaces_and_mode() -> None:
    worlds, _ = fake_worlds(3)
    assert worlds.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert worlds.observation_space.shape == (3, 64, 64, 3)
    assert worlds.single_action_space.shape == (2,)
    assert (worlds.single_action_space.low == -1).all()
    frames, infos = worlds.reset(seed=5)
    assert frames in worlds.observation_space
    assert infos["seeds"].tolist() == [5, 6, 7]


def test_an_int_seeds_the_slots_in_turn() -> None:
    worlds, _ = fake_worlds(3)
    frames, _ = worlds.reset(seed=5)
    assert frames[:, 0, 0, 0].tolist() == [5, 6, 7]


def test_make_seed_decides_the_drawn_seeds() -> None:
    firsts = []
    for _ in range(2):
        worlds, made = fake_worlds(2)
        worlds.reset()
        worlds.reset()
        firsts.append([world.seed for world in made])
    assert firsts[0] == firsts[1]
    assert firsts[0][0] != firsts[0][1]


def test_a_mask_resets_only_its_slots_with_their_own_seeds() -> None:
    worlds, made = fake_worlds(3)
    worlds.reset(seed=[10, 20, 30])
    worlds.step(actions(3))
    frames, _ = worlds.reset(seed=[None, 50, None], options={"reset_mask": np.array([False, True, False])})
    assert frames[:, 0, 0, 0].tolist() == [11, 50, 31]
    frames, *_ = worlds.step(actions(3))
    assert frames[:, 0, 0, 0].tolist() == [12, 51, 32]
    assert [world.seed for world in made] == [10, 50, 30]


def test_the_cap_truncates() -> None:
    worlds, _ = fake_worlds(1)
    worlds.reset(seed=0)
    flags = [worlds.step(actions(1))[2:4] for _ in range(8)]
    assert not any(terminated[0] for terminated, _ in flags)
    assert [bool(truncated[0]) for _, truncated in flags] == [False] * 7 + [True]


def test_an_end_at_the_cap_is_an_end() -> None:
    worlds, _ = fake_worlds(1, ends_at=8, truncates_at=8)
    worlds.reset(seed=0)
    for _ in range(8):
        _, _, terminated, truncated, _ = worlds.step(actions(1))
    assert (terminated[0], truncated[0]) == (True, False)


def test_the_worlds_own_truncation_passes_through() -> None:
    worlds, _ = fake_worlds(1, truncates_at=3)
    worlds.reset(seed=0)
    truncations = [bool(worlds.step(actions(1))[3][0]) for _ in range(3)]
    assert truncations == [False, False, True]


def test_finished_slots_are_frozen_and_not_simulated() -> None:
    worlds, made = fake_worlds(2, ends_at=3)
    worlds.reset(seed=[0, 100])
    for _ in range(2):
        worlds.step(actions(2))
    worlds.reset(seed=[None, 200], options={"reset_mask": np.array([False, True])})
    last, rewards, terminated, _, _ = worlds.step(actions(2))
    assert terminated.tolist() == [True, False]
    frames, rewards, terminated, truncated, _ = worlds.step(actions(2))
    assert frames[0, 0, 0, 0] == last[0, 0, 0, 0] == 3
    assert rewards.tolist() == [0.0, 1.0]
    assert (terminated.tolist(), truncated.tolist()) == ([True, False], [False, False])
    assert made[0].simulated == 3


def test_returned_arrays_belong_to_the_caller() -> None:
    worlds, _ = fake_worlds(1)
    before, _ = worlds.reset(seed=1)
    frames, _, terminated, truncated, _ = worlds.step(actions(1))
    assert before[0, 0, 0, 0] == 1
    frames[:] = 99
    terminated[:] = truncated[:] = True
    assert worlds.render()[0][0, 0, 0] == 2
    assert worlds.step(actions(1))[0][0, 0, 0, 0] == 3


def test_a_death_is_logged_flagged_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    worlds, made = fake_worlds(2, dies={7: 2})
    worlds.reset(seed=[7, 100])
    assert not worlds.step(actions(2))[4]["died"].any()
    with caplog.at_level(logging.WARNING, "reverie.worlds"):
        frames, rewards, terminated, truncated, infos = worlds.step(actions(2))
    assert infos["died"].tolist() == [True, False]
    assert rewards.tolist() == [0.0, 1.0]
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
    assert frames[0, 0, 0, 0] == 8  # its last frame
    assert [record.message for record in caplog.records] == [
        "world 'fake' with seed 7 died at step 2: OSError: the engine stopped; a fresh one takes its place"
    ]
    assert made[0].closed
    assert len(made) == 3
    assert not worlds.step(actions(2))[4]["died"].any()
    frames, _ = worlds.reset(seed=[9, None], options={"reset_mask": np.array([True, False])})
    assert frames[0, 0, 0, 0] == 9


def test_a_death_in_reset_is_tried_once_more() -> None:
    worlds, made = fake_worlds(1)
    made[0].dies = {3: 0}
    frames, _ = worlds.reset(seed=3)
    assert frames[0, 0, 0, 0] == 3
    assert made[0].closed


def test_a_seed_that_always_dies_gives_way_to_the_next(caplog: pytest.LogCaptureFixture) -> None:
    worlds, _ = fake_worlds(1, dies={3: 0, 4: 0})
    with caplog.at_level(logging.WARNING, "reverie.worlds"):
        frames, infos = worlds.reset(seed=3)
    assert (frames[0, 0, 0, 0], infos["seeds"].tolist()) == (5, [5])
    assert caplog.records[1].message == (
        "world 'fake' with seed 3 died at step 0: OSError: the engine stopped; the next seed takes its place"
    )
    caplog.clear()
    assert worlds.reset(seed=3)[1]["seeds"].tolist() == [5]
    assert not caplog.records  # it is not tried again


def test_a_seed_that_dies_twice_on_the_way_gives_way_too() -> None:
    worlds, _ = fake_worlds(1, dies={3: 1})
    for _ in range(2):
        assert worlds.reset(seed=3)[1]["seeds"].tolist() == [3]
        assert worlds.step(actions(1))[4]["died"].all()
    assert worlds.reset(seed=3)[1]["seeds"].tolist() == [4]
    assert not worlds.step(actions(1))[4]["died"].any()


def test_the_next_seed_stays_on_its_side() -> None:
    assert [next_seed(seed) for seed in (0, 2**30 - 1, 2**30, 2**31 - 1)] == [1, 0, 2**30 + 1, 2**30]


def test_a_world_that_dies_with_every_seed_raises() -> None:
    worlds, _ = fake_worlds(1, dies=dict.fromkeys(range(20), 0))
    with pytest.raises(WorldDiedError) as caught:
        worlds.reset(seed=3)
    assert str(caught.value) == (
        "world 'fake' with seed 10 died at step 0: OSError: the engine stopped; so did the 7 seeds before: check that "
        "it runs by itself; where it has only so many seeds, say how many: --world.seeds 100"
    )


def test_sys_exit_is_a_death() -> None:
    worlds, made = fake_worlds(1)
    worlds.reset(seed=3)
    made[0].step = lambda action: sys.exit(0)  # type: ignore[method-assign]
    assert worlds.step(actions(1))[4]["died"].all()
    assert not worlds.step(actions(1))[4]["died"].any()


def test_a_reward_that_is_no_number_is_refused_with_seed_and_step() -> None:
    worlds, made = fake_worlds(2)
    worlds.reset(seed=3)
    made[1].step = lambda action: (made[1].frame(), float("nan"), False, False)  # type: ignore[method-assign]
    message = r"^world 'fake' with seed 4, step 1: its reward is nan, expected a finite number$"
    with pytest.raises(ReverieError, match=message):
        worlds.step(actions(2))


def test_a_finished_episode_forgives_deaths() -> None:
    worlds, _ = fake_worlds(1, dies={3: 1}, ends_at=2)
    for seed in (3, 3, 0, 3, 3):
        worlds.reset(seed=seed)
        worlds.step(actions(1))
        worlds.step(actions(1))


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(WorldDiedError("doom", 4, 17, "gone")))
    assert str(error) == "world 'doom' with seed 4 died at step 17: gone"
    assert isinstance(error, RuntimeError)


def test_close_closes_every_world_once() -> None:
    worlds, made = fake_worlds(2)
    worlds.close()
    worlds.close()
    assert all(world.closed for world in made)


NAN_ACTIONS = actions(2)
NAN_ACTIONS[1, 0] = np.nan

REFUSED_ACTIONS: list[tuple[Any, str]] = [
    (np.zeros((2, 3), np.float32), "actions are float32 (2, 3), expected float32 (2, 2)"),
    (np.zeros(2, np.float32), "actions are float32 (2,), expected float32 (2, 2)"),
    (np.zeros((2, 2), np.int64), "actions are int64 (2, 2), expected float32 (2, 2)"),
    (NAN_ACTIONS, "actions hold NaN or infinity in sub-environments [1]; expected values in [-1, 1]"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED_ACTIONS)
def test_refused_actions(wrong: Any, message: str) -> None:
    worlds, _ = fake_worlds(2)
    worlds.reset(seed=0)
    with pytest.raises(ReverieError) as caught:
        worlds.step(wrong)
    assert str(caught.value) == message


REFUSED_RESETS: list[tuple[dict[str, Any], str]] = [
    ({"seed": [1]}, "got 1 seeds for 2 sub-environments; give one each, or one int"),
    ({"seed": [1, -1]}, "seed -1 is out of range; expected 0 <= seed < 2**32"),
    ({"seed": 2**32}, "seed 4294967296 is out of range; expected 0 <= seed < 2**32"),
    ({"options": {"reset_mask": np.ones(3, bool)}}, "reset_mask is bool (3,), expected bool (2,)"),
    ({"options": {"reset_mask": np.ones(2)}}, "reset_mask is float64 (2,), expected bool (2,)"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED_RESETS)
def test_refused_resets(arguments: dict[str, Any], message: str) -> None:
    worlds, _ = fake_worlds(2)
    with pytest.raises(ReverieError) as caught:
        worlds.reset(**arguments)
    assert str(caught.value) == message


def test_step_before_reset_is_refused() -> None:
    worlds, _ = fake_worlds(2)
    worlds.reset(seed=1, options={"reset_mask": np.array([True, False])})
    with pytest.raises(ReverieError, match=r"^step before reset in sub-environments \[1\]; call reset first$"):
        worlds.step(actions(2))
