"""Stand-ins for what a run leaves: scores, episodes, latents, metrics, an untrained V, M and C of the tiny world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from reverie.agent import Agent
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.episodes.episode import Episode
from reverie.evaluation.score import Score
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.vision.latents import LatentEpisode
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

LATENTS, HIDDEN = 8, 16
TINY: WorldSpec = world_spec("tiny")


def make_vision() -> ConvVAE:
    torch.manual_seed(0)
    vision = ConvVAE(LATENTS)
    for layer in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
        torch.nn.init.kaiming_normal_(layer.weight)  # torch's own start hardly tells frames apart
    return vision


def make_memory(**changes: bool) -> MDNRNN:
    heads = {"done_head": True, "reward_head": True, "restart_input": True} | changes
    config = MemoryConfig(latent_size=LATENTS, action_size=1, hidden_size=HIDDEN, **heads)  # type: ignore[arg-type]
    memory = MDNRNN(config, seed=1)
    with torch.no_grad():
        memory.head_weight.mul_(5)  # predictions that differ from step to step
    return memory


def make_agent() -> Agent:
    config = ControllerConfig(inputs=("z", "h"))
    controller = Controller(config, config.feature_size(LATENTS, HIDDEN), TINY.actions)
    params = np.random.default_rng(0).normal(size=controller.parameter_count)
    return Agent(make_vision(), make_memory(), controller, params, TINY)


def make_episode(steps: int, seed: int = 0, terminated: bool = True) -> Episode:
    rng = np.random.default_rng(seed)
    frames = np.zeros((steps + 1, 64, 64, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[:, : (7 * t + 11 * seed) % 64] = rng.integers(256, size=3)
    actions = rng.uniform(-1, 1, (steps, 1)).astype(np.float32)
    return Episode(frames, actions, rng.normal(size=steps).astype(np.float32), terminated)


def make_latents(steps: int, seed: int = 0, terminated: bool = True) -> LatentEpisode:
    rng = np.random.default_rng(seed)
    return LatentEpisode(
        mu=rng.normal(size=(steps + 1, LATENTS)).cumsum(0).astype(np.float16),
        logvar=np.full((steps + 1, LATENTS), -2, np.float16),
        actions=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
        rewards=rng.normal(size=steps).astype(np.float32),
        terminated=terminated,
    )


def make_score(mean: float, where: str = "world", temperature: float | None = None, world: str = "tiny") -> Score:
    spread = np.random.default_rng(int(mean)).normal(mean, 5, 30)
    return Score.of(spread.tolist(), world, 0, where, temperature)  # type: ignore[arg-type]


def write_metrics(path: Path, rows: list[dict[str, float]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
