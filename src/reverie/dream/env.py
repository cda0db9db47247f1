"""Dreams as Gymnasium environments: observations are C's features, frames are decoded only to be looked at.

An episode is a function of its seed: `reset(seed=s)` starts the dream that `dream_returns(..., [s])` counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.controller.config import ControllerConfig, Features
from reverie.controller.model import one_hot_argmax
from reverie.controller.senses import expectation_of
from reverie.controller.senses import features as features_of
from reverie.dream.config import DreamConfig
from reverie.dream.engine import check_dream, dream_ended, dream_reward
from reverie.dream.kernel import load_kernel
from reverie.dream.noise import DreamNoise
from reverie.dream.rows import DreamRows, PackedMemory
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.hardware import compute_dtype
from reverie.memory.model import MDNRNN
from reverie.vision.frames import to_frames
from reverie.worlds.spec import WorldSpec

if TYPE_CHECKING:
    from reverie.vision.model import ConvVAE

FRAMES_PER_SECOND = 35  # Doom's own pace
SEEDS = 2**31


class EpisodeSeeds:
    """The seeds of a sub-environment's dreams: first the one that it was given, then those of its own generator."""

    def __init__(self, seed: int | None) -> None:
        self._first, self._rng = seed, np.random.default_rng(seed)

    def next(self) -> int:
        """The seed of the next dream."""
        seed, self._first = self._first, None
        return int(self._rng.integers(SEEDS)) if seed is None else seed


