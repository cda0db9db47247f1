"""Episodes as streams: what M trains on, without padding.

An epoch lays all episodes end to end in a shuffled order, cuts that line into B streams of equal length, and each
stream into windows. M's state is carried from a stream's window to its next one, and zeroed at a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from reverie.errors import ReverieError
from reverie.workers.seeds import generator

if TYPE_CHECKING:
    from reverie.vision.latents import LatentEpisode, Latents
    from reverie.worlds.spec import ActionSpec


@dataclass(frozen=True)
class Window:
    """L steps of B streams, float32; a step is (z, action) and what came of it, never across two episodes.

    mu, logvar: [B, L, Nz] of the frame seen; next_mu, next_logvar: of the frame that followed
    action, next_action: [B, L, A] as M sees them; has_next: [B, L], 0 on an episode's last step
    restart: [B, L], 1 on an episode's first step
    done: [B, L], 1 where the world ended the episode; 0 where it was cut off, whose end is not known
    reward: [B, L]
    held: [B, L], for how many steps the next action goes on; fatal: [B, L], 1 where the world ended the episode by
        then; both 0 where they were not asked for
    begins: the state before this window is zero (the first window of an epoch)
    """

    mu: np.ndarray
    logvar: np.ndarray
    next_mu: np.ndarray
    next_logvar: np.ndarray
    action: np.ndarray
    next_action: np.ndarray
    has_next: np.ndarray
    restart: np.ndarray
    done: np.ndarray
    reward: np.ndarray
    held: np.ndarray
    fatal: np.ndarray
    begins: bool

    def __repr__(self) -> str:
        streams, steps, latent_size = self.mu.shape
        sizes = f"streams={streams}, steps={steps}, latent_size={latent_size}, action_size={self.action.shape[2]}"
        return f"Window({sizes}, begins={self.begins})"


class Streams:
    """Windows by the number of their update: a pure function of (latents, sizes, seed, update).

    `episodes` names the episodes to use, all by default; `holds` asks for how long actions are held. Where they hold
    fewer steps than one batch, an epoch takes them several times. The steps that fill no whole window are left out of
    an epoch, others each time.
    Raises ReverieError where there is no step at all.
    """

    def __init__(
        self,
        latents: Latents,
        actions: ActionSpec,
        batch_size: int,
        window: int,
        seed: int,
        episodes: Sequence[int] | None = None,
        holds: bool = False,
    ) -> None:
        wanted = None if episodes is None else set(episodes)
        entries = [e for e in latents.entries if e.steps > 0 and (wanted is None or e.index in wanted)]
        if not entries:
            raise ReverieError(f"{latents!r} holds no step to train M on; collect episodes and encode them first")
        self._indices = np.array([entry.index for entry in entries])
        self._lengths = np.array([entry.steps for entry in entries])
        self._actions, self._seed, self._holds = actions, seed, holds
        self._streams, self._steps = batch_size, window
        self._copies = -(-batch_size * window // int(self._lengths.sum()))
        self._stream_length = self._copies * int(self._lengths.sum()) // batch_size
        self.windows = self._stream_length // window
        """Windows of an epoch."""
        self._episode = lru_cache(2 * batch_size)(latents.episode)  # the next window goes on in the same ones
        self._epoch = lru_cache(1)(self._shuffled)

    def window(self, update: int) -> Window:
        """The window of update 0, 1, 2, ..."""
        epoch, position = divmod(update, self.windows)
        first = position * self._steps
        streams = [self._stream(epoch, stream * self._stream_length + first) for stream in range(self._streams)]
        return Window(
            **{name: np.stack([stream[name] for stream in streams]) for name in streams[0]}, begins=position == 0
        )

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of an epoch's episodes, and where each begins on the line (one more: where the last one ends)."""
        rng = generator(self._seed, "memory", "epoch", epoch)
        order = np.concatenate([rng.permutation(len(self._lengths)) for _ in range(self._copies)])
        return self._indices[order], np.concatenate([[0], np.cumsum(self._lengths[order])])

    def _stream(self, epoch: int, start: int) -> dict[str, np.ndarray]:
        pieces = [
            steps_of(self._episode(index), self._actions, first, last, self._holds)
            for index, first, last in self._pieces(epoch, start, start + self._steps)
        ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _pieces(self, epoch: int, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The episodes on [start, stop) of an epoch's line, each with its first step and the one after its last."""
        indices, begins = self._epoch(epoch)
        place = int(np.searchsorted(begins, start, side="right")) - 1
        while begins[place] < stop:
            last = min(stop, begins[place + 1]) - begins[place]
            yield int(indices[place]), int(max(start - begins[place], 0)), int(last)
            place += 1


def steps_of(
    episode: LatentEpisode, actions: ActionSpec, first: int, last: int, holds: bool = False
) -> dict[str, np.ndarray]:
    """Steps [first, last) of an episode as the arrays of a `Window`, without the B."""
    count, steps = len(episode.actions), np.arange(first, last)
    seen = actions.for_memory(episode.actions[first : last + 1])
    next_action = np.zeros((last - first, seen.shape[1]))
    next_action[: len(seen) - 1] = seen[1:]
    held = fatal = np.zeros(count + 1)
    if holds:
        held, fatal = _holds(actions.for_memory(episode.actions), episode.terminated)
    arrays = {
        "mu": episode.mu[first:last],
        "logvar": episode.logvar[first:last],
        "next_mu": episode.mu[first + 1 : last + 1],
        "next_logvar": episode.logvar[first + 1 : last + 1],
        "action": seen[: last - first],
        "next_action": next_action,
        "has_next": steps + 1 < count,
        "restart": steps == 0,
        "done": (steps + 1 == count) & episode.terminated,
        "reward": episode.rewards[first:last],
        "held": held[first + 1 : last + 1],
        "fatal": fatal[first + 1 : last + 1],
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _holds(seen: np.ndarray, terminated: bool) -> tuple[np.ndarray, np.ndarray]:
    """For how many steps each of an episode's actions [T, A] goes on, and whether the world ends it by then, [T + 1].

    The last of either is 0: no action follows the last one.
    """
    count = len(seen)
    changes = np.flatnonzero((seen[1:] != seen[:-1]).any(1)) + 1  # the steps on which another action begins
    ends = np.append(changes, count)[np.searchsorted(changes, np.arange(count), side="right")]
    return np.append(ends - np.arange(count), 0), np.append((ends == count) & terminated, False)


def split_episodes(latents: Latents, held_out_every: int) -> tuple[list[int], list[int]]:
    """The episodes to train on and those held out: every `held_out_every`-th of a list of at least that many.

    The mirror images of the former are trained on, those of the latter are in neither list.
    """
    indices = [entry.index for entry in latents.entries if entry.steps > 0]
    seen = [index for index in indices if index >= 0]
    held_out = seen[held_out_every - 1 :: held_out_every] if held_out_every else []
    unseen = {*held_out, *(-1 - index for index in held_out)}
    return [index for index in indices if index not in unseen], held_out


def reward_scale(latents: Latents, episodes: Sequence[int]) -> float:
    """The root mean square of the episodes' rewards; 1 where all are 0."""
    total, count = 0.0, 0
    for index in episodes:
        rewards = latents.episode(index).rewards.astype(np.float64)
        total, count = total + float(np.square(rewards).sum()), count + len(rewards)
    return float(np.sqrt(total / count)) if total > 0 else 1.0
