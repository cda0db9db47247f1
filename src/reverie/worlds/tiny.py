"""Searchlight, a world of our own for tests and first steps: stay in the wandering light. NumPy only.

A beam 28 pixels wide wanders over a field of 64 columns; a walker at the bottom moves sideways by up to 4 pixels a
step. The reward of a step is how central in the light the walker stands, 1 in the middle, 0 at the edge; outside the
light the episode terminates, and after 100 steps it is truncated.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from reverie.worlds.spec import FRAME_SHAPE, FRAME_SIZE, ActionSpec, WorldSpec
from reverie.worlds.vector import Outcome, WorldVectorEnv

TINY = WorldSpec(name="tiny", actions=ActionSpec("continuous", 1), reward="predicted", max_steps=100)

BEAM_HALF_WIDTH = 14.0
BEAM_SPEEDS = (0.5, 2.5)  # pixels a step
TURN_PROBABILITY = 0.1  # of a new beam velocity, each step
WALKER_SPEED = 4.0
WALKER_HALF_WIDTH = 5.0
MARGIN = 6.0  # neither centre comes nearer to a wall
WALKER_ROWS = slice(40, 60)
NIGHT, LIGHT, WALKER = (np.array(c, np.float32) for c in ((20, 20, 50), (225, 190, 80), (40, 90, 230)))


class Searchlights:
    """n searchlight games at once; each has its own generator, seeded by its episode's seed."""

    def __init__(self, num_envs: int) -> None:
        self.frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._draws = np.zeros((num_envs, TINY.max_steps, 2), np.float32)  # uniform numbers of the whole episode
        self._step = np.zeros(num_envs, np.int64)
        self._beam = np.zeros(num_envs, np.float32)
        self._velocity = np.zeros(num_envs, np.float32)
        self._walker = np.zeros(num_envs, np.float32)

    def reset(self, slot: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._draws[slot] = rng.random(self._draws.shape[1:], np.float32)
        self._step[slot] = 0
        self._beam[slot] = rng.uniform(MARGIN, FRAME_SIZE - MARGIN)
        self._velocity[slot] = _velocity(rng.random(dtype=np.float32))
        near = self._beam[slot] + rng.uniform(-BEAM_HALF_WIDTH / 2, BEAM_HALF_WIDTH / 2)
        self._walker[slot] = np.clip(near, MARGIN, FRAME_SIZE - MARGIN)
        self._draw(np.array([slot]))

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        self._move_beam(slots)
        walker = self._walker[slots] + WALKER_SPEED * actions[:, 0].clip(-1, 1)
        self._walker[slots] = walker.clip(MARGIN, FRAME_SIZE - MARGIN)
        self._draw(slots)
        light = 1 - np.abs(self._walker[slots] - self._beam[slots]) / BEAM_HALF_WIDTH
        return Outcome(light.clip(0).astype(np.float64), light < 0, np.zeros(len(slots), bool), {})

    def replace(self, slot: int) -> None:
        """Nothing here can break."""

    def close(self) -> None:
        """Nothing is held."""

    def _move_beam(self, slots: np.ndarray) -> None:
        turns, where = self._draws[slots, self._step[slots]].T
        velocity = np.where(turns < TURN_PROBABILITY, _velocity(where), self._velocity[slots])
        beam = self._beam[slots] + velocity
        beyond = (beam < MARGIN) | (beam > FRAME_SIZE - MARGIN)
        self._velocity[slots] = np.where(beyond, -velocity, velocity)
        self._beam[slots] = beam.clip(MARGIN, FRAME_SIZE - MARGIN)
        self._step[slots] += 1

    def _draw(self, slots: np.ndarray) -> None:
        """Every column is one colour above and below the walker, so two rows of colours make a frame."""
        light = _cover(self._beam[slots], BEAM_HALF_WIDTH)
        row = NIGHT + light * (LIGHT - NIGHT)
        body = _cover(self._walker[slots], WALKER_HALF_WIDTH)
        frames = np.repeat(row.astype(np.uint8)[:, None], FRAME_SIZE, axis=1)
        frames[:, WALKER_ROWS] = (row + body * (WALKER - row)).astype(np.uint8)[:, None]
        self.frames[slots] = frames


def _velocity(uniform: Any) -> Any:
    """Uniform numbers in [0, 1) to velocities: the sign and a speed within BEAM_SPEEDS."""
    slow, fast = BEAM_SPEEDS
    signed = 2 * uniform - 1
    return np.sign(signed) * (slow + np.abs(signed) * (fast - slow))


def _cover(centre: np.ndarray, half_width: float) -> np.ndarray:
    """The share of each column that [centre - half_width, centre + half_width] covers: float32 [k, 64, 1]."""
    columns = np.arange(FRAME_SIZE, dtype=np.float32) + 0.5
    return (half_width + 0.5 - np.abs(columns - centre[:, None])).clip(0, 1)[:, :, None]


class TinyEnv(gym.Env):
    """The searchlight as a single Gymnasium environment, `reverie/Tiny-v0`."""

    def __init__(self, render_mode: str | None = None) -> None:
        self._worlds = WorldVectorEnv(TINY, Searchlights(1))
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
        self.render_mode = render_mode
        self.observation_space = self._worlds.single_observation_space
        self.action_space = self._worlds.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        frames, _ = self._worlds.reset(seed=int(self.np_random.integers(2**31)))
        return frames[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        frames, rewards, terminated, truncated, _ = self._worlds.step(np.asarray(action, np.float32)[None])
        return frames[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        return self._worlds.render()[0] if self.render_mode == "rgb_array" else None


gym.register(id="reverie/Tiny-v0", entry_point="reverie.worlds.tiny:TinyEnv")
