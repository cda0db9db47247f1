"""A store's episodes as V sees them, in part files that are read a slice at a time.

    part-00000.safetensors        64 episodes end to end: mu and logvar float16 [frames, Nz], actions float32
                                  [steps, A], rewards float32 [steps]; the metadata lists the episodes and names the
                                  V that made them
    mirrored-00000.safetensors    where asked for, the same episodes as in a mirror

A part depends on nothing else, so M trains from this folder alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from reverie.errors import DamagedFileError, ReverieError
from reverie.files.arrays import load_arrays, save_arrays
from reverie.files.atomic import parse_json, require_regular

PART_EPISODES = 64
FORMAT = "reverie-latents-1"
DTYPES = {"mu": "F16", "logvar": "F16", "actions": "F32", "rewards": "F32"}
AGAIN = "remove it and run `reverie vision` to make it again"
OPEN_PARTS = 64  # files held open, well below what a process may


@dataclass(frozen=True)
class LatentEntry:
    """One episode of the latents.

    index, steps, total_reward, terminated: as in the store; the mirror image of episode i has the index -1 - i
    sha256: of the episode's file that was encoded
    """

    index: int
    steps: int
    total_reward: float
    terminated: bool
    sha256: str


@dataclass(frozen=True)
class LatentEpisode:
    """An `Episode` whose frames are latents; frame t is N(mu[t], exp(logvar[t])).

    mu, logvar: float16 [T + 1, Nz]
    actions: float32 [T, A], as C emits them
    rewards: float32 [T]
    terminated: the world ended it at step T
    """

    mu: np.ndarray
    logvar: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def __post_init__(self) -> None:
        steps = len(self.actions)
        assert len(self.mu) == len(self.logvar) == steps + 1, (self.mu.shape, self.logvar.shape, steps)
        assert self.rewards.shape == (steps,), (self.rewards.shape, steps)

    def __repr__(self) -> str:
        sizes = f"steps={len(self)}, latent_size={self.mu.shape[1]}, action_size={self.actions.shape[1]}"
        return f"LatentEpisode({sizes}, terminated={self.terminated})"

    def __len__(self) -> int:
        return len(self.actions)


@dataclass(frozen=True)
class Part:
    """What a part file says about itself: the digest of V's weights, and its episodes in their order."""

    vision: str
    entries: tuple[LatentEntry, ...]


