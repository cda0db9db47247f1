"""A world whose simulator is a process of its own, to be killed or stopped by whoever finds it.

`tests.chaos.fragile:reverie-tests/Fragile-v0`: the same frames for the same seed and actions, whichever process draws
them. Importing it makes workers lose their patience after seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.workers import patience

WORLD = "tests.chaos.fragile:reverie-tests/Fragile-v0"
SIMULATOR = "reverie-tests-simulator"  # among its process's words, by which it is found
STEPS = 8
PATIENCE = "REVERIE_CHAOS_PATIENCE"  # seconds, in the environment
if patience.IN_WORKER in os.environ:
    patience.CALL_SECONDS = float(os.environ.get(PATIENCE, "10"))

PROGRAM = """
import sys
for line in sys.stdin:
    seed, step = map(int, line.split())
    print((seed * 7919 + step * 104729) % 251, flush=True)
"""


class FragileEnv(gym.Env):
    """A patch moves over a picture as a process far away says."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        command = [sys.executable, "-S", "-E", "-c", PROGRAM, SIMULATOR]
        self._simulator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._seed, self._step = int(self.np_random.integers(2**20)), 0
        return self._look(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._step += 1
        frame = self._look()
        return frame, float(frame.mean() / 255) + float(action[0]), False, False, {}

    def close(self) -> None:
        self._simulator.kill()
        self._simulator.communicate()

    def _look(self) -> np.ndarray:
        assert self._simulator.stdin is not None
        assert self._simulator.stdout is not None
        print(self._seed, self._step, file=self._simulator.stdin, flush=True)
        answer = self._simulator.stdout.readline()
        if not answer:
            raise ConnectionError("the simulator is gone")
        frame = np.full((64, 64, 3), int(answer), np.uint8)
        frame[:, : 8 * self._step + 1] = 255 - int(answer)
        return frame


gym.register(id="reverie-tests/Fragile-v0", entry_point=FragileEnv, max_episode_steps=STEPS)
