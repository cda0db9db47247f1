"""Runs for the lab that nobody trained: whole networks with random weights, shaped as Doom's and as a bare car's."""

from __future__ import annotations

import numpy as np
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.starts import Starts
from reverie.lab.source import LabAgent, LabEpisode, LabRun
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.vision.model import ConvVAE, initialise
from reverie.worlds.carracing import CARRACING
from reverie.worlds.doom import DOOM
from reverie.worlds.spec import WorldSpec

LATENT, HIDDEN = 6, 16


def vision_of(seed: int) -> ConvVAE:
    vision = ConvVAE(LATENT).eval()
    initialise(vision, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        vision.deconv4.weight *= 20  # so that pictures have contrast
    return vision


def memory_of(spec: WorldSpec, seed: int, **heads: bool) -> MDNRNN:
    sizes = {"latent_size": LATENT, "action_size": spec.actions.size, "hidden_size": HIDDEN, "mixtures": 3}
    memory = MDNRNN(MemoryConfig(**sizes, **heads), seed).eval()
    if memory.config.done_head:
        with torch.no_grad():
            memory.head_bias[memory.config.mixture_size] = -6  # dreams are long
    return memory


def episode_of(spec: WorldSpec, steps: int, seed: int) -> LabEpisode:
    rng = np.random.default_rng(seed)
    return LabEpisode(
        label=f"made up, {seed}",
        frames=rng.integers(0, 256, (steps + 1, 64, 64, 3), np.uint8),
        mu=rng.normal(size=(steps + 1, LATENT)).astype(np.float32),
        logvar=np.full((steps + 1, LATENT), -2, np.float32),
        actions=rng.uniform(-1, 1, (steps, spec.actions.size)).astype(np.float32),
        rewards=np.ones(steps, np.float32),
        terminated=True,
    )


def agent_of(spec: WorldSpec, key: str, config: ControllerConfig, seed: int, temperature: float | None) -> LabAgent:
    controller = Controller(config, config.feature_size(LATENT, HIDDEN), spec.actions)
    params = np.random.default_rng(seed).normal(size=controller.parameter_count)
    return LabAgent(key, f"the {key}", controller, params, temperature, "123 ± 4 in its dream")


def source_of(spec: WorldSpec, agents: list[LabAgent], episodes: list[LabEpisode], seed: int, **heads: bool) -> LabRun:
    rng = np.random.default_rng(seed)
    mu = rng.normal(size=(40, LATENT)).astype(np.float32)
    logvar = np.full_like(mu, -2)
    return LabRun(
        name=f"made-up-{seed}",
        spec=spec,
        vision=vision_of(seed),
        memory=memory_of(spec, seed, **heads),
        agents=agents,
        starts=Starts(mu[:9], logvar[:9]),
        dream=DreamConfig(temperature=1.15),
        episodes=episodes,
        mu=mu,
        logvar=logvar,
    )


def like_doom(seed: int = 1) -> LabRun:
    """Everything that a run can bring: done head, restart input, an agent, a cheat, episodes."""
    config = ControllerConfig(inputs=("z", "c", "h"), bias=False)
    agents = [agent_of(DOOM, "agent", config, seed, 1.15), agent_of(DOOM, "cheat", config, seed + 1, 0.1)]
    episodes = [episode_of(DOOM, steps, seed) for seed, steps in enumerate((40, 70))]
    return source_of(DOOM, agents, episodes, seed, done_head=True, restart_input=True)


def bare_car(seed: int = 2) -> LabRun:
    """As little as the lab can open: no head, no agent, no episode."""
    return source_of(CARRACING, [], [], seed)
