"""Seeds: every random stream of a run derives from one root by the path of names that leads to it.

A path such as ("controller", generation) gives the same stream whichever worker asks for it, so no
result depends on how many workers there were. Training and evaluation draw world seeds from disjoint halves.
"""

from __future__ import annotations

import zlib

import numpy as np

EVALUATION_SEED_BASE = 2**30  # world seeds below it train, world seeds from it on (below 2**31) evaluate


def seed_sequence(root: int, *path: str | int) -> np.random.SeedSequence:
    """The `SeedSequence` at `path` below the run's `root` seed; words enter by their CRC-32."""
    keys = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in path)
    return np.random.SeedSequence(entropy=root, spawn_key=keys)


def generator(root: int, *path: str | int) -> np.random.Generator:
    """A NumPy generator at `path`."""
    return np.random.default_rng(seed_sequence(root, *path))


def torch_seed(root: int, *path: str | int) -> int:
    """A 63-bit seed at `path` for a `torch.Generator`."""
    return int(seed_sequence(root, *path).generate_state(1, np.uint64)[0] >> np.uint64(1))


def training_seeds(root: int, *path: str | int, count: int) -> list[int]:
    """`count` world seeds in [0, 2**30): what collecting and evolving may see."""
    state = seed_sequence(root, *path).generate_state(count, np.uint32)
    return [int(value) % EVALUATION_SEED_BASE for value in state]


def evaluation_seeds(root: int, *path: str | int, count: int) -> list[int]:
    """`count` world seeds in [2**30, 2**31): seeds that training never sees."""
    return [EVALUATION_SEED_BASE + seed for seed in training_seeds(root, "evaluation", *path, count=count)]
