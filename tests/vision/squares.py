"""Frames for the tests of this room: a square at one of nine places, on a shaded ground of any brightness."""

from __future__ import annotations

import numpy as np

from reverie.episodes.episode import Episode
from reverie.episodes.store import Store


def frames_of(count: int, seed: int) -> np.ndarray:
    """uint8 [count, 64, 64, 3]."""
    rng = np.random.default_rng(seed)
    shade = np.linspace(0, 80, 64)[None, None, :, None]
    frames = np.broadcast_to(shade + rng.uniform(0, 150, (count, 1, 1, 1)), (count, 64, 64, 3)).astype(np.uint8)
    for frame, (row, column) in zip(frames, rng.choice([4, 26, 48], (count, 2)), strict=True):
        frame[row : row + 12, column : column + 12] = (250, 200, 20)
    return frames


def fill(store: Store, lengths: list[int], first: int = 0) -> Store:
    """Append an episode of each number of steps; odd ones are cut off."""
    for index, steps in enumerate(lengths, start=first):
        rng = np.random.default_rng(index)
        actions = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
        rewards = rng.normal(size=steps).astype(np.float32)
        store.append(index, Episode(frames_of(steps + 1, index), actions, rewards, index % 2 == 0), index, "uniform")
    return store


class SquareBatches:
    """Batches that `train_vision` takes; from update `breaks_at` on it raises, as if the process had been killed."""

    def __init__(self, batch_size: int, breaks_at: int | None = None) -> None:
        self.batch_size, self.breaks_at = batch_size, breaks_at

    def batch(self, update: int) -> np.ndarray:
        if update == self.breaks_at:
            raise InterruptedError
        return frames_of(self.batch_size, seed=update)
