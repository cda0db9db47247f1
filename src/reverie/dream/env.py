"""Dreams as Gymnasium environments: observations are C's features, frames are decoded only to be looked at.

An episode is a function of its seed: `reset(seed=s)` starts the dream that a score counts for s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.feature_env import SEEDS, FeatureVectorEnv
from reverie.memory.model import MDNRNN
from reverie.vision.frames import to_frames
from reverie.worlds.spec import WorldSpec

if TYPE_CHECKING:
    from reverie.vision.model import ConvVAE

FRAMES_PER_SECOND = 35  # Doom's own pace


def dream_vector_env(
    memory: MDNRNN,
    starts: Starts,
    spec: WorldSpec,
    config: DreamConfig | None = None,
    num_envs: int = 1,
    inputs: Sequence[str] = ("z", "h"),
    seed: int | None = None,
    vision: ConvVAE | None = None,
    render_mode: str | None = None,
    dtype: torch.dtype | None = None,
) -> FeatureVectorEnv:
    """n dreams as a VectorEnv: terminated where M says that the episode ends, truncated at `DreamEngine.max_steps`.

    inputs: C's. seed: as if the first `reset` had it. vision: needed only to render. dtype: of M's weights, None for
    the fastest here. Raises ReverieError where M cannot dream this world.
    """
    check_render_mode(render_mode, vision)
    controller = ControllerConfig(inputs=tuple(inputs))  # type: ignore[arg-type]
    engine = DreamEngine(memory, starts, spec, config or DreamConfig(), controller, dtype)

    def render(dream: Any) -> np.ndarray:
        assert vision is not None
        return to_frames(vision.decode(dream.rows.z))

    return FeatureVectorEnv(
        lambda: Dream(engine, num_envs),
        controller,
        engine.feature_size,
        engine.max_steps,
        seed,
        render if vision else None,
        FRAMES_PER_SECOND,
    )


class DreamEnv(gym.Env):
    """One dream, registered as reverie/Dream-v0. Its arguments are those of `dream_vector_env`."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(
        self,
        memory: MDNRNN,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig | None = None,
        inputs: Sequence[str] = ("z", "h"),
        vision: ConvVAE | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.dreams = dream_vector_env(memory, starts, spec, config, 1, inputs, None, vision, render_mode)
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
        features, reward, terminated, truncated, _ = self.dreams.step(np.asarray(action)[None])
        return features[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        """The decoded frame, uint8 [64, 64, 3], in render_mode "rgb_array"."""
        frames = self.dreams.render() if self.render_mode else None
        return None if frames is None else frames[0]


def check_render_mode(render_mode: str | None, vision: ConvVAE | None) -> None:
    """Raise where frames are asked for in a mode that is not there, or without a V to decode them."""
    if render_mode not in (None, "rgb_array"):
        raise ReverieError(f"render_mode is {render_mode!r}; a dream renders as 'rgb_array' or not at all")
    if render_mode and vision is None:
        raise ReverieError("render_mode is 'rgb_array', and there is no V to decode the dream; pass vision=")


gym.register(
    "reverie/Dream-v0",
    entry_point="reverie.dream.env:DreamEnv",
    vector_entry_point="reverie.dream.env:dream_vector_env",
)
