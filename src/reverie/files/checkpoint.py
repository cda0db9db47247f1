"""Checkpoints of a training loop: `step-00000500.safetensors` with the arrays, `step-00000500.json` with the rest.

The JSON is written last and is the commit point: arrays without it do not exist for a reader, and the next save
removes them. It carries the arrays' SHA-256 and one of itself, so no altered bit passes for a result.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import DamagedFileError
from reverie.files.arrays import decode_arrays, encode_arrays, load_arrays, save_arrays
from reverie.files.atomic import (
    cannot_write,
    read_bytes,
    read_object,
    sweep_temporary,
    sync_folder,
    write_bytes,
    write_json,
)

__all__ = [
    "Checkpoint",
    "digest_of",
    "latest_checkpoint",
    "load_arrays",
    "load_checkpoint",
    "save_arrays",
    "save_checkpoint",
]

_NAME = re.compile(r"step-(\d{8,12})\.json")
FIELDS = {"step": int, "sha256": str, "state": dict}


@dataclass(frozen=True)
class Checkpoint:
    """A training loop after `step` updates.

    step: updates done, from 0
    arrays: weights and moments by name, all finite
    state: whatever else the loop needs, as JSON
    """

    step: int
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]

    def __repr__(self) -> str:
        size = sum(array.size for array in self.arrays.values())
        return f"Checkpoint(step={self.step}, arrays={len(self.arrays)}, values={size:,}, state={sorted(self.state)})"


def save_checkpoint(folder: str | Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Write a checkpoint, then remove all but the newest `keep`; returns the path of its JSON file.

    Interrupted anywhere it leaves the earlier checkpoints whole. Raises `ReverieError` where an array is not finite
    or the folder cannot take it.
    """
    assert checkpoint.step >= 0, checkpoint.step
    assert keep >= 1, keep
    path = Path(folder) / f"step-{checkpoint.step:08d}.json"
    tensors = path.with_suffix(".safetensors")
    data = encode_arrays(checkpoint.arrays, {}, tensors)
    record = _record(checkpoint, hashlib.sha256(data).hexdigest())
    try:
        if path.exists():
            path.unlink()  # else a crash between the two writes would pair the old record with the new arrays
            sync_folder(path.parent)
        write_bytes(tensors, data)
        write_json(path, record)
        _prune(path, keep)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def latest_checkpoint(folder: str | Path) -> Checkpoint | None:
    """The checkpoint of the highest step, or None; a damaged one raises `DamagedFileError`."""
    paths = _committed(Path(folder))
    return load_checkpoint(paths[-1]) if paths else None


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read the checkpoint whose JSON file is `path`, every digest checked."""
    path = Path(path)
    remedy = _remedy(path)
    record = read_object(path, remedy)
    if record.pop("digest", None) != digest_of(record):
        raise DamagedFileError(f"{path} was altered: its content does not match its digest; {remedy}")
    types = {name: type(record.get(name)) for name in FIELDS}
    if types != FIELDS or record.keys() != FIELDS.keys():
        raise DamagedFileError(f"{path} is no checkpoint's record: it holds {sorted(record)!s:.200}; {remedy}")
    if path.name != f"step-{record['step']:08d}.json":
        raise DamagedFileError(f"{path} holds step {record['step']}, not the one of its name; {remedy}")
    tensors = path.with_suffix(".safetensors")
    data = read_bytes(tensors, remedy)
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise DamagedFileError(f"{tensors} is truncated or altered: {path.name} gives another SHA-256; {remedy}")
    arrays, _ = decode_arrays(data, tensors, remedy)
    return Checkpoint(record["step"], arrays, record["state"])


def digest_of(record: Mapping[str, Any]) -> str:
    """The SHA-256 of a JSON object, however it is laid out in its file."""
    return hashlib.sha256(json.dumps(dict(record), sort_keys=True).encode()).hexdigest()


def _record(checkpoint: Checkpoint, digest: str) -> dict[str, Any]:
    state = json.loads(json.dumps(checkpoint.state, allow_nan=False))  # as it will be read: keys become strings
    record = {"step": checkpoint.step, "sha256": digest, "state": state}
    return record | {"digest": digest_of(record)}


def _remedy(path: Path) -> str:
    committed = _committed(path.parent)
    if path in committed[:-1]:
        return f"remove {path.name}: {committed[-1].stem} is newer, so it is not needed"
    earlier = committed[: committed.index(path)] if path in committed else []
    then = f"go on from {earlier[-1].stem}" if earlier else "start this stage again"
    return f"remove {path.name} to {then}"


def _committed(folder: Path) -> list[Path]:
    steps = {int(match[1]): path for path in folder.glob("step-*.json") if (match := _NAME.fullmatch(path.name))}
    return [steps[step] for step in sorted(steps)]


def _prune(newest: Path, keep: int) -> None:
    folder = newest.parent
    for old in _committed(folder)[:-keep]:
        if old != newest:
            old.unlink()
    for tensors in folder.glob("step-*.safetensors"):
        if not tensors.with_suffix(".json").exists():
            tensors.unlink()
    sweep_temporary(folder)
