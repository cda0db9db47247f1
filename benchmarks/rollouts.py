"""Figures of docs/notebook/measurements.md: collecting, codecs on real frames, batches from the disk.

python benchmarks/rollouts.py doom 100 --policies held long-held sweep
python benchmarks/rollouts.py carracing 32 --policies random-network brownian
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import blosc2
import numpy as np
from reverie.episodes.batches import FrameBatches
from reverie.episodes.chunks import FRAME_BYTES

from reverie.episodes.config import CollectConfig
from reverie.episodes.store import Store
from reverie.hardware import core_count
from reverie.play.collect import collect
from reverie.workers.pool import Workers

CODEC_EPISODES = 4
CASES = [  # codec, level, filter, frames a chunk, whether a chunk is one block
    ("LZ4", 5, "NOFILTER", 32, True),
    ("LZ4HC", 3, "NOFILTER", 32, True),
    ("ZSTD", 1, "NOFILTER", 32, True),
    ("ZSTD", 2, "NOFILTER", 32, True),
    ("ZSTD", 2, "NOFILTER", 32, False),
    ("ZSTD", 3, "NOFILTER", 32, True),
    ("ZSTD", 5, "NOFILTER", 32, True),
    ("ZSTD", 2, "BITSHUFFLE", 32, True),
    ("ZSTD", 2, "NOFILTER", 16, True),
    ("ZSTD", 2, "NOFILTER", 64, True),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world")
    parser.add_argument("episodes", type=int)
    parser.add_argument("--policies", nargs="+", required=True)
    parser.add_argument("--max-steps", type=int, default=2100)
    parser.add_argument("--workers", type=int, default=core_count())
    words = parser.parse_args()
    config = CollectConfig(words.episodes, words.max_steps, policies=tuple(words.policies))
    print(f"load average before: {os.getloadavg()[0]:.1f} on {core_count()} cores")
    with tempfile.TemporaryDirectory() as folder, Workers(words.workers) as workers:
        store = Store(folder)
        collect(words.world, store, CollectConfig(8, 30, policies=("uniform",)), seed=1, workers=workers)  # warm-up
        store = Store(Path(folder) / "measured")
        done = collect(words.world, store, config, seed=0, workers=workers)
        size = sum(entry.size for entry in store.entries)
        print(f"collecting, {words.workers} workers: {done.frames / done.seconds:,.0f} frames/s")
        steps = np.mean([entry.steps for entry in store.entries])
        print(f"on disk: {size / done.frames:,.0f} bytes a frame, {steps:.0f} steps an episode")
        alone = processor_rate(words.world, Path(folder) / "alone", config)
        print(f"collecting, one process: {alone:,.0f} frames a second of processor time")
        codecs(store)
        batches(store)


def processor_rate(world: str, folder: Path, config: CollectConfig) -> float:
    """Frames a second of processor time, the game's own processes and their start included."""
    before = _processor_seconds()
    done = collect(world, Store(folder), config, seed=2, workers=Workers(0))
    return done.frames / (_processor_seconds() - before)


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def codecs(store: Store) -> None:
    """One thread, in processor time: other work on the machine disturbs it less. The better of two passes."""
    episodes = [store.read(entry.index).frames for entry in store.entries[:CODEC_EPISODES]]
    print(
        "| codec | level | filter | chunk | block | bytes a frame | write, frames/s | read, frames/s |\n|" + "---|" * 8
    )
    for codec, level, filter_, chunk, whole in CASES:
        parts = [frames[i : i + chunk] for frames in episodes for i in range(0, len(frames), chunk)]
        passes = [_pack_and_unpack(parts, codec, level, filter_, whole) for _ in range(2)]
        size, writing, reading = (min(values) for values in zip(*passes, strict=True))
        total = sum(map(len, parts))
        block = "chunk" if whole else "auto"
        print(
            f"| {codec} | {level} | {filter_.lower()} | {chunk} | {block} | {size / total:,.0f} | "
            f"{total / writing:,.0f} | {total / reading:,.0f} |",
            flush=True,
        )


def _pack_and_unpack(
    parts: list[np.ndarray], codec: str, level: int, filter_: str, whole: bool
) -> tuple[int, float, float]:
    """Bytes, seconds to write, seconds to read."""
    size, writing, reading = 0, 0.0, 0.0
    for part in parts:
        begun = time.process_time()
        packed = blosc2.compress2(
            part,
            codec=blosc2.Codec[codec],
            clevel=level,
            filters=[blosc2.Filter[filter_]],
            filters_meta=[0],
            typesize=1,
            blocksize=part.nbytes if whole else 0,
            nthreads=1,
        )
        written = time.process_time()
        blosc2.decompress2(packed, dst=np.empty_like(part), nthreads=1)
        writing, reading = writing + written - begun, reading + time.process_time() - written
        size += len(packed)
    return size, writing, reading


def batches(store: Store, updates: int = 300) -> None:
    """Two passes: files dropped from the page cache, then warm. Nothing else computes while they are read."""
    for state in ("cold", "warm"):
        if state == "cold":
            for entry in store.entries:
                _drop_from_cache(store.folder / entry.file)
        source = FrameBatches(store, batch_size=100, seed=0)
        begun, used = time.perf_counter(), time.process_time()
        for update in range(updates):
            source.batch(update)
        seconds, processor = time.perf_counter() - begun, time.process_time() - used
        source.close()
        frames = updates * source.batch_size
        print(
            f"FrameBatches, {state} files: {frames / seconds:,.0f} frames/s "
            f"({frames / processor:,.0f} a second of processor time); {frames * FRAME_BYTES / seconds / 1e6:,.0f} MB/s"
        )


def _drop_from_cache(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
