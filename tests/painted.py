"""A world of noise that V can tell apart, with the V and M that see it, of the sizes of `tests.dream.parts`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from reverie.agent import SeenWorld
from reverie.controller.config import ControllerConfig
from reverie.controller.senses import Senses
from reverie.memory.model import MDNRNN
from reverie.vision.model import ConvVAE
from reverie.worlds.serial import SerialBackend
from reverie.worlds.spec import WorldSpec
from reverie.worlds.vector import WorldVectorEnv
from tests.dream import parts

SPEC = WorldSpec("paint", parts.ACTIONS, "predicted", 9)
MEMORY = parts.memory()


class Paint:
    """Frames that are noise of (episode seed, step), tinted by the last action; an episode lasts 3 + seed % 4 steps.

    Its reward is what the action steers. `deaths` (by seed, how often) raise in step 2.
    """

    def __init__(self, deaths: Counter[int]) -> None:
        self.deaths = deaths

    def reset(self, seed: int) -> np.ndarray:
        self.seed, self.clock = seed, 0
        return self.frame(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        self.clock += 1
        if self.clock == 2 and self.deaths[self.seed] > 0:
            self.deaths[self.seed] -= 1
            raise OSError("the paint is dry")
        return self.frame(int(100 * abs(action[0]))), float(action[0]), self.clock >= 3 + self.seed % 4, False

    def frame(self, tint: int) -> np.ndarray:
        frame: np.ndarray = np.random.default_rng((self.seed, self.clock)).integers(0, 155, (64, 64, 3)) + tint
        return frame.astype(np.uint8)

    def close(self) -> None:
        pass


def world(num_envs: int, deaths: dict[int, int] | None = None) -> WorldVectorEnv:
    planned = Counter(deaths)
    return WorldVectorEnv(SPEC, SerialBackend(lambda: Paint(planned), num_envs), seed=0)


def vision() -> ConvVAE:
    """Untrained, and yet it tells frames apart."""
    torch.manual_seed(0)
    vision = ConvVAE(parts.LATENT)
    for layer in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
        torch.nn.init.kaiming_normal_(layer.weight)  # torch's own start hardly does
    return vision


VISION = vision()


def senses(*inputs: str, sample_z: bool = True, memory: MDNRNN | None = MEMORY) -> Senses:
    config = ControllerConfig(inputs=inputs or ("z", "c", "h"), sample_z=sample_z)  # type: ignore[arg-type]
    return Senses(VISION, memory, config, parts.ACTIONS)


def seen(num_envs: int, deaths: dict[int, int] | None = None) -> SeenWorld:
    return SeenWorld(world(num_envs, deaths), senses())
