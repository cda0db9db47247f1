from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.bench import plain_rollouts
from reverie.bench.plain_rollouts import PlainTask, collect_rate, dream_rate, world_rate
from reverie.controller.config import ControllerConfig
from reverie.memory.config import MemoryConfig
from reverie.worlds.doom import DOOM

LENGTH = 4
TASK = PlainTask(
    DOOM,
    MemoryConfig(4, 1, 8, restart_input=True, done_head=True),
    ControllerConfig(inputs=("z", "c", "h"), bias=False),
    10,
)


class Clock:
    """A world whose episodes last four steps and whose frames count them."""

    opened: list[Clock]

    def __init__(self) -> None:
        self.steps, self.resets, self.closed = 0, 0, False
        Clock.opened.append(self)

    def reset(self, seed: int) -> np.ndarray:
        self.steps, self.resets = 0, self.resets + 1
        return np.zeros((64, 64, 3), np.uint8)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        assert action.shape == (1,)
        self.steps += 1
        return np.full((64, 64, 3), self.steps, np.uint8), 1.0, self.steps == LENGTH

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock.opened = []
    monkeypatch.setitem(plain_rollouts.WORLDS, "doom", Clock)


def test_dream() -> None:
    assert dream_rate(TASK) > 0


def test_world() -> None:
    assert world_rate(TASK) > 0
    (world,) = Clock.opened
    assert (world.resets, world.steps, world.closed) == (3, 2, True)  # 4 + 4 + 2 steps


def test_collecting(tmp_path: Path) -> None:
    assert collect_rate(replace(TASK, folder=tmp_path)) > 0
    kept = [np.load(tmp_path / f"{index}.npz")["frames"] for index in range(3)]
    assert [frames[:, 0, 0, 0].tolist() for frames in kept] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2]]
    assert Clock.opened[0].closed
