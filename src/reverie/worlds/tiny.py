"""Follow, a world of our own for tests and first steps. NumPy only.

Two bars grow from the left: the golden one above wanders, the blue one below is the agent's and moves by up to 4 pixels
a step. The reward of a step is how well the two ends agree, 1 when level, 0 at 20 pixels apart; further apart the
episode terminates, and after 100 steps it is truncated. The golden bar keeps its speed for 10 steps on average, so
who remembers it can be ahead of it.

Scores, mean and standard deviation over 1,000 episodes: random actions 18 ± 16, the best blind policy found 19 ± 18 (it
stands still; a search over open-loop sequences found no better), an oracle that
moves to where the golden bar is 93 ± 1, one that knows its speed too 99 ± 1, tanh((target - agent) / 10) 84 ± 3.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from reverie.worlds.spec import FRAME_SHAPE, FRAME_SIZE, ActionSpec, WorldSpec
from reverie.worlds.vector import Outcome, WorldVectorEnv

TINY = WorldSpec(name="tiny", actions=ActionSpec("continuous", 1), reward="predicted", max_steps=100)

REACH = 20.0  # pixels between the two ends at which all is lost
AGENT_SPEED = 4.0  # pixels a step
TARGET_SPEEDS = (0.5, 2.5)
TURN_PROBABILITY = 0.1  # of a new target velocity, each step
SHORTEST, LONGEST = 6.0, FRAME_SIZE - 6.0
EDGE = 8.0  # pixels over which a bar's end fades: a length that is easy to read off and to encode
NIGHT, GOLD, BLUE = (np.array(colour, np.float32) for colour in ((20, 20, 50), (225, 190, 80), (40, 110, 230)))
COLUMNS = np.arange(FRAME_SIZE, dtype=np.float32) + 0.5


class FollowGames:
    """n games at once; everything random in an episode is drawn from its seed when it begins."""

    def __init__(self, num_envs: int) -> None:
        self.frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._turns = np.zeros((num_envs, TINY.max_steps), bool)
        self._velocities = np.zeros((num_envs, TINY.max_steps), np.float32)
        self._step = np.zeros(num_envs, np.int64)
        self._velocity = np.zeros(num_envs, np.float32)
        self.target = np.zeros(num_envs, np.float32)
        self.agent = np.zeros(num_envs, np.float32)

    def reset(self, slot: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        steps = TINY.max_steps
        self._turns[slot] = rng.random(steps) < TURN_PROBABILITY
        self._velocities[slot] = rng.uniform(*TARGET_SPEEDS, steps) * rng.choice((-1, 1), steps)
        self._step[slot] = 0
        self._velocity[slot] = rng.uniform(*TARGET_SPEEDS) * rng.choice((-1, 1))
        self.target[slot] = rng.uniform(SHORTEST, LONGEST)
        self.agent[slot] = np.clip(self.target[slot] + rng.uniform(-REACH / 2, REACH / 2), SHORTEST, LONGEST)
        self._draw(np.array([slot]))

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        self._move_target(slots)
        moved = self.agent[slots] + AGENT_SPEED * actions[:, 0].clip(-1, 1)
        self.agent[slots] = moved.clip(SHORTEST, LONGEST)
        self._draw(slots)
        closeness = 1 - np.abs(self.agent[slots] - self.target[slots]).astype(np.float64) / REACH
        return Outcome(closeness.clip(0), closeness < 0, np.zeros(len(slots), bool), {})

    def replace(self, slot: int) -> None:
        """Nothing here can break."""

    def close(self) -> None:
        """Nothing is held."""

    def _move_target(self, slots: np.ndarray) -> None:
        steps = self._step[slots]
        velocity = np.where(self._turns[slots, steps], self._velocities[slots, steps], self._velocity[slots])
        moved = self.target[slots] + velocity
        beyond = (moved < SHORTEST) | (moved > LONGEST)
        self._velocity[slots] = np.where(beyond, -velocity, velocity)
        self.target[slots] = moved.clip(SHORTEST, LONGEST)
        self._step[slots] += 1

    def _draw(self, slots: np.ndarray) -> None:
        above, below = _bar(self.target[slots], GOLD), _bar(self.agent[slots], BLUE)
        self.frames[slots, : FRAME_SIZE // 2] = above[:, None]
        self.frames[slots, FRAME_SIZE // 2 :] = below[:, None]


def _bar(length: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """One row of pixels a game, in `colour` up to about `length` [k]: uint8 [k, 64, 3]."""
    filled = ((length[:, None] - COLUMNS) / EDGE + 0.5).clip(0, 1)[:, :, None]
    return (NIGHT + filled * (colour - NIGHT)).astype(np.uint8)


class TinyEnv(gym.Env):
    """The game as a single Gymnasium environment, `reverie/Tiny-v0`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(self, render_mode: str | None = None) -> None:
        self._worlds = WorldVectorEnv(TINY, FollowGames(1))
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


gym.register(id="reverie/Tiny-v0", entry_point="reverie.worlds.tiny:TinyEnv", max_episode_steps=TINY.max_steps)
