"""The contract that a dream and a world seen through V and M share, and the Gymnasium VectorEnv over either.

Training, scoring and filming know `FeatureEnv` alone: none of them asks which of the two it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.controller.model import one_hot_argmax
from reverie.controller.senses import Expectation, features
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.worlds.spec import WorldSpec

Place = Literal["dream", "world"]
SEEDS = 2**31


class Observation(NamedTuple):
    """What C may see in n rows: z [n, Nz], M's state h and c [n, H] from before z is absorbed, and M's heads for C."""

    z: Tensor
    state: LSTMState
    expectation: Expectation | None = None

    def features(self, config: ControllerConfig) -> Tensor:
        """C's features, float32 [n, F]."""
        return features(config, self.z, self.state, self.expectation).float()


class Step(NamedTuple):
    """What a step brought to n rows.

    reward: float [n]; terminated, truncated: bool [n], truncated None where only a cap outside cuts episodes off
    died: bool [n], the row's environment was lost and the episode does not count; None: this cannot happen
    ending: the chance that the step ended the episode, float32 [n]; None where it is not known
    penalty: what the step costs a C that learns, beyond its reward, float32 [n]; None: nothing
    """

    reward: Tensor
    terminated: Tensor
    truncated: Tensor | None = None
    died: Tensor | None = None
    ending: Tensor | None = None
    penalty: Tensor | None = None


class FeatureEnv(Protocol):
    """Episodes in rows side by side. A row whose episode is over is either begun anew or left out by `keep`."""

    num_envs: int
    spec: WorldSpec
    place: Place
    temperature: float | None

    def begin(self, rows: Tensor, seeds: Sequence[int]) -> None:
        """Start the episodes of `seeds` in `rows` (int64 [k]). An episode is a function of its seed."""

    def observe(self) -> Any:
        """What is seen in every row: an `Observation`, or frames in a world that nobody looks at through V."""

    def step(self, actions: Tensor) -> Step:
        """One step of every row with C's actions float32 [n, A]."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (int64 [k]) alone, in this order."""


class FeatureVectorEnv(VectorEnv):
    """A `FeatureEnv` as a Gymnasium VectorEnv: observations are C's features, float32 [n, F].

    Nothing resets by itself. A finished sub-environment waits: stepping it gives its last observation and no reward.
    """

    def __init__(
        self,
        make_env: Callable[[], FeatureEnv],
        config: ControllerConfig,
        feature_size: int,
        max_steps: int | None = None,
        seed: int | None = None,
        render: Callable[[FeatureEnv], Any] | None = None,
        fps: int = 35,
    ) -> None:
        """make_env: opens the env, and again where somebody wants to play in one of the same kind (`fresh`).

        max_steps: after which an episode is truncated; None: the env's own cap alone

        seed: as if the first `reset` had it (None: the system's entropy); render: gives the frames of an env's rows
        """
        self.metadata = {
            "autoreset_mode": AutoresetMode.DISABLED,
            "render_modes": ["rgb_array"] if render else [],
            "render_fps": fps,
        }
        self.env = env = make_env()
        self.num_envs, self.world_spec, self.max_steps = env.num_envs, env.spec, max_steps
        self.fresh = make_env
        self.render_mode = "rgb_array" if render else None
        self._config, self._render = config, render
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (feature_size,), np.float32)
        self.single_action_space = gym.spaces.Box(-1, 1, (env.spec.actions.size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._seeds = [EpisodeSeeds(each) for each in seeds_of(seed, self.num_envs)]
        self._features = np.zeros((self.num_envs, feature_size), np.float32)
        self._steps = np.zeros(self.num_envs, np.int64)
        self._terminated, self._truncated = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, bool)
        self._begun = np.zeros(self.num_envs, bool)

    @torch.inference_mode()
    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes, in all sub-environments or where `options["reset_mask"]` (bool [n]) is true.

        seed: one for each sub-environment, or the first of n consecutive ones; None goes on with each one's own.
        """
        mask, given = self._reset_mask(options), seeds_of(seed, self.num_envs)
        rows = np.flatnonzero(mask).tolist()
        for row in rows:
            if given[row] is not None:
                self._seeds[row] = EpisodeSeeds(given[row])
        if rows:
            self.env.begin(torch.tensor(rows), [self._seeds[row].next() for row in rows])
        self._begun |= mask
        self._steps[mask], self._terminated[mask], self._truncated[mask] = 0, False, False
        self._look(mask)
        return self._features.copy(), {}

    @torch.inference_mode()
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every unfinished episode with C's actions float32 [n, A]; one-hot is made of the largest."""
        self._check(np.shape(actions))
        live = ~(self._terminated | self._truncated)
        action = torch.as_tensor(np.asarray(actions, np.float32))
        action = self.world_spec.actions.by_part(action, one_hot_argmax, lambda numbers: numbers)
        step = self.env.step(action)
        self._steps += live
        self._terminated |= live & _array(step.terminated)
        over = self._steps >= (np.inf if self.max_steps is None else self.max_steps)
        truncated = over if step.truncated is None else over | _array(step.truncated)
        self._truncated |= live & ~self._terminated & truncated
        self._look(live)
        reward = (_array(step.reward) * live).astype(np.float64)
        died = np.zeros(self.num_envs, bool) if step.died is None else live & _array(step.died)
        return self._features.copy(), reward, self._terminated.copy(), self._truncated.copy(), {"died": died}

    def render(self) -> Any:
        """Each sub-environment's frame, uint8 [64, 64, 3]; None where nothing draws them."""
        return None if self._render is None else tuple(self._render(self.env))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the world, where there is one."""
        close = getattr(self.env, "close", None)
        if close is not None:
            close()

    def _look(self, rows: np.ndarray) -> None:
        self._features[rows] = self.env.observe().features(self._config).numpy(force=True)[rows]

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ReverieError(f"reset_mask is {mask.dtype} {mask.shape}, expected bool ({self.num_envs},)")
        return mask

    def _check(self, shape: tuple[int, ...]) -> None:
        if not self._begun.all():
            raise ReverieError("the episodes have not begun; call reset before step")
        if shape != self.action_space.shape:
            raise ReverieError(f"actions have shape {shape}, expected {self.action_space.shape}")


class EpisodeSeeds:
    """The seeds of a sub-environment's episodes: first the one that it was given, then its own generator's."""

    def __init__(self, seed: int | None) -> None:
        self._first, self._rng = seed, np.random.default_rng(seed)

    def next(self) -> int:
        """The seed of the next episode."""
        seed, self._first = self._first, None
        return int(self._rng.integers(SEEDS)) if seed is None else seed


def seeds_of(seed: int | Sequence[int | None] | None, num_envs: int) -> Sequence[int | None]:
    """A seed (or None) for each sub-environment, from one for each, or from the first of consecutive ones."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return [int(seed) + index for index in range(num_envs)]
    if len(seed) != num_envs:
        raise ReverieError(f"reset got {len(seed)} seeds for {num_envs} sub-environments; expected one for each")
    return seed


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.numpy(force=True)
    return array
