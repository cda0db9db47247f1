"""Any Gymnasium environment as a world: its picture at 64x64, its actions from vectors, its faults in words."""

from __future__ import annotations

import logging
import math
import tempfile
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.worlds.contained import Contained
from reverie.worlds.doom import guard
from reverie.worlds.faults import MIGRATION, ContractError, told
from reverie.worlds.generic.actions import action_spec, to_env_action
from reverie.worlds.generic.opening import close_quietly, open_env
from reverie.worlds.generic.options import split_name
from reverie.worlds.generic.pictures import Painter, Picture
from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import WorldSpec

DEFAULT_MAX_STEPS = 1000
LARGEST_REWARD = float(np.finfo(np.float32).max)  # the store keeps rewards in float32

logger = logging.getLogger("reverie.worlds")


class GenericWorld:
    """One environment `name`; frames are the picture among its observations, else its `rgb_array` renderings.

    An episode's last frame that is black through and through repeats the one before: some show nothing after the end.
    """

    def __init__(self, name: str) -> None:
        gym_id, self._options = split_name(name)
        self._contained = _contained_for(gym_id)
        self.env, picture = open_env(name, gym_id, self._options, self._contained)
        action_spec(name, self.env.action_space)
        self._game = _doom_game(self.env)
        if self._game is not None:
            with told(name), self._contained():
                guard.start(self._game)
        self._picture, self._painter = picture, Painter(None if picture is None else picture.layout)
        self._resize: AreaResize | None = None
        self._shape: tuple[int, ...] = ()
        self._frame = np.zeros((64, 64, 3), np.uint8)

    def reset(self, seed: int) -> np.ndarray:
        with self._contained():
            begun = self.env.reset(seed=self._options.seed(seed))
            if not (isinstance(begun, tuple) and len(begun) == 2 and isinstance(begun[1], dict | None)):
                raise ContractError(
                    f"reset() returned {_kind(begun)}, expected (observation, info): that is the old Gym interface; "
                    f"how to bring it up to date: {MIGRATION}"
                )
            self._frame = self._look(begun[0])
        return self._frame

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        chosen = to_env_action(self.env.action_space, action)
        total = 0.0
        with self._contained():
            for _ in range(self._options.repeat or 1):
                observation, reward, is_over = self._one(chosen)
                total += reward
                if any(is_over):
                    break
            frame = self._look(observation)
        if not (any(is_over) and not frame.any()):
            self._frame = frame
        return self._frame, total, *is_over

    def _one(self, chosen: Any) -> tuple[Any, float, tuple[bool, bool]]:
        """One step of the environment itself: observation, reward, (terminated, truncated)."""
        brought = self.env.step(chosen)
        if not (isinstance(brought, tuple) and len(brought) == 5):
            raise ContractError(
                f"step() returned {_kind(brought)}, expected (observation, reward, terminated, truncated, info); "
                f"of four it is the old Gym interface; how to bring it up to date: {MIGRATION}"
            )
        observation, reward, terminated, truncated, _ = brought
        return observation, _number(reward), (_flag(terminated, "terminated"), _flag(truncated, "truncated"))

    def close(self) -> None:
        with self._contained():
            if self._game is not None:
                guard.stop(self._game)
            self.env.close()

    def _look(self, observation: Any) -> np.ndarray:
        try:
            if self._picture is None:
                image = self._painter(self.env.render())
            else:
                image = self._painter(_found(self._picture, observation))
        except ValueError as error:
            raise ContractError(f"its frame {error}") from error
        if self._resize is None or self._shape != image.shape:
            self._resize, self._shape = AreaResize(*image.shape[:2]), image.shape
        return self._resize(image)


def _found(picture: Picture, observation: Any) -> Any:
    try:
        return picture.find(observation)
    except (KeyError, IndexError, TypeError):
        raise ContractError(
            f"its observation is {_kind(observation)} without {picture.key!r}, which its observation_space has"
        ) from None


def _doom_game(env: gym.Env) -> Any:
    """The game of one of ViZDoom's own ids, a process that would outlive us; None of any other."""
    game = getattr(env.unwrapped, "game", None)
    return game if type(game).__module__.partition(".")[0] == "vizdoom" else None


@cache
def generic_spec(name: str) -> WorldSpec:
    """Open the environment once to learn its actions; its cap is the registered one, else 1,000 steps."""
    gym_id, options = split_name(name)
    contained = _contained_for(gym_id)
    env, picture = open_env(name, gym_id, options, contained)
    try:
        cap = env.spec.max_episode_steps if env.spec is not None else None
        repeat = options.repeat or 1
        cap = math.ceil((cap or DEFAULT_MAX_STEPS) / repeat)
        spec = WorldSpec(name, action_spec(name, env.action_space), "predicted", cap, repeat=repeat)
    finally:
        close_quietly(env, contained)
    if picture is not None and not picture.layout.is_sure:
        logger.warning(
            "world %r: its observations %s are taken as its picture, stretched to black and white; "
            "where they are none, let it draw one (render_mode 'rgb_array')",
            name,
            picture.key or "are numbers in rows and columns and",
        )
    return spec


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="reverie-world-", ignore_cleanup_errors=True)


def _contained_for(gym_id: str) -> Contained:
    """ViZDoom's own ids write into the current folder, which for them is one that goes away."""
    writes = gym_id.startswith(("vizdoom.", "Vizdoom"))
    return Contained(_scratch().name if writes else None)


def _number(reward: Any) -> float:
    """A reward as the number that it is, in arrays of one too."""
    try:
        if reward is None:
            raise TypeError
        values = np.asarray(reward.detach().cpu() if hasattr(reward, "detach") else reward, np.float64)
    except (TypeError, ValueError):
        raise ContractError(f"its reward is {reward!r:.60}, expected a number; have it return one") from None
    if values.size != 1:
        raise ContractError(
            f"its reward is {values.size} numbers, expected one; have it return their sum, or the one that counts"
        )
    value = float(values.reshape(-1)[0])
    if not abs(value) <= LARGEST_REWARD:
        raise ContractError(
            f"its reward is {value}, expected a finite number (below 3.4e38); mend it there, or wrap it in "
            "numpy.nan_to_num, and give the same command again"
        )
    return value


def _flag(value: Any, name: str) -> bool:
    values = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if values.size != 1:
        raise ContractError(f"its {name} is {values.size} values, expected True or False")
    if values.dtype.kind not in "biuf" or values.reshape(-1)[0] not in (0, 1):
        raise ContractError(f"its {name} is {value!r:.60}, expected True or False")
    return bool(values.reshape(-1)[0])


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else type(value).__name__
