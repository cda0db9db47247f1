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
import torch
from torch import Tensor

from reverie.agent import FrameWorld
from reverie.episodes.episode import Episode
from reverie.episodes.store import Store, missing_episodes
from reverie.errors import ReverieError
from reverie.play.loop import Limits, play
from reverie.play.players import MakePlayers
from reverie.workers.seeds import generator, training_seeds
from reverie.worlds.registry import make
from reverie.worlds.spec import FRAME_SHAPE
from reverie.worlds.vector import WorldVectorEnv

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
    """What a block brought: episodes and their frames stored, attempts thrown away as too short, and lost to deaths.

    still, unpaid: stored episodes whose frames never changed, and whose rewards were all 0
    """

    episodes: int = 0
    frames: int = 0
    rejected: int = 0
    died: int = 0
    still: int = 0
    unpaid: int = 0


def play_block(block: Block, indices: Sequence[int] | None = None) -> Tally:
    """Play the episodes of the block that the store lacks; raises ReverieError where one cannot be had.

    indices: those among which to look; None: all of the block
    """
    store = _store(block.folder)
    missing = missing_episodes(store, range(block.start, block.stop) if indices is None else indices)
    if not missing:
        return Tally()
    slots = min(block.slots, block.stop - block.start)
    used = len({(index - block.start) % slots for index in missing})
    try:
        env = FrameWorld(_open_world(block.world, used))
        collector = _Collector(block, store, missing, env, slots)
        seeds = [collector.seed(episode) for episode in range(len(missing))]
        play(env, collector, seeds, Limits(block.max_steps), collector, collector.retry, collector.queues())
    except ReverieError:
        close_world()
        raise
    return collector.tally


class _Collector:
    """Acts in the slots of a block, keeps what is played, and says which attempts are played again.

    Slot s plays the episodes start + s, start + s + slots, ... one after another, whichever of them are missing: what
    acts may compute on all slots at once, and no episode depends on who plays beside it.
    """

    def __init__(self, block: Block, store: Store, missing: Sequence[int], env: FrameWorld, slots: int) -> None:
        self._block, self._store, self._env, self.tally = block, store, env, Tally()
        self._missing = list(missing)  # episode e of `play` is index missing[e] of the store
        self._slot = [(index - block.start) % slots for index in missing]
        self._players = block.make_players(env.spec, slots)
        self._frames = np.zeros((slots, *FRAME_SHAPE), np.uint8)  # as the players see them
        self._attempts: dict[int, _Attempt] = {}
        self._numbers, self._died = dict.fromkeys(range(len(missing)), 0), set[int]()

    def act(self, frames: np.ndarray, episodes: Tensor) -> Tensor:
        slots = [self._slot[episode] for episode in episodes.tolist()]
        self._frames[slots] = frames
        return torch.from_numpy(self._players.act(self._frames)[slots])

    def seed(self, episode: int) -> int:
        """The world's seed of the episode's current attempt."""
        return training_seeds(self._block.seed, *self._path(episode), count=1)[0]

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        for episode, row in zip(episodes, rows, strict=True):
            policy = self._players.begin(self._slot[episode], generator(self._block.seed, *self._path(episode)))
            frame = self._env.frames[row].copy()  # a copy, for a view would keep the frames of every slot
            self._frames[self._slot[episode]] = frame
            seed = self._env.seeds[row]  # another than was asked for where the world dies with that one
            self._attempts[episode] = _Attempt(policy, seed, [frame])

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        for row, episode in enumerate(episodes):
            self._attempts[episode].add(actions[row], rewards[row], self._env.frames[row])

    def end(self, episode: int, terminated: bool) -> None:
        attempt = self._attempts.pop(episode)
        stored = attempt.episode(terminated)
        self._store.append(self._missing[episode], stored, attempt.seed, attempt.policy)
        self.tally.episodes += 1
        self.tally.frames += len(stored.frames)
        self.tally.still += bool((stored.frames == stored.frames[0]).all())
        self.tally.unpaid += not stored.rewards.any()

    def retry(self, episode: int, steps: int, died: bool) -> int | None:
        """After a death the same seed once more, then the next attempt's; and that after too short an attempt."""
        if not died and steps >= self._block.min_steps:
            return None
        if died:
            self.tally.died += 1
            again = episode not in self._died
            self._died.symmetric_difference_update({episode})
        else:
            self.tally.rejected += 1
            again = False
            self._died.discard(episode)
        if not again:
            self._numbers[episode] += 1
        if self._numbers[episode] >= ATTEMPTS:
            raise ReverieError(
                f"episode {self._missing[episode]} of {self._block.world} failed to last {self._block.min_steps} steps "
                f"in {ATTEMPTS} attempts; lower collect.min_steps"
            )
        return self.seed(episode)

    def _path(self, episode: int) -> tuple[str | int, ...]:
        return "collect", self._block.round, self._missing[episode], self._numbers[episode]

    def queues(self) -> list[deque[int]]:
        """The episodes of each slot that has any."""
        waiting: dict[int, deque[int]] = {}
        for episode, slot in enumerate(self._slot):
            waiting.setdefault(slot, deque()).append(episode)
        return [waiting[slot] for slot in sorted(waiting)]


@dataclass
class _Attempt:
    """One episode being played."""

    policy: str
    seed: int
    frames: list[np.ndarray]
    actions: list[np.ndarray] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)

    def add(self, action: np.ndarray, reward: float, frame: np.ndarray) -> None:
        self.actions.append(action.copy())
        self.rewards.append(float(reward))
        self.frames.append(frame.copy())

    def episode(self, terminated: bool) -> Episode:
        return Episode(np.stack(self.frames), np.stack(self.actions), np.array(self.rewards, np.float32), terminated)


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
