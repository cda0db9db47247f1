"""The randomness of a dream: a pure function of its seed, however many dreams run beside it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from reverie.dream.starts import Starts
from reverie.workers.seeds import generator

CHUNK = 32  # steps drawn at once; without effect on the numbers


class StepNoise(NamedTuple):
    """One step of E dreams: uniform `component` and normal `spread` [E, Nz], uniform `ending` [E]; all float32."""

    component: np.ndarray
    spread: np.ndarray
    ending: np.ndarray


class EpisodeNoise:
    """One dream's draws. Each kind has a stream of its own, so chunks of any length give the same numbers."""

    def __init__(self, seed: int) -> None:
        self.start, self._component, self._spread, self._ending = (
            generator(seed, "dream", kind) for kind in ("start", "component", "spread", "ending")
        )

    def draw(self, steps: int, latent_size: int) -> StepNoise:
        """The next `steps` of the dream, the steps along the first axis."""
        return StepNoise(
            self._component.random((steps, latent_size), np.float32),
            self._spread.standard_normal((steps, latent_size), np.float32),
            self._ending.random(steps, np.float32),
        )


class DreamNoise:
    """The draws of E dreams side by side, each of which may begin anew at any step."""

    def __init__(self, episodes: int, starts: Starts) -> None:
        self._starts = starts
        self._episodes: list[EpisodeNoise | None] = [None] * episodes
        shape = (CHUNK, episodes, starts.latent_size)
        self._chunk = StepNoise(
            np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape[:2], np.float32)
        )
        self._step = 0

    def begin(self, index: int, seed: int) -> np.ndarray:
        """Start dream `index` anew from `seed`; returns its first latent z0, float32 [Nz]."""
        episode = EpisodeNoise(seed)
        self._episodes[index] = episode
        if self._step:
            self._fill(index, episode)
        return self._starts.draw(episode.start)

    def next(self) -> StepNoise:
        """The draws of one step; views that the next chunk overwrites."""
        if self._step == 0:
            for index, episode in enumerate(self._episodes):
                if episode is not None:
                    self._fill(index, episode)
        step, self._step = self._step, (self._step + 1) % CHUNK
        return StepNoise(*(draws[step] for draws in self._chunk))

    def _fill(self, index: int, episode: EpisodeNoise) -> None:
        """Draw what is left of the chunk for one dream."""
        drawn = episode.draw(CHUNK - self._step, self._starts.latent_size)
        for chunk, draws in zip(self._chunk, drawn, strict=True):
            chunk[self._step :, index] = draws
