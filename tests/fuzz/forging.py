"""Changes whose checksums are made to fit: what somebody does who wants the file to be taken for a good one."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reverie.files.arrays import digest_of_arrays
from reverie.files.checkpoint import digest_of
from tests.fuzz.mutations import HOSTILE, MARK, RAW, Random, altered, join, split

STRANGE_DTYPES = ("<f8", "<f4", "<f2", "<i8", "<i4", "|i1", "|u1", "<u8", "|b1")
CODES = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "|i1": "I8", "|u1": "U8", "<u8": "U64"}
CODES |= {"|b1": "BOOL", "<u4": "U32"}
BOMB_BYTES = 32 * 64 * 64 * 3


def forge(file: Path, rng: Random) -> None:
    """Change the file at `file`, and every checksum of it wherever it stands."""
    if file.parent.name == "episodes":
        _episode(file, rng)
    elif file.suffix == ".safetensors":
        _arrays(file, rng)
    else:
        _record(file, rng)


def _record(file: Path, rng: Random) -> None:
    """Of a JSON object, the digest in itself."""
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    number = int(rng.integers(len(lines)))
    record = json.loads(lines[number])
    sealed = record.pop("digest", None) is not None
    record = altered(record, rng)
    if sealed and isinstance(record, dict):
        record["digest"] = digest_of(record)
    lines[number] = json.dumps(record)
    file.write_text("\n".join(lines) + "\n")


def _arrays(file: Path, rng: Random) -> None:
    """Of named arrays, the digest in their metadata and those in the record or the card beside them."""
    header, body = split(file.read_bytes())
    notes = header.pop("__metadata__")
    del notes["digest"]
    arrays = {
        name: np.frombuffer(body[slice(*about["data_offsets"])], _dtype(about["dtype"])).reshape(about["shape"])
        for name, about in header.items()
    }
    change = ARRAY_CHANGES[rng.integers(len(ARRAY_CHANGES))]
    change(arrays, notes, rng)
    notes["digest"] = digest_of_arrays(arrays, notes)
    file.write_bytes(_container(arrays, notes))
    _seal_beside(file)


def _dtype(code: str) -> str:
    return next(dtype for dtype, name in CODES.items() if name == code)


def _container(arrays: dict[str, np.ndarray], notes: dict[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": notes}
    body = b""
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        data = array.tobytes()
        about = {"dtype": CODES[array.dtype.str], "shape": list(array.shape)}
        header[name] = about | {"data_offsets": [len(body), len(body) + len(data)]}
        body += data
    return join(header, body)


def _seal_beside(file: Path) -> None:
    """The SHA-256 in a checkpoint's record or an export's card."""
    sha, record = hashlib.sha256(file.read_bytes()).hexdigest(), file.with_suffix(".json")
    if record.exists():
        content = json.loads(record.read_text()) | {"sha256": sha}
    elif (record := file.with_name("card.json")).exists():
        content = json.loads(record.read_text())
        content["sha256"][file.name] = sha
    else:
        return
    del content["digest"]
    record.write_text(json.dumps(content | {"digest": digest_of(content)}))


Arrays, Notes = dict[str, np.ndarray], dict[str, str]


def _pick(arrays: Arrays, rng: Random) -> str:
    return list(arrays)[rng.integers(len(arrays))]


def _spoil(arrays: Arrays, notes: Notes, rng: Random) -> None:
    """A value that is no number, or a huge one."""
    name = _pick(arrays, rng)
    array = arrays[name].copy()
    if array.size and array.dtype.kind == "f":
        array.reshape(-1)[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e4, 0])
    arrays[name] = array


def _reshape(arrays: Arrays, notes: Notes, rng: Random) -> None:
    name = _pick(arrays, rng)
    array = arrays[name]
    shapes = ((), (0,), (1,), (2, 2), (*array.shape, 1), array.shape[::-1], (array.size,), (0, 7))
    arrays[name] = np.zeros(shapes[rng.integers(len(shapes))], array.dtype)


def _retype(arrays: Arrays, notes: Notes, rng: Random) -> None:
    name = _pick(arrays, rng)
    arrays[name] = arrays[name].astype(STRANGE_DTYPES[rng.integers(len(STRANGE_DTYPES))])


def _rename(arrays: Arrays, notes: Notes, rng: Random) -> None:
    name = _pick(arrays, rng)
    arrays[f"{name}.more" if rng.random() < 0.5 else "../x"] = arrays[name]
    if rng.random() < 0.7:
        del arrays[name]


def _annotate(arrays: Arrays, notes: Notes, rng: Random) -> None:
    """Another note: a JSON text with a hostile value in it, or any text."""
    key = list(notes)[rng.integers(len(notes))] if notes else "format"
    try:
        raw = RAW[rng.integers(len(RAW))] if rng.random() < 0.4 else None
        text = json.dumps(altered(json.loads(notes[key]), rng, MARK if raw else None))
        notes[key] = text.replace(f'"{MARK}"', raw, 1) if raw else text
    except (KeyError, ValueError):
        notes[key] = str(HOSTILE[rng.integers(len(HOSTILE))]).encode("utf-8", "replace").decode()


ARRAY_CHANGES: list[Callable[[Arrays, Notes, Random], None]] = [
    _spoil,
    _reshape,
    _retype,
    _rename,
    _annotate,
    _annotate,
]


def _episode(file: Path, rng: Random) -> None:
    """Of an episode, the checksums of its chunks and the SHA-256 in the manifest."""
    header, body = split(file.read_bytes())
    parts = {
        name: bytearray(body[slice(*about["data_offsets"])]) for name, about in header.items() if name != "__metadata__"
    }
    choice = int(rng.integers(4))
    if choice == 0:
        about = altered(json.loads(header["__metadata__"]["episode"]), rng)
        header["__metadata__"]["episode"] = json.dumps(about)
    elif choice == 1:
        name = ("rewards", "actions")[rng.integers(2)]
        parts[name][:4] = struct.pack("<f", rng.choice([np.nan, np.inf]))
    else:
        _swell(parts, rng)
    body = b"".join(bytes(parts[name]) for name in sorted(parts, key=lambda name: header[name]["data_offsets"]))
    file.write_bytes(join(header, body))
    _seal_in_manifest(file)


def _swell(parts: dict[str, bytearray], rng: Random) -> None:
    """A chunk whose own header promises other sizes, or whose content is garbage: a bomb, its CRC-32 made to fit."""
    offsets = np.frombuffer(parts["offsets"], np.int64)
    chunk = bytearray(parts["frames"][: offsets[1]])
    if (
        rng.random() < 0.5
    ):  # bytes 4 to 15 of a Blosc chunk: bytes when decompressed, bytes of a block, bytes as it lies
        field = 4 * int(rng.integers(1, 4))
        chunk[field : field + 4] = struct.pack("<I", int(rng.choice([0, 1, 31, BOMB_BYTES - 1, 2**31 - 1, 2**32 - 1])))
    else:
        for _ in range(int(rng.integers(1, 9))):
            chunk[int(rng.integers(len(chunk)))] = int(rng.integers(256))
    parts["frames"][: offsets[1]] = chunk
    parts["checksums"][:4] = struct.pack("<I", zlib.crc32(chunk))


def _seal_in_manifest(file: Path) -> None:
    manifest = file.parent.parent / "manifest.jsonl"
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    data = file.read_bytes()
    for entry in entries:
        if entry["file"] == f"episodes/{file.name}":
            entry |= {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
