"""A first look at a world: what it says of it, and what it finds suspicious."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from reverie.worlds.check import check_world, in_words
from reverie.worlds.spec import ActionSpec


class Strip(gym.Env):
    """A bar that moves as told; `fault` says what it does wrong."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gym.spaces.Discrete(3)

    def __init__(self, fault: str = "", render_mode: str | None = None) -> None:
        self.fault = fault

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.x = int(np.random.default_rng(None if self.fault == "seed" else seed).integers(10, 50))
        return self._look(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.x += 0 if self.fault == "still" else 1 if self.fault == "deaf" else action
        return self._look(), 0.0 if self.fault == "poor" else float(self.x), self.fault == "short", False, {}

    def _look(self) -> np.ndarray:
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[:, self.x % 60 : self.x % 60 + 4] = 255
        return picture


@pytest.fixture
def strip() -> Iterator[Callable[[str], str]]:
    """Register a strip with a fault; gives its id."""
    ids = []

    def add(fault: str) -> str:
        ids.append(f"Strip{fault}-v0")
        gym.register(ids[-1], entry_point=Strip, kwargs={"fault": fault}, max_episode_steps=50)
        return ids[-1]

    yield add
    for name in ids:
        gym.registry.pop(name)


def test_a_sound_world_is_described(strip: Callable[[str], str]) -> None:
    found = check_world(strip(""))
    assert found.doubts == ()
    assert found.picture().shape == (256, 516, 3)
    lines = list(found.lines())
    assert lines[0] == "actions    one of 3 (3 outputs of C)"
    assert lines[2] == "cap        50 steps an episode"


DOUBTS = {
    "still": "its frames never change",
    "deaf": "other actions gave the same frames",
    "poor": "every step brought 0",
    "short": "the episode was over after one step",
}


@pytest.mark.parametrize("fault", DOUBTS)
def test_what_is_suspicious_is_said(fault: str, strip: Callable[[str], str]) -> None:
    assert any(doubt.startswith(DOUBTS[fault]) for doubt in check_world(strip(fault)).doubts)


def test_a_world_that_does_not_heed_its_seed_is_found(strip: Callable[[str], str]) -> None:
    assert any("seed all of its randomness" in doubt for doubt in check_world(strip("seed")).doubts)


def test_actions_in_words() -> None:
    assert in_words(ActionSpec("three-way", 1)) == "left, stay or right"
    assert in_words(ActionSpec("continuous", 2)) == "2 numbers (2 outputs of C)"
    assert in_words(ActionSpec("mixed", 6, (3, 2, 1))) == "one of 3 and one of 2 and 1 number (6 outputs of C)"
