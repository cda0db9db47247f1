"""CarRacing-v3: drive around a track seen from above. Two engines draw it: Gymnasium's and EnvPool's."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import FRAME_SHAPE, ActionSpec, WorldSpec
from reverie.worlds.vector import Outcome

if TYPE_CHECKING:
    import gymnasium as gym

CARRACING = WorldSpec(name="carracing", actions=ActionSpec("driving", 3), reward="predicted", max_steps=1000)
SCREEN = 96
VISIBLE_ROWS = 84  # the bottom 12 rows are the dashboard


class CarWorld:
    """Gymnasium's CarRacing-v3: the engine of every published score."""

    def __init__(self) -> None:
        with warnings.catch_warnings():  # where warnings are errors, Box2D's own deprecations crash the interpreter
            warnings.simplefilter("ignore")
            from gymnasium.envs.box2d import CarRacing

        self._env: gym.Env = CarRacing()
        self._resize = AreaResize(VISIBLE_ROWS, SCREEN)

    def reset(self, seed: int) -> np.ndarray:
        screen, _ = self._env.reset(seed=seed)
        return self._resize(screen[:VISIBLE_ROWS])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        screen, reward, terminated, truncated, _ = self._env.step(CARRACING.actions.for_memory(action))
        return self._resize(screen[:VISIBLE_ROWS]), float(reward), terminated, truncated

    def close(self) -> None:
        self._env.close()


class PooledCars:
    """EnvPool's CarRacing-v3, for training: many times faster; drawn without anti-aliasing, other tracks for a seed.

    A pool fixes its seeds when it is built and resets itself, so each slot holds a pool of one which a reset replaces
    (about 0.3 ms): a seed gives the same track in every slot, and finished slots cost nothing.
    """

    def __init__(self, num_envs: int) -> None:
        self.frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._pools: list[Any] = [None] * num_envs
        self._resize = AreaResize(VISIBLE_ROWS, SCREEN)

    def reset(self, slot: int, seed: int) -> None:
        self._pools[slot] = pool = _new_pool(seed)
        screens, _ = pool.reset()
        self.frames[slot] = self._resize(screens[0, :VISIBLE_ROWS])

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        felt = CARRACING.actions.for_memory(actions)
        rewards = np.zeros(len(slots))
        terminated = np.zeros(len(slots), bool)
        for row, slot in enumerate(slots):  # every pool has its own thread: all set out before any is awaited
            self._pools[slot].send(felt[row : row + 1])
        for row, slot in enumerate(slots):
            screens, reward, ended, _, _ = self._pools[slot].recv()
            self.frames[slot] = self._resize(screens[0, :VISIBLE_ROWS])
            rewards[row], terminated[row] = reward[0], ended[0]
        return Outcome(rewards, terminated, np.zeros(len(slots), bool), {})

    def replace(self, slot: int) -> None:
        self._pools[slot] = None

    def close(self) -> None:
        self._pools = [None] * len(self._pools)


def _new_pool(seed: int) -> Any:
    import envpool

    # its own cap lies beyond ours, which is the one that truncates
    pool = envpool.make(
        "CarRacing-v3",
        env_type="gymnasium",
        num_envs=1,
        seed=[seed],
        num_threads=1,
        max_episode_steps=2 * CARRACING.max_steps,
    )
    with warnings.catch_warnings():  # it declares its space in float64 and Gymnasium remarks on it
        warnings.simplefilter("ignore")
        _ = pool.observation_space
    return pool
