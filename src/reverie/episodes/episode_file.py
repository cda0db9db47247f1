"""One episode as one file: a safetensors container whose frames are compressed in chunks and can be read in parts.

Tensors: actions float32 [T, A], rewards float32 [T], and the frames as `Chunks`: data, offsets, checksums.
Metadata: one JSON text of format, steps, terminated, index, seed, policy, so that a file explains itself without the
manifest. (One text, because safetensors writes several in random order, and equal episodes shall be equal files.)
Frames are compressed without loss, 32 to a chunk. Codec, level and size of a chunk were measured on real frames:
docs/collect.md has the table.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reverie.episodes.episode import Episode
from reverie.errors import DamagedFileError
from reverie.files.atomic import parse_json, require_regular
from reverie.worlds.spec import FRAME_SHAPE

os.environ.setdefault("NUMEXPR_NUM_THREADS", "1")  # blosc2 imports numexpr, to which OMP_NUM_THREADS=4,2 is an error
import blosc2

FORMAT = "reverie-episode-1"
CHUNK_FRAMES = 32
REMEDY = "delete the file and run `reverie collect` again"
FRAME_BYTES = int(np.prod(FRAME_SHAPE))
DTYPES = {"actions": "F32", "rewards": "F32", "frames": "U8", "offsets": "I64", "checksums": "U32"}


@dataclass(frozen=True)
class Origin:
    """Where an episode comes from: its index in the store, the world's seed, the policy's name."""

    index: int
    seed: int
    policy: str


def encode(episode: Episode, origin: Origin) -> bytes:
    """The file's bytes."""
    chunks = compress(episode.frames)
    tensors = {
        "actions": np.ascontiguousarray(episode.actions),
        "rewards": np.ascontiguousarray(episode.rewards),
        "frames": chunks.data,
        "offsets": chunks.offsets,
        "checksums": chunks.checksums,
    }
    about = {"format": FORMAT, "steps": len(episode), "terminated": episode.terminated} | asdict(origin)
    return save(tensors, metadata={"episode": json.dumps(about)})


def read_episode(path: Path, steps: int, origin: Origin) -> Episode:
    """The whole episode of `steps` steps; raises DamagedFileError where the file is anything else."""
    with _opened(path, steps) as file:
        about = _about(file)
        stated = {name: about.get(name) for name in asdict(origin)}
        if stated != asdict(origin):
            raise damaged(str(path), f"it says {stated!s:.200}, but the manifest {asdict(origin)!s:.200}")
        frames = _read_frames(file, path, 0, steps + 1, steps + 1)
        actions, rewards = file.get_tensor("actions"), file.get_tensor("rewards")
        if not np.isfinite(actions).all() or not np.isfinite(rewards).all():
            raise damaged(str(path), "it holds NaN or infinity among its actions or rewards")
        return Episode(frames, actions, rewards, terminated=about["terminated"])


def read_frames(path: Path, steps: int, start: int, stop: int) -> np.ndarray:
    """Frames start..stop, uint8 [stop - start, 64, 64, 3], reading only the chunks that hold them."""
    with _opened(path, steps) as file:
        return _read_frames(file, path, start, stop, steps + 1)


@contextmanager
def _opened(path: Path, steps: int) -> Iterator[Any]:
    if not os.path.lexists(path):
        raise damaged(str(path), "it is missing")
    try:
        require_regular(path, REMEDY)
        file = safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise damaged(str(path), f"it is no safetensors file ({error!s:.200})") from None
    with file:
        _check_layout(file, path, steps)
        yield file


def _check_layout(file: Any, path: Path, steps: int) -> None:
    """Names, dtypes and shapes are what `steps` steps need, before anything is read."""
    about = _about(file)
    stated, expected = {name: about.get(name) for name in ("format", "steps")}, {"format": FORMAT, "steps": steps}
    if stated != expected or not isinstance(about.get("terminated"), bool):
        raise damaged(str(path), f"it calls itself {about!s:.200}, expected {expected}")
    if sorted(file.keys()) != sorted(DTYPES):
        raise damaged(str(path), f"it holds {sorted(file.keys())!s:.200}, expected {sorted(DTYPES)}")
    count = chunk_count(steps + 1)
    shapes: dict[str, list[int | None]] = {
        "actions": [steps, None],
        "rewards": [steps],
        "frames": [None],
        "offsets": [count + 1],
        "checksums": [count],
    }
    for name, dtype in DTYPES.items():
        tensor = file.get_slice(name)
        size, shape = tensor.get_shape(), shapes[name]
        fits = len(size) == len(shape) and all(e in (f, None) for f, e in zip(size, shape, strict=True))
        if tensor.get_dtype() != dtype or not fits:
            raise damaged(str(path), f"{name} is {tensor.get_dtype()} {size}, which {steps} steps cannot have")


