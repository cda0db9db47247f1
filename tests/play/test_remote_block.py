"""A block that is played where the store is not comes back as the bytes that would have been written."""

from __future__ import annotations

from pathlib import Path

from reverie.episodes.store import Store
from reverie.play.block import Block, close_world, play_block
from reverie.play.players import Exploration
from reverie.play.remote_block import RemoteBlock, play_remote_block


def block(folder: Path) -> Block:
    return Block("tiny", folder, 0, 6, 60, 5, 7, 0, Exploration(("uniform", "brownian")), 4)


def test_it_brings_the_missing_episodes_as_they_are_written_here(tmp_path: Path) -> None:
    assert play_block(block(tmp_path / "here")).episodes == 6
    reference = Store(tmp_path / "here").entries
    played = play_remote_block(RemoteBlock(block(tmp_path / "there"), (1, 4, 5)))
    close_world()
    assert not (tmp_path / "there").exists()
    assert [entry for entry, _ in played.episodes] == [reference[1], reference[4], reference[5]]
    assert (played.tally.episodes, played.tally.died) == (3, 0)
    assert repr(played).endswith(f"bytes={sum(len(data) for _, data in played.episodes):,})")
    store = Store(tmp_path / "there")
    for entry, data in played.episodes:
        store.adopt(entry, data)
    assert Store(tmp_path / "there").verify() == []
    assert play_block(block(tmp_path / "there")).episodes == 3
    assert Store(tmp_path / "there").entries == reference
    close_world()
