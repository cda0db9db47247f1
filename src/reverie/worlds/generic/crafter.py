"""Crafter (Hafner, 2021) by its own ids: its package has the interface of before 2022, and no spaces without `gym`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from crafter import Env

ID, CAP = "Crafter{}-v1", 10_000  # the package's own
MAX_SEED = 2**31 - 1


class Crafter(gym.Env):
    """A game of Crafter, made anew for each seed."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(self, reward: bool) -> None:
        self._reward, self._game = reward, Env()
        self.observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self._game.action_names))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._game = Env(reward=self._reward, length=None, seed=int(self.np_random.integers(MAX_SEED)))
        return self._game.reset(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, reward, is_dead, info = self._game.step(action)
        return frame, float(reward), bool(is_dead), False, info


for name, has_reward in (("Reward", True), ("NoReward", False)):
    gym.register(ID.format(name), f"{__name__}:Crafter", max_episode_steps=CAP, kwargs={"reward": has_reward})
