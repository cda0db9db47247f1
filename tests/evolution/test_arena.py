from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.evolution.arena import Arena, close_arenas, open_dream, open_world
from reverie.evolution.play import play


def test_opens_once_until_the_files_change(arenas: dict[str, Arena], run: Path) -> None:
    dream, world = open_dream(arenas["dream"]), open_world(arenas["world"], 4)
    assert open_dream(arenas["dream"]) is dream
    assert open_world(arenas["world"], 4) is world
    checkpoint = run / "memory" / "step-00000001.safetensors"
    os.utime(checkpoint, ns=(0, checkpoint.stat().st_mtime_ns + 1))
    assert open_dream(arenas["dream"]) is not dream
    assert open_world(arenas["world"], 4) is not world


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
