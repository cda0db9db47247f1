"""What a dream leaves to chance: drawn from a seed of its own for each dream, or for all of them from one generator.

Dreams that are scored or compared have seeds: each is a pure function of its own, whatever runs beside it. Dreams that
C learns from by gradients are drawn together, which is cheaper; they are a function of the generator's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from reverie.dream.starts import Starts
from reverie.workers.seeds import generator

CHUNK = 32  # steps drawn at once from each seed; without effect on the numbers


class StepNoise(NamedTuple):
    """One step of E streams: uniform `component` and normal `spread` [E, Nz], uniform `ending` [E]; all float32."""

    component: Tensor
    spread: Tensor
    ending: Tensor


class Begin(NamedTuple):
    """How k dreams begin: the place in `Starts` int64 [k], z [k, Nz], a uniform number for each hidden unit [k, H]."""

    start: Tensor
    z: Tensor
    dropout: Tensor | None


class Noise(Protocol):
    """The randomness of E streams of dreams."""

    def begin(self, streams: Tensor, seeds: Sequence[int], dropout_size: int) -> Begin:
        """Begin streams int64 [k] anew; `dropout_size` is H, 0 where no dropout is drawn."""

    def next(self) -> StepNoise:
        """The draws of one step, until the next call."""


class EpisodeNoise:
    """One dream's draws. Each kind has a stream of its own, so chunks of any length give the same numbers."""

    def __init__(self, seed: int) -> None:
        self.start, self._component, self._spread, self._ending = (
            generator(seed, "dream", kind) for kind in ("start", "component", "spread", "ending")
        )

    def draw(self, steps: int, latent_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Component, spread and ending of the next `steps` of the dream, the steps along the first axis."""
        return (
            self._component.random((steps, latent_size), np.float32),
            self._spread.standard_normal((steps, latent_size), np.float32),
            self._ending.random(steps, np.float32),
        )


class SeededNoise:
    """E dreams, each drawn from its own seed; any of them may begin anew at any step."""

    def __init__(self, streams: int, starts: Starts, device: torch.device) -> None:
        self._starts, self._device = starts, device
        self._episodes: list[EpisodeNoise | None] = [None] * streams
        shape = (CHUNK, streams, starts.latent_size)
        self._chunk = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape[:2], np.float32)
        self._step = 0

    def begin(self, streams: Tensor, seeds: Sequence[int], dropout_size: int) -> Begin:
        drawn = []
        for stream, seed in zip(streams.tolist(), seeds, strict=True):
            episode = EpisodeNoise(seed)
            self._episodes[stream] = episode
            if self._step:
                self._fill(stream, episode)
            drawn.append(self._starts.draw(episode.start))
        start, z = np.array([place for place, _ in drawn]), np.stack([latent for _, latent in drawn])
        dropout = None
        if dropout_size:
            uniform = [generator(seed, "dream", "dropout").random(dropout_size, np.float32) for seed in seeds]
            dropout = self._tensor(np.stack(uniform))
        return Begin(self._tensor(start), self._tensor(z), dropout)

    def next(self) -> StepNoise:
        if self._step == 0:
            for stream, episode in enumerate(self._episodes):
                if episode is not None:
                    self._fill(stream, episode)
        step, self._step = self._step, (self._step + 1) % CHUNK
        return StepNoise(*(self._tensor(draws[step]) for draws in self._chunk))

    def _fill(self, stream: int, episode: EpisodeNoise) -> None:
        """Draw what is left of the chunk for one dream."""
        drawn = episode.draw(CHUNK - self._step, self._starts.latent_size)
        for chunk, draws in zip(self._chunk, drawn, strict=True):
            chunk[self._step :, stream] = draws

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


class SharedNoise:
    """E dreams drawn from `generator`, which the caller sets; their seeds mean nothing."""

    generator: torch.Generator

    def __init__(self, streams: int, starts: Starts, device: torch.device) -> None:
        self._streams, self._device = streams, device
        self._mu = torch.from_numpy(starts.mu).to(device)
        self._std = torch.from_numpy(np.exp(0.5 * starts.logvar)).to(device)

    def begin(self, streams: Tensor, seeds: Sequence[int], dropout_size: int) -> Begin:
        count, rng, device = len(streams), self.generator, self._device
        start = torch.randint(len(self._mu), (count,), generator=rng, device=device)
        z = self._mu[start] + self._std[start] * torch.randn(count, self._mu.shape[1], generator=rng, device=device)
        dropout = torch.rand(count, dropout_size, generator=rng, device=device) if dropout_size else None
        return Begin(start, z, dropout)

    def next(self) -> StepNoise:
        shape, rng, device = (self._streams, self._mu.shape[1]), self.generator, self._device
        component = torch.rand(shape, generator=rng, device=device)
        spread = torch.randn(shape, generator=rng, device=device)
        return StepNoise(component, spread, torch.rand(shape[0], generator=rng, device=device))
