"""The film of an agent that falls asleep, whatever its C sees."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from reverie.agents.trained import Parts, Trained
from reverie.controller.config import ControllerConfig
from reverie.controller.file import save_controller
from reverie.controller.model import Controller
from reverie.dream.starts import Starts, save_starts
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.recipe.presets import make_experiment
from reverie.report.filming import film_daydream
from tests.evaluation.parts import LATENTS, TINY, make_memory, make_vision


def blind(folder: Path) -> Trained:
    """An agent of the tiny world whose C sees z alone."""
    experiment, config = make_experiment("tiny", "tiny"), ControllerConfig(features="z")
    parts = Parts(*(folder / f"{name}.safetensors" for name in ("vision", "memory", "controller", "starts")))
    vision, memory = make_vision(), make_memory()
    save_weights(parts.vision, pack(vision), {"latent_size": LATENTS})
    save_weights(parts.memory, pack(memory), asdict(memory.config))
    shape = Controller(config, LATENTS, TINY.actions)
    save_controller(parts.controller, shape, np.full(shape.parameter_count, 0.1))
    save_starts(parts.starts, Starts(np.zeros((1, LATENTS), np.float32), np.zeros((1, LATENTS), np.float32)))
    return Trained(folder, replace(experiment, controller=config), parts)


def test_m_follows_what_a_c_that_sees_z_alone_lives_through(tmp_path: Path) -> None:
    film, found = film_daydream(blind(tmp_path), seed=0)
    assert film.content[4:8] == b"ftyp"
    same = found.awake + 1
    np.testing.assert_allclose(found.dream.actions[:same], found.real.actions[:same], atol=1e-5)
