"""What to collect, and the disk space that it needs; light to import, so that `--help` stays fast."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.episodes.manifest import Entry

POLICIES = ("uniform", "held", "turning", "long-held", "sweep", "brownian", "random-network")
MOST_STEPS = 100_000  # of an episode, which is held in memory whole: 1.2 GB

FRAME_BYTES = {"doom": 4_000, "carracing": 800, "tiny": 150}  # on disk, measured: docs/collect.md
DOOM_STEPS = {None: 500, 1: 2100, 2: 2100, 3: 2100, 4: 500, 5: 200}  # of an episode of the game at a skill, about
UNKNOWN_FRAME_BYTES = 8_000  # of 12,288 bytes a frame: rich pictures hardly compress
SPARE = 1.1  # leave a tenth free
ENOUGH_EPISODES = 20  # from so many on, the store's own mean is better than the tables above


@dataclass(frozen=True)
class CollectConfig:
    """How much experience to collect, and what acts while it is collected."""

    episodes: int
    """Episodes, at least, those already in the store included."""
    max_steps: int
    """Episodes are cut off after so many steps; the world's own limit holds too."""
    min_steps: int = 0
    """Shorter episodes are thrown away and played again from another seed (the paper's Doom: 100)."""
    steps: int = 0
    """Real steps, at least: more episodes follow until they are reached. 0: `episodes` alone says how many."""
    policies: tuple[str, ...] = ("uniform",)
    """The exploration policies; each episode draws one of them (a name given twice is drawn twice as often)."""

    def __post_init__(self) -> None:
        for name, least in (("episodes", 1), ("max_steps", 1), ("min_steps", 0), ("steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ReverieError(
                    f"collect.{name} is {value!r}, expected a whole number, {least} or more; "
                    "change it in the configuration"
                )
        if self.max_steps > MOST_STEPS:
            raise ReverieError(
                f"collect.max_steps is {self.max_steps}, expected at most {MOST_STEPS:,}, which fit in memory; "
                "change it in the configuration"
            )
        if self.min_steps > self.max_steps:
            raise ReverieError(
                f"collect.min_steps is {self.min_steps}, expected at most max_steps, which is {self.max_steps}; "
                "change it in the configuration"
            )
        unknown = [name for name in self.policies if name not in POLICIES]
        if unknown or not self.policies:
            raise ReverieError(
                f"collect.policies is {list(self.policies)}, expected names out of {', '.join(POLICIES)}; "
                "change it in the configuration"
            )


def needed_bytes(world: str, missing: int, config: CollectConfig, present: Sequence[Entry] = ()) -> int:
    """About how many bytes `missing` more episodes take; `present`: those that the store has already."""
    from reverie.worlds.registry import base_world

    if len(present) >= ENOUGH_EPISODES:
        episode_bytes = sum(entry.size for entry in present) / len(present)
    else:
        episode_bytes = (usual_steps(world, config) + 1) * FRAME_BYTES.get(base_world(world), UNKNOWN_FRAME_BYTES)
    return int(missing * episode_bytes * SPARE)


def usual_steps(world: str, config: CollectConfig) -> int:
    """About how many steps an episode has: those of the game where they are known, else as many as are allowed."""
    from reverie.worlds.registry import doom_variant

    variant, steps = doom_variant(world), config.max_steps
    if variant is not None:
        steps = min(steps, DOOM_STEPS[variant.skill] // variant.repeat)
    return max(steps, config.min_steps)


def require_space(folder: Path, world: str, missing: int, needed: int) -> None:
    """Raises ReverieError where `folder` lies on a disk with less than `needed` bytes free."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ReverieError(
            f"collecting {missing:,} episodes of {world} needs about {size_in_words(needed)}, but {folder} has "
            f"{size_in_words(free)} free; free some space, collect fewer episodes or choose another folder"
        )


def size_in_words(count: float) -> str:
    """Bytes as a person says them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