class DreamVectorEnv(VectorEnv):
    """n dreams: terminated where M says that the episode ends, truncated after `max_steps`.

    Nothing resets by itself. A finished sub-environment waits: stepping it gives its last observation and no reward.
    """

    def __init__(
        self,
        memory: MDNRNN,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig | None = None,
        num_envs: int = 1,
        features: Features = "zh",
        seed: int | None = None,
        vision: ConvVAE | None = None,
        render_mode: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """seed: as if the first `reset` had it (None: of the system's entropy); vision: needed only to render.

        dtype: of M's weights, None for the fastest here.
        """
        check_dream(memory, starts, spec)
        check_render_mode(render_mode, vision)
        config = config or DreamConfig()
        self.metadata = {
            "autoreset_mode": AutoresetMode.DISABLED,
            "render_modes": ["rgb_array"],
            "render_fps": FRAMES_PER_SECOND,
        }
        self.num_envs, self.render_mode = num_envs, render_mode
        self.world_spec, self.dream_config = spec, config
        self.max_steps = config.max_steps or spec.max_steps
        self._vision = vision
        self._controller = ControllerConfig(features=features)
        packed = PackedMemory(memory, dtype or compute_dtype(memory.bias.device.type))
        kernel = load_kernel(packed.dtype) if packed.device.type == "cpu" else None
        self._rows = DreamRows(packed, num_envs, config.temperature, kernel)
        self._each = torch.arange(num_envs, device=packed.device)
        self._noise = DreamNoise(num_envs, starts)
        self._expectation = expectation_of(self._controller, memory, spec.actions, packed.dtype)
        size = self._controller.feature_size(*memory.config.feature_sizes)
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = gym.spaces.Box(-1, 1, (spec.actions.size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeds = [EpisodeSeeds(each) for each in seeds_of(seed, num_envs)]
        self._steps = np.zeros(num_envs, np.int64)
        self._terminated, self._truncated = np.zeros(num_envs, bool), np.zeros(num_envs, bool)
        self._begun = np.zeros(num_envs, bool)

    @property
    def latents(self) -> np.ndarray:
        """Where the dreams are: z, float32 [n, Nz]."""
        return self._rows.z.numpy(force=True).copy()

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start dreams, in all sub-environments or where `options["reset_mask"]` (bool [n]) is true.

        seed: one for each sub-environment, or the first of n consecutive ones; None goes on with each one's own.
        """
        chosen = np.flatnonzero(self._reset_mask(options)).tolist()
        seeds = seeds_of(seed, self.num_envs)
        for index in chosen:
            if seeds[index] is not None:
                self._seeds[index] = EpisodeSeeds(seeds[index])
            z = self._noise.begin(index, self._seeds[index].next())
            self._rows.begin(slice(index, index + 1), torch.from_numpy(z).to(self._each.device))
        self._begun[chosen] = True
        self._steps[chosen], self._terminated[chosen], self._truncated[chosen] = 0, False, False
        return self._observe(), {}

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ReverieError(f"reset_mask is {mask.dtype} {mask.shape}, expected bool ({self.num_envs},)")
        return mask

    @torch.inference_mode()
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every unfinished dream with C's actions float32 [n, A]; one-hot is made of the largest."""
        self._check_step(np.shape(actions))
        live = ~(self._terminated | self._truncated)
        action = torch.as_tensor(np.asarray(actions, np.float32), device=self._each.device)
        if self.world_spec.actions.kind == "discrete":
            action = one_hot_argmax(action)
        component, spread, ending = (torch.from_numpy(draws).to(action.device) for draws in self._noise.next())
        finished = self._rows.save(self._each[torch.from_numpy(~live)])
        outcome = self._rows.advance(self.world_spec.actions.for_memory(action), component, spread, self._each)
        self._rows.restore(finished)
        reward = dream_reward(outcome, action, self.world_spec).numpy(force=True) * live
        self._steps += live
        ended = dream_ended(outcome, ending, self.dream_config, self._rows.memory.config.done_weight)
        self._terminated |= live & ended.numpy(force=True)
        self._truncated |= live & ~self._terminated & (self._steps >= self.max_steps)
        return self._observe(), reward.astype(np.float64), self._terminated.copy(), self._truncated.copy(), {}

    def _check_step(self, shape: tuple[int, ...]) -> None:
        if not self._begun.all():
            raise ReverieError("the dreams have not begun; call reset before step")
        if shape != self.action_space.shape:
            raise ReverieError(f"actions have shape {shape}, expected {self.action_space.shape}")

    def _observe(self) -> np.ndarray:
        return features_of(self._controller, self._rows.z, self._rows.state, self._expectation).numpy(force=True).copy()

    @torch.inference_mode()
    def render(self) -> tuple[np.ndarray, ...] | None:
        """What V decodes of each dream's latent, uint8 [64, 64, 3]; None where no V was given."""
        return None if self._vision is None else tuple(to_frames(self._vision.decode(self._rows.z)))


class DreamEnv(gym.Env):
    """One dream, registered as reverie/Dream-v0. Its arguments are those of `DreamVectorEnv`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(
        self,
        memory: MDNRNN,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig | None = None,
        features: Features = "zh",
        vision: ConvVAE | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.dreams = DreamVectorEnv(memory, starts, spec, config, 1, features, None, vision, render_mode)
        self.observation_space = self.dreams.single_observation_space
        self.action_space = self.dreams.single_action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the dream of `seed`; None draws the next seed from the environment's own generator."""
        super().reset(seed=seed)
        chosen = int(self.np_random.integers(SEEDS)) if seed is None else int(seed)
        return self.dreams.reset(seed=[chosen])[0][0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step with C's action float32 [A]."""
        seen, reward, terminated, truncated, _ = self.dreams.step(np.asarray(action)[None])
        return seen[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        """The decoded frame, uint8 [64, 64, 3], in render_mode "rgb_array"."""
        frames = self.dreams.render() if self.render_mode else None
        return None if frames is None else frames[0]


def seeds_of(seed: int | Sequence[int | None] | None, num_envs: int) -> Sequence[int | None]:
    """A seed (or None) for each sub-environment, from one for each, or from the first of consecutive ones."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return [int(seed) + index for index in range(num_envs)]
    if len(seed) != num_envs:
        raise ReverieError(f"reset got {len(seed)} seeds for {num_envs} dreams; expected one for each")
    return seed


def check_render_mode(render_mode: str | None, vision: ConvVAE | None) -> None:
    """Raise where frames are asked for in a mode that is not there, or without a V to decode them."""
    if render_mode not in (None, "rgb_array"):
        raise ReverieError(f"render_mode is {render_mode!r}; a dream renders as 'rgb_array' or not at all")
    if render_mode and vision is None:
        raise ReverieError("render_mode is 'rgb_array', and there is no V to decode the dream; pass vision=")


gym.register(
    "reverie/Dream-v0",
    entry_point="reverie.dream.env:DreamEnv",
    vector_entry_point="reverie.dream.env:DreamVectorEnv",
)
