"""Experience on disk: an append-only folder of episodes that many processes may write to at once.

    manifest.jsonl          one line an episode (`Entry`), the commit point of each
    episodes/000042.safetensors

Nothing here holds more than one episode in memory. An episode's file is complete, synced and under its final name
before its line is written, so a process killed anywhere leaves a store that is whole.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reverie.episodes import episode_file
from reverie.episodes.episode import Episode
from reverie.episodes.episode_file import REMEDY, damaged
from reverie.episodes.manifest import Entry, Manifest
from reverie.errors import DamagedFileError, ReverieError
from reverie.files.atomic import sha256, write_bytes

OTHER_SHA = "its SHA-256 is not the manifest's"


@dataclass(frozen=True)
class Problem:
    """What `verify` found wrong: the file, what is the matter, what to do."""

    file: str
    problem: str
    remedy: str


class Store:
    """The episodes of one folder; an empty or missing folder is an empty store."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._manifest = Manifest(self.folder / "manifest.jsonl")

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, episodes={len(self.entries)}, steps={self.total_steps})"

    def append(self, index: int, episode: Episode, seed: int, policy: str) -> Entry:
        """Write an episode at `index`; where one is there already, it is replaced."""
        name = f"episodes/{index:06d}.safetensors"
        data = episode_file.encode(episode, episode_file.Origin(index, seed, policy))
        write_bytes(self.folder / name, data)
        entry = Entry(
            index=index,
            file=name,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            steps=len(episode),
            total_reward=episode.total_reward,
            seed=seed,
            policy=policy,
            terminated=episode.terminated,
        )
        self._manifest.append(entry)
        return entry

    def adopt(self, entry: Entry, data: bytes) -> None:
        """Take in an episode that another store wrote: its entry, and its file's bytes."""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise damaged(entry.file, "it changed on its way here")
        write_bytes(self.folder / entry.file, data)
        self._manifest.append(entry)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All episodes by index, those that other processes have added since included."""
        return self._manifest.entries()

    @property
    def total_steps(self) -> int:
        """Steps of all episodes."""
        return sum(entry.steps for entry in self.entries)

    @property
    def total_frames(self) -> int:
        """Frames of all episodes: one more than steps in each."""
        return sum(entry.steps + 1 for entry in self.entries)

    def read(self, index: int) -> Episode:
        """A whole episode; raises DamagedFileError where its file is not the one that was written."""
        return self._read(self._entry(index))

    def frames(self, index: int, start: int, stop: int) -> np.ndarray:
        """Frames start..stop of an episode, uint8 [stop - start, 64, 64, 3], reading only what holds them."""
        entry = self._entry(index)
        if not 0 <= start < stop <= entry.steps + 1:
            raise ValueError(f"frames {start}..{stop} of episode {index}, which has frames 0..{entry.steps + 1}")
        return self.entry_frames(entry, start, stop)

    def entry_frames(self, entry: Entry, start: int, stop: int) -> np.ndarray:
        """As `frames`, for a caller that holds the entry."""
        return episode_file.read_frames(self.folder / entry.file, entry.steps, start, stop)

    def verify(self) -> list[Problem]:
        """Compare every file with the manifest, reading each in full."""
        try:
            entries = self.entries
        except DamagedFileError as error:
            path = self._manifest.path
            problem, _, remedy = str(error).removeprefix(f"{path} ").partition("; ")
            return [Problem(str(path), problem, remedy)]
        return [fault for entry in entries if (fault := self._verify(entry))]

    def is_present(self, entry: Entry) -> bool:
        """Whether the entry's file is there, at its full size (a quick look; `verify` reads it)."""
        path = self.folder / entry.file
        return path.is_file() and not path.is_symlink() and path.stat().st_size == entry.size

    def _read(self, entry: Entry) -> Episode:
        path = self.folder / entry.file
        if path.is_file() and not path.is_symlink() and path.stat().st_size != entry.size:
            raise damaged(str(path), f"has {path.stat().st_size} bytes, expected {entry.size}")
        if os.path.lexists(path) and sha256(path, REMEDY) != entry.sha256:
            raise damaged(str(path), OTHER_SHA)
        origin = episode_file.Origin(entry.index, entry.seed, entry.policy)
        episode = episode_file.read_episode(path, entry.steps, origin)
        same = math.isclose(episode.total_reward, entry.total_reward, rel_tol=1e-4, abs_tol=1e-4)  # float32 sums
        if not same or episode.terminated != entry.terminated:
            raise damaged(str(path), f"{episode} is not what the manifest says of it")
        return episode

    def _verify(self, entry: Entry) -> Problem | None:
        path = self.folder / entry.file
        if not os.path.lexists(path):
            return Problem(str(path), "missing", "run `reverie collect` again")
        try:
            self._read(entry)
        except ReverieError as error:
            problem, _, remedy = str(error).removeprefix(f"{path} ").removeprefix("is damaged: ").partition("; ")
            return Problem(str(path), problem, remedy)
        return None

    def _entry(self, index: int) -> Entry:
        entry = self._manifest.get(index)
        if entry is None:
            raise ReverieError(
                f"{self.folder} has no episode {index}; it has {len(self.entries)}: run `reverie collect`"
            )
        return entry


def missing_episodes(store: Store, indices: Sequence[int]) -> list[int]:
    """Those of the indices that the store lacks, or whose file is gone or cut short."""
    present = {entry.index for entry in store.entries if entry.index in indices and store.is_present(entry)}
    return [index for index in indices if index not in present]
