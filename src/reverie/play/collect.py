"""The first stage: play episodes in a real world and keep them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reverie.episodes.config import CollectConfig, needed_bytes, require_space
from reverie.episodes.store import Store, missing_episodes
from reverie.files.atomic import sweep_temporary
from reverie.play.block import Block, Tally, close_world, play_block
from reverie.play.players import Exploration, MakePlayers
from reverie.play.remote_block import PlayedBlock, RemoteBlock, play_remote_block
from reverie.progress import Bar, announce, progress
from reverie.workers.pool import Workers
from reverie.worlds.registry import most_slots

SLOTS, BLOCK_EPISODES = 4, 8  # side by side in a worker, and in a task: small, so that workers end together
PLAYERS_SLOTS, PLAYERS_BLOCK_EPISODES = 16, 40  # of an agent, whose V wants large batches


@dataclass(frozen=True)
class Collected:
    """What one call of `collect` did.

    episodes, frames: added to the store
    rejected: attempts thrown away because they ended before min_steps
    died: attempts lost because their environment raised or its process died
    """

    episodes: int
    frames: int
    rejected: int
    died: int
    seconds: float


def collect(
    world: str,
    store: Store,
    config: CollectConfig,
    seed: int,
    workers: Workers,
    *,
    round: int = 0,
    first: int = 0,
    players: MakePlayers | None = None,
    files: Sequence[Path] = (),
) -> Collected:
    """Fill the store's indices first .. first + config.episodes, those that it has already left as they are.

    What an episode holds depends on (world, config, seed, round, its index, players) alone: not on the number of
    workers, and not on how often the collection was interrupted.
    round, first: a later round of collecting draws other seeds, and goes behind the episodes of the earlier ones
    players, files: who acts, and what they are opened from; None explores with `config.policies`

    Raises ReverieError where the episodes will not fit on the disk, and where the world cannot be played.
    """
    indices = range(first, first + config.episodes)
    missing = missing_episodes(store, indices)
    require_space(store.folder, world, len(missing), needed_bytes(world, len(missing), config, store.entries))
    sweep_temporary(store.folder / "episodes")
    size, slots = (BLOCK_EPISODES, SLOTS) if players is None else (PLAYERS_BLOCK_EPISODES, PLAYERS_SLOTS)
    slots = most_slots(world, slots)
    blocks = [
        Block(
            world=world,
            folder=store.folder,
            start=start,
            stop=min(start + size, indices.stop),
            max_steps=config.max_steps,
            min_steps=config.min_steps,
            seed=seed,
            round=round,
            make_players=players or Exploration(config.policies),
            slots=slots,
        )
        for start in sorted({index - (index - first) % size for index in missing})
    ]
    with progress(config.episodes, f"collect {world}", unit="episodes", done=len(indices) - len(missing)) as bar:
        try:
            return _play(blocks, store, missing, workers, bar, files)
        finally:
            close_world()  # where there are no workers, it was opened here


def _play(
    blocks: list[Block], store: Store, missing: Sequence[int], workers: Workers, bar: Bar, files: Sequence[Path]
) -> Collected:
    sum_ = Collected(0, 0, 0, 0, 0.0)
    still = unpaid = 0
    started = time.monotonic()

    def add(index: int, tally: Tally) -> None:
        nonlocal sum_, still, unpaid
        still, unpaid = still + tally.still, unpaid + tally.unpaid
        sum_ = Collected(
            sum_.episodes + tally.episodes,
            sum_.frames + tally.frames,
            sum_.rejected + tally.rejected,
            sum_.died + tally.died,
            time.monotonic() - started,
        )
        counts = {"frames": sum_.frames, "frames/s": sum_.frames / sum_.seconds, "rejected": sum_.rejected}
        bar.advance(tally.episodes, **counts)

    def take(index: int, shipment: PlayedBlock) -> None:
        for entry, data in shipment.episodes:
            store.adopt(entry, data)
        add(index, shipment.tally)

    if workers.scratch is None:
        workers.map(play_block, blocks, on_done=add)
    else:
        away = [RemoteBlock(block, tuple(i for i in missing if block.start <= i < block.stop)) for block in blocks]
        workers.map(play_remote_block, away, on_done=take, files=files)
    for doubt in _doubts(sum_.episodes, still, unpaid):
        announce(f"suspicious: {doubt}")
    return sum_


def _doubts(episodes: int, still: int, unpaid: int) -> Iterator[str]:
    """What may be wrong with a world whose episodes look like this: better said before an hour of training."""
    if episodes and still == episodes:
        yield (
            "in no episode does a frame ever change: do the actions arrive, and is that the picture to learn from? "
            "`reverie worlds --check WORLD` shows it"
        )
    if episodes and unpaid == episodes:
        yield "no episode has brought any reward, so M cannot learn one: collect more, or with other collect.policies"
