"""Weights at half precision: what is kept, what is rounded, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reverie.errors import DamagedFileError
from reverie.files.arrays import load_arrays, save_arrays
from reverie.files.checkpoint import Checkpoint, save_checkpoint
from reverie.files.weights import FORMAT, read_weights, save_weights

ARRAYS = {
    "model.weight": np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32),
    "model.bias": np.random.default_rng(1).normal(size=30).astype(np.float32),
    "model.scale": np.float32(123456.789) * np.ones((), np.float32),
    "model.large": np.full((2, 2), 65505.0, np.float32),
}
SETTINGS = {"latent_size": 30, "done_head": True, "rate": 1e-3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, ARRAYS, SETTINGS)
    return path


def test_matrices_are_halved_and_the_rest_is_kept(file: Path) -> None:
    stored, _ = load_arrays(file)
    assert {name: str(array.dtype) for name, array in stored.items()} == {
        "model.weight": "float16",
        "model.bias": "float32",
        "model.scale": "float32",
        "model.large": "float32",
    }
    weights = read_weights(file)
    assert weights is not None
    assert weights.settings == SETTINGS
    assert all(array.dtype == np.float32 for array in weights.arrays.values())
    np.testing.assert_allclose(weights.arrays["model.weight"], ARRAYS["model.weight"], rtol=5e-4)
    for name in ("model.bias", "model.scale", "model.large"):
        np.testing.assert_array_equal(weights.arrays[name], ARRAYS[name])


def test_the_largest_half_is_still_one(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", {"model.w": np.full((1, 1), -65504.0, np.float32)}, {})
    stored, _ = load_arrays(tmp_path / "a.safetensors")
    assert stored["model.w"].dtype == np.float16
    assert stored["model.w"].item() == -65504.0


def test_a_folder_of_checkpoints_reads_alike(tmp_path: Path) -> None:
    assert read_weights(tmp_path) is None
    for step in (1, 2):
        save_checkpoint(tmp_path, Checkpoint(step, {"model.weight": np.full((2, 2), step, np.float32)}, SETTINGS))
    weights = read_weights(tmp_path)
    assert weights is not None
    assert weights.settings == SETTINGS
    assert weights.arrays["model.weight"].tolist() == [[2, 2], [2, 2]]


def rewritten(**notes: str) -> Callable[[Path], None]:
    return lambda file: save_arrays(file, ARRAYS, notes)


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


RESTORE = "restore it from a copy, or remove it to have it made again"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, f"{{file}} is missing; {RESTORE}"),
        (flipped, f"{{file}} was altered: its content does not match its digest; {RESTORE}"),
        (rewritten(settings="{}"), f"{{file}} has format None, expected {FORMAT!r}; export it again"),
        (rewritten(format=FORMAT), "{file} does not say which model its weights are of; export it again"),
        (
            rewritten(format=FORMAT, settings="{"),
            "{file} does not say which model its weights are of; export it again",
        ),
        (
            rewritten(format=FORMAT, settings=json.dumps([1])),
            "{file} does not say which model its weights are of; export it again",
        ),
    ],
    ids=["missing", "flipped", "another format", "no settings", "broken settings", "a list of settings"],
)
def test_what_is_no_file_of_weights(file: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(file)
    with pytest.raises(DamagedFileError) as error:
        read_weights(file)
    assert str(error.value) == message.format(file=file)
