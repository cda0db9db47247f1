"""Any Gymnasium environment as a world: its images or renderings at 64x64, its Box or Discrete actions from vectors."""

from __future__ import annotations

import math
import os
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from reverie.errors import ReverieError
from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import ActionSpec, WorldSpec

DEFAULT_MAX_STEPS = 1000


class GenericWorld:
    """One environment `name`; frames are its observations where they are images, else its `rgb_array` renderings.

    Box actions in [-1, 1] are stretched to the box; a dimension without bounds takes them as they are.
    """

    def __init__(self, name: str) -> None:
        self._env = _open(name)
        self._actions = action_spec(name, self._env.action_space)
        self._renders = not is_image(self._env.observation_space)
        self._resize: AreaResize | None = None
        self._shape: tuple[int, ...] = ()

    def reset(self, seed: int) -> np.ndarray:
        observation, _ = self._env.reset(seed=seed)
        return self._look(observation)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        chosen = to_env_action(self._env.action_space, action)
        observation, reward, terminated, truncated, _ = self._env.step(chosen)
        return self._look(observation), float(reward), bool(terminated), bool(truncated)

    def close(self) -> None:
        self._env.close()

    def _look(self, observation: Any) -> np.ndarray:
        image = np.asarray(self._env.render() if self._renders else observation)
        if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"its frame is {image.dtype} {image.shape}, expected uint8 [height, width, 3]")
        if self._resize is None or self._shape != image.shape:
            self._resize, self._shape = AreaResize(*image.shape[:2]), image.shape
        return self._resize(image)


@cache
def generic_spec(name: str) -> WorldSpec:
    """Open the environment once to learn its actions; its cap is the registered one, else 1,000 steps."""
    env = _open(name)
    try:
        cap = env.spec.max_episode_steps if env.spec is not None else None
        return WorldSpec(name, action_spec(name, env.action_space), "predicted", cap or DEFAULT_MAX_STEPS)
    finally:
        env.close()


def action_spec(name: str, space: gym.Space) -> ActionSpec:
    """The action vector for a Box (one tanh a dimension) or Discrete (one-hot) space."""
    if isinstance(space, Discrete):
        return ActionSpec("discrete", int(space.n))
    if isinstance(space, Box):
        return ActionSpec("continuous", math.prod(space.shape))
    raise ReverieError(f"world {name!r} has actions {space}; only Box and Discrete actions can be learned")


def to_env_action(space: gym.Space, action: np.ndarray) -> Any:
    """Our vector float32 [A] as an action of the environment's own space."""
    if isinstance(space, Discrete):
        return space.start + np.int64(action.argmax())
    assert isinstance(space, Box)
    low, high = box_bounds(space)
    stretched = (low + (action.reshape(space.shape).clip(-1, 1) + 1) / 2 * (high - low)).clip(low, high)
    if np.issubdtype(space.dtype, np.integer):
        stretched = np.rint(stretched)
    return stretched.astype(space.dtype)


def box_bounds(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The box's bounds in float64; where it has none on one side or both, an interval of width 2."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    open_low, open_high = ~np.isfinite(low), ~np.isfinite(high)
    new_low = np.where(open_low, np.where(open_high, -1.0, high - 2), low)
    return new_low, np.where(open_high, new_low + 2, high)


def is_image(space: gym.Space) -> bool:
    """Whether observations are uint8 [H, W], [H, W, 1] or [H, W, 3], at least 8 pixels each way."""
    if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return min(space.shape[:2]) >= 8 and (len(space.shape) == 2 or space.shape[2] in (1, 3))


def _open(name: str) -> gym.Env:
    """Make the environment, drawing only where its observations are no images."""
    # SDL would look for a screen and a sound card to draw into memory; the environment's own choice goes first
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    try:
        env = gym.make(name, disable_env_checker=True)
        if is_image(env.observation_space):
            return env
        env.close()
        modes = env.metadata.get("render_modes") or []
        if "rgb_array" in modes:
            return gym.make(name, render_mode="rgb_array", disable_env_checker=True)
    except (gym.error.Error, ImportError) as error:
        raise ReverieError(f"world {name!r} cannot be opened: {error}") from error
    raise ReverieError(
        f"world {name!r} shows no pixels: its observations are {env.observation_space} and its render modes {modes}; "
        "expected uint8 images or render_mode 'rgb_array'"
    )
