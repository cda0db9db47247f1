from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reverie.agents.trained import Parts, Trained
from reverie.controller.config import ControllerConfig
from reverie.controller.file import save_controller
from reverie.controller.model import Controller
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine
from reverie.dream.starts import Starts, save_starts
from reverie.evaluation.score import world_seeds
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.recipe.presets import make_experiment
from reverie.report.daydream_film import (
    ASLEEP_COLOUR,
    AWAKE_COLOUR,
    Daydream,
    daydream_film,
    film_daydream,
    record_daydream,
)
from reverie.report.recording import play_episodes
from reverie.report.video import DIMMED
from tests.evaluation.parts import LATENTS, TINY, make_agent, make_memory, make_vision

SEEDS = world_seeds(0, 3)


@pytest.fixture
def found() -> Daydream:
    """Dreamt by an M that never ends a dream."""
    agent = make_agent()
    memory = agent.senses.memory
    assert memory is not None
    with torch.no_grad():
        memory.head_bias[memory.config.mixture_size] = -100
    starts = Starts(np.zeros((1, LATENTS), np.float32), np.zeros((1, LATENTS), np.float32))
    spec, inputs = replace(TINY, max_steps=30), agent.controller.config
    engine = DreamEngine(memory, starts, spec, DreamConfig(temperature=1.2), inputs, torch.float32)
    return record_daydream(agent, engine, SEEDS)


def test_until_it_sleeps_the_dream_is_the_middle_real_episode(found: Daydream) -> None:
    middle = sorted(play_episodes(make_agent(), SEEDS), key=lambda episode: episode.total_reward)[1]
    np.testing.assert_array_equal(found.real.frames, middle.frames)
    assert (found.real.where, found.real.total) == ("world", middle.total_reward)
    assert found.awake == len(middle.actions) // 2 > 0
    # at the fork both sides see the same z with the same memory, so C does the same once more
    same = found.awake + 1
    np.testing.assert_allclose(found.dream.actions[:same], found.real.actions[:same], atol=1e-5)
    assert (found.dream.where, found.dream.temperature) == ("dream", 1.2)


def test_from_then_on_it_is_m_that_goes_on(found: Daydream) -> None:
    steps = len(found.dream.actions)
    assert steps == 30
    assert found.dream.frames.shape == (steps + 1, 64, 64, 3)
    after = found.awake + 1
    both = min(steps, len(found.real.actions))
    assert both > after
    assert (found.dream.actions[after:both] != found.real.actions[after:both]).any()
    assert repr(found).startswith(f"Daydream(awake={found.awake}, real=Recording(world, ")


def test_a_long_episode_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reverie.report.daydream_film.AWAKE", 1)
    agent = make_agent()
    memory = agent.senses.memory
    assert memory is not None
    starts = Starts(np.zeros((1, LATENTS), np.float32), np.zeros((1, LATENTS), np.float32))
    engine = DreamEngine(memory, starts, TINY, DreamConfig(), agent.controller.config, torch.float32)
    assert record_daydream(agent, engine, SEEDS).awake == 1


def test_the_edge_tells_sleep_from_waking_and_what_ended_goes_dark(
    found: Daydream, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[np.ndarray] = []

    def record(panels: list[np.ndarray], frames_per_second: int) -> Any:
        shown.extend(panels)

    monkeypatch.setattr("reverie.report.daydream_film.film", record)
    daydream_film(found, 15, most_frames=25)
    dream, real = shown
    assert len(dream) == len(real) <= 25
    asleep = found.awake + 1
    assert (dream[:asleep, 0] == AWAKE_COLOUR).all()
    assert (dream[asleep : len(found.dream.frames), 0] == ASLEEP_COLOUR).all()
    assert (real[: len(found.real.frames), 0] == AWAKE_COLOUR).all()
    below = dream[: len(found.dream.frames), 2:], found.dream.frames[:25, 2:]
    np.testing.assert_array_equal(*below)
    assert len(found.real.frames) < len(real)
    assert (real[-1, 2:] == (found.real.frames[-1, 2:] * DIMMED).astype(np.uint8)).all()


def test_it_is_a_film(found: Daydream) -> None:
    film = daydream_film(found, 15, most_frames=20)
    assert film.frames == 20
    assert film.content[4:8] == b"ftyp"


def blind(folder: Path) -> Trained:
    """An agent of the tiny world whose C sees z alone."""
    experiment, config = make_experiment("tiny", "tiny"), ControllerConfig(inputs=("z",))
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
