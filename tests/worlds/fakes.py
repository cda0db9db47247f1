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
        return self.frame()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self.steps += 1
        self.simulated += 1
        self._die_if_due()
        return self.frame(), float(action.sum()), self.steps >= self.ends_at, self.steps >= self.truncates_at

    def close(self) -> None:
        self.closed = True

    def _die_if_due(self) -> None:
        if self.dies.get(self.seed) == self.steps:
            raise OSError("the engine stopped")

    def frame(self) -> np.ndarray:
        return np.full(FRAME_SHAPE, (self.seed + self.steps) % 256, np.uint8)


def fake_worlds(num_envs: int, **options: Any) -> tuple[WorldVectorEnv, list[CountingWorld]]:
    """A vector environment of counting worlds, and every one of them that was ever made."""
    made: list[CountingWorld] = []

    def maker() -> CountingWorld:
        made.append(CountingWorld(**options))
        return made[-1]

    return WorldVectorEnv(FAKE, SerialBackend(maker, num_envs), seed=0), made


class SpaceEnv(gym.Env):
    """A Gymnasium environment with given spaces; observations are sampled, the last action is kept.

    faults: fails (what its constructor raises), alone (one a process), most_seeds, begun (what reset returns), reward,
    ends (what its steps say of that), four (step returns as many values)
    """

    open_ones: ClassVar[int] = 0

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(
        self,
        actions: gym.Space,
        observations: gym.Space,
        frame: Any = None,
        render_mode: str | None = None,
        **faults: Any,
    ) -> None:
        if "fails" in faults:
            raise faults["fails"]
        if faults.get("alone") and SpaceEnv.open_ones:
            raise RuntimeError("the engine runs already")
        SpaceEnv.open_ones += bool(faults.get("alone"))
        self.faults = faults
        self.action_space, self.observation_space = actions, observations
        self.frame = np.zeros((20, 30, 3), np.uint8) if frame is None else frame
        self.render_mode = render_mode
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        assert seed is None or seed < self.faults.get("most_seeds", 2**32), f"no scenario {seed}"
        self.observation_space.seed(seed)
        begun: tuple[Any, dict] = self.faults.get("begun", (self.observation_space.sample(), {}))
        return begun

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        self.taken.append(action)
        step = (
            self.observation_space.sample(),
            self.faults.get("reward", 1.0),
            self.faults.get("ends", False),
            False,
            {},
        )
        return step[:4] if self.faults.get("four") else step  # type: ignore[return-value]

    def close(self) -> None:
        SpaceEnv.open_ones -= bool(self.faults.pop("alone", False))

    def render(self) -> Any:
        return self.frame
