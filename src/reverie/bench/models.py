"""Untrained models of the paper's sizes, in the files that a run would have: speed does not depend on weights."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.training import pack
from reverie.learning.arena import Arena
from reverie.memory.model import MDNRNN
from reverie.recipe.experiment import Experiment
from reverie.recipe.presets import make_experiment
from reverie.vision.latents import LatentEntry, LatentEpisode, Part, part_path, write_part
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

NEVER = -30.0  # a done logit that ends nothing


def paper(world: str, where: Literal["dream", "world"]) -> Experiment:
    """The paper's sizes for a world whose C trains there."""
    return make_experiment(world, "paper", evolve_in=where)


def make_arena(folder: Path, experiment: Experiment, max_steps: int, done_logit: float = NEVER) -> Arena:
    """Where the candidates of an experiment are tried, up to `max_steps`, with an untrained V and M.

    Its dreams end at every step with the probability sigmoid(done_logit).
    """
    spec, where = world_spec(experiment.world), experiment.evolution.where
    _write_vision(folder / "vision", experiment.vision.latent_size)
    _write_memory(folder / "memory", experiment, done_logit)
    if where == "dream":
        write_latents(folder / "latents", spec, experiment.vision.latent_size, episodes=1, steps=1)
    return Arena(
        where=where,
        spec=spec,
        controller=experiment.controller,
        latent_size=experiment.vision.latent_size,
        memory_size=experiment.memory.hidden_size,
        dream=replace(experiment.dream, done="sample", max_steps=max_steps),
        vision=folder / "vision",
        memory=folder / "memory",
        latents=folder / "latents" if where == "dream" else None,
        max_steps=max_steps,
        slots=experiment.evolution.slots,
    )


def candidates(arena: Arena, count: int) -> np.ndarray:
    """A population as CMA-ES starts it, float64 [count, n]."""
    return np.random.default_rng(0).standard_normal((count, arena.controller_shape().parameter_count)) * 0.1


def write_latents(folder: Path, spec: WorldSpec, latent_size: int, episodes: int, steps: int) -> None:
    """Episodes of random latents."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    entries = tuple(LatentEntry(index, steps, float(steps), True, str(index)) for index in range(episodes))
    write_part(part_path(folder, 0), Part("bench", entries), [_episode(rng, spec, latent_size, steps) for _ in entries])


def _episode(rng: np.random.Generator, spec: WorldSpec, latent_size: int, steps: int) -> LatentEpisode:
    mu = rng.standard_normal((steps + 1, latent_size)).astype(np.float16)
    actions = rng.uniform(-1, 1, (steps, spec.actions.size)).astype(np.float32)
    return LatentEpisode(mu, np.full_like(mu, -2.0), actions, np.ones(steps, np.float32), True)


def _write_vision(folder: Path, latent_size: int) -> None:
    save_checkpoint(folder, Checkpoint(0, pack(ConvVAE(latent_size)), {"latent_size": latent_size}))


def _write_memory(folder: Path, experiment: Experiment, done_logit: float) -> None:
    memory = MDNRNN(experiment.memory)
    if experiment.memory.done_head:
        with torch.no_grad():
            memory.head_weight[experiment.memory.mixture_size] = 0
            memory.head_bias[experiment.memory.mixture_size] = done_logit
    save_checkpoint(folder, Checkpoint(0, pack(memory), asdict(experiment.memory)))