def _about(file: Any) -> dict[str, Any]:
    """The file's metadata; empty where it has none of ours."""
    try:
        about = parse_json((file.metadata() or {})["episode"])
    except (KeyError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _read_frames(file: Any, path: Path, start: int, stop: int, total: int) -> np.ndarray:
    first, last = start // CHUNK_FRAMES, chunk_count(stop)
    offsets = file.get_slice("offsets")[first : last + 1]
    checksums = file.get_slice("checksums")[first:last]
    data = file.get_slice("frames")
    if offsets[0] < 0 or offsets[-1] > data.get_shape()[0] or (np.diff(offsets) <= 0).any():
        raise damaged(
            str(path), f"chunk offsets {offsets.tolist()!s:.200} do not lie in its {data.get_shape()[0]} bytes"
        )
    blob = data[int(offsets[0]) : int(offsets[-1])]
    offsets = offsets - offsets[0]
    base = first * CHUNK_FRAMES
    frames = np.empty((min(last * CHUNK_FRAMES, total) - base, *FRAME_SHAPE), np.uint8)
    for i, checksum in enumerate(checksums):
        chunk = blob[offsets[i] : offsets[i + 1]]
        decompress_into(frames[i * CHUNK_FRAMES : (i + 1) * CHUNK_FRAMES], chunk, int(checksum), str(path))
    return frames[start - base : stop - base]


@dataclass(frozen=True)
class Chunks:
    """An episode's frames, compressed.

    data: uint8 [bytes], the chunks end to end
    offsets: int64 [chunks + 1], where each begins; the last is where the data end
    checksums: uint32 [chunks], the CRC-32 of each chunk as it lies in `data`
    """

    data: np.ndarray
    offsets: np.ndarray
    checksums: np.ndarray


def chunk_count(frames: int) -> int:
    """How many chunks hold that many frames; all but the last are full."""
    return -(-frames // CHUNK_FRAMES)


def compress(frames: np.ndarray) -> Chunks:
    """Compress frames uint8 [n, 64, 64, 3], n >= 1."""
    parts = [_compress_chunk(frames[i : i + CHUNK_FRAMES]) for i in range(0, len(frames), CHUNK_FRAMES)]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    checksums = np.array([zlib.crc32(part) for part in parts], np.uint32)
    return Chunks(np.frombuffer(b"".join(parts), np.uint8), offsets, checksums)


def decompress_into(out: np.ndarray, chunk: Any, checksum: int, file: str) -> None:
    """Fill `out`, uint8 [k, 64, 64, 3] C-contiguous, from one chunk's bytes.

    The checksum and the sizes in the chunk's header are checked first, so an altered file can neither expand beyond
    `out` nor be taken for frames. Raises DamagedFileError naming `file`.
    """
    if zlib.crc32(chunk) != checksum:
        raise damaged(file, "a chunk of frames does not match its checksum")
    if len(chunk) < blosc2.MIN_HEADER_LENGTH:
        raise damaged(file, f"a chunk of frames has {len(chunk)} bytes, too few for its header")
    size, stored, _ = blosc2.get_cbuffer_sizes(chunk)
    if (size, stored) != (out.nbytes, len(chunk)):
        raise damaged(
            file, f"a chunk of frames holds {stored} bytes for {size}, expected {len(chunk)} for {out.nbytes}"
        )
    try:
        blosc2.decompress2(chunk, dst=out, nthreads=1)
    except (RuntimeError, ValueError):
        raise damaged(file, "a chunk of frames cannot be decompressed") from None


def damaged(file: str, what: str) -> DamagedFileError:
    """The error for an episode file, with its remedy."""
    return DamagedFileError(f"{file} is damaged: {what}; {REMEDY}")


def _compress_chunk(frames: np.ndarray) -> bytes:
    frames = np.ascontiguousarray(frames)
    # One block a chunk: zstd then finds what a frame repeats of the ones before it. One thread: workers own the cores.
    return blosc2.compress2(
        frames,
        codec=blosc2.Codec.ZSTD,
        clevel=2,
        filters=[blosc2.Filter.NOFILTER],
        filters_meta=[0],
        typesize=1,
        blocksize=frames.nbytes,
        nthreads=1,
    )
