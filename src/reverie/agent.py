"""The agent: V sees, M remembers, C acts; and a real world seen through V and M."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from reverie.controller.model import Controller
from reverie.controller.senses import AgentState, Senses, features
from reverie.errors import ReverieError
from reverie.feature_env import FeatureVectorEnv, Observation, Place, Step
from reverie.workers.seeds import generator
from reverie.worlds.spec import FRAME_SHAPE, WorldSpec

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.vision.model import ConvVAE

__all__ = ["Agent", "AgentState", "FrameWorld", "SeenWorld", "features", "seen_vector_env"]


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
        self,
        state: AgentState,
        frames: np.ndarray,
        noise: np.ndarray | None = None,
        change: Callable[[np.ndarray], None] | None = None,
    ) -> tuple[np.ndarray, AgentState]:
        """Actions float32 [n, A] on uint8 frames [n, 64, 64, 3], and the next state: V sees, C acts, M follows.

        noise: standard normal float32 [n, Nz], needed where z is sampled
        change: alters the actions in place before they are taken
        """
        z = self.senses.see(frames, noise)
        features = self.senses.features(state, z)
        actions = self.controller.act(self.params, features[None])[0].cpu().numpy().copy()
        if change is not None:
            change(actions)
        return actions, self.senses.follow(state, z, torch.from_numpy(actions).to(z.device))


class FrameWorld:
    """A world as a `FeatureEnv` that nobody looks at through V: `observe` gives its frames, uint8 [n, 64, 64, 3]."""

    place: Place = "world"
    temperature: float | None = None

    def __init__(self, world: VectorEnv) -> None:
        self.world, self.num_envs = world, world.num_envs
        self.spec: WorldSpec = world.unwrapped.world_spec  # type: ignore[attr-defined]
        self._begun = False
        self._slots = np.arange(world.num_envs)  # the sub-environment of each row
        self._actions = np.zeros((world.num_envs, self.spec.actions.size), np.float32)
        self.frames = np.zeros((world.num_envs, *FRAME_SHAPE), np.uint8)  # of each row
        self.seeds = [0] * world.num_envs  # that each row's episode was begun with

    def begin(self, rows: Tensor, seeds: Sequence[int]) -> None:
        """Start the episodes of `seeds` in `rows` (int64 [k])."""
        slots = self._slots[rows.numpy()]
        mask, all_seeds = np.zeros(self.num_envs, bool), np.zeros(self.num_envs, np.int64)
        mask[slots], all_seeds[slots] = True, seeds
        options = {"reset_mask": mask} if self._begun else None  # the first time all of them, as a VectorEnv asks
        frames, infos = self.world.reset(seed=all_seeds.tolist(), options=options)  # type: ignore[arg-type]
        self._begun = True
        played = infos.get("seeds", all_seeds)
        for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
            self.seeds[row] = int(played[slot])
        self.frames[rows.numpy()] = frames[slots]

    def observe(self) -> Any:
        """What is seen in every row."""
        return self.frames

    def step(self, actions: Tensor) -> Step:
        """One step of every row with actions float32 [n, A]."""
        self._actions[self._slots] = actions.numpy(force=True)
        frames, rewards, terminated, truncated, infos = self.world.step(self._actions)
        self.frames = frames[self._slots]
        died = infos.get("died")
        flags = [
            None if flag is None else torch.from_numpy(flag[self._slots]) for flag in (terminated, truncated, died)
        ]
        assert flags[0] is not None
        return Step(torch.from_numpy(rewards[self._slots]), flags[0], flags[1], flags[2])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (int64 [k]) alone, in this order."""
        self._slots, self.frames = self._slots[rows.numpy()], self.frames[rows.numpy()]
        self.seeds = [self.seeds[row] for row in rows.tolist()]

    def close(self) -> None:
        """Close the world."""
        self.world.close()


class SeenWorld(FrameWorld):
    """A world seen through V and M: what a dream is too.

    The noise of an episode's z is a function of (`seed`, the episode's own seed), so an episode is the same in any row.
    """

    def __init__(self, world: VectorEnv, senses: Senses, seed: int = 0) -> None:
        super().__init__(world)
        self.senses, self._seed = senses, seed
        self._state = senses.initial(self.num_envs)
        self._z = torch.zeros(self.num_envs, senses.latent_size, device=senses.device)
        self._noise = [generator(seed, "z", 0)] * self.num_envs

    @torch.inference_mode()
    def begin(self, rows: Tensor, seeds: Sequence[int]) -> None:
        """Start the episodes of `seeds` in `rows` (int64 [k])."""
        super().begin(rows, seeds)
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._noise[row] = generator(self._seed, "z", seed)
        index = rows.to(self.senses.device)
        self._state = self._state.replaced(index, self.senses.initial(len(rows)))
        self._z = self._z.index_copy(0, index, self._see(rows.tolist()))

    def observe(self) -> Observation:
        """What C sees in every row."""
        return Observation(self._z, self._state.memory, self.senses.expectation)

    @torch.inference_mode()
    def step(self, actions: Tensor) -> Step:
        """One step of every row with C's actions float32 [n, A]."""
        step = super().step(actions)
        self._state = self.senses.follow(self._state, self._z, actions.to(self.senses.device))
        self._z = self._see(range(len(self.frames)))
        return step

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (int64 [k]) alone, in this order."""
        super().keep(rows)
        index = rows.to(self.senses.device)
        self._state, self._z = self._state.rows(index), self._z[index]
        self._noise = [self._noise[row] for row in rows.tolist()]

    def _see(self, rows: Sequence[int]) -> Tensor:
        noise = np.stack([self._noise[row].standard_normal(self.senses.latent_size, np.float32) for row in rows])
        return self.senses.see(self.frames[list(rows)], noise)


def seen_vector_env(world: VectorEnv, senses: Senses, seed: int = 0) -> FeatureVectorEnv:
    """A world seen through V and M as a VectorEnv of C's features, with the resets of a dream."""
    return FeatureVectorEnv(
        lambda: SeenWorld(world, senses, seed), senses.config, senses.feature_size, render=lambda env: world.render()
    )
