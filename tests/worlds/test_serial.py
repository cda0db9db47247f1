"""Single worlds behind one backend: who is stepped, who is lost, who is closed."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.worlds.serial import SerialBackend

from .fakes import CountingWorld


class StubbornWorld(CountingWorld):
    def close(self) -> None:
        super().close()
        raise OSError("already gone")


def test_only_the_given_slots_are_stepped() -> None:
    made = [CountingWorld() for _ in range(3)]
    backend = SerialBackend(iter(made).__next__, 3)
    for slot in range(3):
        backend.reset(slot, 10 * slot)
    outcome = backend.step(np.array([0, 2]), np.array([[1, 2], [3, 4]], np.float32))
    assert outcome.rewards.tolist() == [3, 7]
    assert backend.frames[:, 0, 0, 0].tolist() == [1, 10, 21]
    assert [world.simulated for world in made] == [1, 0, 1]


def test_one_loss_does_not_stop_the_others() -> None:
    made = [CountingWorld(dies={0: 1}), CountingWorld()]
    backend = SerialBackend(iter(made).__next__, 2)
    backend.reset(0, 0)
    backend.reset(1, 5)
    outcome = backend.step(np.array([0, 1]), np.ones((2, 2), np.float32))
    assert list(outcome.lost) == [0]
    assert str(outcome.lost[0]) == "the engine stopped"
    assert outcome.rewards.tolist() == [0, 2]


def test_a_world_that_cannot_even_be_closed_is_replaced() -> None:
    made = [StubbornWorld(), CountingWorld()]
    backend = SerialBackend(iter(made).__next__, 1)
    backend.replace(0)
    backend.reset(0, 4)
    assert made[0].closed
    assert backend.frames[0, 0, 0, 0] == 4


def test_worlds_already_made_are_closed_where_making_fails() -> None:
    made = [CountingWorld(), CountingWorld()]
    with pytest.raises(StopIteration):
        SerialBackend(iter(made).__next__, 3)
    assert all(world.closed for world in made)


def test_ctrl_c_is_no_loss() -> None:
    class Interrupted(CountingWorld):
        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
            raise KeyboardInterrupt

    backend = SerialBackend(Interrupted, 1)
    backend.reset(0, 0)
    with pytest.raises(KeyboardInterrupt):
        backend.step(np.array([0]), np.ones((1, 2), np.float32))
