"""The agent: V sees, M remembers, C acts; and a real world seen through V and M."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.controller.model import Controller
from reverie.controller.senses import AgentState, Senses, features
from reverie.errors import ReverieError
from reverie.workers.seeds import generator, training_seeds
from reverie.worlds.spec import WorldSpec

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.model import ConvVAE

__all__ = ["Agent", "AgentState", "SeenWorld", "features"]


class Agent:
    """V, M and C as one: frames in, actions out, the state explicit."""

    def __init__(
        self,
        vision: ConvVAE,
        memory: MDNRNN | None,
        controller: Controller,
        params: np.ndarray,
        spec: WorldSpec,
    ) -> None:
        self.senses = Senses(vision, memory, controller.config, spec.actions)
        if controller.feature_size != self.senses.feature_size:
            raise ReverieError(
                f"the controller reads {controller.feature_size} features, but V and M give "
                f"{self.senses.feature_size}; take the V and M that it was trained with"
            )
        self.controller, self.spec = controller, spec
        self.params = torch.as_tensor(np.asarray(params, np.float32), device=self.senses.device)[None]  # [1, n]
        controller.check(self.params)

    def __repr__(self) -> str:
        return f"Agent({self.spec.name}, {self.controller!r}, sample_z={self.senses.config.sample_z})"

    def initial(self, n: int) -> AgentState:
        """The state of n agents whose episodes start."""
        return self.senses.initial(n)

    @torch.inference_mode()
    def act(
        self, state: AgentState, frames: np.ndarray, noise: np.ndarray | None = None
    ) -> tuple[np.ndarray, AgentState]:
        """Actions float32 [n, A] on uint8 frames [n, 64, 64, 3], and the next state.

        noise: standard normal float32 [n, Nz], needed where z is sampled.
        """
        z = self.senses.see(frames, noise)
        actions = self.controller.act(self.params, self.senses.features(state, z)[None])[0]
        return actions.cpu().numpy(), self.senses.follow(state, z, actions)


class SeenWorld(VectorEnv):
    """A world of frames as a world of C's features, float32 [n, F]: what a dream is too.

    The noise of an episode's z is a function of (`seed`, the episode's own seed), so an episode is the same in any
    sub-environment. Nothing resets by itself; a finished sub-environment waits for a reset, as in `WorldVectorEnv`.
    """

    def __init__(self, world: VectorEnv, senses: Senses, seed: int) -> None:
        self.world, self.senses = world, senses
        self.num_envs = world.num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self.single_action_space, self.action_space = world.single_action_space, world.action_space
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (senses.feature_size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._seed, self._resets = seed, 0
        self._state = senses.initial(self.num_envs)
        self._z = torch.zeros(self.num_envs, senses.latent_size, device=senses.device)
        self._noise = [generator(seed, "z", 0)] * self.num_envs
        self._live = np.zeros(self.num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes, in all sub-environments or where `options["reset_mask"]` (bool [n]) is true.

        seed: one for each sub-environment, or the first of n consecutive ones; None draws from the world's own root.
        """
        seeds = self._episode_seeds(seed)
        frames, infos = self.world.reset(seed=seeds, options=options)  # type: ignore[arg-type]
        mask = (options or {}).get("reset_mask")
        mask = np.ones(self.num_envs, bool) if mask is None else np.asarray(mask)
        for index in np.flatnonzero(mask):
            self._noise[index] = generator(self._seed, "z", seeds[index])
        self._state = self._state.restarted(mask)
        self._live |= mask
        self._see(frames, np.flatnonzero(mask))
        return self._features(), infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every live sub-environment with C's actions float32 [n, A]."""
        live = np.flatnonzero(self._live)
        frames, rewards, terminated, truncated, infos = self.world.step(actions)
        self._follow(actions, live)
        self._see(frames, live)
        self._live &= ~(terminated | truncated)
        return self._features(), rewards, terminated, truncated, infos

    def render(self) -> Any:
        """The world's own picture."""
        return self.world.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Close the world."""
        self.world.close(**kwargs)

    def _episode_seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        self._resets += 1
        drawn = training_seeds(self._seed, "reset", self._resets, count=self.num_envs)
        if seed is None:
            return drawn
        if isinstance(seed, int | np.integer):
            return [int(seed) + index for index in range(self.num_envs)]
        return [spare if given is None else int(given) for given, spare in zip(seed, drawn, strict=True)]

    def _see(self, frames: np.ndarray, rows: np.ndarray) -> None:
        if len(rows):
            noise = [self._noise[row].standard_normal(self.senses.latent_size, np.float32) for row in rows]
            z = self.senses.see(frames[rows], np.stack(noise))
            self._z = self._z.index_copy(0, torch.as_tensor(rows, device=z.device), z)

    def _follow(self, actions: np.ndarray, rows: np.ndarray) -> None:
        index = torch.as_tensor(rows, device=self.senses.device)
        taken = torch.as_tensor(np.asarray(actions, np.float32)[rows], device=self.senses.device)
        followed = self.senses.follow(self._state.rows(index), self._z[index], taken)
        self._state = self._state.replaced(index, followed)

    def _features(self) -> np.ndarray:
        return self.senses.features(self._state, self._z).cpu().numpy()
