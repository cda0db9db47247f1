"""Worlds that misbehave on command."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from reverie.worlds.serial import SerialBackend
from reverie.worlds.spec import FRAME_SHAPE, ActionSpec, WorldSpec
from reverie.worlds.vector import WorldVectorEnv

FAKE = WorldSpec("fake", ActionSpec("continuous", 2), "predicted", max_steps=8)


class CountingWorld:
    """Its frame is filled with seed + steps; it terminates after `ends_at` steps and raises at `dies_at` for a seed."""

    def __init__(self, ends_at: int = 100, dies: dict[int, int] | None = None, truncates_at: int = 100) -> None:
        self.ends_at, self.dies, self.truncates_at = ends_at, dies or {}, truncates_at
        self.simulated = 0
        self.closed = False

    def reset(self, seed: int) -> np.ndarray:
        self.seed, self.steps = seed, 0
        self._die_if_due()
        return self._frame()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self.steps += 1
        self.simulated += 1
        self._die_if_due()
        return self._frame(), float(action.sum()), self.steps >= self.ends_at, self.steps >= self.truncates_at

    def close(self) -> None:
        self.closed = True

    def _die_if_due(self) -> None:
        if self.dies.get(self.seed) == self.steps:
            raise OSError("the engine stopped")

    def _frame(self) -> np.ndarray:
        return np.full(FRAME_SHAPE, (self.seed + self.steps) % 256, np.uint8)


def fake_worlds(num_envs: int, **options: Any) -> tuple[WorldVectorEnv, list[CountingWorld]]:
    """A vector environment of counting worlds, and every one of them that was ever made."""
    made: list[CountingWorld] = []

    def maker() -> CountingWorld:
        made.append(CountingWorld(**options))
        return made[-1]

    return WorldVectorEnv(FAKE, SerialBackend(maker, num_envs), seed=0), made


class SpaceEnv(gym.Env):
    """A Gymnasium environment with given spaces; observations are sampled, the last action is kept."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(
        self, actions: gym.Space, observations: gym.Space, frame: Any = None, render_mode: str | None = None
    ) -> None:
        self.action_space, self.observation_space = actions, observations
        self.frame = np.zeros((20, 30, 3), np.uint8) if frame is None else frame
        self.render_mode = render_mode
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.taken.append(action)
        return self.observation_space.sample(), 1.0, False, False, {}

    def render(self) -> Any:
        return self.frame
