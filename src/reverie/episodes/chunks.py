"""Frames under lossless compression, in chunks of 32 that are read one at a time.

Codec, level and chunk size were measured on real frames: docs/collect.md has the table.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import blosc2
import numpy as np

from reverie.errors import DamagedFileError
from reverie.worlds.spec import FRAME_SHAPE

CHUNK_FRAMES = 32
AGAIN = "delete the file and run `reverie collect` again"
FRAME_BYTES = int(np.prod(FRAME_SHAPE))


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

    The chunk's own header is not believed until its checksum and the size it promises are what is expected, so an
    altered file can neither expand beyond `out` nor be taken for frames. Raises DamagedFileError naming `file`.
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
    return DamagedFileError(f"{file} is damaged: {what}; {AGAIN}")


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