class Latents:
    """The episodes of one folder of part files; holds nothing but their list in memory."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._paths = [path for mirrored in (False, True) for path in _part_paths(self.folder, mirrored)]
        parts = [read_part(path) for path in self._paths]
        if not parts:
            raise ReverieError(f"{self.folder} holds no latents; run `reverie vision` first")
        if len({part.vision for part in parts}) > 1:
            raise ReverieError(f"{self.folder} holds latents of two different V; run `reverie vision` to encode again")
        places = [place for number, part in enumerate(parts) for place in _places(number, part)]
        self._places = {place.entry.index: place for place in sorted(places, key=lambda place: place.entry.index)}
        if len(self._places) < len(places):
            raise DamagedFileError(f"{self.folder} holds an episode twice; {AGAIN.replace('it and', 'the folder and')}")
        self.entries = tuple(place.entry for place in self._places.values())
        self._opened = lru_cache(OPEN_PARTS)(self._open)
        self._verified: set[int] = set()

    def __repr__(self) -> str:
        return f"Latents({str(self.folder)!r}, episodes={len(self.entries)}, steps={self.total_steps})"

    @property
    def total_steps(self) -> int:
        """Steps of all episodes."""
        return sum(entry.steps for entry in self.entries)

    def episode(self, index: int) -> LatentEpisode:
        """One episode, read from its part; a part is checked in full when it is first opened."""
        place = self._places.get(index)
        if place is None:
            raise ReverieError(
                f"{self.folder} holds no episode {index}; run `reverie vision` to encode the store again"
            )
        part, frame, step, count = self._opened(place.part), place.frame, place.step, place.entry.steps
        return LatentEpisode(
            mu=part.get_slice("mu")[frame : frame + count + 1],
            logvar=part.get_slice("logvar")[frame : frame + count + 1],
            actions=part.get_slice("actions")[step : step + count],
            rewards=part.get_slice("rewards")[step : step + count],
            terminated=place.entry.terminated,
        )

    def _open(self, number: int) -> Any:
        path = self._paths[number]
        if number not in self._verified:
            load_arrays(path)
            self._verified.add(number)
        return safe_open(path, framework="numpy")


def part_path(folder: Path, number: int, mirrored: bool = False) -> Path:
    """The name of a part file."""
    return folder / f"{'mirrored' if mirrored else 'part'}-{number:05d}.safetensors"


def write_part(path: Path, part: Part, episodes: Sequence[LatentEpisode]) -> None:
    """Write a part in one step; `episodes` are those of `part.entries`, in that order."""
    arrays = {
        name: np.concatenate([getattr(episode, name) for episode in episodes])
        for name in ("mu", "logvar", "actions", "rewards")
    }
    episode_list = json.dumps([asdict(entry) for entry in part.entries])
    save_arrays(path, arrays, {"format": FORMAT, "vision": part.vision, "episodes": episode_list})


def read_part(path: Path) -> Part:
    """What a part file says about itself, without reading its arrays; raises DamagedFileError."""
    try:
        require_regular(path, AGAIN)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {str(metadata.get('format'))[:50]!r}, expected {FORMAT!r}")
            entries = tuple(_entry(entry) for entry in parse_json(metadata["episodes"]))
            _check_layout(file, entries)
        return Part(metadata["vision"], entries)
    except DamagedFileError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is no part of latents ({error!s:.300}); {AGAIN}") from None


def _entry(data: Any) -> LatentEntry:
    entry = LatentEntry(**data)
    kinds = {"index": int, "steps": int, "total_reward": float, "terminated": bool, "sha256": str}
    for name, kind in kinds.items():
        if type(getattr(entry, name)) is not kind:
            raise ValueError(f"an episode's {name} is {getattr(entry, name)!r:.50}")
    if entry.steps < 0:
        raise ValueError(f"an episode has {entry.steps} steps")
    return entry


def _check_layout(file: Any, entries: Sequence[LatentEntry]) -> None:
    """The arrays' names, dtypes and lengths are what the episodes need."""
    steps = sum(entry.steps for entry in entries)
    lengths = {"mu": steps + len(entries), "logvar": steps + len(entries), "actions": steps, "rewards": steps}
    if not entries or sorted(file.keys()) != sorted(lengths):
        raise ValueError(f"it holds {sorted(file.keys())} of {len(entries)} episodes")
    for name, length in lengths.items():
        array = file.get_slice(name)
        dtype, shape = array.get_dtype(), array.get_shape()
        dimensions = 1 if name == "rewards" else 2
        if dtype != DTYPES[name] or len(shape) != dimensions or shape[0] != length:
            raise ValueError(f"{name} is {dtype} {shape}, which {len(entries)} episodes of {steps} steps cannot have")
    if file.get_slice("mu").get_shape() != file.get_slice("logvar").get_shape():
        raise ValueError("mu and logvar differ in their shapes")


@dataclass(frozen=True)
class _Place:
    """Where an episode stands: its part, its first frame and its first step there."""

    entry: LatentEntry
    part: int
    frame: int
    step: int


def _places(number: int, part: Part) -> list[_Place]:
    places, frame, step = [], 0, 0
    for entry in part.entries:
        places.append(_Place(entry, number, frame, step))
        frame, step = frame + entry.steps + 1, step + entry.steps
    return places


def _part_paths(folder: Path, mirrored: bool) -> list[Path]:
    """All part files of one kind; raises ReverieError where one is missing between others."""
    paths = sorted(folder.glob("mirrored-*.safetensors" if mirrored else "part-*.safetensors"))
    for number, path in enumerate(paths):
        if path != part_path(folder, number, mirrored):
            missing = part_path(folder, number, mirrored)
            raise DamagedFileError(f"{missing} is missing; run `reverie vision` to make it again")
    return paths
