"""A worker's task: play a block of episodes, several side by side, each into the store as soon as it ends.

What an episode holds follows from its index alone (`Block` says how), so the store is the same for any number of
workers, for any order of blocks, and after any interruption.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from reverie.episodes.episode import Episode
from reverie.episodes.players import MakePlayers
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.workers.seeds import generator, training_seeds
from reverie.worlds.registry import make
from reverie.worlds.spec import FRAME_SHAPE
from reverie.worlds.vector import WorldDiedError, WorldVectorEnv

ATTEMPTS = 100


@dataclass(frozen=True)
class Block:
    """A fixed range of episode indices to be played by one worker.

    Attempt k at episode `index` plays the world's seed at ("collect", round, index, k) below the root seed, and its
    player draws from the generator there. The first attempt that lasts `min_steps` is the episode.

    start, stop: the range; which of them are in the store already changes nothing for the others
    slots: episodes side by side
    """

    world: str
    folder: Path
    start: int
    stop: int
    max_steps: int
    min_steps: int
    seed: int
    round: int
    make_players: MakePlayers
    slots: int


@dataclass
class Tally:
    """What a block brought: episodes and their frames stored, attempts thrown away as too short, and lost to deaths."""

    episodes: int = 0
    frames: int = 0
    rejected: int = 0
    died: int = 0


def play_block(block: Block, indices: Sequence[int] | None = None) -> Tally:
    """Play the episodes of the block that the store lacks; raises ReverieError where one cannot be had.

    indices: those among which to look; None: all of the block
    """
    try:
        return _Table(block, range(block.start, block.stop) if indices is None else indices).play()
    except WorldDiedError as error:
        close_world()
        raise ReverieError(f"{error}; fresh ones died too: check that {block.world!r} runs by itself") from error


@dataclass
class _Attempt:
    """One episode being played; `died`: a first try at it ended with its environment's death."""

    index: int
    number: int
    seed: int
    policy: str
    died: bool
    frames: list[np.ndarray]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def add(self, action: np.ndarray, reward: float, frame: np.ndarray) -> None:
        self.actions.append(action.copy())
        self.rewards.append(reward)
        self.frames.append(frame.copy())  # a copy, for a view would keep the frames of every slot

    def episode(self, terminated: bool) -> Episode:
        return Episode(np.stack(self.frames), np.stack(self.actions), np.array(self.rewards, np.float32), terminated)


class _Table:
    """The slots of one block. Slot s plays the episodes start + s, start + s + slots, ... one after another."""

    def __init__(self, block: Block, indices: Sequence[int]) -> None:
        self.block = block
        self.store = _store(block.folder)
        self.tally = Tally()
        count = min(block.slots, block.stop - block.start)
        missing = set(missing_episodes(self.store, indices))
        queues = [
            deque(i for i in range(block.start + slot, block.stop, count) if i in missing) for slot in range(count)
        ]
        self.slots = [slot for slot in range(count) if queues[slot]]  # the world's row i is the players' slots[i]
        self.queues = [queues[slot] for slot in self.slots]
        self.playing: list[_Attempt | None] = [None] * len(self.slots)
        self.frames = np.zeros((count, *FRAME_SHAPE), np.uint8)  # as the players see them

    def play(self) -> Tally:
        if self.slots:
            self.world = _open_world(self.block.world, len(self.slots))
            self.players = self.block.make_players(self.world.world_spec, len(self.frames))
            for row in range(len(self.slots)):
                self._begin_next(row)
            while any(self.playing):
                self._step()
        return self.tally

    def _step(self) -> None:
        actions = self.players.act(self.frames)[self.slots]
        frames, rewards, terminated, truncated, infos = self.world.step(actions)
        self.frames[self.slots] = frames
        ended = terminated | truncated
        for row, attempt in enumerate(self.playing):
            if attempt is None:
                continue
            if infos["died"][row]:
                self._recover(row, attempt)
                continue
            attempt.add(actions[row], rewards[row], frames[row])
            if ended[row] or len(attempt.actions) == self.block.max_steps:
                self._end(row, attempt, bool(terminated[row]))

    def _begin_next(self, row: int) -> None:
        """The next episode of the row's queue, where there is one."""
        self.playing[row] = None
        if self.queues[row]:
            self._begin(row, self.queues[row].popleft(), number=0)

    def _begin(self, row: int, index: int, number: int, died: bool = False) -> None:
        block = self.block
        if number >= ATTEMPTS:
            raise ReverieError(
                f"episode {index} of {block.world} failed to last {block.min_steps} steps in {ATTEMPTS} attempts; "
                "lower collect.min_steps"
            )
        path = ("collect", block.round, index, number)
        (seed,) = training_seeds(block.seed, *path, count=1)
        mask = np.arange(len(self.slots)) == row
        frames, _ = self.world.reset(seed=[seed] * len(mask), options={"reset_mask": mask})
        self.frames[self.slots[row]] = frames[row]
        policy = self.players.begin(self.slots[row], generator(block.seed, *path))
        self.playing[row] = _Attempt(index, number, seed, policy, died, [frames[row].copy()])

    def _recover(self, row: int, attempt: _Attempt) -> None:
        """After a death: the same seed in the fresh environment, and where that dies too the next one."""
        self.tally.died += 1
        self._begin(row, attempt.index, attempt.number + attempt.died, died=not attempt.died)

    def _end(self, row: int, attempt: _Attempt, terminated: bool) -> None:
        if len(attempt.actions) < self.block.min_steps:
            self.tally.rejected += 1
            self._begin(row, attempt.index, attempt.number + 1)
            return
        self.store.append(attempt.index, attempt.episode(terminated), attempt.seed, attempt.policy)
        self.tally.episodes += 1
        self.tally.frames += len(attempt.frames)
        self._begin_next(row)


def missing_episodes(store: Store, indices: Sequence[int]) -> list[int]:
    """Those of the indices that the store lacks, or whose file is gone or cut short."""
    present = {entry.index for entry in store.entries if entry.index in indices and store.is_present(entry)}
    return [index for index in indices if index not in present]


_opened: dict[tuple[str, int], WorldVectorEnv] = {}  # this process's world, kept from block to block


def close_world() -> None:
    """Close the world that this process holds open for its next block."""
    for world in _opened.values():
        world.close()
    _opened.clear()


def _open_world(name: str, count: int) -> WorldVectorEnv:
    if (name, count) not in _opened:
        close_world()
        _opened[name, count] = make(name, count)
    return _opened[name, count]


_store = lru_cache(maxsize=1)(Store)  # what it has read of the manifest serves the next block
