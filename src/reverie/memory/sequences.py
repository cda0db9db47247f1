"""Episodes as streams of sequences, without padding: what M trains on.

An epoch lays all episodes end to end in a shuffled order and cuts that line into B streams of equal length. An update
takes the next L steps of each stream. M's state is carried from update to update, and zeroed where an episode starts.
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

HELD_OUT_EVERY = 20  # one episode in so many is never trained on; M's loss on those is logged as `held_out_*`


@dataclass(frozen=True)
class Sequences:
    """L consecutive steps of B streams, float32. A step is (z, action) and its outcome; it never spans two episodes.

    mu, logvar: [B, L, Nz] of the frame before the action; next_mu, next_logvar: of the frame after it
    action, next_action: [B, L, A] as M sees them; has_next: [B, L], 0 on an episode's last step
    restart: [B, L], 1 on an episode's first step
    done: [B, L], 1 where the world ended the episode; 0 where a limit on its steps did
    reward: [B, L]
    hold_steps: [B, L], for how many steps the next action is repeated; hold_dies: [B, L], 1 where the world ends the
        episode within them; both 0 unless they were asked for
    begins: M's state before this update is zero (the first update of an epoch)
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
    hold_steps: np.ndarray
    hold_dies: np.ndarray
    begins: bool

    def __repr__(self) -> str:
        streams, steps, latent_size = self.mu.shape
        sizes = f"streams={streams}, steps={steps}, latent_size={latent_size}, action_size={self.action.shape[2]}"
        return f"Sequences({sizes}, begins={self.begins})"


class Streams:
    """The sequences of each update: a pure function of (latents, sizes, seed, update).

    batch_size: B; sequence_length: L
    episodes: the numbers of the episodes to use, by default all; where they hold fewer steps than one update needs, an
        epoch takes them several times
    with_holds: count how long actions are held, which the survival head learns from
    The steps that fill no whole sequence are left out of an epoch, others each time.
    Raises ReverieError where there is no step at all.
    """

    def __init__(
        self,
        latents: Latents,
        actions: ActionSpec,
        batch_size: int,
        sequence_length: int,
        seed: int,
        episodes: Sequence[int] | None = None,
        with_holds: bool = False,
    ) -> None:
        wanted = None if episodes is None else set(episodes)
        entries = [e for e in latents.entries if e.steps > 0 and (wanted is None or e.index in wanted)]
        if not entries:
            raise ReverieError(f"{latents!r} holds no step to train M on; collect episodes and encode them first")
        self._indices = np.array([entry.index for entry in entries])
        self._lengths = np.array([entry.steps for entry in entries])
        self._actions, self._seed, self._with_holds = actions, seed, with_holds
        self._streams, self._steps = batch_size, sequence_length
        self._copies = -(-batch_size * sequence_length // int(self._lengths.sum()))
        self._stream_length = self._copies * int(self._lengths.sum()) // batch_size
        self.epoch_updates = self._stream_length // sequence_length
        """Updates in an epoch."""
        self._episode = lru_cache(2 * batch_size)(latents.episode)  # the next update goes on in the same ones
        self._epoch = lru_cache(1)(self._shuffled)

    def sequences(self, update: int) -> Sequences:
        """The sequences of update 0, 1, 2, ..."""
        epoch, position = divmod(update, self.epoch_updates)
        first = position * self._steps
        streams = [self._stream(epoch, stream * self._stream_length + first) for stream in range(self._streams)]
        return Sequences(
            **{name: np.stack([stream[name] for stream in streams]) for name in streams[0]}, begins=position == 0
        )

    def _shuffled(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The order of an epoch's episodes, and where each begins on the line (one more: where the last one ends)."""
        rng = generator(self._seed, "memory", "epoch", epoch)
        order = np.concatenate([rng.permutation(len(self._lengths)) for _ in range(self._copies)])
        return self._indices[order], np.concatenate([[0], np.cumsum(self._lengths[order])])

    def _stream(self, epoch: int, start: int) -> dict[str, np.ndarray]:
        pieces = [
            steps_of(self._episode(index), self._actions, first, last, self._with_holds)
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
    episode: LatentEpisode, actions: ActionSpec, first: int, last: int, with_holds: bool = False
) -> dict[str, np.ndarray]:
    """Steps [first, last) of an episode as the arrays of `Sequences`, without the B."""
    count, steps = len(episode.actions), np.arange(first, last)
    encoded = actions.for_memory(episode.actions[first : last + 1])  # one more than the steps, for next_action
    next_action = np.zeros((last - first, encoded.shape[1]))
    next_action[: len(encoded) - 1] = encoded[1:]
    hold_steps = hold_dies = np.zeros(count + 1)
    if with_holds:
        hold_steps, hold_dies = _holds(actions.for_memory(episode.actions), episode.terminated)
    arrays = {
        "mu": episode.mu[first:last],
        "logvar": episode.logvar[first:last],
        "next_mu": episode.mu[first + 1 : last + 1],
        "next_logvar": episode.logvar[first + 1 : last + 1],
        "action": encoded[: last - first],
        "next_action": next_action,
        "has_next": steps + 1 < count,
        "restart": steps == 0,
        "done": (steps + 1 == count) & episode.terminated,
        "reward": episode.rewards[first:last],
        "hold_steps": hold_steps[first + 1 : last + 1],
        "hold_dies": hold_dies[first + 1 : last + 1],
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _holds(actions: np.ndarray, terminated: bool) -> tuple[np.ndarray, np.ndarray]:
    """For how many steps each of an episode's actions [T, A] is repeated, and whether the world ends it then, [T + 1].

    The last of either is 0: no action follows the last one.
    """
    count = len(actions)
    changes = np.flatnonzero((actions[1:] != actions[:-1]).any(1)) + 1  # the steps on which another action begins
    ends = np.append(changes, count)[np.searchsorted(changes, np.arange(count), side="right")]
    return np.append(ends - np.arange(count), 0), np.append((ends == count) & terminated, False)


def split_episodes(latents: Latents, held_out_every: int = HELD_OUT_EVERY) -> tuple[list[int], list[int]]:
    """The episodes to train on and those held out: every 20th (none of fewer than 20), or every `held_out_every`-th.

    Mirror images of the first are trained on too. Those of the second are in neither list.
    """
    indices = [entry.index for entry in latents.entries if entry.steps > 0]
    originals = [index for index in indices if index >= 0]
    held_out = originals[held_out_every - 1 :: held_out_every]
    excluded = {*held_out, *(-1 - index for index in held_out)}
    return [index for index in indices if index not in excluded], held_out


def reward_scale(latents: Latents, episodes: Sequence[int], largest: bool = False) -> float:
    """The root mean square of the episodes' rewards, or the `largest` of their sizes; 1 where all are 0."""
    rewards = np.concatenate([latents.episode(index).rewards for index in episodes]).astype(np.float64)
    if not rewards.any():
        return 1.0
    return float(np.abs(rewards).max() if largest else np.sqrt(np.square(rewards).mean()))
