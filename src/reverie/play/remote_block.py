"""A block of episodes played on another machine. It cannot write into the store, so the episodes are sent as bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reverie.episodes.manifest import Entry
from reverie.episodes.store import Store
from reverie.files.scratch import scratch_folder
from reverie.play.block import Block, Tally, play_block


@dataclass(frozen=True)
class RemoteBlock:
    """A block, and the indices of those of its episodes that the store lacks."""

    block: Block
    missing: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class PlayedBlock:
    """Each episode's entry and the bytes of its file, for `Store.adopt`."""

    tally: Tally
    episodes: tuple[tuple[Entry, bytes], ...]

    def __repr__(self) -> str:
        return f"PlayedBlock({self.tally}, bytes={sum(len(data) for _, data in self.episodes):,})"


def play_remote_block(task: RemoteBlock) -> PlayedBlock:
    """`play_block` into a temporary store, whose files are returned."""
    with scratch_folder("block") as folder:
        tally = play_block(replace(task.block, folder=folder), task.missing)
        store = Store(folder)
        episodes = tuple((entry, (store.folder / entry.file).read_bytes()) for entry in store.entries)
        return PlayedBlock(tally, episodes)
