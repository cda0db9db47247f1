"""Whether the episodes to come will fit on the disk: better asked before an evening of collecting than after."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from reverie.episodes.config import CollectConfig
from reverie.episodes.manifest import Entry
from reverie.errors import ReverieError
from reverie.worlds.registry import base_world, doom_variant

FRAME_BYTES = {"doom": 4_000, "carracing": 800, "tiny": 150}  # on disk, measured: docs/collect.md
DOOM_STEPS = {None: 500, 1: 2100, 2: 2100, 3: 2100, 4: 500, 5: 200}  # of an episode of the game at a skill, about
UNKNOWN_FRAME_BYTES = 8_000  # of the 12,288 that a frame has: rich pictures, hardly compressed
SPARE = 1.1  # the disk should not be full to the last byte
ENOUGH_EPISODES = 20  # from so many on, the store itself tells better than the tables above


def needed_bytes(world: str, missing: int, config: CollectConfig, present: Sequence[Entry] = ()) -> int:
    """About how much `missing` more episodes will take; `present` are those that the store has already."""
    if len(present) >= ENOUGH_EPISODES:
        episode_bytes = sum(entry.size for entry in present) / len(present)
    else:
        variant, steps = doom_variant(world), config.max_steps
        if variant is not None:
            steps = min(steps, DOOM_STEPS[variant.skill] // variant.repeat)
        steps = max(steps, config.min_steps)
        episode_bytes = (steps + 1) * FRAME_BYTES.get(base_world(world), UNKNOWN_FRAME_BYTES)
    return int(missing * episode_bytes * SPARE)


def require_space(folder: Path, world: str, missing: int, needed: int) -> None:
    """Raises ReverieError where `folder` lies on a disk with less than `needed` bytes free."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ReverieError(
            f"collecting {missing:,} episodes of {world} needs about {_size(needed)}, but {folder} has {_size(free)} "
            "free; free some space, collect fewer episodes or choose another folder"
        )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
