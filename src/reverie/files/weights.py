"""A model's weights without its training: one file at half precision, to be passed on.

    vision.safetensors    matrices as float16, vectors and scalars as float32; the metadata holds the model's settings

`read_weights` reads it, or a folder of checkpoints, alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reverie.errors import DamagedFileError
from reverie.files.arrays import load_arrays, save_arrays
from reverie.files.atomic import parse_json
from reverie.files.checkpoint import latest_checkpoint

FORMAT = "reverie-weights-1"
LARGEST_HALF = float(np.finfo(np.float16).max)


class Weights(NamedTuple):
    """float32 arrays under the names of `pack`, and the settings that the model is built from, as JSON."""

    arrays: dict[str, np.ndarray]
    settings: dict[str, Any]


def save_weights(
    path: str | Path, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any], *, halve: bool = True
) -> None:
    """Write what `pack` returned for a model; halved it keeps 11 of a weight's 24 binary digits."""
    kept = {name: _halved(array) if halve else array for name, array in arrays.items()}
    save_arrays(path, kept, {"format": FORMAT, "settings": json.dumps(dict(settings))})


def read_weights(path: str | Path) -> Weights | None:
    """The weights in a file of `save_weights`, or of the last checkpoint in a folder; None where a folder has none.

    Raises DamagedFileError for a file that is missing, altered or holds something else.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        checkpoint = latest_checkpoint(path)
        return None if checkpoint is None else Weights(checkpoint.arrays, checkpoint.state)
    arrays, notes = load_arrays(path)
    if notes.get("format") != FORMAT:
        raise DamagedFileError(f"{path} has format {notes.get('format')!r:.50}, expected {FORMAT!r}; export it again")
    return Weights({name: array.astype(np.float32) for name, array in arrays.items()}, _settings(notes, path))


def _settings(notes: Mapping[str, str], path: Path) -> dict[str, Any]:
    try:
        settings = parse_json(notes["settings"])
    except (KeyError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise DamagedFileError(f"{path} does not say which model its weights are of; export it again")
    return settings


def _halved(array: np.ndarray) -> np.ndarray:
    """float16 where that saves much and every value fits: vectors and scalars are few, and M's scale may be large."""
    fits = array.ndim > 1 and array.size and float(np.abs(array).max()) <= LARGEST_HALF
    return array.astype(np.float16) if fits else array
