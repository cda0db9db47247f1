"""The files of a run just large enough to evolve C in: an untrained V and M of the tiny world, and some latents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.training import pack
from reverie.hardware import single_thread
from reverie.learning.arena import Arena, close_arenas
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.vision.latents import LatentEntry, LatentEpisode, Part, part_path, write_part
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec

LATENT_SIZE, MEMORY_SIZE = 4, 8


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_arenas()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    vision = ConvVAE(LATENT_SIZE)
    for layer in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
        torch.nn.init.kaiming_normal_(layer.weight)  # torch's own start hardly tells frames apart
    save_checkpoint(folder / "vision", Checkpoint(1, pack(vision), {"latent_size": LATENT_SIZE}))
    config = MemoryConfig(
        latent_size=LATENT_SIZE, action_size=1, hidden_size=MEMORY_SIZE, reward_head=True, done_head=True
    )
    save_checkpoint(folder / "memory", Checkpoint(1, pack(MDNRNN(config, seed=3)), asdict(config)))
    rng = np.random.default_rng(0)
    episodes = [
        LatentEpisode(
            mu=rng.normal(size=(4, LATENT_SIZE)).astype(np.float16),
            logvar=rng.normal(size=(4, LATENT_SIZE)).astype(np.float16),
            actions=rng.uniform(-1, 1, (3, 1)).astype(np.float32),
            rewards=np.ones(3, np.float32),
            terminated=True,
        )
        for _ in range(5)
    ]
    entries = tuple(LatentEntry(index, 3, 3.0, True, f"{index}") for index in range(5))
    (folder / "latents").mkdir()
    write_part(part_path(folder / "latents", 0), Part("v", entries), episodes)
    return folder


@pytest.fixture
def arenas(run: Path) -> dict[str, Arena]:
    """The same agent tried in M's dream, and in the tiny world."""
    shared = {
        "spec": world_spec("tiny"),
        "controller": ControllerConfig(features="zh"),
        "latent_size": LATENT_SIZE,
        "memory_size": MEMORY_SIZE,
        "dream": DreamConfig(max_steps=12),
        "memory": run / "memory",
        "slots": 4,
        "max_steps": 12,
    }
    return {
        "dream": Arena("dream", latents=run / "latents", **shared),
        "world": Arena("world", vision=run / "vision", **shared),
    }
