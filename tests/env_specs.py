"""The files of a run just large enough to train C in: an untrained V and M of the tiny world, and some latents.

Fixtures for the rooms that try Cs; their conftest.py imports them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.evaluation.shards import close_worlds
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.training import pack
from reverie.hardware import single_thread
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.play.env_spec import EnvSpec, close_envs
from reverie.play.loop import Limits
from reverie.vision.latents import LatentEntry, LatentEpisode, Part, part_path, write_part
from reverie.vision.model import ConvVAE
from reverie.worlds.registry import world_spec

LATENT_SIZE, MEMORY_SIZE, HORIZON = 4, 8, 12


@pytest.fixture(autouse=True)
def quiet_and_single_threaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REVERIE_QUIET", "1")
    with single_thread():
        yield
    close_worlds()
    close_envs()


def write_memory(folder: Path, seed: int) -> None:
    config = MemoryConfig(
        latent_size=LATENT_SIZE, action_size=1, hidden_size=MEMORY_SIZE, reward_head=True, done_head=True
    )
    save_checkpoint(folder, Checkpoint(1, pack(MDNRNN(config, seed)), asdict(config)))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vision, memory, memory-2 and latents."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    vision = ConvVAE(LATENT_SIZE)
    for layer in (vision.conv1, vision.conv2, vision.conv3, vision.conv4):
        torch.nn.init.kaiming_normal_(layer.weight)  # torch's own start hardly tells frames apart
    save_checkpoint(folder / "vision", Checkpoint(1, pack(vision), {"latent_size": LATENT_SIZE}))
    write_memory(folder / "memory", 3)
    write_memory(folder / "memory-2", 4)
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
def envs(run: Path) -> dict[str, EnvSpec]:
    """The same agent tried in M's dream, and in the tiny world; of 12 steps either."""
    shared = {
        "spec": world_spec("tiny"),
        "controller": ControllerConfig(inputs=("z", "h")),
        "latent_size": LATENT_SIZE,
        "memory_size": MEMORY_SIZE,
        "dream": DreamConfig(horizon=HORIZON),
        "memory": run / "memory",
        "learns": True,
        "limits": Limits(HORIZON),
    }
    return {
        "dream": EnvSpec("dream", latents=run / "latents", **shared),
        "world": EnvSpec("world", vision=run / "vision", **shared),
    }
