"""An arena for workers on other machines: what candidates are tried in, as small files that can be sent along.

A folder of checkpoints holds the optimizer's moments too, and a folder of latents every frame; neither is needed.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from reverie.dream.starts import load_starts, save_starts
from reverie.files.weights import read_weights, save_weights
from reverie.learning.arena import Arena

MODELS = ("vision", "memory", "beside")


def travelling(arena: Arena, folder: Path) -> Arena:
    """The same arena over files in `folder`: V's and M's weights to the last bit, and the starts of its dreams.

    Dreams that begin inside episodes need all latents; further members stay as they are.
    """
    changes: dict[str, Path] = {}
    inside = arena.guards is not None and arena.guards.starts == "anywhere"
    for name in MODELS if inside else (*MODELS, "latents"):
        place: Path | None = getattr(arena, name)
        if place is None or place.is_file():
            continue
        changes[name] = folder / f"{name}-{_state(place)}.safetensors"
        if changes[name].exists():
            continue
        if name == "latents":
            save_starts(changes[name], load_starts(place))
        elif weights := read_weights(place):
            arrays = {key: array for key, array in weights.arrays.items() if key.startswith("model.")}
            save_weights(changes[name], arrays, weights.settings, halve=False)
    return replace(arena, **changes)  # type: ignore[arg-type]


def _state(folder: Path) -> str:
    """Changes when the folder's tensors do."""
    files = [(file.name, file.stat().st_mtime_ns) for file in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256(f"{folder} {files}".encode()).hexdigest()[:16]
