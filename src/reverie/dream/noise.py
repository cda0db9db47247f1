"""The randomness of a dream: a pure function of its seed, however many dreams run beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reverie.dream.starts import Starts
from reverie.workers.seeds import generator


class StepNoise(NamedTuple):
    """One step of n dreams: uniform `component` and normal `spread` [n, Nz], uniform `ending` [n]; all float32."""

    component: np.ndarray
    spread: np.ndarray
    ending: np.ndarray


class EpisodeNoise:
    """One dream's draws. Each kind has its own stream, so drawing in chunks of any length gives the same numbers."""

    def __init__(self, seed: int, starts: Starts) -> None:
        self._starts = starts
        self._start, self._component, self._spread, self._ending = (
            generator(seed, "dream", kind) for kind in ("start", "component", "spread", "ending")
        )

    def first_latent(self) -> np.ndarray:
        """z0, float32 [Nz]; to be called once."""
        return self._starts.draw(self._start)

    def fill(self, component: np.ndarray, spread: np.ndarray, ending: np.ndarray) -> None:
        """Draw the next T steps into contiguous [T, Nz], [T, Nz] and [T]."""
        self._component.random(dtype=np.float32, out=component)
        self._spread.standard_normal(dtype=np.float32, out=spread)
        self._ending.random(dtype=np.float32, out=ending)


class NoiseChunks:
    """The draws of n dreams side by side, drawn `CHUNK` steps ahead."""

    CHUNK = 32

    def __init__(self, seeds: Sequence[int], starts: Starts) -> None:
        self._episodes = [EpisodeNoise(seed, starts) for seed in seeds]
        n, latent_size = len(seeds), starts.latent_size
        self._component = np.empty((n, self.CHUNK, latent_size), np.float32)
        self._spread = np.empty((n, self.CHUNK, latent_size), np.float32)
        self._ending = np.empty((n, self.CHUNK), np.float32)
        self._used = np.full(n, self.CHUNK)

    def first_latents(self) -> np.ndarray:
        """z0 of each dream, float32 [n, Nz]; to be called once."""
        return np.stack([episode.first_latent() for episode in self._episodes])

    def restart(self, index: int, seed: int, starts: Starts) -> np.ndarray:
        """Begin another dream in place of dream `index`; returns its z0, float32 [Nz]."""
        self._episodes[index] = EpisodeNoise(seed, starts)
        self._used[index] = self.CHUNK
        return self._episodes[index].first_latent()

    def next(self, live: np.ndarray | slice = slice(None)) -> StepNoise:
        """The draws of the next step of all n dreams; those not `live` (bool [n]) keep what they had."""
        stale = np.zeros(len(self._episodes), bool)
        stale[live] = self._used[live] == self.CHUNK
        for index in np.flatnonzero(stale):
            self._episodes[index].fill(self._component[index], self._spread[index], self._ending[index])
            self._used[index] = 0
        at = np.minimum(self._used, self.CHUNK - 1)
        rows = np.arange(len(at))
        self._used[live] += 1
        return StepNoise(self._component[rows, at], self._spread[rows, at], self._ending[rows, at])
