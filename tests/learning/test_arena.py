from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from reverie.dream.starts import load_starts, save_starts
from reverie.errors import ReverieError
from reverie.files.training import pack
from reverie.files.weights import save_weights
from reverie.learning.arena import Arena, close_arenas, open_dream, open_world
from reverie.learning.evolution_config import EvolutionConfig
from reverie.learning.fitness import returns_of
from reverie.memory.train import load_memory
from reverie.play import play
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers


def test_opens_once_until_the_files_change(arenas: dict[str, Arena], run: Path) -> None:
    dream, world = open_dream(arenas["dream"]), open_world(arenas["world"], 4)
    assert open_dream(arenas["dream"]) is dream
    assert open_world(arenas["world"], 4) is world
    checkpoint = run / "memory" / "step-00000001.safetensors"
    os.utime(checkpoint, ns=(0, checkpoint.stat().st_mtime_ns + 1))
    assert open_dream(arenas["dream"]) is not dream
    assert open_world(arenas["world"], 4) is not world


def test_is_made_as_a_search_tries_its_candidates(arenas: dict[str, Arena]) -> None:
    config = EvolutionConfig("world", max_steps=7, patience=3, give_up="extrapolate", slots=5)
    arena = replace(arenas["dream"], vision=arenas["world"].vision).as_in(config)
    assert (arena.where, arena.max_steps, arena.patience, arena.give_up, arena.slots) == (
        "world",
        7,
        3,
        "extrapolate",
        5,
    )
    lengths = [replace(arena, max_steps=steps).full_length for steps in (7, 1000, None)]
    assert lengths == [7, arena.spec.max_steps, arena.spec.max_steps]


def test_closing_forgets(arenas: dict[str, Arena]) -> None:
    world = open_world(arenas["world"], 4)
    close_arenas()
    assert open_world(arenas["world"], 4) is not world


@pytest.mark.parametrize(
    ("where", "lacking", "message"),
    [
        ("dream", "memory", "candidates cannot be tried in the dream without the folder of M (memory)"),
        ("dream", "latents", "candidates cannot be tried in the dream without the folder of latents"),
        ("world", "vision", "candidates cannot be tried in the world without the folder of V (vision)"),
        ("world", "memory", "candidates cannot be tried in the world without the folder of M (memory)"),
    ],
)
def test_refuses_what_is_not_whole(arenas: dict[str, Arena], where: str, lacking: str, message: str) -> None:
    with pytest.raises(ReverieError) as error:
        replace(arenas[where], **{lacking: None})
    assert str(error.value) == message


def test_refuses_sizes_of_another_run(arenas: dict[str, Arena], run: Path) -> None:
    with pytest.raises(ReverieError) as error:
        open_world(replace(arenas["world"], memory_size=9), 4)
    assert str(error.value) == (
        f"C reads 13 features, but V in {run / 'vision'} and M in {run / 'memory'} give 12; take all three from one run"
    )


def test_the_world_needs_no_memory_for_z_alone(arenas: dict[str, Arena]) -> None:
    blind = replace(arenas["world"].controller, features="z")
    arena = replace(arenas["world"], controller=blind, memory=None, memory_size=0)
    shape = arena.controller_shape()
    assert shape.parameter_count == 5
    played = play(open_world(arena, 2), shape, np.zeros((3, 5)), [1, 2, 3], max_steps=2)
    assert (played.returns > 0).all()


def test_the_files_of_an_export_open_as_the_folders_of_a_run_do(
    arenas: dict[str, Arena], run: Path, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.safetensors" for name in ("vision", "memory", "latents")}
    vision, memory = load_vision(run / "vision"), load_memory(run / "memory")
    save_weights(files["vision"], pack(vision), {"latent_size": vision.latent_size})
    save_weights(files["memory"], pack(memory), asdict(memory.config))
    save_starts(files["latents"], load_starts(run / "latents"))
    params = np.random.default_rng(0).normal(size=(3, arenas["dream"].controller_shape().parameter_count))
    exported = {"memory": files["memory"], "latents": files["latents"], "vision": files["vision"]}
    for where in ("dream", "world"):
        returns = [
            returns_of(replace(arenas[where], **changed), params, [1, 2, 3], Workers(0), (3, 3)).returns
            for changed in ({}, exported)
        ]
        assert len(np.unique(returns[0])) > 3
        np.testing.assert_allclose(returns[1], returns[0], rtol=0.1)  # weights are rounded to float16
    dream = open_dream(replace(arenas["dream"], **exported))
    assert open_dream(replace(arenas["dream"], **exported)) is dream
    os.utime(files["memory"], ns=(0, 0))
    assert open_dream(replace(arenas["dream"], **exported)) is not dream
