"""A block of episodes that is played on another machine, which cannot write into the store: they come back as bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reverie.episodes.block import Block, Tally, play_block
from reverie.episodes.manifest import Entry
from reverie.episodes.store import Store
from reverie.files.scratch import scratch_folder


@dataclass(frozen=True)
class Away:
    """A block, and those of its episodes that the store lacks."""

    block: Block
    missing: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Shipment:
    """What the block brought: each episode's entry and the bytes of its file, for `Store.adopt`."""

    tally: Tally
    episodes: tuple[tuple[Entry, bytes], ...]

    def __repr__(self) -> str:
        return f"Shipment({self.tally}, bytes={sum(len(data) for _, data in self.episodes):,})"


def play_away(task: Away) -> Shipment:
    """As `play_block`, into a store that lasts as long as the block."""
    with scratch_folder("block") as folder:
        tally = play_block(replace(task.block, folder=folder), task.missing)
        store = Store(folder)
        return Shipment(tally, tuple((entry, (store.folder / entry.file).read_bytes()) for entry in store.entries))
