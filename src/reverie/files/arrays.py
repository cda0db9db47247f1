"""Named NumPy arrays in one safetensors file that notices every altered bit.

safetensors checks its header's form but not the values, so a digest of everything travels in the metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import DIVERGED, RESTORE, read_bytes, write_bytes

_DIGEST = "digest"


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write `arrays` and the strings of `metadata` to `path` in one step; a NaN or infinity raises `ReverieError`."""
    write_bytes(path, encode_arrays(arrays, metadata, Path(path)))


def load_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays (writable) and metadata that `save_arrays` wrote; raises `DamagedFileError` on any difference."""
    return decode_arrays(read_bytes(path), Path(path))


def encode_arrays(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None, path: Path) -> bytes:
    """The bytes of a file; `path` is for the message only."""
    notes = dict(metadata or {})
    assert _DIGEST not in notes, notes
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    broken = _not_finite(ordered)
    if broken:
        raise ReverieError(f"{broken} became NaN or infinite and was not written to {path}; {DIVERGED}")
    return _sorted_notes(save(ordered, metadata={**notes, _DIGEST: digest_of_arrays(ordered, notes)}))


def decode_arrays(data: bytes, path: Path, remedy: str = RESTORE) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and metadata from a file's bytes; raises `DamagedFileError` naming `path`."""
    try:
        arrays = {name: array.copy() for name, array in load(data).items()}  # copies are writable and aligned
        notes = _metadata(data)
        expected = notes.pop(_DIGEST)
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DamagedFileError(
            f"{path} is not a whole array file ({type(error).__name__}: {error!s:.200}); {remedy}"
        ) from None
    if digest_of_arrays(arrays, notes) != expected:
        raise DamagedFileError(f"{path} was altered: its content does not match its digest; {remedy}")
    broken = _not_finite(arrays)
    if broken:
        raise DamagedFileError(f"{path} holds NaN or infinity in {broken}; {remedy}")
    return arrays, notes


def digest_of_arrays(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> str:
    """The SHA-256 of names, types, shapes and values, whatever the order of the names."""
    digest = hashlib.sha256(json.dumps(dict(metadata or {}), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    return dict(_header(data)["__metadata__"])


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    return header


def _sorted_notes(data: bytes) -> bytes:
    """The same file with its metadata in the order of their names; safetensors gives them another each time."""
    header, length = _header(data), int.from_bytes(data[:8], "little")
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _not_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            return name
    return None
